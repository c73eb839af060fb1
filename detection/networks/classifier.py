"""ImageNet classifiers: a network and its classification head, scaled images -> class logits.

Published checkpoints of the networks can be tested with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf


class Classifier(keras.layers.Layer):
    """The blocks of a network and its head, in the network's scope.

    Args:
        scope: the network's name in checkpoints.
        network: blocks of the network; the head takes the output of the last one.
        head: layers behind the network; the output of the last one is the logits, float32 [B, classes] or [B, h, w,
            classes].
        auxiliary: the auxiliary classifier with which some networks were trained: (name of the block whose output it
            takes, layer).
    """

    def __init__(
        self,
        scope: str,
        network: tuple[keras.layers.Layer, ...],
        head: tuple[keras.layers.Layer, ...],
        auxiliary: tuple[str, keras.layers.Layer] | None = None,
    ) -> None:
        super().__init__(name=scope, autocast=False)
        # Not in a `Blocks` layer, because this layer already has the network's scope.
        self.network, self.head, self.auxiliary = tuple(network), tuple(head), auxiliary[1] if auxiliary else None
        self.auxiliary_source = auxiliary[0] if auxiliary else None

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def call(self, images: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Computes class logits.

        Args:
            images: scaled images, float32 [B, H, W, 3].
            training: whether batch norm and dropout run in training mode.

        Returns:
            Logits float32 [B, classes], and those of the auxiliary classifier, or None.
        """
        x, side = images, None
        for block in self.network:
            x = block(x, training=training)
            if block.name == self.auxiliary_source:
                side = _flat(self.auxiliary(x, training=training))
        for layer in self.head:
            x = layer(x, training=training)
        return _flat(x), side


class ClassifierSpec(NamedTuple):
    """A published classifier: how to build it and what its checkpoint expects."""

    make: Callable[[int, float], Classifier]  # (number of logits, depth multiplier, by default 1) -> a new classifier
    scale: Callable[[tf.Tensor], tf.Tensor]  # pixels 0 to 255 -> the input range that it was trained with
    image_size: int  # height and width of the images that it was trained with, pixels
    num_logits: int  # of the published checkpoint
    background: bool  # whether logit 0 is a background class, so that ImageNet's class i is logit i + 1


def _flat(logits: tf.Tensor) -> tf.Tensor:
    """Averages the logits of a fully convolutional head over its cells; there is one at the training image size."""
    return logits if logits.shape.rank == 2 else tf.reduce_mean(logits, axis=[1, 2])
