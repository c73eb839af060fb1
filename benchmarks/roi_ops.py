"""Times and memory of the region ops, and RoI max pooling beside torchvision's, which computes the same bit for bit.

Regions are random: centres anywhere in the image, sides log-uniform between 3 cells of the map and its height, cut to
the image. Times alternate between the ops of a row and torchvision, which runs in a process of its own, so that another
load on the machine meets both alike. Memory is the most that a fresh process holds during forward and backward beyond
what it held before: the results are in it, the map and the gradient that comes in are not.
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
    """What is run, and how often."""

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
    """The same in torchvision."""

    version: str
    forward: Timing
    both: Timing
    forward_ratio: float  # median over rounds of our time over theirs
    both_ratio: float
    equal: bool  # results bit for bit, gradients up to the order of float32 sums


@dataclasses.dataclass(frozen=True)
class RoiRow:
    """One operation on so many regions: its times, and those of torchvision's where it was run."""

    op: str
    rois: int
    channels: int
    map: tuple[int, int]
    forward: Timing  # milliseconds
    both: Timing  # forward and backward
    memory_mib: float | None  # None: not measured, or not to be had on this system
    torchvision: Peer | None


@dataclasses.dataclass(frozen=True)
class RoiReport:
    """All rows, and the machine that they were measured on."""

    rows: tuple[RoiRow, ...]
    device: str
    load: float | None  # of the machine at the end: how many processes wanted a core in the last minute
    tensorflow: str

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    def table(self) -> str:
        """What a person reads."""
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
    """Medians, and what a tenth of the runs stayed below: on a shared machine the better number."""
    forward, both = measured.forward, measured.both
    return f"{forward.median:9.1f}{f'({forward.low:.1f})':>9}{both.median:12.1f}{f'({both.low:.1f})':>9}"


def benchmark(options: RoiOptions, torch_python: str | None = None) -> RoiReport:
    """Measures all ops.

    Args:
        options: sizes and numbers of runs.
        torch_python: a Python that has torch and torchvision; None takes the running one if it has them, and compares
            with nothing otherwise.

    Raises:
        ConfigError: if a number makes no sense, or that Python has no torchvision.
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
    """Position-sensitive ops see the channels of R-FCN, whatever --channels is, with the highest number of regions."""
    ops = (roi.RoiMaxPool(7, STRIDE), roi.CropAndResize(14, 2, 2))
    cases = [Case(op, rois, options.channels, options.map) for op in ops for rois in options.rois]
    sensitive = (roi.PositionSensitiveCrop(BINS, CROP), roi.PositionSensitiveAveragePool(BINS, STRIDE))
    most = max(options.rois)
    return cases + [Case(op, most, BINS[0] * BINS[1] * outputs, options.map) for op in sensitive for outputs in OUTPUTS]


def _measure(case: Case, options: RoiOptions, torch_python: str | None) -> RoiRow:
    forward, both = _compiled(case)
    ours = {"forward": forward, "both": both}
    if torch_python and isinstance(case.op, roi.RoiMaxPool):
        with _Torchvision(torch_python, case) as peer:
            theirs = {"peer forward": lambda: peer.run("forward"), "peer both": lambda: peer.run("both")}
            rounds = interleave({**ours, **theirs}, options.warmup, options.runs)
            found = peer.report(rounds, both())
    else:
        rounds, found = interleave(ours, options.warmup, options.runs), None
    memory = _peak_of_fresh_process(case) if options.memory else None
    times = [rounds.timing(name) for name in ours]
    return RoiRow(type(case.op).__name__, case.rois, case.channels, case.map, *times, memory, found)


def _compiled(case: Case) -> tuple[Callable[[], tf.Tensor], Callable[[], tuple[tf.Tensor, tf.Tensor]]]:
    """Forward; forward and backward, which gives the result and the gradient. Both return when the work is done."""
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
    """What `_peak_mib` gives in another process, which says on standard error only what libraries say while loading."""
    done = fresh_process.run("benchmarks.roi_ops", "main_of_fresh_process", case)
    if done.returncode:
        raise RuntimeError(
            f"{case}: the process that was to measure its memory ended with {done.returncode}:"
            f" {done.stderr.decode().strip()}"
        )
    return json.loads(done.stdout)


def main_of_fresh_process() -> None:
    """A pickled Case from standard input, MiB or null as json to standard output."""
    sys.stdout.write(json.dumps(_peak_mib(fresh_process.received())))


def _peak_mib(case: Case) -> float | None:
    """Runs forward and backward once, after a small one that loads what TensorFlow loads late.

    None where Linux's /proc is missing.
    """
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return None
    _compiled(dataclasses.replace(case, rois=2, channels=BINS[0] * BINS[1], map=(4, 6)))[1]()
    _, both = _compiled(case)

    def resident() -> int:
        return int(statm.read_text().split()[1])

    before, peak, done = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, resident())
            time.sleep(1e-4)

    watcher = threading.Thread(target=watch)
    watcher.start()
    results = both()
    peak = max(peak, resident())
    done.set()
    watcher.join()
    del results
    return (peak - before) * os.sysconf("SC_PAGE_SIZE") / 2**20


class _Torchvision:
    """torchvision.ops.roi_pool on a case, in a process of its own."""

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
            said = self._process.communicate()[1].strip().splitlines() or ["ended without a word"]
            raise ConfigError(f"--torch_python={self._python}: no torchvision there: {said[-1]}")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.communicate()
        self._folder.cleanup()

    def run(self, what: str) -> None:
        """Returns when it is done."""
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        self._process.stdout.readline()

    def report(self, rounds: Rounds, ours: tuple[tf.Tensor, tf.Tensor]) -> Peer:
        """Compares the times, and the results of both."""
        self.run("save")
        with np.load(self._files[1]) as theirs:
            equal = np.array_equal(ours[0], theirs["pooled"]) and np.allclose(
                ours[1], theirs["gradient"], rtol=1e-4, atol=1e-3
            )
        ratios = [rounds.ratio(name, f"peer {name}") for name in ("forward", "both")]
        return Peer(self._version, rounds.timing("peer forward"), rounds.timing("peer both"), *ratios, equal)
