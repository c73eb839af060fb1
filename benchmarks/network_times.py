"""Speed of networks and feature extractors, compared with this machine's matrix product and with reference networks.

Three kinds of rows:

    forward     a network without its ImageNet head, or an extractor, on one image size: as trained (tf.function over
                the layers) and as served (batch norm folded, variables frozen); a network also against the same
                network from another library, frozen and folded (`reference_networks`)
    tail        the second half of a two-stage extractor on a number of crops
    train step  forward, backward and SGD with momentum, against the model of keras.applications on the same images with
        the same loss

All functions of a row are timed in interleaved rounds, the matrix product too, and ratios are computed within rounds
(`timing`), because other load on the machine affects all of them. The matrix product measures the processor's speed at
that moment; a fraction of it is comparable between moments and machines.
"""

from __future__ import annotations

import dataclasses
import gc
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TextIO

import keras
import tensorflow as tf

from benchmarks import reference_networks
from detection.benchmark.flops import count_flops
from detection.benchmark.timing import Timing, interleave
from detection.errors import ConfigError
from detection.export.fold import folded
from detection.export.freeze import FrozenGraph, freeze
from detection.feature_extractors.catalogue import CENTER_EXTRACTORS, SSD_EXTRACTORS, TWO_STAGE_EXTRACTORS
from detection.feature_extractors.center_maps import CenterExtractorOptions
from detection.feature_extractors.ssd_maps import SsdExtractorOptions, pad_to_multiple
from detection.feature_extractors.two_stage import TwoStageExtractorOptions
from detection.networks.blocks import Blocks
from detection.networks.catalogue import CLASSIFIERS
from detection.networks.hyperparams import BatchNormSettings, Hyperparams
from detection.progress import Progress

PEAK_SIDE = 2048  # of the square matrices: large enough that only arithmetic counts
PEAK_FLOPS = 2 * PEAK_SIDE**3
CROP = 7  # side of the crops for a tail that does not fix it
CROPS = {"faster_rcnn_inception_resnet_v2": 17}  # other crop sizes in the reference's configs
PEAK, PLAIN, SERVED, REFERENCE = "peak", "plain", "served", "reference"
OURS, THEIRS = "ours", "theirs"
CENTER_NET = "center_net_"  # in front of CenterNet's types: some have the name of a network
_MOMENTUM, _RATE = 0.9, 1e-6  # so small that the losses of a benchmark stay finite; the work is the same
# Of the layers after a network, as in the reference's configs.
_EXTRA = Hyperparams(
    keras.initializers.TruncatedNormal(stddev=0.03), activation=tf.nn.relu6, batch_norm=BatchNormSettings(scale=True)
)


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """What to measure, and how often."""

    names: tuple[str, ...] = ()  # networks and types of extractors; empty: all
    sizes: tuple[int, ...] = (300, 600)  # sides of the square images, pixels
    batch: int = 1
    runs: int = 20
    warmup: int = 3
    baseline: bool = False  # also time the reference networks
    train: bool = False  # also time train steps, at the first of the sizes
    train_batch: int = 4
    crops: int = 100  # for tails


class Subject(NamedTuple):
    """What to run: a layer that has all weights, and a function of it that takes scaled images (or crops)."""

    layer: keras.layers.Layer
    forward: Callable[[tf.Tensor], Sequence[tf.Tensor]]


class Forward(NamedTuple):
    """One network or extractor on one input. Times are of the whole batch."""

    name: str
    part: str  # network, ssd, center, body, tail
    shape: tuple[int, ...]  # of the input
    parameters: int  # numbers in its variables, batch norm's statistics among them
    gflops: float  # of the whole batch
    peak: Timing  # of the matrix product, in the same rounds
    plain: Timing
    served: Timing
    peak_share: float  # of the matrix product's speed that the served form reaches
    reference: Timing | None = None
    origin: str = ""  # of the reference
    speed: float | None = None  # of the served form, that of the reference being 1


class TrainStep(NamedTuple):
    """One network's train step, forward and backward."""

    name: str
    shape: tuple[int, ...]
    gflops: float  # of the forward pass, whole batch
    their_gflops: float
    ours: Timing
    theirs: Timing
    speed: float  # of ours, theirs being 1


class Task(NamedTuple):
    """A row to measure."""

    name: str
    part: str  # network, ssd, center, body, tail, train
    size: int  # of the image; 0 for a tail


def tasks(options: NetworkOptions) -> list[Task]:
    """All rows to measure, in order.

    Raises:
        ConfigError: a name is neither a network nor a type of extractor; lists the valid names.
    """
    extractors = {**_distinct(SSD_EXTRACTORS), **_distinct(TWO_STAGE_EXTRACTORS)}
    known = [*CLASSIFIERS, *extractors, *(f"{CENTER_NET}{name}" for name in CENTER_EXTRACTORS)]
    for name in options.names:
        if name not in {*known, *SSD_EXTRACTORS, *TWO_STAGE_EXTRACTORS}:
            raise ConfigError(f"--networks={name}: unknown; use any of {', '.join(known)}")
    names, planned = options.names or known, []
    for name in names:
        part = _part(name)
        planned += [Task(name, part, size) for size in options.sizes]
        planned += [Task(name, "tail", 0)] if part == "body" else []
    if options.train:
        planned += [Task(name, "train", options.sizes[0]) for name in names if reference_networks.is_trainable(name)]
    return planned


def _part(name: str) -> str:
    if name in CLASSIFIERS:
        return "network"
    if name.startswith(CENTER_NET):
        return "center"
    return "ssd" if name in SSD_EXTRACTORS else "body"


def measure(options: NetworkOptions, stream: TextIO | None = None) -> Iterator[Forward | TrainStep]:
    """Measures and yields the rows.

    Args:
        options: what to measure.
        stream: receives progress lines.

    Raises:
        ConfigError: as in `tasks`, or tf_slim is needed and not installed.
    """
    planned = tasks(options)
    if options.baseline:
        reference_networks.check_available(task.name for task in planned)
    with Progress(len(planned), "row", label="measuring", stream=stream) as progress:
        for task in planned:
            progress.write(f"{task.name} {task.part} {task.size or ''}".rstrip())
            yield _train_step(task, options) if task.part == "train" else _forward(task, options)
            keras.backend.clear_session()
            gc.collect()  # Graphs refer to each other, and some have half a gigabyte of constants.
            progress.update()


def _distinct(registry: dict[str, Callable]) -> dict[str, Callable]:
    """The registry without the `..._keras` types, which take the same time."""
    return {
        name: factory
        for name, factory in registry.items()
        if name.removesuffix("_keras") == name or name.removesuffix("_keras") not in registry
    }


def _network(name: str) -> Subject:
    """A network up to its last map, where the reference networks end too."""
    network = CLASSIFIERS[name].make(1000)
    blocks = Blocks(network.name, network.network)
    last = blocks.blocks[-1].name
    return Subject(blocks, lambda images: [blocks(images, endpoints=(last,))[last]])


def _subject(task: Task, options: NetworkOptions) -> tuple[Subject, tuple[int, ...]]:
    """The subject of a task and the shape of its input."""
    images = (options.batch, task.size, task.size, 3)
    if task.part == "network":
        return _network(task.name), images
    if task.part == "ssd":
        layer = SSD_EXTRACTORS[task.name](SsdExtractorOptions(_EXTRA))
        return Subject(layer, layer), images
    if task.part == "center":  # of images as the detector pads them
        center = CENTER_EXTRACTORS[task.name.removeprefix(CENTER_NET)](CenterExtractorOptions())
        return Subject(center, lambda pixels: center(pad_to_multiple(pixels, center.multiple))), images
    extractor = TWO_STAGE_EXTRACTORS[task.name](TwoStageExtractorOptions())
    if task.part == "body":  # without the layers that exist only for checkpoints
        return Subject(extractor.body.network, lambda images: [extractor.body(images)]), images
    channels = extractor.body(tf.zeros([1, 64, 64, 3])).shape[-1]
    side = extractor.crop_size or CROPS.get(task.name.removesuffix("_keras"), CROP)
    return Subject(extractor.tail.network, lambda crops: [extractor.tail(crops)]), (options.crops, side, side, channels)


def _forward(task: Task, options: NetworkOptions) -> Forward:
    subject, shape = _subject(task, options)
    inputs = tf.random.stateless_uniform(shape, [1, 2], -1.0, 1.0)
    subject.forward(inputs[:1])
    plain = tf.function(lambda images: subject.forward(images), autograph=False).get_concrete_function(
        tf.TensorSpec(shape)
    )
    functions = {
        PEAK: _matrix_product(),
        PLAIN: _timed(plain, inputs),
        SERVED: _timed(_load(_serve(subject, shape)), inputs),
    }
    reference = reference_networks.frozen(task.name, shape) if options.baseline and task.part == "network" else None
    if reference is not None:
        functions[REFERENCE] = _timed(_load(reference.frozen), inputs)
    rounds = interleave(functions, options.warmup, options.runs)
    operations = count_flops(plain)
    row = Forward(
        name=task.name,
        part=task.part,
        shape=shape,
        parameters=sum(math.prod(variable.shape) for variable in subject.layer.variables),
        gflops=operations / 1e9,
        peak=rounds.timing(PEAK),
        plain=rounds.timing(PLAIN),
        served=rounds.timing(SERVED),
        peak_share=rounds.ratio(PEAK, SERVED) * operations / PEAK_FLOPS,
    )
    if reference is None:
        return row
    return row._replace(
        reference=rounds.timing(REFERENCE), origin=reference.origin, speed=rounds.ratio(REFERENCE, SERVED)
    )


def _train_step(task: Task, options: NetworkOptions) -> TrainStep:
    shape = (options.train_batch, task.size, task.size, 3)
    images = tf.random.stateless_uniform(shape, [1, 2], -1.0, 1.0)
    ours, theirs = _network(task.name), reference_networks.keras_model(task.name, shape)
    blocks = ours.layer
    ours.forward(images[:1])
    last = blocks.blocks[-1].name
    steps = {
        OURS: _momentum_step(lambda x: blocks(x, endpoints=(last,), training=True)[last], blocks.trainable_variables),
        THEIRS: _momentum_step(lambda x: theirs(x, training=True), theirs.trainable_variables),
    }
    rounds = interleave({name: _timed(step, images) for name, step in steps.items()}, options.warmup, options.runs)
    passes = [
        tf.function(forward, autograph=False)
        for forward in (lambda x: ours.forward(x), lambda x: theirs(x, training=False))
    ]
    gflops = [count_flops(function.get_concrete_function(tf.TensorSpec(shape))) / 1e9 for function in passes]
    return TrainStep(task.name, shape, *gflops, rounds.timing(OURS), rounds.timing(THEIRS), rounds.ratio(THEIRS, OURS))


def _momentum_step(
    forward: Callable[[tf.Tensor], tf.Tensor], variables: Sequence[keras.Variable]
) -> Callable[[tf.Tensor], tf.Tensor]:
    """A train step float32 [B, H, W, 3] -> loss: mean square of the features, gradient, SGD with momentum."""
    weights = [variable.value for variable in variables]
    slots = [tf.Variable(tf.zeros_like(weight), trainable=False) for weight in weights]

    def step(images: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(forward(images)))
        for weight, slot, gradient in zip(weights, slots, tape.gradient(loss, weights), strict=True):
            tf.raw_ops.ResourceApplyMomentum(
                var=weight.handle, accum=slot.handle, lr=_RATE, grad=gradient, momentum=_MOMENTUM
            )
        return loss

    return tf.function(step, autograph=False)


def _serve(subject: Subject, shape: tuple[int, ...]) -> FrozenGraph:
    """Folds batch norm and freezes the graph, as the exporter does."""

    def run(images: tf.Tensor) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        return {f"map_{number}": features for number, features in enumerate(subject.forward(images))}, {}

    with folded(subject.layer):
        return freeze(tf.function(run, autograph=False).get_concrete_function(tf.TensorSpec(shape)))


def _load(frozen: FrozenGraph) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(frozen.graph, name=""), [])
    tensor = imported.graph.get_tensor_by_name
    return imported.prune([tensor(frozen.input)], [tensor(f"{name}:0") for name in frozen.outputs])


def _matrix_product() -> Callable[[], object]:
    left, right = (tf.random.stateless_normal([PEAK_SIDE, PEAK_SIDE], [seed, 0]) for seed in (1, 2))
    return _timed(tf.function(lambda x: tf.linalg.matmul(x, right), autograph=False), left)


def _timed(function: Callable[[tf.Tensor], object], inputs: tf.Tensor) -> Callable[[], object]:
    """A function that calls `function` and waits for accelerators, which return before the work is done."""
    wait = tf.test.experimental.sync_devices if tf.config.list_physical_devices("GPU") else (lambda: None)

    def run() -> None:
        function(inputs)
        wait()

    return run
