"""Time and memory of whole second stages for any number of proposals, in chunks and, if it fits, all at once.

A stage takes the map of an image and its proposals: crops and the tail of a network with a head of 20 classes (Fast and
Faster R-CNN), or the position-sensitive crops of R-FCN, whose maps are given. Each row is measured in a new process,
since a process does not release all of its memory: a warm-up run on 8 proposals, then `runs` runs. Memory is the peak
of these runs minus the memory before them, which includes weights and maps.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from detection.errors import ConfigError
from detection.feature_extractors.catalogue import TWO_STAGE_EXTRACTORS
from detection.feature_extractors.two_stage import TwoStageExtractorOptions
from detection.heads.position_sensitive import PositionSensitiveHead, PositionSensitiveOptions
from detection.heads.region import RegionHead, RegionHeadOptions
from detection.meta_architectures.faster_rcnn import CropRegions, by_image
from detection.networks.hyperparams import Hyperparams
from detection.ops import roi
from detection.ops.roi_chunks import REGIONS_AT_A_TIME, in_chunks
from detection.tools import fresh_process

CLASSES, STRIDE, BINS, CROP = 20, 16, (3, 3), (18, 18)
KINDS = ("crop_and_resize", "roi_max_pool", "position_sensitive")
MOST_WHOLE = 2**31  # bytes of crops up to which a stage is also run without chunks


@dataclasses.dataclass(frozen=True)
class Stage:
    """One second stage with one number of proposals."""

    kind: str  # one of KINDS
    extractor: str  # type of the feature extractor whose tail is run, as in a config
    proposals: int
    chunk: int  # regions at a time
    map: tuple[int, int] = (38, 63)  # cells
    runs: int = 2


@dataclasses.dataclass(frozen=True)
class StageRow:
    """Time and memory of a stage."""

    stage: Stage
    milliseconds: float  # wall clock, of the fastest run
    cpu_milliseconds: float  # CPU time of all cores in that run
    memory_mib: float | None  # None without Linux's /proc

    def line(self) -> str:
        """The row as a line of a table."""
        how = f"{self.stage.chunk} at a time" if self.stage.chunk < self.stage.proposals else "in one piece"
        memory = "-" if self.memory_mib is None else f"{self.memory_mib:.0f}"
        return (
            f"{self.stage.kind:20}{self.stage.proposals:9} "
            f" {how:16}{self.milliseconds:11.0f}{self.cpu_milliseconds:11.0f}{memory:>10}"
        )


def benchmark(
    proposals: Sequence[int],
    extractor: str,
    kinds: Sequence[str] = KINDS,
    chunks: Sequence[int] = (REGIONS_AT_A_TIME,),
    runs: int = 2,
) -> Iterator[StageRow]:
    """Yields a row for each kind, number of proposals and chunk size; also without chunks up to MOST_WHOLE bytes.

    Args:
        proposals: numbers of proposals.
        extractor: type of the feature extractor.
        kinds: kinds of stages.
        chunks: regions at a time.
        runs: measured runs.

    Raises:
        ConfigError: unknown extractor or kind, or a number is out of range.
    """
    if extractor not in TWO_STAGE_EXTRACTORS:
        raise ConfigError(f"--extractor={extractor}: unknown; one of {', '.join(sorted(TWO_STAGE_EXTRACTORS))}")
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise ConfigError(f"--kinds={','.join(unknown)}: unknown; of {', '.join(KINDS)}")
    if min(*proposals, *chunks, runs) < 1:
        raise ConfigError("--proposals, --chunks and --runs must be at least 1")
    for kind in kinds:
        for count in proposals:
            sizes = sorted({min(chunk, count) for chunk in chunks})
            unchunked = [count] if count * 14 * 14 * 1024 * 4 <= MOST_WHOLE and count not in sizes else []
            for chunk in (*sizes, *unchunked):
                yield _of_fresh_process(Stage(kind, extractor, count, chunk, runs=runs))


def table_header() -> str:
    """The line above the rows of stages."""
    return f"{'second stage':20}{'proposals':>9}  {'':16}{'wall ms':>11}{'CPU ms':>11}{'MiB':>10}"


def _of_fresh_process(stage: Stage) -> StageRow:
    process = fresh_process.run("benchmarks.roi_stage", "main_of_fresh_process", stage)
    if process.returncode:
        raise RuntimeError(
            f"{stage}: the process that measures it ended with {process.returncode}:"
            f" {process.stderr.decode().strip()[-2000:]}"
        )
    return StageRow(stage, *json.loads(process.stdout))


def main_of_fresh_process() -> None:
    """Reads a pickled Stage from stdin; writes milliseconds, CPU milliseconds and MiB as JSON to stdout."""
    sys.stdout.write(json.dumps(measure(fresh_process.received())))


def measure(stage: Stage) -> tuple[float, float, float | None]:
    """Measures a stage: milliseconds, CPU milliseconds, MiB."""
    run, maps = _runner(stage)
    boxes = _boxes(stage)
    run(*maps, tf.constant(boxes[:, :8]))
    boxes = tf.constant(boxes)
    with _PeakMemory() as memory:
        times = []
        for _ in range(stage.runs):
            wall, cpu = time.perf_counter(), time.process_time()
            for values in run(*maps, boxes):
                values.numpy()
            times.append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)))
    return *min(times), memory.mib


def _boxes(stage: Stage) -> np.ndarray:
    """Random boxes [1, P, 4]: centres anywhere in the image, sides log-uniform from 3 cells to its height, clipped."""
    rng = np.random.default_rng(0)
    image = np.array(stage.map) * STRIDE
    sides = np.exp(rng.uniform(np.log(3 * STRIDE), np.log(image[0]), [stage.proposals, 2]))
    centres = rng.uniform(size=[stage.proposals, 2]) * image
    return np.clip(np.concatenate([centres - sides / 2, centres + sides / 2], axis=1), 0, np.tile(image, 2))[
        np.newaxis
    ].astype(np.float32)


def _runner(stage: Stage) -> tuple[tf.types.experimental.PolymorphicFunction, tuple[tf.Tensor, ...]]:
    """The compiled stage, which takes any number of proposals, and its feature maps."""
    image = (stage.map[0] * STRIDE, stage.map[1] * STRIDE)
    hyperparams = Hyperparams(initializer=keras.initializers.RandomNormal(stddev=0.01))
    boxes_spec = tf.TensorSpec([1, None, 4])
    if stage.kind == "position_sensitive":
        head = PositionSensitiveHead(
            CLASSES, PositionSensitiveOptions(hyperparams, roi.PositionSensitiveCrop(BINS, CROP))
        )
        maps = tuple(
            tf.random.stateless_normal([1, *stage.map, BINS[0] * BINS[1] * depth], [1, 2])
            for depth in (4 * CLASSES, CLASSES + 1)
        )

        def regions(of_boxes: tf.Tensor, of_classes: tf.Tensor, boxes: tf.Tensor) -> tuple[tf.Tensor, ...]:
            def run_chunk(part: tf.Tensor) -> tuple[tf.Tensor, ...]:
                return tuple(by_image(values, part) for values in head.regions((of_boxes, of_classes), part, image))

            return in_chunks(run_chunk, boxes, head.sides, stage.chunk)

        return tf.function(regions, input_signature=[*(tf.TensorSpec(map_.shape) for map_ in maps), boxes_spec]), maps
    extractor = TWO_STAGE_EXTRACTORS[stage.extractor](TwoStageExtractorOptions())
    channels = extractor.body(tf.zeros([1, 64, 64, 3])).shape[-1]
    side = extractor.crop_size or 7
    crop = (
        roi.RoiMaxPool(side, STRIDE) if stage.kind == "roi_max_pool" else roi.CropAndResize(2 * side, 2, 2, chunk=2**30)
    )
    stage_of_network = CropRegions(
        crop=roi.OneMap(crop),
        tail=extractor.tail,
        head=RegionHead(CLASSES, RegionHeadOptions(hyperparams)),
        chunk=stage.chunk,
    )
    maps = (tf.random.stateless_normal([1, *stage.map, channels], [1, 2]),)
    stage_of_network.run(maps, tf.constant(_boxes(stage)[:, :1]), image, False)  # makes the variables
    signature = [tf.TensorSpec(maps[0].shape), boxes_spec]
    return (
        tf.function(
            lambda features, boxes: stage_of_network.run((features,), boxes, image, False), input_signature=signature
        ),
        maps,
    )


class _PeakMemory:
    """A context that measures the peak resident memory inside it, minus that at its start."""

    mib: float | None = None

    def __enter__(self) -> _PeakMemory:
        self._statm, self._done = Path("/proc/self/statm"), threading.Event()
        self._before = self._peak = self._resident()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watcher.join()
        if self._statm.exists():
            self.mib = (self._peak - self._before) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def _resident(self) -> int:
        return int(self._statm.read_text().split()[1]) if self._statm.exists() else 0

    def _watch(self) -> None:
        while not self._done.is_set():
            self._peak = max(self._peak, self._resident())
            time.sleep(1e-3)
