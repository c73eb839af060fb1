"""What a detector costs, as one row: times of its parts, memory, operations, and on what it was measured.

    row = row_of_saved_model("exported", Options(shorter_side=300, runs=500))
    row = row_of_config("my.config", None, Options(shorter_side=300, max_proposals=50))       random weights; built and
        served, not trained

A row is a dict as `detection benchmark --json` writes it. Milliseconds are those of a batch, wall clock:

    preprocess     decoding and resizing
    first_stage    the network; of two stages, the part up to and including the proposals
    second_stage   from cropping regions on; None where there is one stage
    network        both stages
    postprocess    decoding, suppression, and what else the outputs take
    end_to_end     the call as a client makes it, outputs fetched
    without_postprocess   the same graph up to raw predictions, in one call

Each part is measured by itself, so they need not add up to the whole. Two shares of the whole come from rounds in which
both sides were measured: `outside_network` is what the network does not explain, `postprocess_share` what would go if
the graph ended before postprocessing; it is taken to lie between nothing and what postprocessing takes when it is
called alone. Of a slow detector with two stages the noise of a round exceeds both, while two more copies of its graph
take longer to prepare than all rounds: there the network is its stages one after the other, and the share is that of
postprocessing called alone. In the rounds of any slow detector, which are few, preprocessing and postprocessing are
called several times, and the median of those counts.
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
# seconds an image; what lies outside the network takes a few milliseconds, which rounds of this length differ by
SLOW = 0.25
NOT_COUNTED = "resizing, crops of regions and pooling, suppression, activations, biases"
_REPEATS = 5  # in a round of a slow detector, of what takes a hundredth of it
_DETECTIONS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
_DEFAULTS = BenchmarkOptions()

BenchmarkRow = dict[str, Any]


def row_of_config(
    config: str | os.PathLike[str], checkpoint: str | None = None, options: BenchmarkOptions = _DEFAULTS
) -> BenchmarkRow:
    """Builds a detector as a config describes it, exports it to a folder that is gone afterwards, and measures that.

    Args:
        config: pipeline config; the files that it names are not opened.
        checkpoint: a prefix, a file of a checkpoint, or a folder (its latest); None leaves the weights as they are
            made, at random.
        options: what is run, and what of the config is overridden.

    Raises:
        ConfigError, DataError: naming file and field, or flag.
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
    """The row of an export, as that of the config which it was made of."""
    return {
        **row,
        "saved_model": "",
        "config": os.fspath(config),
        "checkpoint": checkpoint,
        "overrides": list(settings),
    }


def row_of_saved_model(saved_model: str | os.PathLike[str], options: BenchmarkOptions = _DEFAULTS) -> BenchmarkRow:
    """Loads an export and measures it.

    Raises:
        ConfigError: the folder is no export, or a number makes no sense.
        DataError: naming an image that cannot be used.
    """
    options.check()
    load = machine.load()
    # Others come once memory is known: hundreds of photographs are no part of it.
    first = inputs.images(dataclasses.replace(options, runs=1))
    machine.forget_peaks()
    before = machine.peak_host_mib()
    served = ServedGraph(saved_model)
    given = () if served.proposals_spec is None else _given_proposals(served.proposals_spec, options)
    fed = [(inputs.to_input(first[0], options.batch, served.input_spec), *given)]
    _detections(served.serve(*fed[0]))
    is_slow = _seconds(lambda: _detections(served.serve(*fed[0]))) > SLOW * options.batch
    # Before the parts are cut out: each brings a copy of the weights.
    host, device, held = machine.peak_host_mib(), machine.peak_device_mib(), machine.held_host_mib()
    images = inputs.images(options)
    fed = [(inputs.to_input(image, options.batch, served.input_spec), *given) for image in images]
    parts = _Parts(served, fed, few=is_slow)
    # All has run once; once more may take longer than was asked for.
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
        **_what_was_fed(options, images, fed[0][0], rounds),
        "network_input": list(parts.latest[served.network_input].shape),
        "proposals_given": options.proposals if given else None,
        **_times(rounds, options.batch),
        "parameters": served.count_parameters(),
        **parts.count_flops(),
        "host_mib": host,
        "model_host_mib": host - before,
        "held_host_mib": held,
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


def _what_was_fed(
    options: BenchmarkOptions, images: Sequence[np.ndarray], fed: tf.Tensor, rounds: Rounds
) -> dict[str, Any]:
    size = images[0].shape[:2] if options.images and not options.shorter_side else options.noise_size
    return {
        "batch": options.batch,
        "size": size[0] if size[0] == size[1] else list(size),
        "images": len(rounds.times[END_TO_END]) * options.batch,
        "distinct_images": len(images),
        "noise": not options.images,
        "warmup": rounds.warmup,
        "input": f"{fed.dtype.name} {list(fed.shape)}",
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
    """Each part of a served graph as a function without arguments, run on what the part before it made last.

    One image after the other goes through all of them, and nothing but the latest values is kept: those of hundreds of
    images would fill the memory.
    """

    def __init__(self, served: ServedGraph, fed: list[tuple[tf.Tensor, ...]], few: bool = False) -> None:
        """Args: few: where there are two stages, do without `network` and `without_postprocess`."""
        self._served, self._fed = served, fed
        self._turn = dict.fromkeys((END_TO_END, PREPROCESS, WITHOUT), 0)
        self.latest: dict[str, tf.Tensor] = {}
        self.counts: list[float] = []
        self.few = few = few and bool(served.border)
        self._parts = {PREPROCESS: served.preprocess(), POSTPROCESS: served.postprocess()}
        self._parts |= {} if few else {NETWORK: served.network()}
        self._parts |= {FIRST: served.first_stage(), SECOND: served.second_stage()} if served.border else {}
        self._without = None if few else served.without_postprocess()
        for name in (
            PREPROCESS,
            NETWORK,
            FIRST,
            SECOND,
            POSTPROCESS,
        ):  # Whoever runs first finds something there, and has prepared its graph.
            if name in self._parts:
                self._run(name)

    def functions(self) -> dict[str, Callable[[], None]]:
        """In the order in which a client's image meets them."""
        order = (END_TO_END, PREPROCESS, FIRST, SECOND, POSTPROCESS, NETWORK)
        parts = {name: lambda name=name: self._run(name) for name in order if name in self._parts}
        return {END_TO_END: self._end_to_end, **parts, **({WITHOUT: self._until_postprocess} if self._without else {})}

    def count_flops(self) -> dict[str, Any]:
        """Of the network, for the batch and the sizes that it last saw; None where a loop over regions hides what they
        are.
        """
        shapes = {mark: tuple(self.latest[mark].shape) for mark in self._served.network_inputs}
        try:
            return {"gflops": count_flops(self._served.network_at(shapes)) / 1e9, "not_counted": NOT_COUNTED}
        except ValueError as error:
            return {"gflops": None, "not_counted": f"anything: regions take turns in a loop ({error})"}

    def _next(self, name: str) -> tuple[tf.Tensor, ...]:
        self._turn[name] += 1
        return self._fed[(self._turn[name] - 1) % len(self._fed)]

    def _end_to_end(self) -> None:
        self.counts.append(float(_detections(self._served.serve(*self._next(END_TO_END)))["num_detections"].mean()))

    def _until_postprocess(self) -> None:
        self._without.run(*self._next(WITHOUT))
        machine.wait()

    def _run(self, name: str) -> None:
        part: Part = self._parts[name]
        values = self._next(name) if name == PREPROCESS else [self.latest[mark] for mark in part.takes]
        made = part.run(*values)
        machine.wait()
        self.latest.update(made)


def _detections(outputs: dict[str, tf.Tensor]) -> dict[str, np.ndarray]:
    """What a client looks at, where it can look at it."""
    return {name: outputs[name].numpy() for name in _DETECTIONS if name in outputs}


def _seconds(function: Callable[[], object]) -> float:
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def _with_network(rounds: Rounds) -> Rounds:
    """Rounds in which the network was not called as one: its stages, added up."""
    if NETWORK in rounds.times:
        return rounds
    return Rounds(
        *({**times, NETWORK: times[FIRST] + times[SECOND]} for times in (rounds.times, rounds.cpu)), rounds.warmup
    )


def _timing(rounds: Rounds, name: str) -> dict[str, float] | None:
    """The first stage of one is the network."""
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
    """A SavedModel as the exporter writes it, but nothing beside it, and also without a checkpoint.

    Arguments and errors as of `row_of_config`.
    """
    prefix = checkpoint_files.locate(checkpoint) if checkpoint else None
    message = configs.prepare(path, options.overrides, check_paths=False)
    if options.max_proposals is not None and message.model.WhichOneof("model") != "faster_rcnn":
        raise ConfigError(
            f"--max_proposals={options.max_proposals}: {path} has no first stage that proposes; give it for"
            " model.faster_rcnn alone"
        )
    message = configs.override(message, _proposal_settings(options))
    pipeline = pipelines.build(message, read_label_maps=False, source=path)
    detector = pipeline.detector(prefix, allow_unused=options.allow_unused)
    if prefix is None:
        random_weights.draw(detector)
    served = ServingInput()
    # Of known number, so that operations can be counted also where regions take turns.
    if detector.takes_proposals:
        served = ServingInput(shape=(options.batch, None, None, 3), num_proposals=options.proposals)
    frozen = serving_graph(detector, pipeline.resizer, served)
    write_saved_model(frozen, served.keys(detector), pipeline.categories, folder)
