#!/usr/bin/env bash
# Start vLLM with the competition's settings, as far as vLLM has them.
#
#   MODEL=… PORT=8888 TP=8 ISL=8192 OSL=1024 CONC=64 scripts/launch_vllm_server.sh
#   DRY_RUN=1 scripts/launch_vllm_server.sh      # print the command only
#
# All settings, and what they default to: launch_settings.sh.
# shellcheck source-path=SCRIPTDIR source=launch_settings.sh
source "$(dirname "${BASH_SOURCE[0]}")/launch_settings.sh"

# The key goes through the environment, which vLLM reads.
environment=()
makers=()
if [[ $GPU == amd ]]; then
  # AITER: AMD's kernels, whose latent attention asks for block size 1.
  environment+=(VLLM_ROCM_USE_AITER=1)
  makers+=(--block-size 1)
fi
if [[ -n $API_KEY ]]; then
  export VLLM_API_KEY=$API_KEY
fi

# SGLang's continuous decode steps have no counterpart in vLLM: its scheduler
# overlaps by itself.
command=(vllm serve "$MODEL"
  --trust-remote-code
  --host "$HOST"
  --port "$PORT"
  --tensor-parallel-size "$TP"
  --kv-cache-dtype "${KV_CACHE_DTYPE:-fp8}"
  --max-num-batched-tokens "$CHUNKED_PREFILL_SIZE"
  --gpu-memory-utilization "$MEM_FRACTION"
  --compilation-config "{\"max_cudagraph_capture_size\":$CUDA_GRAPH_MAX_BS}"
  "${makers[@]}")

if [[ $DISABLE_RADIX_CACHE == 1 ]]; then
  command+=(--no-enable-prefix-caching)
else
  command+=(--enable-prefix-caching)
fi
if [[ $SPECULATION == mtp ]]; then
  command+=(--speculative-config "{\"method\":\"mtp\",\"num_speculative_tokens\":$SPECULATION_TOKENS}")
fi

command+=("${extra[@]}")
launch vllm
