"""A whole sweep: every configuration through its stages, one row each, from wherever an earlier run was stopped.

    output/results.jsonl           a row as soon as its configuration is finished
    output/configs/<id>.config     its pipeline config
    output/models/<id>.<group>/    trainings: the model_dir of the configuration that a group trains
    output/logs/<id>.log           what its processes said
    output/.work/                  stages under way, and what finished ones of unfinished rows found

One sweep at a time works in a folder: the operating system lets go of its lock when it dies, however it dies, and its
stages end with it.
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
from detection.sweep.process import Outcome, Running, Stage, check_memory_limit, surroundings
from detection.sweep.results import DONE, FAILED, SweepRow
from detection.sweep.stages import Stages
from detection.sweep.worker import EVALUATE, EXPORT, MEASURE, TRAIN
from detection.tools import folder_lock
from detection.train import cluster
from detection.train.interrupt import STOPS

_POLL_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class SweepOptions:
    """How one run of a sweep goes: nothing here changes a row."""

    jobs: int = 1
    time_budget: float = 0.0  # seconds after which nothing is started and trainings save and stop; 0: none
    memory_gib: float = 0.0  # a stage that holds more fails; 0: no limit
    retry_failed: bool = False
    mixed_devices: bool = False  # rows of another device may lie beside this one's


class Stopped(DetectionError):
    """The sweep was asked to stop, and can go on."""

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
    """Does what is not done yet, and returns the rows of `configurations` that are.

    Raises:
        ConfigError: the folder cannot be written, is in use, or holds rows of another device.
        Stopped: by a signal; the same call goes on.
    """
    check_memory_limit(options.memory_gib)
    cluster.refuse()  # Each training would; one error is enough.
    folder = Path(output)
    with _claimed(folder):
        return _Sweep(sweep, configurations, folder, options, sys.stderr if stream is None else stream).run()


def _claimed(folder: Path) -> contextlib.AbstractContextManager[None]:
    """The folder, which no other sweep works in. Raises ConfigError where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(folder, error) from None
    return folder_lock.held(
        folder / ".sweep.lock",
        lambda: ConfigError(
            f"--output={folder}: another sweep works in it; wait for it, stop it, or choose another folder"
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
        self._begun, self._total = time.monotonic(), 0
        self._pace = Pace(options.jobs)
        self._timing = False  # what has been exported
        self._finished = 0  # rows
        self._trainings = self._trained = 0  # to do in all, and over

    def run(self) -> list[SweepRow]:
        todo = [one for one in self._configurations if not self._is_done(one)]
        self._total = len(todo)
        self._say(self._plan(len(todo)))
        self._look_for_files(todo)
        self._stages.tidy(todo)
        for one in self._configurations:
            if self._is_done(one):
                self._stages.clear(one)  # A sweep that is killed just behind its row has not got to that.
        self._trainings = sum(self._to_train(members) is not None for members in groups(todo))
        with self._signals():
            self._work_off([self._group(members) for members in groups(todo)])
        if self._signal:
            raise Stopped(
                f"stopped by signal {self._signal} with {self._left()} left; the same command goes on", self._signal
            )
        done = [self._rows[one.key] for one in self._configurations if one.key in self._rows]
        self._say(self._summary(done))
        return done

    def _is_done(self, one: Configuration) -> bool:
        row = self._rows.get(one.key)
        return row is not None and (row.done or not self._options.retry_failed)

    def _look_for_files(self, todo: list[Configuration]) -> None:
        """What configs and the grid name and is not there should not show after hours.

        Raises ConfigError, and DataError of images.
        """
        if todo and self._benchmark is not None and self._benchmark.images:
            from detection.export import (
                image_files,
            )  # Brings TensorFlow, which a sweep without photographs does not need.

            image_files.find(self._benchmark.images)
        for one, *_ in groups(todo):
            self._stages.write_configs(one)
            if one.weights != RANDOM and not one.refused:
                path = self._stages.config_path(one)
                config_files.read_checked(path, training=False)

    # What one group goes through.

    def _group(self, members: list[Configuration]) -> Generator[Stage, Outcome, None]:
        """Stages in order, each answered by its outcome."""
        buildable = []
        for one in members:
            self._stages.write_configs(one)
            if one.refused:
                self._add(one, Outcome({}, one.refused))
            else:
                buildable.append(one)
        if self._to_train(buildable) is not None:
            stage = self._stages.train(buildable[0])
            self._say(f"{stage.label}; see {stage.log}")
            outcome = yield stage
            self._trained += 1
            if not outcome.reason:
                done = f"[{self._trained}/{self._trainings} trainings]"
                self._say(f"trained {buildable[0].trained_id}  {done}  {self._eta()}".rstrip())
            else:
                for one in buildable:
                    self._add(one, Outcome({}, f"training: {outcome.reason}"))
                return
        for one in buildable:
            outcome = None
            for make in (
                self._stages.export,
                functools.partial(self._stages.measure, alone=self._options.jobs > 1),
                self._stages.evaluate,
            ):
                if (outcome is None or not outcome.reason) and (stage := make(one)) is not None:
                    outcome = yield stage
            self._add(one, outcome or self._stages.found(one))

    def _to_train(self, members: Sequence[Configuration]) -> Configuration | None:
        """The one whose training a group waits for, if it does."""
        first = next((one for one in members if not one.refused), None)
        return first if first is not None and first.weights == TRAINED and not self._stages.is_trained(first) else None

    def _add(self, one: Configuration, outcome: Outcome) -> None:
        """The row of what was found."""
        self._check_device(one, outcome)
        row = self._stages.row(one, outcome)
        results.append(self._file, row)
        self._rows[one.key] = row
        self._stages.clear(one)
        self._finished += 1
        self._pace.finish()
        self._say(self._line(row))

    def _check_device(self, one: Configuration, outcome: Outcome) -> None:
        device = (outcome.values.get("benchmark") or {}).get("device", "")
        others = {row.device for row in self._rows.values()} - {"", device}
        if device and others and not self._options.mixed_devices:
            self._stages.clear(one)  # On the machine of the others it is to be timed again.
            raise ConfigError(
                f"{self._file}: holds times of {sorted(others)[0]}, and this is {device}: they cannot be compared; use"
                " another --output, or --mixed_devices"
            )

    # All groups, some at a time.

    def _work_off(self, work: list[Generator[Stage, Outcome, None]]) -> None:
        ready: list[tuple[Generator, Stage]] = []
        running: list[tuple[Generator, Running]] = []
        waiting = iter(work)
        try:
            while True:
                if self._is_over():
                    ready.clear()
                    waiting = iter(())
                    for _, process in running:
                        process.stop()
                self._fill(ready, waiting, len(running))
                while (chosen := self._choose(ready, [process.stage for _, process in running])) is not None:
                    generator, stage = ready.pop(chosen)
                    running.append(
                        (generator, Running(stage, self._options.memory_gib, surroundings(stage, self._options.jobs)))
                    )
                if not running:
                    return
                time.sleep(_POLL_SECONDS)
                for item in list(running):
                    outcome = item[1].poll()
                    if outcome is not None:
                        running.remove(item)
                        if not outcome.reason:
                            self._pace.add(item[1].stage.job["stage"], time.monotonic() - item[1].started)
                        if not (item[1].stopping and outcome.reason):
                            self._advance(item[0], outcome, ready)
        finally:
            for _, process in running:  # An error of the sweep itself.
                process.kill()

    def _fill(self, ready: list, waiting: Iterator[Generator], running: int) -> None:
        """Opens groups until there is enough to choose from; with several jobs, trainings go before what has to run
        alone, or wait for that.
        """
        while (
            sum(not stage.alone and stage.job["stage"] != EXPORT for _, stage in ready) + running < self._options.jobs
        ):
            generator = next(waiting, None) if self._options.jobs > 1 or not ready else None
            if generator is None:
                return
            self._advance(generator, None, ready)

    def _advance(self, generator: Generator, outcome: Outcome | None, ready: list) -> None:
        with contextlib.suppress(StopIteration):
            ready.append((generator, generator.send(outcome)))

    def _choose(self, ready: list, running: list[Stage]) -> int | None:
        """Index of the stage to start now.

        Trainings come first. Exports are made a few at a time, as many as there are jobs, then timed one after the
        other: on one core each they take longer than being timed does, and all of them at once would fill the disk.
        """
        if len(running) >= self._options.jobs or any(stage.alone for stage in running):
            return None
        alone = [index for index, (_, stage) in enumerate(ready) if stage.alone]
        self._timing = self._timing and bool(alone)
        room = len(alone) + len(running) < self._options.jobs
        for kind in (TRAIN,) if self._timing else (TRAIN, MEASURE, EVALUATE, *((EXPORT,) if room else ())):
            for index, (_, stage) in enumerate(ready):
                if stage.job["stage"] == kind and not stage.alone:
                    return index
        if alone and not running:
            self._timing = True
            return alone[0]
        return None

    def _is_over(self) -> bool:
        return bool(self._signal) or 0 < self._options.time_budget <= time.monotonic() - self._begun

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def note(number: int, frame: object) -> None:
            self._signal = number
            signal.signal(number, before[number])  # The second one acts as if this did not exist.

        # Python delivers signals to the main thread only; elsewhere they keep their meaning.
        numbers = STOPS if threading.current_thread() is threading.main_thread() else ()
        before = {
            number: signal.signal(number, note) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # What is said.

    def _plan(self, todo: int) -> str:
        there = len(self._configurations) - todo
        trained = len({one.group for one in self._configurations if one.weights == TRAINED and not self._is_done(one)})
        random = any(one.weights == RANDOM for one in self._configurations)
        weights = "random weights" if random else f"{trained} to train" if trained else "given weights"
        return f"{len(self._configurations)} configurations, {there} of them done before; {todo} to do, {weights}"

    def _line(self, row: SweepRow) -> str:
        said = [f"[{self._finished}/{self._total}]", row.id, row.status if row.done else f"failed: {row.reason}"]
        said += [f"mAP {row.mean_ap:.3f}"] if row.mean_ap is not None else []
        said += [f"{row.milliseconds:.1f} ms"] if row.milliseconds is not None else []
        return "  ".join([*said, self._eta()]).rstrip()

    def _eta(self) -> str:
        return self._pace.words(self._trainings - self._trained, self._left())

    def _left(self) -> int:
        return self._total - self._finished

    def _summary(self, rows: Sequence[SweepRow]) -> str:
        counts = Counter(row.status for row in rows)
        left = len(self._configurations) - len(rows)
        over = f", {left} left: --time_budget is used up, the same command goes on" if left else ""
        retry = "; --retry_failed tries the failed ones again" if counts[FAILED] else ""
        return (
            f"{counts[DONE]} done, {counts[FAILED]} failed{over} in {duration(time.monotonic() - self._begun)}:"
            f" {self._file}{retry}"
        )

    def _say(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()
