#!/usr/bin/env bash
# Feeds damaged files to every reader: bash scripts/fuzz.sh --help. docs/fuzz.md has the latest results.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}" -m tests.fuzz.run "$@"
