"""Programs as forks of a process that has imported TensorFlow and run none of it: processes of their own, ready at once
where a new interpreter imports for four seconds.

    with forked.Server() as server:
        program = server.start(["scripts/model_main.py", "--model_dir=..."])
        program.send_signal(signal.SIGTERM)
        out, err = program.communicate()

A program ends as an interpreter ends, so what it does then is tested too.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Program:
    """A forked process, with methods of `subprocess.Popen`."""

    def __init__(self, server: Server, words: Sequence[str]) -> None:
        self._server, self.returncode = server, None
        self._said = [Path(server.folder, f"{server.count}.{stream}") for stream in ("out", "err")]
        server.count += 1
        self.pid: int = server.ask(words=[*map(str, words)], said=[*map(str, self._said)])

    def poll(self) -> int | None:
        """Returns the exit code, negative for a signal; None while the process runs."""
        if self.returncode is None:
            self.returncode = self._server.ask(ended=self.pid)
        return self.returncode

    def wait(self, timeout: float = 300.0) -> int:
        """Waits for the end of the process; raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a forked program", timeout)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        """Sends a signal, if the process still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def communicate(self, timeout: float = 300.0) -> tuple[str, str]:
        """Waits for the end, and returns standard output and standard error."""
        self.wait(timeout)
        out, err = (path.read_text(encoding="utf-8", errors="replace") for path in self._said)
        return out, err


class Server:
    """The process from which programs are forked."""

    def __init__(self) -> None:
        self.count = 0
        self._folder = tempfile.TemporaryDirectory()
        self.folder = self._folder.name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.forked"],
            **{"cwd": ROOT, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1},
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def run(self, words: Sequence[str], *folders: Path) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of a script, or of `-m` and a module, with its arguments.

        Modules in `folders` can be imported.
        """
        how, *arguments = ("module", *words[1:]) if words[0] == "-m" else ("path", *words)
        code = "import runpy, sys\nsys.path[:0] = {}\nsys.argv = {}\nrunpy.run_{}({!r}, run_name='__main__')"
        arguments = [str(word) for word in arguments]
        program = self.start(["-c", code.format([str(each) for each in folders], arguments, how, arguments[0])])
        out, err = program.communicate()
        return program.wait(), out, err

    def start(self, words: Sequence[str]) -> Program:
        """A script with its arguments, or `-c`, code and arguments; in the folder of the project."""
        return Program(self, words)

    def ask(self, **question: Any) -> Any:
        """Sends one line to the process and returns its answer."""
        self._process.stdin.write(json.dumps(question) + "\n")
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
        self._folder.cleanup()


def _serve() -> Callable[[], None]:
    """Answers requests until there are no more; in a fork, returns the function that it should run."""
    running: set[int] = set()
    for line in sys.stdin:
        question = json.loads(line)
        if "ended" in question:
            pid, status = os.waitpid(question["ended"], os.WNOHANG)
            running.discard(pid)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if not answer:
                return lambda words=question["words"], said=question["said"]: _become(words, said)
            running.add(answer)
        print(json.dumps(answer), flush=True)
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return lambda: None


def _become(words: list[str], said: list[str]) -> None:
    """The program itself."""
    for number, path in enumerate([os.devnull, *said]):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, closefd=False)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", buffering=1, closefd=False)
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(compile(words[1], "-c", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    import detection.export.exporter
    import detection.export.predictor
    import detection.train.main  # noqa: F401

    _serve()()
