"""kill -9 at file operations, and what is left; a few here, hundreds with `pytest -m long tests/kill` or
python -m tests.kill.kill."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def kill(folder: Path, *flags: str) -> str:
    command = [sys.executable, "-m", "tests.kill.kill", f"--work={folder / 'kills'}", *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
def test_killed_at_file_operations_of_checkpoints_metrics_best_and_exports(tmp_path):
    assert '"files"' in kill(tmp_path, "--command=files", "--kills=0", "--operations=12", "--seed=4")


@pytest.mark.long
def test_killed_hundreds_of_times(tmp_path):
    print(kill(tmp_path, "--kills=220", "--operations=80"))
