#!/usr/bin/env bash
# Start SGLang with the settings of the AMD MI355X competition, or on NVIDIA
# GPUs with those that InferenceX has for them.
#
#   MODEL=… PORT=8888 TP=8 ISL=8192 OSL=1024 CONC=64 scripts/launch_sglang_server.sh
#   DRY_RUN=1 scripts/launch_sglang_server.sh      # print the command only
#
# All settings, and what they default to: launch_settings.sh.
# shellcheck source-path=SCRIPTDIR source=launch_settings.sh
source "$(dirname "${BASH_SOURCE[0]}")/launch_settings.sh"

environment=()
makers=()
case $GPU in
amd)
  # AITER: AMD's kernels. Quick-reduce in INT4: the all-reduce between the GPUs.
  environment+=(SGLANG_USE_AITER=1 ROCM_QUICK_REDUCE_QUANTIZATION=INT4)
  makers+=(--attention-backend aiter --num-continuous-decode-steps 4)
  ;;
nvidia)
  makers+=(--enable-flashinfer-allreduce-fusion)
  # TensorRT-LLM's kernels, from Blackwell on.
  if [[ $(compute_capability) -ge 10 ]]; then
    makers+=(--attention-backend trtllm_mla --moe-runner-backend flashinfer_trtllm)
  fi
  ;;
esac

command=(python3 -m sglang.launch_server
  --model-path "$MODEL"
  --trust-remote-code
  --host "$HOST"
  --port "$PORT"
  --tensor-parallel-size "$TP"
  --kv-cache-dtype "${KV_CACHE_DTYPE:-fp8_e4m3}"
  --chunked-prefill-size "$CHUNKED_PREFILL_SIZE"
  --max-prefill-tokens "$CHUNKED_PREFILL_SIZE"
  --mem-fraction-static "$MEM_FRACTION"
  --cuda-graph-max-bs "$CUDA_GRAPH_MAX_BS"
  "${makers[@]}")

if [[ $DISABLE_RADIX_CACHE == 1 ]]; then
  command+=(--disable-radix-cache)
fi
if [[ $SPECULATION == mtp ]]; then # a chain of drafts, with the token that verifies them
  command+=(--speculative-algorithm EAGLE --speculative-num-steps "$SPECULATION_TOKENS"
    --speculative-eagle-topk 1 --speculative-num-draft-tokens $((SPECULATION_TOKENS + 1)))
fi

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
