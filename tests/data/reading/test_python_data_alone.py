"""Data from Python in a process of its own: generators run in TensorFlow's threads, and beside what other tests leave
running there a worker has stood still while it traced a pipeline."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="without workers test_python_data.py itself runs")
def test_data_from_python():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    file = Path(__file__).with_name("test_python_data.py")
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", str(file)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout
