"""Runs work in a new process, so that its memory can be measured from zero or the work can be killed."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Mapping


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with PYTHONPATH set to its import path, updated with `extra`."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**os.environ, "PYTHONPATH": path, **(extra or {})}


def run(module: str, function: str, task: object) -> subprocess.CompletedProcess[bytes]:
    """Calls a function without arguments in a new Python process and waits for it to exit.

    Args:
        module: the module that defines the function.
        function: its name; it reads `task` with `received` and writes its result to standard output.
        task: any object that can be pickled.

    Returns:
        The finished process with its captured output; its exit status is not checked.
    """
    command = [sys.executable, "-c", f"from {module} import {function}; {function}()"]
    return subprocess.run(command, input=pickle.dumps(task), capture_output=True, env=environment(), check=False)


def received() -> object:
    """The task that the parent process passed to `run`; called in the new process."""
    return pickle.load(sys.stdin.buffer)


def why_ended(process: subprocess.CompletedProcess[bytes]) -> str:
    """Why a process failed: the signal that killed it, or the last line it wrote to standard error."""
    if process.returncode < 0:
        return f"killed by signal {-process.returncode}, possibly because memory ran out"
    return (process.stderr.decode(errors="replace").strip().splitlines() or ["no error message"])[-1]


def run_isolated(source: str, text: str) -> subprocess.CompletedProcess[str]:
    """Runs Python source that needs only the standard library, with `text` as its standard input."""
    command = [sys.executable, "-I", "-S", "-c", source]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)
