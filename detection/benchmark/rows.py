"""Benchmarks one detector: times of its parts, memory, operations, and the conditions of the measurement, as one row.

    row = row_of_saved_model("exported", BenchmarkOptions(shorter_side=300, runs=500))
    row = row_of_config("my.config", None, BenchmarkOptions(shorter_side=300, max_proposals=50))      random weights

A row is a dict as `detection benchmark --json` writes it. Times are in milliseconds of wall clock per batch:

    preprocess     decoding and resizing
    first_stage    the network; of two stages, the part up to and including the proposals
    second_stage   from cropping regions on; None for a single stage
    network        both stages
    postprocess    decoding of boxes, suppression, and the rest of the outputs
    end_to_end     a client's call, with the outputs fetched
    without_postprocess   the same graph up to raw predictions, in one call

Each part is measured separately, so they need not add up to end_to_end. Two fractions of end_to_end are ratios within
rounds: `outside_network` is the time not spent in the network, and `postprocess_share` the time saved if the graph
ended before postprocessing, clipped between 0 and the time of postprocessing called alone. For a slow detector with two
stages the noise of a round exceeds both, and two more copies of its graph take longer to prepare than all rounds: there
the time of the network is the sum of its stages, and `postprocess_share` is that of postprocessing called alone. A slow
detector has few rounds, so preprocessing and postprocessing are called several times in each, and the median counts.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from detection import config as configs
from detection.benchmark import inputs, machine, random_weights
from detection.benchmark.flops import count_flops
from detection.benchmark.inputs import BenchmarkOptions
from detection.benchmark.served_graph import Part, ServedGraph
from detection.benchmark.timing import Rounds, interleave
from detection.builders import pipeline as pipelines
from detection.checkpoints import checkpoint_files
from detection.errors import ConfigError
from detection.export.saved_model import write_saved_model
from detection.export.serving import ServingInput, serving_graph

PREPROCESS, FIRST, SECOND, NETWORK, POSTPROCESS, END_TO_END = (
    "preprocess",
    "first_stage",
    "second_stage",
    "network",
    "postprocess",
    "end_to_end",
)
WITHOUT = "without_postprocess"
# Seconds per image. The time outside the network is a few milliseconds, less than the noise of rounds this long.
SLOW = 0.25
NOT_COUNTED = "resizing, crops of regions and pooling, suppression, activations, biases"
_REPEATS = 5  # calls of a short part in a round of a slow detector
_DETECTIONS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
_DEFAULTS = BenchmarkOptions()

BenchmarkRow = dict[str, Any]


def row_of_config(
    config: str | os.PathLike[str], checkpoint: str | None = None, options: BenchmarkOptions = _DEFAULTS
) -> BenchmarkRow:
    """Builds a detector from a config, exports it to a temporary folder, and measures the export.

    Args:
        config: pipeline config; the files that it names are not opened.
        checkpoint: a prefix, a file of a checkpoint, or a folder (its latest checkpoint); None for random weights.
        options: settings of the benchmark and overrides of the config.

    Raises:
        ConfigError, DataError: names the file and the field, or the flag.
    """
    options.check()
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "saved_model"
        export(os.fspath(config), checkpoint, options, exported)
        row = row_of_saved_model(exported, options)
    return of_config(row, config, checkpoint, [*options.overrides, *_proposal_settings(options)])


def of_config(
    row: BenchmarkRow, config: str | os.PathLike[str], checkpoint: str | None, settings: Sequence[str] = ()
) -> BenchmarkRow:
    """The row of an export, changed to name the config and checkpoint that it was made from."""
    return {
        **row,
        "saved_model": "",
        "config": os.fspath(config),
        "checkpoint": checkpoint,
        "overrides": list(settings),
    }


def row_of_saved_model(saved_model: str | os.PathLike[str], options: BenchmarkOptions = _DEFAULTS) -> BenchmarkRow:
    """Loads an export and measures it.

    Args:
        saved_model: folder of the export.
        options: settings of the benchmark.

    Raises:
        ConfigError: the folder is not an export, or a number is out of range.
        DataError: an image cannot be used.
    """
    options.check()
    load = machine.load()
    # The other images are loaded after memory is measured: hundreds of images should not count.
    first = inputs.images(dataclasses.replace(options, runs=1))
    machine.reset_peaks()
    before = machine.peak_host_mib()
    served = ServedGraph(saved_model)
    proposals = () if served.proposals_spec is None else _given_proposals(served.proposals_spec, options)
    batches = [(inputs.to_input(first[0], options.batch, served.input_spec), *proposals)]
    _detections(served.serve(*batches[0]))
    is_slow = _seconds(lambda: _detections(served.serve(*batches[0]))) > SLOW * options.batch
    # Measured before the parts are made: each has a copy of the weights.
    host, device, held_memory = machine.peak_host_mib(), machine.peak_device_mib(), machine.held_host_mib()
    images = inputs.images(options)
    batches = [(inputs.to_input(image, options.batch, served.input_spec), *proposals) for image in images]
    parts = _Parts(served, batches, skip_whole_network=is_slow)
    # All parts have run once; a warm-up could exceed the time limit.
    warmup = 0 if parts.few and options.max_seconds else options.warmup
    repeats = dict.fromkeys((PREPROCESS, POSTPROCESS), _REPEATS) if is_slow else {}
    rounds = _with_network(
        interleave(parts.functions(), warmup, options.runs, max_seconds=options.max_seconds, repeats=repeats)
    )
    return {
        "saved_model": os.fspath(served.folder),
        "config": None,
        "checkpoint": None,
        "overrides": [],
        **_input_fields(options, images, batches[0][0], rounds),
        "network_input": list(parts.latest[served.network_input].shape),
        "proposals_given": options.proposals if proposals else None,
        **_times(rounds, options.batch),
        "parameters": served.count_parameters(),
        **parts.count_flops(),
        "host_mib": host,
        "model_host_mib": host - before,
        "held_host_mib": held_memory,
        "device_mib": device,
        "file_mib": sum(path.stat().st_size for path in served.folder.rglob("*") if path.is_file()) / 2**20,
        "device": machine.device(),
        "cpus": os.cpu_count() or 1,
        "load_average": load,
        "tensorflow": tf.__version__,
        "precision": machine.precision(),
        "detections": float(np.mean(parts.counts)),
    }


def _given_proposals(spec: tf.TensorSpec, options: BenchmarkOptions) -> tuple[tf.Tensor]:
    return (inputs.proposals(options.proposals, options.batch, spec),)


def _input_fields(
    options: BenchmarkOptions, images: Sequence[np.ndarray], batch: tf.Tensor, rounds: Rounds
) -> dict[str, Any]:
    size = images[0].shape[:2] if options.images and not options.shorter_side else options.noise_size
    return {
        "batch": options.batch,
        "size": size[0] if size[0] == size[1] else list(size),
        "images": len(rounds.times[END_TO_END]) * options.batch,
        "distinct_images": len(images),
        "noise": not options.images,
        "warmup": rounds.warmup,
        "input": f"{batch.dtype.name} {list(batch.shape)}",
    }


def _times(rounds: Rounds, batch: int) -> dict[str, Any]:
    names = (END_TO_END, PREPROCESS, FIRST, SECOND, POSTPROCESS, NETWORK, WITHOUT)
    return {
        "milliseconds": {name: _timing(rounds, name) for name in names},
        "cpu_milliseconds": {name: float(np.mean(times)) for name, times in rounds.cpu.items()},
        "outside_network": 1 - 1 / rounds.ratio(END_TO_END, NETWORK),
        "postprocess_share": _postprocess_share(rounds),
        "images_per_second": 1e3 * batch / rounds.timing(END_TO_END).mean,
    }


class _Parts:
    """Each part of a served graph as a function without arguments, run on the latest output of the part before it.

    Only the latest values are kept: those of hundreds of images would fill the memory.
    """

    def __init__(
        self, served: ServedGraph, batches: list[tuple[tf.Tensor, ...]], skip_whole_network: bool = False
    ) -> None:
        """`few` omits `network` and `without_postprocess` for a detector with two stages."""
        self._served, self._fed = served, batches
        self._turn = dict.fromkeys((END_TO_END, PREPROCESS, WITHOUT), 0)
        self.latest: dict[str, tf.Tensor] = {}
        self.counts: list[float] = []
        self.few = skip_whole_network = skip_whole_network and bool(served.second_stage_inputs)
        self._parts = {PREPROCESS: served.preprocess(), POSTPROCESS: served.postprocess()}
        self._parts |= {} if skip_whole_network else {NETWORK: served.network()}
        self._parts |= (
            {FIRST: served.first_stage(), SECOND: served.second_stage()} if served.second_stage_inputs else {}
        )
        self._without = None if skip_whole_network else served.without_postprocess()
        # Run each once, so that its inputs exist and its graph is prepared before it is timed.
        for name in (PREPROCESS, NETWORK, FIRST, SECOND, POSTPROCESS):
            if name in self._parts:
                self._run(name)

    def functions(self) -> dict[str, Callable[[], None]]:
        """The functions by name, in the order of the data flow."""
        order = (END_TO_END, PREPROCESS, FIRST, SECOND, POSTPROCESS, NETWORK)
        parts = {name: lambda name=name: self._run(name) for name in order if name in self._parts}
        return {
            END_TO_END: self._end_to_end,
            **parts,
            **({WITHOUT: self._run_without_postprocess} if self._without else {}),
        }

    def count_flops(self) -> dict[str, Any]:
        """GFLOPs of the network for its latest batch; None if a loop over regions hides the sizes."""
        shapes = {mark: tuple(self.latest[mark].shape) for mark in self._served.network_inputs}
        try:
            return {"gflops": count_flops(self._served.network_at(shapes)) / 1e9, "not_counted": NOT_COUNTED}
        except ValueError as error:
            return {"gflops": None, "not_counted": f"anything: regions are processed in a loop ({error})"}

    def _next(self, name: str) -> tuple[tf.Tensor, ...]:
        self._turn[name] += 1
        return self._fed[(self._turn[name] - 1) % len(self._fed)]

    def _end_to_end(self) -> None:
        self.counts.append(float(_detections(self._served.serve(*self._next(END_TO_END)))["num_detections"].mean()))

    def _run_without_postprocess(self) -> None:
        self._without.run(*self._next(WITHOUT))
        machine.wait()

    def _run(self, name: str) -> None:
        part: Part = self._parts[name]
        values = self._next(name) if name == PREPROCESS else [self.latest[mark] for mark in part.takes]
        outputs = part.run(*values)
        machine.wait()
        self.latest.update(outputs)


def _detections(outputs: dict[str, tf.Tensor]) -> dict[str, np.ndarray]:
    """The outputs that a client uses, as arrays."""
    return {name: outputs[name].numpy() for name in _DETECTIONS if name in outputs}


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _with_network(rounds: Rounds) -> Rounds:
    """Adds the network's times as the sum of its stages, if it was not measured itself."""
    if NETWORK in rounds.times:
        return rounds
    return Rounds(
        *({**times, NETWORK: times[FIRST] + times[SECOND]} for times in (rounds.times, rounds.cpu)), rounds.warmup
    )


def _timing(rounds: Rounds, name: str) -> dict[str, float] | None:
    """The summary of a part. For a detector with one stage, the first stage is the network."""
    if name not in rounds.times:
        return _timing(rounds, NETWORK) if name == FIRST else None  # second_stage, without_postprocess
    timing = rounds.timing(name)._asdict()
    timing.pop("runs")
    return timing


def _postprocess_share(rounds: Rounds) -> float:
    alone = rounds.timing(POSTPROCESS).median / rounds.timing(END_TO_END).median
    if WITHOUT not in rounds.times:
        return alone
    return float(np.clip(1 - 1 / rounds.ratio(END_TO_END, WITHOUT), 0.0, alone))


def _proposal_settings(options: BenchmarkOptions) -> list[str]:
    return (
        []
        if options.max_proposals is None
        else [f"model.faster_rcnn.first_stage_max_proposals={options.max_proposals}"]
    )


def export(path: str, checkpoint: str | None, options: BenchmarkOptions, folder: Path) -> None:
    """Writes a SavedModel like the exporter, but without other files; works without a checkpoint too.

    Args:
        path: the config.
        checkpoint: as in `row_of_config`.
        options: as in `row_of_config`.
        folder: where to write it.

    Raises:
        ConfigError, DataError: as in `row_of_config`.
    """
    prefix = checkpoint_files.locate(checkpoint) if checkpoint else None
    message = configs.prepare(path, options.overrides, check_paths=False)
    if options.max_proposals is not None and message.model.WhichOneof("model") != "faster_rcnn":
        raise ConfigError(
            f"--max_proposals={options.max_proposals}: {path} has no first stage with proposals; use it with"
            " model.faster_rcnn only"
        )
    message = configs.override(message, _proposal_settings(options))
    pipeline = pipelines.build(message, read_label_maps=False, source=path)
    if pipeline.channels != 3:
        raise ConfigError(
            f"{path}: its images have {pipeline.channels} channels (num_additional_channels); images of 3 are measured"
        )
    detector = pipeline.detector(prefix, allow_unused=options.allow_unused)
    if prefix is None:
        random_weights.draw(detector)
    served = ServingInput()
    # With a fixed number of proposals, operations can be counted even if regions are processed in a loop.
    if detector.takes_proposals:
        served = ServingInput(shape=(options.batch, None, None, 3), num_proposals=options.proposals)
    frozen = serving_graph(detector, pipeline.resizer, served)
    write_saved_model(frozen, served.keys(detector), pipeline.categories, folder)
