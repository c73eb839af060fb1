"""Runs a sweep: takes every configuration through its stages, one row each, and resumes where it was stopped.

    output/results.jsonl           a row as soon as its configuration is finished
    output/configs/<id>.config     its pipeline config
    output/models/<id>.<group>/    trainings: the model_dir of the configuration that is trained for a group
    output/logs/<id>.log           output of its processes
    output/.work/                  running stages, and results of finished stages of unfinished rows

Only one sweep at a time can use a folder: the operating system releases its lock when it dies, and its stages exit with
it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from detection import config as config_files
from detection.config.sweep_file import SweepFile
from detection.errors import ConfigError, DetectionError
from detection.progress import duration
from detection.sweep import results
from detection.sweep.grid import RANDOM, TRAINED, Configuration, groups
from detection.sweep.pace import Pace
from detection.sweep.process import Outcome, Running, Stage, check_memory_limit, stage_environment
from detection.sweep.results import DONE, FAILED, SweepRow
from detection.sweep.stages import Stages
from detection.sweep.worker import EVALUATE, EXPORT, MEASURE, TRAIN
from detection.tools import folder_lock
from detection.train import cluster
from detection.train.interrupt import STOPS

_POLL_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class SweepOptions:
    """Settings of one run of a sweep; they do not change the rows."""

    jobs: int = 1
    time_budget: float = 0.0  # seconds after which no stage is started and trainings save and stop; 0: none
    memory_gib: float = 0.0  # a stage that uses more memory fails; 0: no limit
    retry_failed: bool = False
    mixed_devices: bool = False  # allow rows of another device in the same folder


class Stopped(DetectionError):
    """The sweep was stopped by a signal and can be resumed."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def run(
    sweep: SweepFile,
    configurations: Sequence[Configuration],
    output: str | os.PathLike[str],
    options: SweepOptions,
    stream: TextIO | None = None,
) -> list[SweepRow]:
    """Runs the configurations that are not done yet.

    Args:
        sweep: the grid file.
        configurations: the configurations to run.
        output: folder of the results.
        options: settings of this run.
        stream: receives progress lines; None takes standard error.

    Returns:
        The rows of the finished configurations.

    Raises:
        ConfigError: the folder cannot be written, is in use, or contains rows of another device.
        Stopped: a signal stopped the sweep; the same call resumes it.
    """
    check_memory_limit(options.memory_gib)
    cluster.refuse()  # Checked here too, for one error instead of one for each training.
    folder = Path(output)
    with _locked(folder):
        return _Sweep(sweep, configurations, folder, options, sys.stderr if stream is None else stream).run()


def _locked(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Creates and locks the folder. Raises ConfigError if it cannot be written or is in use."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(folder, error) from None
    return folder_lock.held(
        folder / ".sweep.lock",
        lambda: ConfigError(
            f"--output={folder}: another sweep is using it; wait for it, stop it, or choose another folder"
        ),
        f"--output={folder}: a second sweep in it",
        cannot_be_made=lambda error: _not_writable(folder, error),
    )


def _not_writable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"--output={folder}: cannot be written: {error.strerror or error}; choose another folder")


class _Sweep:
    def __init__(
        self,
        sweep: SweepFile,
        configurations: Sequence[Configuration],
        folder: Path,
        options: SweepOptions,
        stream: TextIO,
    ) -> None:
        self._configurations, self._options, self._stream = configurations, options, stream
        self._benchmark = sweep.benchmark
        self._stages = Stages(sweep, folder)
        self._file = folder / results.FILE
        self._rows = {row.key: row for row in results.read(self._file)} if self._file.exists() else {}
        self._signal = 0
        self._start_time, self._total = time.monotonic(), 0
        self._pace = Pace(options.jobs)
        self._timing = False  # whether exported models are being timed
        self._finished = 0  # number of rows
        self._trainings = self._trained = 0  # number of trainings in all, and of finished ones

    def run(self) -> list[SweepRow]:
        todo = [configuration for configuration in self._configurations if not self._is_done(configuration)]
        self._total = len(todo)
        self._say(self._plan(len(todo)))
        self._check_files(todo)
        self._stages.remove_stale_exports(todo)
        for configuration in self._configurations:
            if self._is_done(configuration):
                self._stages.clear(
                    configuration
                )  # A sweep that was killed after writing the row may not have done this.
        self._trainings = sum(self._next_training(members) is not None for members in groups(todo))
        with self._signals():
            self._run_groups([self._group(members) for members in groups(todo)])
        if self._signal:
            raise Stopped(
                f"stopped by signal {self._signal} with {self._num_left()} left; the same command resumes it",
                self._signal,
            )
        done = [
            self._rows[configuration.key] for configuration in self._configurations if configuration.key in self._rows
        ]
        self._say(self._summary(done))
        return done

    def _is_done(self, configuration: Configuration) -> bool:
        row = self._rows.get(configuration.key)
        return row is not None and (row.done or not self._options.retry_failed)

    def _check_files(self, todo: list[Configuration]) -> None:
        """Checks that all files named by the grid and the configs exist, so that errors do not appear after hours.

        Raises ConfigError, or DataError for images.
        """
        if todo and self._benchmark is not None and self._benchmark.images:
            # Imported here because it loads TensorFlow, which is only needed for image files.
            from detection.export import image_files

            image_files.find(self._benchmark.images)
        for configuration, *_ in groups(todo):
            self._stages.write_configs(configuration)
            if configuration.weights != RANDOM and not configuration.refused:
                path = self._stages.config_path(configuration)
                config_files.read_checked(path, training=False)

    # One group.

    def _group(self, members: list[Configuration]) -> Generator[Stage, Outcome, None]:
        """Yields the stages of a group in order and receives their outcomes."""
        valid = []
        for configuration in members:
            self._stages.write_configs(configuration)
            if configuration.refused:
                self._add(configuration, Outcome({}, configuration.refused))
            else:
                valid.append(configuration)
        if self._next_training(valid) is not None:
            stage = self._stages.train(valid[0])
            self._say(f"{stage.label}; see {stage.log}")
            outcome = yield stage
            self._trained += 1
            if not outcome.reason:
                done = f"[{self._trained}/{self._trainings} trainings]"
                self._say(f"trained {valid[0].trained_id}  {done}  {self._eta()}".rstrip())
            else:
                for configuration in valid:
                    self._add(configuration, Outcome({}, f"training: {outcome.reason}"))
                return
        for configuration in valid:
            outcome = None
            for make in (
                self._stages.export,
                functools.partial(self._stages.measure, alone=self._options.jobs > 1),
                self._stages.evaluate,
            ):
                if (outcome is None or not outcome.reason) and (stage := make(configuration)) is not None:
                    outcome = yield stage
            self._add(configuration, outcome or self._stages.known_outcome(configuration))

    def _next_training(self, members: Sequence[Configuration]) -> Configuration | None:
        """The configuration whose training a group needs and that is not trained yet, or None."""
        first = next((configuration for configuration in members if not configuration.refused), None)
        return first if first is not None and first.weights == TRAINED and not self._stages.is_trained(first) else None

    def _add(self, configuration: Configuration, outcome: Outcome) -> None:
        """Writes the row of a configuration."""
        self._check_device(configuration, outcome)
        row = self._stages.row(configuration, outcome)
        results.append(self._file, row)
        self._rows[configuration.key] = row
        self._stages.clear(configuration)
        self._finished += 1
        self._pace.add_row()
        self._say(self._line(row))

    def _check_device(self, configuration: Configuration, outcome: Outcome) -> None:
        device = (outcome.values.get("benchmark") or {}).get("device", "")
        others = {row.device for row in self._rows.values()} - {"", device}
        if device and others and not self._options.mixed_devices:
            self._stages.clear(configuration)  # It must be timed again on the other rows' machine.
            raise ConfigError(
                f"{self._file}: contains times of {sorted(others)[0]}, but this is {device}: they are not comparable;"
                " use another --output, or --mixed_devices"
            )

    # All groups, several at a time.

    def _run_groups(self, generators: list[Generator[Stage, Outcome, None]]) -> None:
        ready: list[tuple[Generator, Stage]] = []
        running: list[tuple[Generator, Running]] = []
        remaining = iter(generators)
        try:
            while True:
                if self._is_over():
                    ready.clear()
                    remaining = iter(())
                    for _, process in running:
                        process.stop()
                self._start_groups(ready, remaining, len(running))
                while (index := self._choose(ready, [process.stage for _, process in running])) is not None:
                    generator, stage = ready.pop(index)
                    running.append(
                        (
                            generator,
                            Running(stage, self._options.memory_gib, stage_environment(stage, self._options.jobs)),
                        )
                    )
                if not running:
                    return
                time.sleep(_POLL_SECONDS)
                for pair in list(running):
                    outcome = pair[1].poll()
                    if outcome is not None:
                        running.remove(pair)
                        if not outcome.reason:
                            self._pace.add(pair[1].stage.job["stage"], time.monotonic() - pair[1].started)
                        if not (pair[1].stopping and outcome.reason):
                            self._advance(pair[0], outcome, ready)
        finally:
            for _, process in running:  # Only after an error of the sweep itself.
                process.kill()

    def _start_groups(self, ready: list, remaining: Iterator[Generator], running: int) -> None:
        """Starts groups until there are enough stages to choose from.

        With several jobs, trainings run before stages that must run alone, or wait for them.
        """
        while (
            sum(not stage.alone and stage.job["stage"] != EXPORT for _, stage in ready) + running < self._options.jobs
        ):
            generator = next(remaining, None) if self._options.jobs > 1 or not ready else None
            if generator is None:
                return
            self._advance(generator, None, ready)

    def _advance(self, generator: Generator, outcome: Outcome | None, ready: list) -> None:
        with contextlib.suppress(StopIteration):
            ready.append((generator, generator.send(outcome)))

    def _choose(self, ready: list, running: list[Stage]) -> int | None:
        """Index of the stage to start now.

        Trainings come first. As many models as there are jobs are exported at a time, then timed one after the other:
        with one core each, exporting takes longer than timing, and exporting all at once would fill the disk.
        """
        if len(running) >= self._options.jobs or any(stage.alone for stage in running):
            return None
        exclusive = [index for index, (_, stage) in enumerate(ready) if stage.alone]
        self._timing = self._timing and bool(exclusive)
        may_export = len(exclusive) + len(running) < self._options.jobs
        for kind in (TRAIN,) if self._timing else (TRAIN, MEASURE, EVALUATE, *((EXPORT,) if may_export else ())):
            for index, (_, stage) in enumerate(ready):
                if stage.job["stage"] == kind and not stage.alone:
                    return index
        if exclusive and not running:
            self._timing = True
            return exclusive[0]
        return None

    def _is_over(self) -> bool:
        return bool(self._signal) or 0 < self._options.time_budget <= time.monotonic() - self._start_time

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def record(number: int, frame: object) -> None:
            self._signal = number
            signal.signal(number, previous[number])  # A second signal has its usual effect.

        # Python delivers signals to the main thread only; in other threads nothing changes.
        numbers = STOPS if threading.current_thread() is threading.main_thread() else ()
        previous = {
            number: signal.signal(number, record)
            for number in numbers
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    # Messages.

    def _plan(self, todo: int) -> str:
        already_done = len(self._configurations) - todo
        trained = len(
            {
                configuration.group
                for configuration in self._configurations
                if configuration.weights == TRAINED and not self._is_done(configuration)
            }
        )
        random = any(configuration.weights == RANDOM for configuration in self._configurations)
        weights = "random weights" if random else f"{trained} to train" if trained else "given weights"
        return (
            f"{len(self._configurations)} configurations, {already_done} of them already done; {todo} to do, {weights}"
        )

    def _line(self, row: SweepRow) -> str:
        parts = [f"[{self._finished}/{self._total}]", row.id, row.status if row.done else f"failed: {row.reason}"]
        parts += [f"mAP {row.mean_ap:.3f}"] if row.mean_ap is not None else []
        parts += [f"{row.milliseconds:.1f} ms"] if row.milliseconds is not None else []
        return "  ".join([*parts, self._eta()]).rstrip()

    def _eta(self) -> str:
        return self._pace.eta(self._trainings - self._trained, self._num_left())

    def _num_left(self) -> int:
        return self._total - self._finished

    def _summary(self, rows: Sequence[SweepRow]) -> str:
        counts = Counter(row.status for row in rows)
        left = len(self._configurations) - len(rows)
        rest = f", {left} left: --time_budget is used up, the same command resumes the sweep" if left else ""
        retry = "; --retry_failed runs the failed ones again" if counts[FAILED] else ""
        return (
            f"{counts[DONE]} done, {counts[FAILED]} failed{rest} in {duration(time.monotonic() - self._start_time)}:"
            f" {self._file}{retry}"
        )

    def _say(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()
