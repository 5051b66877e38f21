#!/usr/bin/env bash
# What showing progress costs the client: the same cell, each way of showing
# it, ROUNDS times in turn, against an engine in a process of its own. Prints
# the client's CPU per token and the figures it took, a line a run.
set -euo pipefail
rounds=${ROUNDS:-3} conc=${CONC:-16} prompts=${NUM_PROMPTS:-160} port=${PORT:-8897}
work=$(mktemp -d)
go build -o "$work/inferbench" ./cmd/inferbench
"$work/inferbench" engine -port "$port" -profile "${ENGINE_PROFILE:-fast}" >"$work/engine.log" 2>&1 &
engine=$!
trap 'kill "$engine" 2>/dev/null; rm -rf "$work"' EXIT
cd "$work"
figure() { grep -m1 -o "\"$1\": [0-9.]*" batch_*/result_*.json | sed 's/.*: //'; }
printf '%-6s %16s %14s %14s %14s\n' shown 'cpu µs/token' 'tok/s/GPU' 'ttft p50 ms' 'itl p99 ms'
for _ in $(seq "$rounds"); do
	for shown in none lines live; do
		rm -rf batch_*
		# script(1) gives the run a terminal, which live needs.
		script -qec "./inferbench run -run TestServing -base-url http://127.0.0.1:$port -isl 1024 -osl 1024 -conc $conc -num-prompts $prompts -progress $shown" /dev/null >run.log 2>&1 ||
			{ cat run.log >&2; exit 1; }
		printf '%-6s %16.3f %14.1f %14.3f %14.3f\n' "$shown" "$(figure cpu_us_per_token)" "$(figure tput_per_gpu)" "$(figure median_ttft_ms)" "$(figure p99_itl_ms)"
	done
done
