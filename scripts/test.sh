#!/usr/bin/env bash
# Installs what the tests need into .venv and runs them all. Arguments go to pytest:  bash scripts/test.sh tests/ops
#     bash scripts/test.sh --quick           leaves out the tests marked slow, which continuous integration runs
#     bash scripts/test.sh --cov=detection   says which lines of the package the tests run
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup_env.sh
setup_env "[test]"
python -m ruff check .
python -m ruff format --check --quiet .
python -m mypy
if [ "${1:-}" = --quick ]; then
  shift
  set -- -m "not slow" "$@"
fi
# Dozens of processes import the package: with compiled files each is ready a second earlier.
unset PYTHONDONTWRITEBYTECODE
# Two at a time: much of a test is tracing, which uses one core. By file, so that what a file's tests share is made once;
# tests/conftest.py puts the longest files first, so that none of them is left alone at the end.
exec python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
