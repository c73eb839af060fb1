# Sourced by quickstart.sh and test.sh: creates a virtual environment in .venv and installs the project in editable mode.
# Usage: setup_env EXTRAS   (EXTRAS: "" or "[test]"). Sets $PYTHON. PYTHON=... in the environment selects the interpreter to use.

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3 python; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "error: Python 3.11, 3.12 or 3.13 is required and was not found; install one, or specify it: PYTHON=/path/to/python bash $0" >&2
  return 2
}

setup_env() {
  local extras="$1" base stamp bin
  if [ ! -x .venv/bin/python ] && [ ! -x .venv/Scripts/python.exe ]; then
    base=$(find_python) || exit 2
    echo "== creating .venv with $base"
    "$base" -m venv .venv || {
      echo "error: $base cannot create virtual environments; install its venv package (Debian: apt-get install python3-venv)" >&2
      exit 2
    }
  fi
  bin="$PWD/.venv/bin"
  [ -d "$bin" ] || bin="$PWD/.venv/Scripts" # Windows
  PYTHON="$bin/python"
  # Without an NVIDIA GPU, use the CPU build of TensorFlow, which is half the download; it exists for x86-64 Linux only.
  if [ "$(uname -sm)" = "Linux x86_64" ] && ! command -v nvidia-smi >/dev/null 2>&1; then
    export DETECTION_TENSORFLOW="${DETECTION_TENSORFLOW:-tensorflow-cpu}"
  fi
  stamp=".venv/installed$extras-$(cat setup.py pyproject.toml protos/*.proto scripts/*.py | cksum | cut -d' ' -f1)"
  if [ ! -e "$stamp" ]; then
    echo "== installing the project and its dependencies into .venv (takes minutes, since TensorFlow is large)"
    "$PYTHON" -m pip install -qq --disable-pip-version-check --upgrade pip || exit 1
    "$PYTHON" -m pip install -qq --disable-pip-version-check --editable ".$extras" || exit 1
    touch "$stamp"
  fi
  export PATH="$bin:$PATH"
}
