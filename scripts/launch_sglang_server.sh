#!/usr/bin/env bash
# Start SGLang with the settings of the AMD MI355X competition.
#
#   MODEL=… PORT=8888 TP=8 ISL=8192 OSL=1024 CONC=64 scripts/launch_sglang_server.sh
#   DRY_RUN=1 scripts/launch_sglang_server.sh      # print the command only
#
# All settings, and what they default to: launch_settings.sh.
# shellcheck source-path=SCRIPTDIR source=launch_settings.sh
source "$(dirname "${BASH_SOURCE[0]}")/launch_settings.sh"

# AITER: AMD's kernels. Quick-reduce in INT4: the all-reduce between the GPUs.
environment=(SGLANG_USE_AITER=1 ROCM_QUICK_REDUCE_QUANTIZATION=INT4)

command=(python3 -m sglang.launch_server
  --model-path "$MODEL"
  --trust-remote-code
  --host "$HOST"
  --port "$PORT"
  --tensor-parallel-size "$TP"
  --attention-backend aiter
  --kv-cache-dtype fp8_e4m3
  --chunked-prefill-size "$PREFILL_TOKENS"
  --max-prefill-tokens "$PREFILL_TOKENS"
  --mem-fraction-static 0.8
  --disable-radix-cache # random prompts share no prefix; a second run of the same ones would
  --num-continuous-decode-steps 4
  --cuda-graph-max-bs 128)

# SGLang takes its key from the command line, where every user of the machine
# can read it, or from a configuration file: so a file that only we can read.
if [[ -n $API_KEY ]]; then
  [[ $API_KEY =~ ^[[:graph:]]+$ && $API_KEY != *[\'\"\\]* ]] || die "API_KEY holds white space, a quote or a backslash: SGLang's configuration file cannot carry it"
  key_file=$(mktemp --suffix .yaml)
  trap 'rm -f "$key_file"' EXIT
  printf "api-key: '%s'\n" "$API_KEY" >"$key_file"
  command+=(--config "$key_file")
fi

command+=("${extra[@]}")
launch sglang
