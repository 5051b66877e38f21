#!/usr/bin/env bash
# Look for known vulnerabilities in what the module calls. The database is
# fetched from vuln.go.dev; where that cannot be reached the check is skipped,
# saying so, since a machine without network must be able to lint.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

report=$("${GO:-go}" run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./... 2>&1)
status=$?
if ((status != 0)) && grep -qE 'fetching vulnerabilities: .*(no such host|connection refused|timeout|unreachable)' <<<"$report"; then
  echo "govulncheck: SKIPPED, vuln.go.dev cannot be reached from here" >&2
  exit 0
fi
echo "$report"
exit "$status"
