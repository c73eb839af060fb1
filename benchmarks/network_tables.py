"""Results of the network benchmarks as tables (plain text or Markdown) and as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from benchmarks.network_times import PEAK_FLOPS, PEAK_SIDE, Forward, NetworkOptions, TrainStep
from detection.benchmark import machine
from detection.benchmark.timing import Timing
from detection.tools import tables

_FORWARD = ("name", "input", "parameters, M", "GFLOPs", "as trained, ms", "served, ms", "GFLOP/s", "of peak")
_REFERENCE = ("reference, ms", "speed : reference")
_TRAIN = ("name", "batch", "GFLOPs, ours", "theirs", "ours, ms", "keras.applications, ms", "speed : theirs")


@dataclasses.dataclass(frozen=True)
class NetworkReport:
    """All rows of one run, and the machine they were measured on."""

    options: NetworkOptions
    rows: tuple[Forward | TrainStep, ...]
    device: str
    threads: int
    tensorflow: str

    def to_json(self) -> str:
        """All numbers as JSON."""
        rows = [
            {"kind": "train step" if isinstance(row, TrainStep) else "forward", **_as_dict(row)} for row in self.rows
        ]
        return json.dumps({**dataclasses.asdict(self), "rows": rows}, indent=2) + "\n"

    def text(self, markdown: bool = False) -> str:
        """The tables with their titles, below a line about the machine."""
        parts = [self.headline()]
        for title, header, rows in self._tables():
            if rows:
                parts.append(f"{'### ' * markdown}{title}")
                parts.append(_marked(header, rows) if markdown else _text(header, rows))
        return "\n\n".join(parts) + "\n"

    def headline(self) -> str:
        """Machine, versions and number of runs."""
        words = (
            f"{self.device}, {self.threads} threads, TensorFlow {self.tensorflow}; medians of {self.options.runs} runs"
            " (10 to 90 %)."
        )
        peaks = [PEAK_FLOPS / row.peak.median / 1e6 for row in self.rows if isinstance(row, Forward)]
        if not peaks:
            return words
        return (
            f"{words} Product of two float32 matrices of {PEAK_SIDE} x {PEAK_SIDE}: {np.median(peaks):.0f} GFLOP/s"
            f" ({min(peaks):.0f} to {max(peaks):.0f} over the rows); shares of this peak are of the same rounds."
        )

    def _tables(self) -> Iterator[tuple[str, Sequence[str], list[list[str]]]]:
        forward = [row for row in self.rows if isinstance(row, Forward)]
        networks = [row for row in forward if row.part == "network"]
        each = "" if self.options.batch == 1 else f", {self.options.batch} images at once"
        yield (
            f"Networks without their ImageNet head{each}",
            _FORWARD + _REFERENCE,
            [_forward(row) + _reference(row) for row in networks],
        )
        yield f"SSD extractors{each}", _FORWARD, [_forward(row) for row in forward if row.part == "ssd"]
        centers = [_forward(row) for row in forward if row.part == "center"]
        yield f"CenterNet extractors{each}", _FORWARD, centers
        yield f"Two-stage extractors, bodies{each}", _FORWARD, [_forward(row) for row in forward if row.part == "body"]
        yield (
            f"Two-stage extractors, tails, {self.options.crops} crops at once",
            _FORWARD,
            [_forward(row) for row in forward if row.part == "tail"],
        )
        yield "Train steps", _TRAIN, [_train(row) for row in self.rows if isinstance(row, TrainStep)]


def report(options: NetworkOptions, rows: Iterable[Forward | TrainStep]) -> NetworkReport:
    """Collects the rows and the facts about the machine."""
    measured = tuple(rows)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = tf.config.threading.get_intra_op_parallelism_threads() or cores  # 0: as many as there are cores
    return NetworkReport(options, measured, machine.device(), threads, tf.__version__)


def _as_dict(row: Forward | TrainStep) -> dict[str, object]:
    return {name: value._asdict() if isinstance(value, Timing) else value for name, value in row._asdict().items()}


def _forward(row: Forward) -> list[str]:
    """Cells of a row: operations and milliseconds per image, or for all crops of a tail."""
    images = 1 if row.part == "tail" else row.shape[0]
    return [
        row.name,
        " x ".join(str(size) for size in row.shape[1:3]),
        f"{row.parameters / 1e6:.2f}",
        f"{row.gflops / images:.2f}",
        f"{row.plain.median / images:.1f}",
        _spread(row.served, images),
        f"{1e3 * row.gflops / row.served.median:.0f}",
        f"{row.peak_share:.0%}",
    ]


def _reference(row: Forward) -> list[str]:
    if row.reference is None:
        return ["", ""]
    return [f"{_spread(row.reference, row.shape[0])} {row.origin}", f"{row.speed:.2f}"]


def _train(row: TrainStep) -> list[str]:
    batch = " x ".join(str(size) for size in row.shape[:3])
    return [
        row.name,
        batch,
        f"{row.gflops:.1f}",
        f"{row.their_gflops:.1f}",
        _spread(row.ours),
        _spread(row.theirs),
        f"{row.speed:.2f}",
    ]


def _spread(timing: Timing, images: int = 1) -> str:
    return f"{timing.median / images:.1f} ({timing.low / images:.1f} to {timing.high / images:.1f})"


def _marked(header: Sequence[str], rows: list[list[str]]) -> str:
    return tables.markdown(header, rows, right=range(1, len(header)))


def _text(header: Sequence[str], rows: list[list[str]]) -> str:
    return "\n".join(tables.aligned([header, *rows]))
