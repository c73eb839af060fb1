#!/usr/bin/env python3
"""Kills training, evaluation, export, conversion and sweeps, hundreds of times, and looks at what lies there after each
kill and in the end.

    python -m tests.kill.kill --kills=220 --operations=80 --seed=1 --command=all --work=/tmp/kills
        --markdown=docs/kills.md

--kills are SIGKILLs at moments drawn uniformly over the time that the command takes; --operations are SIGKILLs just
before or after a file operation of the command (rename, unlink, mkdir, fsync, link, a save), evenly over all that it
makes. After each, every reader is tried on what lies there: it must refuse it by name, or find what some run without a
kill wrote. Then the command is run again, and killed again, up to --chain times; then to its end, which must leave the
same files: weights bit for bit, optimiser, averages, metrics, best, records, rows.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tests.kill import forks, work  # Behind that: TensorFlow reads the environment when it is imported.

# Of the kills at moments, and of those at file operations.
SHARES = {
    "convert": (0.34, 0.25),
    "export": (0.2, 0.25),
    "evaluate": (0.18, 0.125),
    "train": (0.23, 0.3),
    "sweep": (0.05, 0.075),
}


class Killer:
    """One command and its kills."""

    def __init__(self, done: work.Work, name: str, chooser: random.Random, chain: int) -> None:
        self.work, self.name, self._chooser, self._chain = done, name, chooser, chain
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._numbers = itertools.count()
        ended = self._run(self._fresh(), at=True)
        self.seconds, folder = ended.seconds, self.folder
        notes = Path(f"{folder}.operations")
        self.operations = len(notes.read_text().splitlines()) if notes.exists() else 0
        self._compare()
        self._clear()

    def at_moments(self, kills: int) -> None:
        """Kills at times; several in a row of one folder."""
        while self.counts["moments"] < kills and len(self.faults) < 20:
            self._fresh()
            for _ in range(min(self._chain, kills - self.counts["moments"])):
                ended = self._run(self.folder, self._chooser.uniform(0, self.seconds))
                if ended.code != -9:
                    self._expect(ended)
                    break
                self.counts["moments"] += 1
                self._look(f"after {ended.seconds:.2f} s")
            self._finish()

    def at_operations(self, kills: int) -> None:
        """Kills before and after file operations, evenly over them; several in a row of one folder, which have fewer
        left each time."""
        places = [(number, after) for number in range(1, self.operations + 1) for after in (False, True)]
        self._chooser.shuffle(places)
        while self.counts["operations"] < kills and len(self.faults) < 20:
            self._fresh()
            where = ""
            for _ in range(self._chain if self.counts["operations"] < kills else 0):
                number, after = places.pop(0)
                places.append((number, after))
                ended = self._run(self.folder, at=True, operation=number, after=after)
                if ended.code != -9:
                    self._expect(ended)
                    break
                self.counts["operations"] += 1
                where = (
                    f"{'after' if after else 'before'} operation"
                    f" {Path(f'{self.folder}.operations').read_text().splitlines()[-1]}"
                )
                self._look(where)
            self._finish(where)

    def _fresh(self) -> Path:
        self.folder = self.work.root / f"{self.name}.{next(self._numbers):04d}"
        self.work.begin(self.name, self.folder)
        return self.folder

    def _run(
        self, folder: Path, kill_after: float | None = None, at: bool = False, operation: int = 0, after: bool = False
    ) -> forks.Ended:
        call = self.work.call(self.work.words(self.name, folder))
        ended = forks.run(call, Path(f"{folder}.log"), kill_after, forks.At(folder, operation, after) if at else None)
        work.end_of(folder, self.name)
        return ended

    def _look(self, where: str) -> None:
        self._child(lambda: self.work.look(self.name, self.folder), f"killed {where}: a reader")

    def _finish(self, where: str = "") -> None:
        self._expect(self._run(self.folder))
        self._compare(where)
        self._clear()

    def _compare(self, where: str = "") -> None:
        self._child(lambda: self.work.compare(self.name, self.folder), f"resumed {where}: the end")

    def _expect(self, ended: forks.Ended) -> None:
        if ended.code:
            self._fault(f"left with {ended.code}: {ended.said[-600:]}")

    def _child(self, check: object, what: str) -> None:
        ended = forks.run(check, self.work.root / f"check.{self.name}.{next(self._numbers)}.log")
        if ended.code:
            self._fault(f"{what}: {ended.said.strip().splitlines()[-1] if ended.said.strip() else ended.code}")

    def _fault(self, text: str) -> None:
        self.faults.append(f"{self.folder.name}: {text}")
        print(f"FAULT {self.faults[-1]}", flush=True)

    def _clear(self) -> None:
        if not any(fault.startswith(self.folder.name) for fault in self.faults):
            shutil.rmtree(self.folder, ignore_errors=True)
            for name in ("log", "operations"):
                Path(f"{self.folder}.{name}").unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=220)
    parser.add_argument("--operations", type=int, default=80)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chain", type=int, default=6)
    parser.add_argument("--command", default="all", choices=("all", work.FILES, *SHARES))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    shares = SHARES if asked.command == "all" else dict.fromkeys([asked.command], (1.0, 1.0))
    import_everything(asked.command)
    if asked.command != work.FILES:
        work.tiny_network()
    shutil.rmtree(asked.work, ignore_errors=True)
    done, started = work.Work(asked.work.resolve()), time.monotonic()
    done.prepare(shares)
    print(f"prepared in {time.monotonic() - started:.0f} s", flush=True)
    rows, faults = [], []
    for name, (moments, operations) in shares.items():
        begun = time.monotonic()
        killer = Killer(done, name, random.Random(f"{asked.seed} {name}"), asked.chain)
        killer.at_operations(round(operations * asked.operations))
        killer.at_moments(round(moments * asked.kills))
        rows.append(
            (
                name,
                killer.seconds,
                killer.counts["moments"],
                killer.operations,
                killer.counts["operations"],
                len(killer.faults),
            )
        )
        faults += killer.faults
        print(json.dumps(rows[-1]), f"in {time.monotonic() - begun:.0f} s", flush=True)
        if asked.markdown:
            write(asked.markdown, rows, faults, time.monotonic() - started)
    return 1 if faults else 0


def import_everything(name: str) -> None:
    """What the commands would import, so that their forks need not; runs no operation."""
    import tensorflow as tf

    import detection.export.saved_model
    import detection.train.best

    tf.get_logger().setLevel("ERROR")
    if name == work.FILES:
        return
    import detection.benchmark.rows
    import detection.data.convert.conversion
    import detection.data.synthetic_set
    import detection.data.validation.validate
    import detection.export.exporter
    import detection.export.predictor
    import detection.sweep.run
    import detection.sweep.worker
    import detection.train.main  # noqa: F401


def write(path: Path, rows: list[tuple], faults: list[str], seconds: float) -> None:
    """The table of docs/kills.md."""
    lines = [
        "| command | seconds without kills | kills at random times | file operations | kills at file operations"
        " | faults |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {took:.1f} | {moments} | {operations} | {at} | {bad} |"
        for name, took, moments, operations, at, bad in rows
    ]
    total = [sum(row[column] for row in rows) for column in (2, 4, 5)]
    lines += [f"| all | | {total[0]} | | {total[1]} | {total[2]} |", "", f"In {seconds / 60:.0f} minutes."]
    path.write_text("\n".join([*lines, *(f"- {fault}" for fault in faults)]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
