#!/usr/bin/env bash
# Run every fuzz target of the module, one after another, FUZZTIME (30s) each.
# Only the targets whose name holds FUZZ run, where it is given: FUZZ=FuzzStream.
# A crash leaves its input under testdata/fuzz: fix it and commit the input.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

FUZZTIME=${FUZZTIME:-30s}
FUZZ=${FUZZ:-Fuzz}
WORKERS=${WORKERS:-$(nproc)}

package=
targets=()
found=0
while read -r word rest; do
  case $word in
  Fuzz*)
    targets+=("$word") ;;
  ok | \?)
    package=${rest%%[[:space:]]*}
    for target in "${targets[@]}"; do
      [[ $target == *$FUZZ* ]] || continue
      found=$((found + 1))
      echo "== $package $target, $FUZZTIME"
      go test "$package" -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 1s -parallel "$WORKERS"
    done
    targets=() ;;
  esac
done < <(go test -list '^Fuzz' ./...)
((found > 0)) || { echo "fuzz.sh: no fuzz target matches $FUZZ" >&2; exit 1; }
echo "$found fuzz targets ran $FUZZTIME each, none crashed"
