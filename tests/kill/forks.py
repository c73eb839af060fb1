"""Commands run in children of a process that has imported TensorFlow, which are killed: at a moment, or at one of their
own file operations.

The parent imports everything and runs no operation, so that a child starts in milliseconds and has threads of its own.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
_OPERATIONS = (
    "replace",
    "rename",
    "unlink",
    "remove",
    "rmdir",
    "mkdir",
    "link",
    "fsync",
)  # of the module os, by which all of Python moves files


class At(NamedTuple):
    """When a child kills itself: before or after its n-th file operation inside `folder`, from 1; 0: never, it only
    counts them."""

    folder: Path
    operation: int = 0
    after: bool = False


class Ended(NamedTuple):
    """How a child ended."""

    code: int  # negative: by that signal
    seconds: float
    said: str


def command(words: Sequence[str]) -> Callable[[], int]:
    """A script of the project with its arguments, to be run by `run`."""

    def call() -> int:
        sys.argv = [str(SCRIPTS / words[0]), *words[1:]]
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(bool(end.code))
        return 0

    return call


def run(
    call: Callable[[], int | None],
    log: Path,
    kill_after: float | None = None,
    at: At | None = None,
    number: int = signal.SIGKILL,
) -> Ended:
    """Runs `call` in a child with a session of its own, ended by `number` after so many seconds; what it starts dies
    with it."""
    started = time.monotonic()
    log.unlink(missing_ok=True)
    child = start(call, log, at)
    if kill_after is not None:
        while time.monotonic() - started < kill_after and not _has_ended(child):
            time.sleep(min(0.002, kill_after))
        if not _has_ended(child):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, number)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return Ended(
        code, time.monotonic() - started, log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    )


def start(call: Callable[[], int | None], log: Path, at: At | None = None, stdin: int | None = None) -> int:
    """Forks; the child's words go to `log`. Returns its process id, which is its group's too."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        with contextlib.suppress(OSError):
            os.setpgid(child, child)
        return child
    code = 1
    try:
        with contextlib.suppress(OSError):
            os.setsid()
        if stdin is not None:
            os.dup2(stdin, 0)
        sys.stdin = open(0, closefd=False)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", buffering=1, closefd=False)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if at is not None:
            _watch(at)
        code = call() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _has_ended(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _watch(at: At) -> None:
    """Counts this process's file operations in the file `<folder>.operations`, and kills it at the one that is asked
    for."""
    import tensorflow as tf

    from detection import files

    owner, count, notes = os.getpid(), 0, Path(f"{at.folder}.operations")
    root = os.path.realpath(at.folder)

    def wrap(holder: object, name: str) -> None:
        original = getattr(holder, name)

        def counted(*arguments: object, **named: object) -> object:
            nonlocal count
            if os.getpid() != owner or not _inside(root, arguments, named):
                return original(*arguments, **named)
            count += 1
            mine = count
            with open(notes, "a") as stream:
                stream.write(f"{mine} {name} {_path_of(arguments, named)}\n")
            if mine == at.operation and not at.after:
                os.kill(owner, signal.SIGKILL)
            result = original(*arguments, **named)
            if mine == at.operation:
                os.kill(owner, signal.SIGKILL)
            return result

        setattr(holder, name, counted)

    notes.unlink(missing_ok=True)
    for name in _OPERATIONS:
        wrap(os, name)
    wrap(tf.raw_ops, "SaveV2")
    wrap(tf.saved_model, "save")
    if hasattr(files, "exchange"):
        wrap(files, "exchange")


def _path_of(arguments: Sequence[object], named: dict[str, object]) -> str:
    for value in (*arguments, *named.values()):
        if isinstance(value, int) and not isinstance(value, bool):
            with contextlib.suppress(OSError):
                return os.readlink(f"/proc/self/fd/{value}")
        if isinstance(value, str | bytes | os.PathLike) and str(value):
            path = os.fsdecode(value)
            if named.get("dir_fd") is not None:
                path = os.path.join(os.readlink(f"/proc/self/fd/{named['dir_fd']}"), path)
            if os.path.isabs(path) or os.path.lexists(path):
                return os.path.realpath(os.path.dirname(os.path.abspath(path))) + "/" + os.path.basename(path)
    return ""


def _inside(root: str, arguments: Sequence[object], named: dict[str, object]) -> bool:
    return _path_of(arguments, named).startswith(root + os.sep)
