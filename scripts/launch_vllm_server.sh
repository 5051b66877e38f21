#!/usr/bin/env bash
# Start vLLM on AMD GPUs with the competition's settings, as far as vLLM has them.
#
#   MODEL=… PORT=8888 TP=8 ISL=8192 OSL=1024 CONC=64 scripts/launch_vllm_server.sh
#   DRY_RUN=1 scripts/launch_vllm_server.sh      # print the command only
#
# All settings, and what they default to: launch_settings.sh.
# shellcheck source-path=SCRIPTDIR source=launch_settings.sh
source "$(dirname "${BASH_SOURCE[0]}")/launch_settings.sh"

# AITER: AMD's kernels. The key goes through the environment, which vLLM reads.
environment=(VLLM_ROCM_USE_AITER=1)
if [[ -n $API_KEY ]]; then
  export VLLM_API_KEY=$API_KEY
fi

# SGLang's continuous decode steps have no counterpart in vLLM: its scheduler
# overlaps by itself. Block size 1 is what AITER's latent attention asks for.
command=(vllm serve "$MODEL"
  --trust-remote-code
  --host "$HOST"
  --port "$PORT"
  --tensor-parallel-size "$TP"
  --kv-cache-dtype fp8
  --block-size 1
  --max-num-batched-tokens "$PREFILL_TOKENS"
  --gpu-memory-utilization 0.8
  --no-enable-prefix-caching # random prompts share no prefix; a second run of the same ones would
  --compilation-config '{"max_cudagraph_capture_size":128}')

command+=("${extra[@]}")
launch vllm
