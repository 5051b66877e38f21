# shellcheck shell=bash
# Settings and the start itself, shared by the launchers beside this file.
#
# shellcheck disable=SC2034,SC2154 # the launchers use `extra` and PREFILL_TOKENS, and set `environment` and `command`
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

MODEL=${MODEL:-amd/DeepSeek-R1-0528-MXFP4}
PORT=${PORT:-8888}
HOST=${HOST:-127.0.0.1} # 0.0.0.0 serves other machines too: set API_KEY with it
TP=${TP:-8}             # GPUs
ISL=${ISL:-1024}
OSL=${OSL:-1024}
CONC=${CONC:-}     # may be a list, as for the suite: the largest value counts; none means the whole sweep
API_KEY=${API_KEY:-} # passed on by environment or by a file only, never on a command line
EXTRA_ARGS=${EXTRA_ARGS:-} # more of the server's own arguments, split at spaces
DRY_RUN=${DRY_RUN:-}       # 1 or true prints the command and starts nothing

for name in PORT TP ISL OSL; do whole "$name" "${!name}"; done
((PORT <= 65535)) || die "PORT=\"$PORT\": want a port number, 1 to 65535"

case $DRY_RUN in
1 | true) DRY_RUN=1 ;;
'' | 0 | false) DRY_RUN= ;;
*) die "DRY_RUN=\"$DRY_RUN\": want 1 or true" ;;
esac

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

# Chunked prefill of 196,608 tokens, save where many long prompts come at once:
# 8192/1024 above CONC 32 runs out of memory with it, and takes 32,768.
PREFILL_TOKENS=196608
if ((ISL == 8192 && OSL == 1024 && CONC_MAX > 32)); then
  PREFILL_TOKENS=32768
fi

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
  local log=${SERVER_LOG:-server_${engine}_$(date +%Y%m%d_%H%M%S).log}
  [[ $DRY_RUN == 1 ]] || installed "$engine" ||
    die "$engine is not installed here: run this on the GPU machine, in the engine's container; DRY_RUN=1 shows the command"
  printf '%q ' "${environment[@]}" "${command[@]}"
  printf '\nlog: %s\n' "$log"
  if [[ $DRY_RUN == 1 ]]; then
    return 0
  fi
  : >>"$log" || die "the log cannot be written: name another with SERVER_LOG"
  exec env "${environment[@]}" "${command[@]}" > >(keep "$log") 2>&1
}
