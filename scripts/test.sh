#!/usr/bin/env bash
# Installs the test dependencies into .venv, then runs ruff, mypy and pytest. Arguments are passed to pytest:  bash scripts/test.sh tests/ops
#     bash scripts/test.sh --quick           skips tests marked slow, which continuous integration runs
#     bash scripts/test.sh --cov=detection   reports line coverage of the package
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
# Dozens of processes import the package; with compiled files each starts a second faster.
unset PYTHONDONTWRITEBYTECODE
# Two processes, since much of a test is tracing, which uses one core. Tests are distributed by file, so that fixtures of a file are created
# once; tests/conftest.py orders the longest files first, so that none of them runs alone at the end.
exec python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
