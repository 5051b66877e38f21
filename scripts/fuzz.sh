#!/usr/bin/env bash
# Run every fuzz target of the module, one after another, FUZZTIME (30s) each.
# Only the targets whose name holds FUZZ run, where it is given: FUZZ=FuzzStream.
# A crash leaves its input under testdata/fuzz: fix it and commit the input.
#
# What earlier runs found worth keeping is in fuzz_corpus.tar.gz, and goes into
# Go's cache first, so that each run begins where the last one ended. `fuzz.sh
# keep` writes that file anew from the cache: what is of 15 KiB or less, since
# the few large inputs are most of the bytes and say little more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CORPUS=$PWD/scripts/fuzz_corpus.tar.gz
CACHE=$(go env GOCACHE)/fuzz

if [[ ${1:-} == keep ]]; then
  cd "$CACHE"
  find inferbench -type f -path '*/Fuzz*' -size -16k -print0 | LC_ALL=C sort -z |
    tar c --null -T - --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=644 | gzip -9n >"$CORPUS.part"
  mv "$CORPUS.part" "$CORPUS"
  echo "$CORPUS: $(tar tzf "$CORPUS" | wc -l) inputs, $(wc -c <"$CORPUS") bytes"
  exit
fi
mkdir -p "$CACHE"
tar xzf "$CORPUS" -C "$CACHE"

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
