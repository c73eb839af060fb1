"""Runs the stages of a sweep as processes, each in its own process group, with limits of time and memory.

Every process has an outcome, also if it crashes or is killed.
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

_GRACE = 60.0  # seconds between SIGTERM and SIGKILL: a training saves first
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")  # read by TensorFlow
_IN_USE_TRIES = 10  # The training of a sweep that was just killed takes a moment to end.


@dataclasses.dataclass(frozen=True)
class Stage:
    """The job of one process."""

    job: dict[str, Any]  # see detection.sweep.worker
    folder: Path  # for the files of the job
    log: Path  # its output is appended here
    time_limit: float = 0.0  # seconds; 0: none
    alone: bool = False  # no other stage may run at the same time, since it is timed
    label: str = ""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of a stage, as far as it got, and the reason of a failure, or empty."""

    values: dict[str, Any]
    reason: str = ""


def stage_environment(stage: Stage, jobs: int) -> dict[str, str]:
    """Environment variables of a stage if `jobs` stages run at a time: each gets its share of memory and cores.

    A stage that runs alone gets all cores. By default every process has as many threads as there are cores: two
    trainings on two cores then did 5.8 and 1.9 steps per second, and 7.4 and 2.2 with one thread each. Deterministic
    stages are not changed, since sums depend on the number of threads.

    Args:
        stage: the stage.
        jobs: stages at a time.
    """
    if jobs == 1:
        return {}
    variables = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    if not stage.alone and not stage.job.get("deterministic"):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        variables |= {name: str(max(1, cores // jobs)) for name in _THREADS if name not in os.environ}
    return variables


class Running:
    """The running process of a stage."""

    def __init__(self, stage: Stage, memory_gib: float = 0.0, environment: dict[str, str] | None = None) -> None:
        """Starts the process.

        Args:
            stage: the job.
            memory_gib: limit of its memory; 0: none.
            environment: additional environment variables.
        """
        self.stage, self._memory_gib, self._environment = stage, memory_gib, environment or {}
        self._kill_reason, self._kill_at, self._in_use, self.stopping = "", 0.0, 0, False
        stage.folder.mkdir(parents=True, exist_ok=True)
        stage.log.parent.mkdir(parents=True, exist_ok=True)
        self._result = Path(stage.job["result"])
        previous = {name: value for name, value in read_result(self._result).items() if name != "failed"}
        write_text(self._result, json.dumps(previous) + "\n")
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
                stdin=subprocess.PIPE,  # It is closed when the sweep dies, which makes the worker exit.
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={"TF_CPP_MIN_LOG_LEVEL": "3", **fresh_process.environment(self._environment)},
            )

    @property
    def pid(self) -> int:
        """Id of the process and of its group."""
        return self._process.pid

    def poll(self) -> Outcome | None:
        """The outcome, or None while it runs; kills it if it exceeds its time or memory."""
        code = self._process.poll()
        if code is None:
            self._check_limits()
            return None
        self.kill()  # Kills its child processes, if any.
        self._process.stdin.close()
        if code == ModelDirInUseError.exit_code and not self.stopping and self._in_use < _IN_USE_TRIES:
            self._in_use += 1
            time.sleep(0.5)
            write_text(self._result, "{}\n")
            self._start()
            return None
        values = read_result(self._result)
        failed = values.pop("failed", "")
        if self._kill_reason:
            return Outcome(values, self._kill_reason)
        return Outcome(values, "" if code == 0 else failed or self._reason(code))

    def stop(self) -> None:
        """Asks it to save and exit; kills it after a grace period."""
        self.stopping = True
        if not self._kill_at:
            self._kill_at = time.monotonic() + (_GRACE if self.stage.job["stage"] == "train" else 0.0)
            self._signal(signal.SIGTERM)

    def _check_limits(self) -> None:
        now, limit = time.monotonic(), self.stage.time_limit
        if self._kill_at and now >= self._kill_at:
            self.kill()
        elif limit and now - self.started > limit and not self._kill_reason:
            self._kill_because(f"timed out: {self.stage.label} took more than {limit:g} seconds")
        elif (
            self._memory_gib and not self._kill_reason and (used := _resident_gib(self._process.pid)) > self._memory_gib
        ):
            self._kill_because(
                f"out of memory: {self.stage.label} used {used:.2f} GiB, more than --memory_gib={self._memory_gib:g}"
            )

    def _kill_because(self, reason: str) -> None:
        self._kill_reason = reason
        self.kill()

    def kill(self) -> None:
        """Kills it and its child processes immediately."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # The group has no process left.

    def _reason(self, code: int) -> str:
        if code == -signal.SIGKILL:
            return f"{self.stage.label} was killed by signal 9; the operating system does that when memory runs out"
        description = (
            f"was ended by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exited with code {code}"
        )
        return f"{self.stage.label} {description}; see {self.stage.log}"


def check_memory_limit(memory_gib: float) -> None:
    """Raises ConfigError if a memory limit is set that this system cannot enforce."""
    if memory_gib and not Path("/proc/self/statm").exists():
        raise ConfigError(
            f"--memory_gib={memory_gib:g}: memory is read from /proc, which this system does not have; remove the flag"
        )


def _resident_gib(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0.0  # It has just ended.
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**30


def read_result(path: Path) -> dict[str, Any]:
    """Reads the result file of a stage; empty if it does not exist. Raises DataError if it is damaged."""
    if not path.exists():
        return {}
    try:
        values = json_text.read_object(path, allow_nan=True)
        for name in set(values) & {"metrics", "benchmark", "train"}:
            if not isinstance(values[name], dict | None):
                raise ValueError(f"{name} is {json_text.shown(values[name])}, not an object")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it to run its stages again") from error
    return values
