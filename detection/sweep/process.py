"""Stages as processes: started in a group of their own, watched, and ended as a group; whatever happens to one, there
is an outcome.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from detection import json_text
from detection.errors import ConfigError, DataError, ModelDirInUseError
from detection.files import write_text
from detection.tools import fresh_process

_GRACE = 60.0  # seconds from asking a stage to stop to making it: a training saves first
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")  # read by TensorFlow
_IN_USE_TRIES = 10  # A training whose sweep was just killed takes a moment to end.


@dataclasses.dataclass(frozen=True)
class Stage:
    """What one process is to do."""

    job: dict[str, Any]  # see detection.sweep.worker
    folder: Path  # for the files of the job
    log: Path  # what it says is appended here
    time_limit: float = 0.0  # seconds; 0: none
    alone: bool = False  # nothing else may run beside it, since it is timed
    label: str = ""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of it: the parts of the result that were found, and why it failed, or empty."""

    values: dict[str, Any]
    reason: str = ""


def surroundings(stage: Stage, jobs: int) -> dict[str, str]:
    """Environment of a stage where `jobs` of them go on at a time: each has its part of memory and cores, what runs
    alone all of them.

    Left to itself every process would have as many threads as there are cores; two trainings on two cores so did 5.8
    and 1.9 steps a second, and do 7.4 and 2.2 with a thread each. What should come out bit for bit is not touched,
    since sums depend on how many threads share them.
    """
    if jobs == 1:
        return {}
    shared = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    if not stage.alone and not stage.job.get("deterministic"):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        shared |= {name: str(max(1, cores // jobs)) for name in _THREADS if name not in os.environ}
    return shared


class Running:
    """One process at work."""

    def __init__(self, stage: Stage, memory_gib: float = 0.0, environment: dict[str, str] | None = None) -> None:
        """Args: memory_gib: more than that, and it is ended; 0: as much as there is."""
        self.stage, self._memory_gib, self._environment = stage, memory_gib, environment or {}
        self._ended_for, self._kill_at, self._in_use, self.stopping = "", 0.0, 0, False
        stage.folder.mkdir(parents=True, exist_ok=True)
        stage.log.parent.mkdir(parents=True, exist_ok=True)
        self._result = Path(stage.job["result"])
        known = {name: value for name, value in kept(self._result).items() if name != "failed"}
        write_text(self._result, json.dumps(known) + "\n")
        job = stage.folder / "job.json"
        write_text(job, json.dumps(stage.job, indent=1) + "\n")
        self._command = [sys.executable, "-m", "detection.sweep.worker", str(job)]
        self._start()

    def _start(self) -> None:
        self.started = time.monotonic()
        with self.stage.log.open("ab") as log:
            log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {self.stage.label}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,  # Its end tells the worker that the sweep is dead.
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={"TF_CPP_MIN_LOG_LEVEL": "3", **fresh_process.environment(self._environment)},
            )

    @property
    def pid(self) -> int:
        """Of the process, and of its group."""
        return self._process.pid

    def poll(self) -> Outcome | None:
        """The outcome once it is over; ends it when it takes too long or too much."""
        code = self._process.poll()
        if code is None:
            self._hold_to_limits()
            return None
        self.kill()  # What it may have started.
        self._process.stdin.close()
        if code == ModelDirInUseError.exit_code and not self.stopping and self._in_use < _IN_USE_TRIES:
            self._in_use += 1
            time.sleep(0.5)
            write_text(self._result, "{}\n")
            self._start()
            return None
        values = kept(self._result)
        failed = values.pop("failed", "")
        if self._ended_for:
            return Outcome(values, self._ended_for)
        return Outcome(values, "" if code == 0 else failed or self._reason(code))

    def stop(self) -> None:
        """Asks it to save and end; makes it, after a while."""
        self.stopping = True
        if not self._kill_at:
            self._kill_at = time.monotonic() + (_GRACE if self.stage.job["stage"] == "train" else 0.0)
            self._signal(signal.SIGTERM)

    def _hold_to_limits(self) -> None:
        now, limit = time.monotonic(), self.stage.time_limit
        if self._kill_at and now >= self._kill_at:
            self.kill()
        elif limit and now - self.started > limit and not self._ended_for:
            self._end(f"timed out: {self.stage.label} took more than {limit:g} seconds")
        elif self._memory_gib and not self._ended_for and (used := _resident_gib(self._process.pid)) > self._memory_gib:
            self._end(
                f"out of memory: {self.stage.label} held {used:.2f} GiB, more than --memory_gib={self._memory_gib:g}"
            )

    def _end(self, reason: str) -> None:
        self._ended_for = reason
        self.kill()

    def kill(self) -> None:
        """At once, with all that it started."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # Nobody is left.

    def _reason(self, code: int) -> str:
        if code == -signal.SIGKILL:
            return f"{self.stage.label} was killed by signal 9; when memory runs out the operating system does that"
        how = f"was ended by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"left with exit code {code}"
        return f"{self.stage.label} {how}; see {self.stage.log}"


def check_memory_limit(memory_gib: float) -> None:
    """Raises ConfigError where a limit is asked for that cannot be held."""
    if memory_gib and not Path("/proc/self/statm").exists():
        raise ConfigError(
            f"--memory_gib={memory_gib:g}: memory is watched through /proc, which this system lacks; leave the flag out"
        )


def _resident_gib(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0.0  # It has just ended.
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**30


def kept(path: Path) -> dict[str, Any]:
    """What stages have noted in a file; nothing where it is not there. Raises DataError where it is damaged."""
    if not path.exists():
        return {}
    try:
        values = json_text.read_object(path, allow_nan=True)
        for name in set(values) & {"metrics", "benchmark", "train"}:
            if not isinstance(values[name], dict | None):
                raise ValueError(f"{name} is {json_text.shown(values[name])}, not an object")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); remove it, and the stages that it is of are done again"
        ) from error
    return values
