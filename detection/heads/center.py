"""The head of CenterNet (Zhou et al. 2019, section 5).

A few convolutions with ReLU and a linear 1x1 convolution on each map of the extractor; heat maps, sizes and offsets
have one such head each.
"""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from detection.networks.blocks import Chain
from detection.networks.hyperparams import keras_defaults
from detection.networks.keras_layers import numbered
from detection.networks.layers import Conv, SeparableConv


@dataclasses.dataclass(frozen=True)
class CenterHeadOptions:
    """Options of one head."""

    depths: tuple[int, ...] = (256,)  # channels of the convolutions before the last
    kernels: tuple[int, ...] = (3,)  # their kernel sizes
    separable: bool = False  # whether they are depthwise separable
    bias: float = 0.0  # initial bias of the last convolution


class CenterHead(keras.layers.Layer):
    """Predicts one quantity (heat maps, sizes or offsets) for every cell.

    Args:
        name: name of the head in checkpoints.
        key: name of the head in object-based checkpoints.
        channels: channels of the prediction.
        num_outputs: number of maps of the extractor; each has its own convolutions.
        options: depths, kernel sizes and initial bias.
    """

    def __init__(self, name: str, key: str, channels: int, num_outputs: int, options: CenterHeadOptions) -> None:
        super().__init__(name=name, autocast=False)
        self.key = key
        self.outputs = tuple(_convolutions(f"output_{number}", channels, options) for number in range(num_outputs))

    def build(self, shape: object) -> None:
        """Does nothing: the convolutions are built when first called, inside this layer's scope."""

    def call(self, maps: tuple[tf.Tensor, ...], training: bool = False) -> tuple[tf.Tensor, ...]:
        """Maps float32 [B, h, w, c] each -> predictions float32 [B, h, w, channels], one per map."""
        return tuple(
            convolve(features, training=training) for convolve, features in zip(self.outputs, maps, strict=True)
        )

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables, keyed by their path below the detector in an object-based checkpoint."""
        return {
            f"_prediction_head_dict/{self.key}/{number}/{key}": variable
            for number, chain in enumerate(self.outputs)
            for key, variable in numbered(chain.parts).items()
        }


def _convolutions(name: str, channels: int, options: CenterHeadOptions) -> Chain:
    hyperparams = dataclasses.replace(keras_defaults(), batch_norm=None)
    layers = [
        SeparableConv(f"conv_{number}", depth, kernel, 1, hyperparams)
        if options.separable
        else Conv(f"conv_{number}", depth, kernel, hyperparams)
        for number, (depth, kernel) in enumerate(zip(options.depths, options.kernels, strict=True))
    ]
    bias = keras.initializers.Constant(options.bias)
    return Chain(name, (*layers, Conv("prediction", channels, 1, hyperparams.linear(), bias_initializer=bias)))
