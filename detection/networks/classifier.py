"""A network with the head that it had on ImageNet, so that its checkpoints can be checked: scaled images -> class
logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf


class Classifier(keras.layers.Layer):
    """The blocks of a network and its head under the network's scope.

    Args:
        scope: the network's name in checkpoints.
        network: blocks whose last output feeds the head.
        head: layers behind the network; the last one's output is the logits, float32 [B, classes] or [B, h, w,
            classes].
        auxiliary: (name of a block, layer) of the second classifier that some networks had while they were trained.
    """

    def __init__(
        self,
        scope: str,
        network: tuple[keras.layers.Layer, ...],
        head: tuple[keras.layers.Layer, ...],
        auxiliary: tuple[str, keras.layers.Layer] | None = None,
    ) -> None:
        super().__init__(name=scope, autocast=False)
        # Blocks without a scope of their own: this layer has it already.
        self.network, self.head, self.auxiliary = tuple(network), tuple(head), auxiliary[1] if auxiliary else None
        self.auxiliary_source = auxiliary[0] if auxiliary else None

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def call(self, images: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Scaled images float32 [B, H, W, 3] -> logits float32 [B, classes], and those of the auxiliary classifier, if
        there is one."""
        x, side = images, None
        for block in self.network:
            x = block(x, training=training)
            if block.name == self.auxiliary_source:
                side = _flat(self.auxiliary(x, training=training))
        for layer in self.head:
            x = layer(x, training=training)
        return _flat(x), side


class ClassifierSpec(NamedTuple):
    """A published classifier: how to make it and what its checkpoint expects."""

    make: Callable[[int, float], Classifier]  # (number of logits, depth multiplier, 1 if left out) -> a new classifier
    scale: Callable[[tf.Tensor], tf.Tensor]  # pixels 0 to 255 -> what it was trained on
    image_size: int  # side of the square images it was trained on, pixels
    num_logits: int  # of the published checkpoint
    background: bool  # logit 0 is "none of them", ImageNet's class i is logit i + 1


def _flat(logits: tf.Tensor) -> tf.Tensor:
    """Mean over the positions of a fully convolutional head: one on the image size that it was trained on."""
    return logits if logits.shape.rank == 2 else tf.reduce_mean(logits, axis=[1, 2])
