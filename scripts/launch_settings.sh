# shellcheck shell=bash
# Settings and the start itself, shared by the launchers beside this file.
#
# shellcheck disable=SC2034,SC2154 # the launchers use `extra` and the settings, and set `environment` and `command`
# Sourced, never run. A launcher fills the array `command` and calls `launch`; a
# file that is to go when the server ends is named in `key_file`.

set -euo pipefail

die() {
  echo "${0##*/}: $*" >&2
  exit 2
}

# whole NAME VALUE: the value of NAME is a whole number, 1 or more.
whole() {
  [[ $2 =~ ^[1-9][0-9]{0,8}$ ]] || die "$1=\"${!1}\": want a whole number, 1 or more"
}

# maker: whose GPUs are here. Where neither maker's tools are, those of the competition.
maker() {
  if [[ -e /dev/kfd ]] || command -v amd-smi rocm-smi >/dev/null; then
    echo amd
  elif command -v nvidia-smi >/dev/null; then
    echo nvidia
  else
    echo amd
  fi
}

GPU=${GPU:-$(maker)} # amd or nvidia: which maker's flags are set
case $GPU in
amd) default_model=amd/DeepSeek-R1-0528-MXFP4 ;;
nvidia) default_model=nvidia/DeepSeek-R1-0528-FP4-v2 ;;
*) die "GPU=\"$GPU\": want amd or nvidia" ;;
esac

MODEL=${MODEL:-$default_model}
PORT=${PORT:-8888}
HOST=${HOST:-127.0.0.1} # 0.0.0.0 serves other machines too: set API_KEY with it
TP=${TP:-8}             # GPUs
ISL=${ISL:-1024}
OSL=${OSL:-1024}
CONC=${CONC:-}     # may be a list, as for the suite: the largest value counts; none means the whole sweep
API_KEY=${API_KEY:-} # passed on by environment or by a file only, never on a command line
MEM_FRACTION=${MEM_FRACTION:-0.8}                # of each GPU's memory, for weights and KV cache
CUDA_GRAPH_MAX_BS=${CUDA_GRAPH_MAX_BS:-128}      # largest batch that graphs are captured for
DISABLE_RADIX_CACHE=${DISABLE_RADIX_CACHE:-true} # the prefix cache; random prompts share no prefix, a second run of the same ones does
CHUNKED_PREFILL_SIZE=${CHUNKED_PREFILL_SIZE:-}   # tokens; none means what suits GPU, ISL, OSL and CONC
KV_CACHE_DTYPE=${KV_CACHE_DTYPE:-}               # as the engine names it; none means FP8
SPECULATION=${SPECULATION:-none}                 # mtp: the model's own multi-token prediction drafts
SPECULATION_TOKENS=${SPECULATION_TOKENS:-3}      # that it drafts at a time
LOG_DIR=${LOG_DIR:-.}                            # folder of the log; SERVER_LOG names the file itself
EXTRA_ARGS=${EXTRA_ARGS:-} # more of the server's own arguments, split at spaces
DRY_RUN=${DRY_RUN:-}       # 1 or true prints the command and starts nothing

for name in PORT TP ISL OSL CUDA_GRAPH_MAX_BS SPECULATION_TOKENS; do whole "$name" "${!name}"; done
((PORT <= 65535)) || die "PORT=\"$PORT\": want a port number, 1 to 65535"

[[ $MEM_FRACTION =~ ^0?\.[0-9]{1,6}$ && ! $MEM_FRACTION =~ ^0?\.0+$ ]] || die "MEM_FRACTION=\"$MEM_FRACTION\": want a number above 0 and below 1, as 0.85"
[[ $KV_CACHE_DTYPE =~ ^[a-z0-9_]*$ ]] || die "KV_CACHE_DTYPE=\"$KV_CACHE_DTYPE\": want a type's name, as fp8_e4m3 or auto"
[[ $SPECULATION == none || $SPECULATION == mtp ]] || die "SPECULATION=\"$SPECULATION\": want none or mtp"

# switch NAME: sets the variable to 1 where it is on, and to nothing where it is off.
switch() {
  case ${!1} in
  1 | true) printf -v "$1" 1 ;;
  '' | 0 | false) printf -v "$1" '' ;;
  *) die "$1=\"${!1}\": want 1 or true" ;;
  esac
}
switch DRY_RUN
switch DISABLE_RADIX_CACHE

key_file=

CONC_MAX=0
read -ra concs <<<"${CONC//,/ }"
for conc in "${concs[@]}"; do
  whole CONC "$conc"
  ((conc > CONC_MAX)) && CONC_MAX=$conc
done
((CONC_MAX > 0)) || CONC_MAX=64

read -rd '' -a extra <<<"$EXTRA_ARGS" || true # false at its end, which is no fault
[[ " ${extra[*]}" != *" --api-key"* ]] || die "EXTRA_ARGS holds --api-key, which every user of this machine could read: put the key into API_KEY"

# The competition's chunked prefill is of 196,608 tokens, save where many long
# prompts come at once: 8192/1024 above CONC 32 runs out of memory with it, and
# takes 32,768. On NVIDIA's, InferenceX takes 16,384.
if [[ -n $CHUNKED_PREFILL_SIZE ]]; then
  whole CHUNKED_PREFILL_SIZE "$CHUNKED_PREFILL_SIZE"
elif [[ $GPU == nvidia ]]; then
  CHUNKED_PREFILL_SIZE=16384
elif ((ISL == 8192 && OSL == 1024 && CONC_MAX > 32)); then
  CHUNKED_PREFILL_SIZE=32768
else
  CHUNKED_PREFILL_SIZE=196608
fi

# compute_capability: the first NVIDIA GPU's, its major part; Blackwell's (10)
# where no GPU can be asked.
compute_capability() {
  local all=10.0
  if command -v nvidia-smi >/dev/null; then
    all=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null) || all=10.0
  fi
  echo "${all%%.*}"
}

# installed ENGINE: whether the command can be run here.
installed() {
  command -v "${command[0]}" >/dev/null || return 1
  [[ ${command[1]} != -m ]] || "${command[0]}" -c "import importlib.util, sys; sys.exit(not importlib.util.find_spec('$1'))"
}

# keep LOG: shows what the server says and keeps it in LOG, until the server and
# all that it started have closed their output. Signals are for the server, whose
# last words would be lost if this ended first. SGLang writes its settings into
# its log, API key and all, so the key is taken out of every line.
keep() {
  trap '' INT TERM HUP
  if [[ -n $API_KEY ]]; then
    while IFS= read -r line || [[ -n $line ]]; do
      printf '%s\n' "${line//"$API_KEY"/[secret]}"
    done
  else
    cat
  fi | tee -a "$1"
  rm -f "$key_file"
}

# launch ENGINE: shows the exact command (environment included), names the log
# file, then becomes the server: what is sent to this process, Ctrl+C or a
# container's stop, the server gets itself, and its exit code is this one's.
launch() {
  local engine=$1
  local log=${SERVER_LOG:-${LOG_DIR%/}/server_${engine}_$(date +%Y%m%d_%H%M%S).log}
  [[ $log == /* ]] || log=$PWD/${log#./}
  [[ $DRY_RUN == 1 ]] || installed "$engine" ||
    die "$engine is not installed here: run this on the GPU machine, in the engine's container; DRY_RUN=1 shows the command"
  printf '%q ' "${environment[@]}" "${command[@]}"
  printf '\nlog: %s\n' "$log"
  if [[ $DRY_RUN == 1 ]]; then
    return 0
  fi
  mkdir -p "$(dirname "$log")" || die "the log's folder cannot be made: name another with LOG_DIR"
  : >>"$log" || die "the log cannot be written: name another with SERVER_LOG"
  exec env "${environment[@]}" "${command[@]}" > >(keep "$log") 2>&1
}
