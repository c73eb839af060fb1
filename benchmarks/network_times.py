"""How fast networks and feature extractors run here, against this machine's matrix product and against other people's
networks.

Three kinds of rows:

    forward     a network without its ImageNet head, or an extractor, on one image size: as trained (tf.function over
                the layers) and as served (batch
                norm folded, variables frozen); a network also against the same one from elsewhere, frozen and folded
                    (`reference_networks`)
    tail        the second half of a two-stage extractor on a number of crops
    train step  forward, backward and SGD with momentum, against the model of keras.applications on the same images with
        the same loss

Everything in a row is timed in turn, the matrix product too, and ratios are taken within a turn (`timing`): a machine
that others use as well slows all of them. The matrix product says what the processor gives at that moment; a share of
it is comparable between moments and machines.
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
from detection.feature_extractors.catalogue import SSD_EXTRACTORS, TWO_STAGE_EXTRACTORS
from detection.feature_extractors.ssd_maps import SsdExtractorOptions
from detection.feature_extractors.two_stage import TwoStageExtractorOptions
from detection.networks.blocks import Blocks
from detection.networks.catalogue import CLASSIFIERS
from detection.networks.hyperparams import BatchNormSettings, Hyperparams
from detection.progress import Progress

PEAK_SIDE = 2048  # of the square matrices: large enough that nothing but arithmetic counts
PEAK_FLOPS = 2 * PEAK_SIDE**3
CROP = 7  # side of the crops that a tail takes, where it leaves it open
CROPS = {"faster_rcnn_inception_resnet_v2": 17}  # where the reference's configs have another
PEAK, PLAIN, SERVED, REFERENCE = "peak", "plain", "served", "reference"
OURS, THEIRS = "ours", "theirs"
_MOMENTUM, _RATE = 0.9, 1e-6  # so small that the losses of a benchmark stay finite; the work is the same
# Of the layers behind a network, as in the reference's configs.
_EXTRA = Hyperparams(
    keras.initializers.TruncatedNormal(stddev=0.03), activation=tf.nn.relu6, batch_norm=BatchNormSettings(scale=True)
)


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """What is measured, and how often."""

    names: tuple[str, ...] = ()  # networks and types of extractors; none: all
    sizes: tuple[int, ...] = (300, 600)  # sides of the square images, pixels
    batch: int = 1
    runs: int = 20
    warmup: int = 3
    baseline: bool = False  # time the networks of others too
    train: bool = False  # time train steps too, at the first of the sizes
    train_batch: int = 4
    crops: int = 100  # for tails


class Subject(NamedTuple):
    """What is run: a layer that holds all weights, and a function over it that takes scaled images (or crops)."""

    layer: keras.layers.Layer
    forward: Callable[[tf.Tensor], Sequence[tf.Tensor]]


class Forward(NamedTuple):
    """One network or extractor on one input. Times are of the whole batch."""

    name: str
    part: str  # network, ssd, body, tail
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
    """A row to be."""

    name: str
    part: str  # network, ssd, body, tail, train
    size: int  # of the image; 0 for a tail


def tasks(options: NetworkOptions) -> list[Task]:
    """Everything that is to be measured, in order.

    Raises:
        ConfigError: a name that is neither a network nor a type, with those that are.
    """
    extractors = {**_distinct(SSD_EXTRACTORS), **_distinct(TWO_STAGE_EXTRACTORS)}
    known = [*CLASSIFIERS, *extractors]
    for name in options.names:
        if name not in {*known, *SSD_EXTRACTORS, *TWO_STAGE_EXTRACTORS}:
            raise ConfigError(f"--networks={name}: not known; use any of {', '.join(known)}")
    names, planned = options.names or known, []
    for name in names:
        part = "network" if name in CLASSIFIERS else "ssd" if name in SSD_EXTRACTORS else "body"
        planned += [Task(name, part, size) for size in options.sizes]
        planned += [Task(name, "tail", 0)] if part == "body" else []
    if options.train:
        planned += [Task(name, "train", options.sizes[0]) for name in names if reference_networks.is_trainable(name)]
    return planned


def measure(options: NetworkOptions, stream: TextIO | None = None) -> Iterator[Forward | TrainStep]:
    """Rows, as they are measured; `stream` sees how far it is.

    Raises:
        ConfigError: see `tasks`; or tf_slim is needed and not installed.
    """
    planned = tasks(options)
    if options.baseline:
        reference_networks.check_available(task.name for task in planned)
    with Progress(len(planned), "row", label="measuring", stream=stream) as progress:
        for task in planned:
            progress.write(f"{task.name} {task.part} {task.size or ''}".rstrip())
            yield _train_step(task, options) if task.part == "train" else _forward(task, options)
            keras.backend.clear_session()
            gc.collect()  # Graphs hold each other, and some of them half a gigabyte of constants.
            progress.update()


def _distinct(registry: dict[str, Callable]) -> dict[str, Callable]:
    """Without aliases: `..._keras` takes the same time."""
    return {
        name: factory
        for name, factory in registry.items()
        if name.removesuffix("_keras") == name or name.removesuffix("_keras") not in registry
    }


def _network(name: str) -> Subject:
    """Up to the last map, where the references end too."""
    made = CLASSIFIERS[name].make(1000)
    blocks = Blocks(made.name, made.network)
    last = blocks.blocks[-1].name
    return Subject(blocks, lambda images: [blocks(images, endpoints=(last,))[last]])


def _subject(task: Task, options: NetworkOptions) -> tuple[Subject, tuple[int, ...]]:
    """What the task is about, and the shape of what it takes."""
    images = (options.batch, task.size, task.size, 3)
    if task.part == "network":
        return _network(task.name), images
    if task.part == "ssd":
        layer = SSD_EXTRACTORS[task.name](SsdExtractorOptions(_EXTRA))
        return Subject(layer, layer), images
    extractor = TWO_STAGE_EXTRACTORS[task.name](TwoStageExtractorOptions())
    if task.part == "body":  # without what it carries for the sake of checkpoints
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
    measured = Forward(
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
        return measured
    return measured._replace(
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
    """Mean square of the features as loss, its gradient, SGD with momentum: float32 [B, H, W, 3] -> loss."""
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
    """As export does it."""

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
    """One call, to its end: accelerators return before they are done."""
    wait = tf.test.experimental.sync_devices if tf.config.list_physical_devices("GPU") else (lambda: None)

    def run() -> None:
        function(inputs)
        wait()

    return run
