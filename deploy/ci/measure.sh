#!/usr/bin/env bash
# What a CI job runs, whoever's CI it is: a sweep with its JUnit report, then the
# job's summary. Everything lies in RESULTS_DIR, and the exit code is the sweep's:
# 0 only when every cell passed.
#
#   BASE_URL=http://gpu-node:8888 ISL=1024 OSL=1024 CONC=16 deploy/ci/measure.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
export RESULTS_DIR=${RESULTS_DIR:-results}
mkdir -p "$RESULTS_DIR"

code=0
make ci JUNIT="$RESULTS_DIR/junit.xml" || code=$?

# GitHub shows what is in this file on the job's page; elsewhere it goes to the log.
for summary in "$RESULTS_DIR"/batch_*/summary.md; do
  [[ ! -e $summary ]] || cat "$summary" >>"${GITHUB_STEP_SUMMARY:-/dev/stdout}"
done
exit "$code"
