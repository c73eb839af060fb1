"""Weights for detectors that are timed without a checkpoint: the same each time, since what is suppressed, and so how
fast, depends on them.

Initialisers rely on batch normalisation to keep what passes through at one scale. It does so in training alone; with
its first moving averages, 0 and 1, signals die out from layer to layer, until every score is the same number.
Suppression then meets nothing but ties, and what it costs is not what it costs any detector that has learnt. So each
kernel is drawn, and divided by the spread of what its layer gives for noise (layer-sequential unit-variance
initialisation, Mishkin and Matas 2016): scores differ, boxes stray, all of them finite.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

import tensorflow as tf

from detection.meta_architectures.faster_rcnn import CropRegions
from detection.meta_architectures.rfcn import PositionSensitiveRegions
from detection.networks.layers import Convolution, Dense, every_layer
from detection.pipeline import Detector
from detection.types import ImageBatch, Proposals

_SIZE = 128  # pixels of the noise; kernels depend on it little, and the time that this takes much
# that a second stage sees meanwhile, however many it will be given: hundreds would take most of an export's time
_REGIONS = 16


def draw(detector: Detector, seed: int = 0) -> None:
    """Gives a built detector new kernels, in place; biases and moving averages stay as they are."""
    images = tf.random.stateless_uniform([1, _SIZE, _SIZE, 3], (seed, 0), maxval=255.0)
    shapes = tf.constant([[_SIZE, _SIZE]])
    batch = ImageBatch(images, shapes, _regions(seed)) if detector.takes_proposals else ImageBatch(images, shapes)
    with _drawing(detector, seed):
        detector.predict(batch, training=False)


def _regions(seed: int) -> Proposals:
    corners = tf.random.stateless_uniform([1, _REGIONS, 2], (seed, 1), maxval=_SIZE / 2.0)
    return Proposals(
        tf.concat([corners, corners + _SIZE / 2.0], axis=-1), tf.ones([1, _REGIONS]), tf.fill([1], _REGIONS)
    )


@contextlib.contextmanager
def _drawing(detector: Detector, seed: int) -> Iterator[None]:
    """While it lasts, each layer with kernels draws and scales them when it is called."""
    every = every_layer(detector)
    layers = [layer for layer in every if isinstance(layer, Convolution | Dense)]
    slots = [layer for layer in every if isinstance(layer, CropRegions | PositionSensitiveRegions)]
    for slot in slots:
        slot.run = functools.partial(_of_a_few, slot.run)
    for number, layer in enumerate(layers):
        layer.call = functools.partial(_drawn, layer, layer.call, (seed, 2 + number))
    try:
        yield
    finally:
        for layer in layers:
            del layer.call
        for slot in slots:
            del slot.run


def _of_a_few(
    run: Callable[..., tuple[tf.Tensor, ...]], features: tf.Tensor, boxes: tf.Tensor, image_shape: tuple, training: bool
) -> tuple[tf.Tensor, ...]:
    """The second stage on the first regions, with zeros for the rest."""
    found = run(features, boxes[:, :_REGIONS], image_shape, training)
    missing = [tf.shape(boxes)[1] - tf.shape(values)[1] for values in found]
    return tuple(
        tf.pad(values, [[0, 0], [0, rest], *[[0, 0]] * (values.shape.rank - 2)])
        for values, rest in zip(found, missing, strict=True)
    )


def _drawn(
    layer: Convolution | Dense,
    call: Callable[..., tf.Tensor],
    seed: tuple[int, int],
    x: tf.Tensor,
    training: bool = False,
) -> tf.Tensor:
    for kernel in layer.kernels:
        kernel.assign(tf.random.stateless_normal(kernel.shape, seed))
    spread = float(tf.math.reduce_std(call(x, training=training)))
    if spread > 0.0:  # 0 where a layer has not seen anything but constants
        layer.kernel.assign(layer.kernel / spread)
    return call(x, training=training)
