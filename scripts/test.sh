#!/usr/bin/env bash
# Installs what the tests need into .venv and runs them all. Arguments go to pytest:  bash scripts/test.sh -m "not slow" tests/ops
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup_env.sh
setup_env "[test]"
python -m ruff check .
python -m mypy
# Two at a time: much of a test is tracing, which uses one core. By file, so that what a file's tests share is made once.
exec python -m pytest -n 2 --dist loadfile "$@"
