"""Work in a new process."""

from __future__ import annotations

import json
import os
import signal
import sys

from detection.tools import fresh_process


def double() -> None:
    sys.stdout.write(json.dumps(2 * fresh_process.received()))


def fail() -> None:
    sys.stderr.write("first\nlast\n")
    sys.exit(3)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_task_is_passed_and_the_result_returned():
    done = fresh_process.run("tests.tools.test_fresh_process", "double", 21)
    assert done.returncode == 0 and json.loads(done.stdout) == 42


def test_why_a_process_ended():
    assert fresh_process.why_ended(fresh_process.run("tests.tools.test_fresh_process", "fail", None)) == "last"
    killed = fresh_process.run("tests.tools.test_fresh_process", "kill", None)
    assert fresh_process.why_ended(killed) == "killed by signal 9, possibly because memory ran out"


def test_an_isolated_process_has_only_the_standard_library():
    source = "import sys; print(sys.stdin.read(), any('site-packages' in path for path in sys.path))"
    assert fresh_process.run_isolated(source, "text").stdout.split() == ["text", "False"]


def test_the_environment_is_inherited_and_extended():
    found = fresh_process.environment({"ONE_MORE": "1"})
    assert found["ONE_MORE"] == "1" and found["PATH"] == os.environ["PATH"]
    assert set(found["PYTHONPATH"].split(os.pathsep)) == {entry for entry in sys.path if entry}
