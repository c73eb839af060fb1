"""A short fuzz run of every reader, and that the long one sees what it looks for: exceptions, deaths, hangs, memory."""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fuzz import mutate, workers

ROOT = Path(__file__).resolve().parents[2]


def test_no_reader_lets_anything_out_but_its_own_errors(tmp_path):
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.run",
        "--seed=12",
        "--inputs=25",
        f"--failures={tmp_path / 'failures'}",
    ]
    command += [f"--failures={tmp_path / 'failures'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    rows = [line.split() for line in done.stdout.splitlines()[1:-1]]
    assert len(rows) == 25 and all(row[1] == "25" and row[2] == "0" for row in rows) and "0 failures" in done.stdout


@pytest.mark.slow
def test_what_the_check_accepts_is_traced():
    command = [sys.executable, "-m", "tests.fuzz.accepted", "--every=97", "--bases=ssd,faster_rcnn", "--fields=model."]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "'traced'" in done.stdout and "'refused'" in done.stdout


def test_equal_seeds_make_equal_inputs():
    material = mutate.Material([b'{"a": [1, 2.5], "b": "c"}', b"[]"], [b"null", b'"a"'], [(b"[", b"]")])
    inputs = [mutate.make(material, f"1:x:{number}") for number in range(300)]
    assert inputs == [mutate.make(material, f"1:x:{number}") for number in range(300)]
    assert len(set(inputs)) > 250 and inputs != [mutate.make(material, f"2:x:{number}") for number in range(300)]
    assert (
        max(map(len, inputs)) <= 300_000
        and any(b"[" * 30 in data for data in inputs)
        and any(b"9" * 400 in data for data in inputs)
    )


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_what_fails_is_attributed_to_its_input(monkeypatch, batch):
    """Among twenty inputs one raises, one dies, one leaves, one hangs and one takes memory; all others are counted,
    each once."""
    monkeypatch.setattr(workers, "_BATCH", batch)
    monkeypatch.setattr(workers, "_CPU_SECONDS", 0.5)
    monkeypatch.setattr(workers, "_GROWTH", 64 << 20)

    def prepare(folder: Path):
        def run(number: int) -> str:
            assert Path.cwd() == folder.resolve()
            if number == 3:
                raise RuntimeError("three")
            if number == 7:
                faulthandler.disable()  # pytest's own would write where this process was
                os.kill(os.getpid(), signal.SIGSEGV)
            if number == 8:
                os._exit(9)
            while number == 12:
                time.sleep(0)
            if number == 15:
                bytearray(os.urandom(1 << 20) * 128)
            return "even" if number % 2 == 0 else "odd"

        return run

    done = workers.run_range(prepare, 0, 20, float("inf"))
    assert [(failure.number, failure.kind) for failure in done.failures] == [
        (3, "RuntimeError"),
        (7, "signal 11"),
        (8, "exit 9"),
        (12, "stuck"),
        (15, "memory"),
    ]
    assert (
        done.inputs == 20 and done.outcomes["even"] == 8 and done.outcomes["odd"] == 7 and done.outcomes.total() == 20
    )


def test_a_run_ends_when_its_time_is_over():
    def prepare(folder: Path):
        def run(number: int) -> str:
            time.sleep(0.01)
            return "slept"

        return run

    done = workers.run_range(prepare, 0, 1 << 40, time.monotonic() + 0.3)
    assert 0 < done.inputs < 1000 and not done.failures
