"""Describes a built pipeline: sizes, anchors, parameters, operations, learning rates.

No data is read, and of a checkpoint only what it holds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from detection.benchmark.flops import count_flops
from detection.checkpoints import loading
from detection.errors import ConfigError, DetectionError, combined
from detection.paths import is_remote
from detection.pipeline import Detector, Pipeline
from detection.settings import TrainSettings
from detection.train import frozen
from detection.types import ImageBatch, Proposals

# Height and width of the image that is used if the resizer does not fix the size.
TYPICAL_IMAGE = (480, 640)


class Anatomy(NamedTuple):
    """Sizes and counts of a detector, for one image."""

    height: int  # of the network's input, pixels
    width: int
    fixed: bool  # every image gets this size
    maps: tuple[tuple[int, int, int], ...]  # height, width, anchors per cell of each feature map
    trained: int  # parameters that are trained
    untrained: int  # parameters that are not trained: batch norm statistics, frozen variables
    flops: int  # forward pass, twice the multiply-adds
    given: bool = False  # proposals come with the images

    @property
    def anchors(self) -> int:
        """Number of anchors."""
        return sum(height * width * each for height, width, each in self.maps)


def anatomy(pipeline: Pipeline, read_checkpoint: bool = False) -> Anatomy:
    """Builds a detector and traces it for one image.

    Args:
        pipeline: its train_config is checked too, if there is one.
        read_checkpoint: also check whether the checkpoint that training starts from fits the detector; only local ones.

    Raises:
        ConfigError: the checkpoint does not fit, or a pattern of frozen variables matches none; see `start_problems`.
        ValueError, tf.errors.OpError: from TensorFlow, if sizes do not match.
    """
    height, width = pipeline.resizer.static_shape
    fixed = height is not None and width is not None
    if not fixed:
        height, width = pipeline.resizer.shape_of(*TYPICAL_IMAGE)
    detector = pipeline.detector()
    images, shapes = tf.TensorSpec([1, height, width, pipeline.channels]), tf.TensorSpec([1, 2], tf.int32)
    batch = ImageBatch(images, shapes, _proposals(pipeline))
    traced = tf.function(detector.predict, autograph=False).get_concrete_function(batch)
    maps = [tuple(features.shape[1:3]) for features in traced.structured_outputs.feature_maps]
    anchors_per_cell = detector.anchors_per_cell
    if pipeline.train is not None:
        problems = start_problems(pipeline.train, detector, read_checkpoint)
        if problems:
            raise combined(problems)
    trained = [
        variable
        for variable in detector.trainable_variables
        if pipeline.train is None or pipeline.train.is_trained(variable.path)
    ]
    num_trained = sum(math.prod(variable.shape) for variable in trained)
    return Anatomy(
        height=int(height),
        width=int(width),
        fixed=fixed,
        # Empty for a detector without anchors.
        maps=tuple(
            (int(rows), int(columns), count) for (rows, columns), count in zip(maps, anchors_per_cell, strict=False)
        ),
        trained=num_trained,
        untrained=sum(math.prod(variable.shape) for variable in detector.variables) - num_trained,
        flops=count_flops(traced),
        given=detector.takes_proposals,
    )


def start_problems(settings: TrainSettings, detector: Detector, read_checkpoint: bool) -> list[DetectionError]:
    """Returns what prevents training from starting and shows only once the detector is built.

    These are patterns of frozen variables that match none, and a checkpoint that does not fit.

    Args:
        settings: of the training.
        detector: with its variables.
        read_checkpoint: also look at the checkpoint that training starts from; only local ones are opened.
    """
    problems: list[DetectionError] = []
    try:
        frozen.check(settings, [variable.path for variable in detector.trainable_variables])
    except ConfigError as error:
        problems.append(error)
    start = settings.fine_tune
    if read_checkpoint and start is not None and not is_remote(start.path):
        try:
            loading.check_start(detector, start)
        except DetectionError as error:
            problems.append(error)
    return problems


def _proposals(pipeline: Pipeline) -> Proposals | tuple[()]:
    """Specs of the proposals of an image, if the data contains proposals."""
    inputs = (pipeline.train_input, *pipeline.eval_inputs)
    count = max((options.max_number_of_proposals for options in inputs if options is not None), default=0)
    if not count:
        return ()
    return Proposals(tf.TensorSpec([1, count, 4]), tf.TensorSpec([1, count]), tf.TensorSpec([1], tf.int32))


def anatomy_rows(sizes: Anatomy) -> list[tuple[str, str]]:
    """Describes the sizes as (subject, sentence) rows."""
    size = f"{sizes.height} x {sizes.width} pixels"
    if not sizes.fixed:
        size = f"of varying size; {size} for an image of {TYPICAL_IMAGE[0]} x {TYPICAL_IMAGE[1]}, as assumed below"
    maps = " + ".join(f"{height}x{width}x{each}" for height, width, each in sizes.maps)
    none = f"none; {'proposals come with the images' if sizes.given else 'objects are points of a map'}"
    return [
        ("input", size),
        ("anchors", f"{sizes.anchors} = {maps}" if sizes.maps else none),
        ("parameters", f"{sizes.trained + sizes.untrained:,}, of which {sizes.trained:,} are trained"),
        ("forward pass", f"{sizes.flops / 1e9:.3f} GFLOPs (two per multiply-add), one image"),
    ]


def rate_rows(pipeline: Pipeline) -> list[tuple[str, str]]:
    """The learning rate at the first step, half way, and at the last step; empty without a train_config."""
    if pipeline.train is None:
        return []
    last = max(pipeline.train.num_steps - 1, 0)
    steps = sorted({0, last // 2, last})
    rates = [
        f"{float(pipeline.train.optimizer.schedule(tf.constant(step, tf.int64))):.3g} at step {step}" for step in steps
    ]
    return [("learning rate", ", ".join(rates))]
