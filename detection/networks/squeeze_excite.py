"""Squeeze and excitation (Hu et al. 2018, section 3): weights for every channel, computed from the whole map.

    y = x * gate(expand(f(reduce(mean of x over the map))))        f: the activation of the network

Both layers are 1x1 convolutions with bias, without batch norm.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from detection.networks.hyperparams import Hyperparams
from detection.networks.keras_layers import KerasLayer, keras_layers, layers_of
from detection.networks.layers import Conv

SLIM_NAMES = ("Conv", "Conv_1")  # names of the two convolutions in tf-slim's networks


class SqueezeExcite(keras.layers.Layer):
    """Squeeze and excitation of a map.

    Args:
        inner: channels of the squeezed map.
        hyperparams: hyperparameters of both convolutions, which have no batch norm.
        name: name of the layer.
        names: names of the two convolutions.
        gate: activation that turns the output of `expand` into weights.
    """

    def __init__(
        self,
        inner: int,
        hyperparams: Hyperparams,
        name: str = "se",
        names: tuple[str, str] = ("reduce", "expand"),
        gate: Callable[[tf.Tensor], tf.Tensor] = tf.sigmoid,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.names = names
        self.hyperparams = dataclasses.replace(hyperparams.linear(), activation=gate)
        self.reduce = Conv(names[0], inner, 1, dataclasses.replace(self.hyperparams, activation=hyperparams.activation))

    def build(self, shape: tuple[int, ...]) -> None:
        """Creates `expand`, which has as many channels as the input."""
        self.expand = Conv(self.names[1], shape[-1], 1, self.hyperparams)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> the same shape."""
        mean = tf.reduce_mean(x, axis=[1, 2], keepdims=True)
        return x * self.expand(self.reduce(mean, training=training), training=training)


@keras_layers.register
def _(layer: SqueezeExcite) -> Iterator[KerasLayer]:
    return layers_of((layer.reduce, layer.expand))
