"""Time and memory of the region ops, and of torchvision's RoI max pooling, which gives bitwise equal results.

Regions are random: centres anywhere in the image, sides log-uniform between 3 cells of the map and its height, clipped
to the image. Timed calls alternate between the ops of a row and torchvision, which runs in its own process, so that
other load on the machine affects both. Memory is the peak of a new process during forward and backward, minus the
memory before: it includes the results, but not the map and the incoming gradient.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import tensorflow as tf

from benchmarks import roi_torchvision
from detection.benchmark import machine
from detection.benchmark.timing import Rounds, Timing, interleave
from detection.errors import ConfigError
from detection.ops import roi
from detection.tools import fresh_process

STRIDE, BINS, CROP = 16, (3, 3), (18, 18)
OUTPUTS = (91, 360)  # of R-FCN for COCO: scores of 90 classes and background; 4 codes for each class


@dataclasses.dataclass(frozen=True)
class RoiOptions:
    """What to measure, and how often."""

    rois: tuple[int, ...] = (64, 300)
    channels: int = 512
    map: tuple[int, int] = (38, 63)  # cells
    warmup: int = 3
    runs: int = 20
    memory: bool = True


@dataclasses.dataclass(frozen=True)
class Case:
    """One op on one kind of input."""

    op: roi.CropAndResize | roi.RoiMaxPool | roi.PositionSensitiveCrop | roi.PositionSensitiveAveragePool
    rois: int
    channels: int
    map: tuple[int, int]

    @property
    def image(self) -> tuple[int, int]:
        """Height and width of the image, pixels."""
        return self.map[0] * STRIDE, self.map[1] * STRIDE

    def inputs(self) -> tuple[np.ndarray, np.ndarray]:
        """Features [1, h, w, c] and boxes [1, P, 4]."""
        rng = np.random.default_rng(0)
        sides = np.exp(rng.uniform(np.log(3 * STRIDE), np.log(self.image[0]), [self.rois, 2]))
        centres = rng.uniform(size=[self.rois, 2]) * self.image
        boxes = np.clip(np.concatenate([centres - sides / 2, centres + sides / 2], axis=1), 0, self.image * 2)
        return rng.normal(size=[1, *self.map, self.channels]).astype(np.float32), boxes[np.newaxis].astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Peer:
    """The same op in torchvision."""

    version: str
    forward: Timing
    both: Timing
    forward_ratio: float  # median over rounds of our time over theirs
    both_ratio: float
    equal: bool  # results bit for bit, gradients up to the order of float32 sums


@dataclasses.dataclass(frozen=True)
class RoiRow:
    """One op on a number of regions: its times, and those of torchvision if measured."""

    op: str
    rois: int
    channels: int
    map: tuple[int, int]
    forward: Timing  # milliseconds
    both: Timing  # forward and backward
    memory_mib: float | None  # None: not measured, or not supported on this system
    torchvision: Peer | None


@dataclasses.dataclass(frozen=True)
class RoiReport:
    """All rows, and the machine they were measured on."""

    rows: tuple[RoiRow, ...]
    device: str
    load: float | None  # load average of the last minute, at the end
    tensorflow: str

    def to_json(self) -> str:
        """All numbers as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    def table(self) -> str:
        """The result as text."""
        load = "" if self.load is None else f", load {self.load:.1f}"
        peers = {row.torchvision.version for row in self.rows if row.torchvision}
        lines = [
            f"on {self.device}{load}, TensorFlow {self.tensorflow}" + "".join(f", {peer}" for peer in sorted(peers)),
            "",
        ]
        lines.append(
            f"{'':28}{'RoIs':>6}{'channels':>10}{'map':>9}{'forward':>9}{'(10 %)':>9}{'+ backward':>12}{'(10 %)':>9} "
            f" ms{'memory':>9} MiB"
        )
        for row in self.rows:
            memory = "-" if row.memory_mib is None else f"{row.memory_mib:.0f}"
            cells = f"{row.map[0]}x{row.map[1]}"
            lines.append(f"{row.op:28}{row.rois:6}{row.channels:10}{cells:>9}{_times(row)}{memory:>13}")
            if row.torchvision:
                peer = row.torchvision
                note = (
                    f"    ratio {peer.forward_ratio:.2f}, {peer.both_ratio:.2f};"
                    f" {'equal' if peer.equal else 'NOT EQUAL'}"
                )
                lines.append(f"{'  torchvision':53}{_times(peer)}{note}")
        return "\n".join(lines)


def _times(measured: RoiRow | Peer) -> str:
    """Medians and 10th percentiles, which on a shared machine are more reliable."""
    forward, both = measured.forward, measured.both
    return f"{forward.median:9.1f}{f'({forward.low:.1f})':>9}{both.median:12.1f}{f'({both.low:.1f})':>9}"


def benchmark(options: RoiOptions, torch_python: str | None = None) -> RoiReport:
    """Measures all ops.

    Args:
        options: sizes and numbers of runs.
        torch_python: a Python that has torch and torchvision; None takes the running one if it has them, otherwise
            there is no comparison.

    Raises:
        ConfigError: a number is out of range, or that Python has no torchvision.
    """
    if min(*options.rois, options.channels, *options.map, options.runs) < 1:
        raise ConfigError("--rois, --channels, --map and --runs must be at least 1")
    if torch_python is None and importlib.util.find_spec("torchvision"):
        torch_python = sys.executable
    rows = [_measure(case, options, torch_python) for case in _cases(options)]
    load = Path("/proc/loadavg")
    return RoiReport(
        tuple(rows), machine.device(), float(load.read_text().split()[0]) if load.exists() else None, tf.__version__
    )


def _cases(options: RoiOptions) -> list[Case]:
    """All cases; position-sensitive ops use R-FCN's number of channels and the highest number of regions."""
    ops = (roi.RoiMaxPool(7, STRIDE), roi.CropAndResize(14, 2, 2))
    cases = [Case(op, rois, options.channels, options.map) for op in ops for rois in options.rois]
    sensitive = (roi.PositionSensitiveCrop(BINS, CROP), roi.PositionSensitiveAveragePool(BINS, STRIDE))
    most_rois = max(options.rois)
    return cases + [
        Case(op, most_rois, BINS[0] * BINS[1] * outputs, options.map) for op in sensitive for outputs in OUTPUTS
    ]


def _measure(case: Case, options: RoiOptions, torch_python: str | None) -> RoiRow:
    forward, both = _compiled(case)
    ours = {"forward": forward, "both": both}
    if torch_python and isinstance(case.op, roi.RoiMaxPool):
        with _Torchvision(torch_python, case) as peer:
            theirs = {"peer forward": lambda: peer.run("forward"), "peer both": lambda: peer.run("both")}
            rounds = interleave({**ours, **theirs}, options.warmup, options.runs)
            peer_result = peer.report(rounds, both())
    else:
        rounds, peer_result = interleave(ours, options.warmup, options.runs), None
    memory = _peak_of_fresh_process(case) if options.memory else None
    times = [rounds.timing(name) for name in ours]
    return RoiRow(type(case.op).__name__, case.rois, case.channels, case.map, *times, memory, peer_result)


def _compiled(case: Case) -> tuple[Callable[[], tf.Tensor], Callable[[], tuple[tf.Tensor, tf.Tensor]]]:
    """Two functions: forward; forward and backward (result and gradient). Both return when the work is done."""
    features, boxes = (tf.constant(values) for values in case.inputs())
    image = case.image
    forward = tf.function(lambda features, boxes: case.op(features, boxes, image))

    @tf.function
    def both(features: tf.Tensor, boxes: tf.Tensor, upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(features)
            pooled = case.op(features, boxes, image)
        return pooled, tape.gradient(pooled, features, upstream)

    shape = forward.get_concrete_function(features, boxes).output_shapes
    upstream = tf.constant(_upstream(shape.as_list()))

    def waited(function: Callable, *arguments: tf.Tensor) -> object:
        results = function(*arguments)
        if tf.config.list_physical_devices("GPU"):
            tf.test.experimental.sync_devices()
        return results

    return lambda: waited(forward, features, boxes), lambda: waited(both, features, boxes, upstream)


def _upstream(shape: Sequence[int]) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def _peak_of_fresh_process(case: Case) -> float | None:
    """The result of `_peak_mib` in a new process."""
    process = fresh_process.run("benchmarks.roi_ops", "main_of_fresh_process", case)
    if process.returncode:
        raise RuntimeError(
            f"{case}: the process that measures its memory ended with {process.returncode}:"
            f" {process.stderr.decode().strip()}"
        )
    return json.loads(process.stdout)


def main_of_fresh_process() -> None:
    """Reads a pickled Case from stdin; writes MiB or null as JSON to stdout."""
    sys.stdout.write(json.dumps(_peak_mib(fresh_process.received())))


def _peak_mib(case: Case) -> float | None:
    """Peak memory of one forward and backward run, after a small run that loads TensorFlow's libraries.

    None without Linux's /proc.
    """
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return None
    _compiled(dataclasses.replace(case, rois=2, channels=BINS[0] * BINS[1], map=(4, 6)))[1]()
    _, both = _compiled(case)

    def resident() -> int:
        return int(statm.read_text().split()[1])

    before, peak, stopped = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stopped.is_set():
            peak = max(peak, resident())
            time.sleep(1e-4)

    watcher = threading.Thread(target=watch)
    watcher.start()
    results = both()
    peak = max(peak, resident())
    stopped.set()
    watcher.join()
    del results
    return (peak - before) * os.sysconf("SC_PAGE_SIZE") / 2**20


class _Torchvision:
    """torchvision.ops.roi_pool on a case, in its own process."""

    def __init__(self, python: str, case: Case) -> None:
        self._python, self._case = python, case

    def __enter__(self) -> _Torchvision:
        self._folder = tempfile.TemporaryDirectory()
        self._files = [str(Path(self._folder.name) / name) for name in ("case.npz", "results.npz")]
        features, boxes = self._case.inputs()
        size = self._case.op.size
        upstream = _upstream([self._case.rois, size, size, self._case.channels])
        np.savez(self._files[0], features=features, boxes=boxes[0], upstream=upstream, size=size, scale=1 / STRIDE)
        try:
            command = [self._python, roi_torchvision.__file__, *self._files]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        except OSError as error:
            self._folder.cleanup()
            raise ConfigError(f"--torch_python={self._python}: cannot be run: {error.strerror or error}") from error
        self._version = self._process.stdout.readline().strip()
        if not self._version:
            self._folder.cleanup()
            error_lines = self._process.communicate()[1].strip().splitlines() or ["no error message"]
            raise ConfigError(f"--torch_python={self._python}: cannot use torchvision: {error_lines[-1]}")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.communicate()
        self._folder.cleanup()

    def run(self, what: str) -> None:
        """Sends a command (forward, both or save) and waits until it is done."""
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        self._process.stdout.readline()

    def report(self, rounds: Rounds, ours: tuple[tf.Tensor, tf.Tensor]) -> Peer:
        """Compares the times and the results of both."""
        self.run("save")
        with np.load(self._files[1]) as theirs:
            equal = np.array_equal(ours[0], theirs["pooled"]) and np.allclose(
                ours[1], theirs["gradient"], rtol=1e-4, atol=1e-3
            )
        ratios = [rounds.ratio(name, f"peer {name}") for name in ("forward", "both")]
        return Peer(self._version, rounds.timing("peer forward"), rounds.timing("peer both"), *ratios, equal)
