"""Work in a process of its own: to measure memory from nothing, or to be able to end it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Mapping


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, in which a Python imports what this one does; and `more`."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**os.environ, "PYTHONPATH": path, **(more or {})}


def run(module: str, function: str, task: object) -> subprocess.CompletedProcess[bytes]:
    """Calls a function without arguments in a new Python, and waits for its end.

    Args:
        module: where it is.
        function: reads `task` by `received`, and writes its answer to standard output.
        task: what can be pickled.
    """
    command = [sys.executable, "-c", f"from {module} import {function}; {function}()"]
    return subprocess.run(command, input=pickle.dumps(task), capture_output=True, env=environment(), check=False)


def received() -> object:
    """In the new process: the task."""
    return pickle.load(sys.stdin.buffer)


def why_ended(done: subprocess.CompletedProcess[bytes]) -> str:
    """Of a process that failed: the signal, or the last line that it wrote on standard error."""
    if done.returncode < 0:
        return f"killed by signal {-done.returncode}, for want of memory perhaps"
    return (done.stderr.decode(errors="replace").strip().splitlines() or ["without a word"])[-1]


def run_isolated(source: str, text: str) -> subprocess.CompletedProcess[str]:
    """Runs a few lines that need the standard library alone, with `text` on their standard input."""
    command = [sys.executable, "-I", "-S", "-c", source]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)
