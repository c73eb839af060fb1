"""Reproducible random weights for detectors that are timed without a checkpoint.

They must be reproducible, since the time of suppression depends on the scores and boxes. Initialisers rely on batch
normalisation to keep the scale of activations. That only works in training; with the initial moving averages, 0 and 1,
signals vanish from layer to layer until all scores are equal. Suppression then has only ties, and its time is not that
of a trained detector. So each kernel is drawn and divided by the standard deviation of its layer's output for noise
(layer-sequential unit-variance initialisation, Mishkin and Matas 2016): scores and boxes vary and are finite.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

import tensorflow as tf

from detection.meta_architectures.faster_rcnn import CropRegions
from detection.meta_architectures.rfcn import PositionSensitiveRegions
from detection.networks.dense import Dense
from detection.networks.layers import Convolution, every_layer
from detection.pipeline import Detector
from detection.types import ImageBatch, Proposals

_SIZE = 128  # side of the noise, pixels; the kernels depend little on it, but the time does
# Regions that a second stage processes here, whatever its number of proposals: hundreds would take most of the time of
# an export.
_REGIONS = 16


def draw(detector: Detector, seed: int = 0) -> None:
    """Draws new kernels for a built detector, in place; biases and moving averages are not changed."""
    images = tf.random.stateless_uniform([1, _SIZE, _SIZE, 3], (seed, 0), maxval=255.0)
    shapes = tf.constant([[_SIZE, _SIZE]])
    batch = ImageBatch(images, shapes, _regions(seed)) if detector.takes_proposals else ImageBatch(images, shapes)
    with _drawing_kernels(detector, seed):
        detector.predict(batch, training=False)


def _regions(seed: int) -> Proposals:
    corners = tf.random.stateless_uniform([1, _REGIONS, 2], (seed, 1), maxval=_SIZE / 2.0)
    return Proposals(
        tf.concat([corners, corners + _SIZE / 2.0], axis=-1), tf.ones([1, _REGIONS]), tf.fill([1], _REGIONS)
    )


@contextlib.contextmanager
def _drawing_kernels(detector: Detector, seed: int) -> Iterator[None]:
    """A context in which each layer with kernels draws and scales them when it is called."""
    every = every_layer(detector)
    layers = [layer for layer in every if isinstance(layer, Convolution | Dense)]
    slots = [layer for layer in every if isinstance(layer, CropRegions | PositionSensitiveRegions)]
    for slot in slots:
        slot.run = functools.partial(_on_first_regions, slot.run)
    for number, layer in enumerate(layers):
        layer.call = functools.partial(_draw_and_scale, layer, layer.call, (seed, 2 + number))
    try:
        yield
    finally:
        for layer in layers:
            del layer.call
        for slot in slots:
            del slot.run


def _on_first_regions(
    run: Callable[..., tuple[tf.Tensor, ...]], features: tf.Tensor, boxes: tf.Tensor, image_shape: tuple, training: bool
) -> tuple[tf.Tensor, ...]:
    """Runs the second stage on the first `_REGIONS` regions, with zeros for the rest."""
    results = run(features, boxes[:, :_REGIONS], image_shape, training)
    missing = [tf.shape(boxes)[1] - tf.shape(values)[1] for values in results]
    return tuple(
        tf.pad(values, [[0, 0], [0, num_missing], *[[0, 0]] * (values.shape.rank - 2)])
        for values, num_missing in zip(results, missing, strict=True)
    )


def _draw_and_scale(
    layer: Convolution | Dense,
    call: Callable[..., tf.Tensor],
    seed: tuple[int, int],
    x: tf.Tensor,
    training: bool = False,
) -> tf.Tensor:
    for kernel in layer.kernels:
        kernel.assign(tf.random.stateless_normal(kernel.shape, seed))
    spread = float(tf.math.reduce_std(call(x, training=training)))
    if spread > 0.0:  # 0 if the layer's output is constant
        layer.kernel.assign(layer.kernel / spread)
    return call(x, training=training)
