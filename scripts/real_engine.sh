#!/usr/bin/env bash
# An engine that nobody here wrote, to test the suite against: llama.cpp, built
# from the source that PyPI's llama-cpp-python carries, in both its servers,
# with a tiny model of random weights made on the spot. No GPU, no download but
# from PyPI. Needs a C++ compiler and Python with venv.
#
#   scripts/real_engine.sh install                    # about 5 minutes on two cores, once
#   scripts/real_engine.sh install llama-wheel        # a newer llama.cpp's own server, from a wheel: seconds
#   scripts/real_engine.sh serve llama-server         # llama.cpp's own server
#   scripts/real_engine.sh serve llama-cpp-python     # the Python server over the same library
#   scripts/real_engine.sh serve llama-wheel          # the server from the wheel
#
# PORT (8888), SLOTS (8: requests that llama-server works on at once) and
# DRY_RUN=1 or true (print the command only) come from the environment.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VERSION=0.3.16 # llama-cpp-python; its llama.cpp is of August 2025
VENV=.venv-llamacpp
WHEEL_VERSION=2026.10.11549 # xllamacpp; its llama.cpp is b11549
WHEEL_VENV=.venv-llamacpp-wheel
MODEL=$VENV/tiny.gguf
SERVER=$VENV/bin/llama-server
PORT=${PORT:-8888}
SLOTS=${SLOTS:-8}
SLOT_CONTEXT=4096 # tokens a slot; the accuracy windows of ACC_MAX_LENGTH=2048 fit

# Small and portable rather than fast: the wire is what is tested.
cmake_flags=(-DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DLLAMA_CURL=OFF -DCMAKE_CXX_FLAGS_RELEASE=-O1)

install() {
  trap 'echo "real_engine.sh: llama.cpp $VERSION was not installed, for the reason above; make real-engine ENGINE=llama-wheel needs no compiler" >&2' ERR
  python3 -m venv "$VENV"
  local pip=("$VENV/bin/python" -m pip --quiet --disable-pip-version-check)
  "${pip[@]}" install cmake ninja gguf==0.19.0
  PATH="$PWD/$VENV/bin:$PATH" CMAKE_ARGS="${cmake_flags[*]} -DLLAVA_BUILD=OFF" \
    "${pip[@]}" install --no-binary llama-cpp-python "llama-cpp-python[server]==$VERSION"

  local source=$VENV/source
  if [[ ! -x $SERVER ]]; then
    rm -rf "$source" && mkdir -p "$source"
    "${pip[@]}" download --no-deps --no-binary llama-cpp-python -d "$source" "llama-cpp-python==$VERSION"
    tar xzf "$source"/*.tar.gz -C "$source" --strip-components=1
    "$VENV/bin/cmake" -S "$source/vendor/llama.cpp" -B "$source/build" -G Ninja \
      -DCMAKE_MAKE_PROGRAM="$PWD/$VENV/bin/ninja" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
      -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=ON \
      "${cmake_flags[@]}" >/dev/null
    "$VENV/bin/cmake" --build "$source/build" --target llama-server --parallel "${JOBS:-2}" >/dev/null
    cp "$source/build/bin/llama-server" "$SERVER.part" && mv "$SERVER.part" "$SERVER"
    rm -rf "$source"
  fi
  "$VENV/bin/python" scripts/tiny_gguf.py "$MODEL.part" && mv "$MODEL.part" "$MODEL"
  echo "installed: $SERVER, llama-cpp-python $VERSION, $MODEL"
}

install_wheel() {
  python3 -m venv "$WHEEL_VENV"
  "$WHEEL_VENV/bin/python" -m pip --quiet --disable-pip-version-check install --only-binary xllamacpp \
    "xllamacpp==$WHEEL_VERSION" gguf==0.19.0 || {
    echo "real_engine.sh: no wheel of xllamacpp $WHEEL_VERSION for this machine, for the reason above: make real-engine builds llama.cpp instead" >&2
    exit 1
  }
  "$WHEEL_VENV/bin/python" scripts/tiny_gguf.py "$WHEEL_VENV/tiny.gguf.part" && mv "$WHEEL_VENV/tiny.gguf.part" "$WHEEL_VENV/tiny.gguf"
  echo "installed: xllamacpp $WHEEL_VERSION, $WHEEL_VENV/tiny.gguf"
}

serve() {
  local command
  case ${1:-} in
  llama-server)
    command=("$SERVER" --model "$MODEL" --alias tiny --host 127.0.0.1 --port "$PORT"
      --parallel "$SLOTS" --ctx-size $((SLOTS * SLOT_CONTEXT)) --no-warmup --no-webui --threads 1)
    ;;
  llama-cpp-python)
    # Without interrupt_requests=false every new request cuts the running one short.
    command=("$VENV/bin/python" -m llama_cpp.server --model "$MODEL" --model_alias tiny
      --host 127.0.0.1 --port "$PORT" --n_ctx "$SLOT_CONTEXT" --n_threads 1 --interrupt_requests false --verbose false)
    ;;
  llama-wheel)
    MODEL=$WHEEL_VENV/tiny.gguf
    command=("$WHEEL_VENV/bin/python" scripts/llama_wheel.py "$MODEL" "$PORT" "$SLOTS" "$SLOT_CONTEXT")
    ;;
  *)
    echo "real_engine.sh: serve what? llama-server, llama-cpp-python or llama-wheel" >&2
    exit 2
    ;;
  esac
  echo "${command[*]}"
  [[ ${DRY_RUN:-} != @(1|true) ]] || return 0
  [[ -e $MODEL ]] || { echo "real_engine.sh: not installed: run make real-engine$([[ $1 != llama-wheel ]] || echo " ENGINE=$1")" >&2; exit 2; }
  if (: <"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then
    echo "real_engine.sh: port $PORT is in use: give another in PORT, or stop what listens there" >&2
    exit 2
  fi
  exec "${command[@]}"
}

case ${1:-} in
install)
  case ${2:-} in
  llama-wheel) install_wheel ;;
  "" | llama-server | llama-cpp-python) install ;;
  *)
    echo "real_engine.sh: install what? llama-wheel, or nothing for the servers that are built" >&2
    exit 2
    ;;
  esac
  ;;
serve) serve "${2:-}" ;;
*)
  sed -n '2,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit 2
  ;;
esac
