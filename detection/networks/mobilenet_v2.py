"""MobileNet v2 (Sandler et al. 2018, Table 2): a convolution, 17 inverted residuals and a pointwise convolution.

    inverted residual:  y = project(depthwise(expand(x))), plus x where y has the shape of x
                        1x1 to six times the depth, 3x3 depthwise, 1x1 to a narrow bottleneck without activation

Block names are tf-slim's: `Conv`, `expanded_conv`, `expanded_conv_1` ... `expanded_conv_16`, `Conv_1`; in a residual
`expand`, `depthwise` and `project`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import keras
import tensorflow as tf

from detection.networks import scaling
from detection.networks.blocks import Chain, Dropout, SpatialMean
from detection.networks.classifier import Classifier, ClassifierSpec
from detection.networks.depths import DepthRule, divisible, divisible_depth_rule
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, l2_penalty
from detection.networks.keras_layers import KerasLayer, keras_layers, layers_of
from detection.networks.layers import Conv, DepthwiseConv
from detection.networks.output_stride import strides_and_rates

SCOPE = "MobilenetV2"
STEM_STRIDE, STEM_DEPTH = 2, 32
RESIDUALS = (  # (stride of the depthwise convolution, output depth) at depth multiplier 1
    *((1, 16),),
    *((2, 24), (1, 24)),
    *((2, 32), (1, 32), (1, 32)),
    *((2, 64), (1, 64), (1, 64), (1, 64)),
    *((1, 96), (1, 96), (1, 96)),
    *((2, 160), (1, 160), (1, 160)),
    *((1, 320),),
)
EXPANSION = 6  # of all residuals except the first, which has no `expand`
LAST_DEPTH = 1280
DROPOUT_KEEP = 0.8


def training_defaults(decay: float = 0.997) -> Hyperparams:
    """Returns the hyperparameters that tf-slim trains the network with, the default for base networks.

    Args:
        decay: decay of batch norm's moving averages.
    """
    return Hyperparams(
        initializer=keras.initializers.TruncatedNormal(stddev=0.09),
        regularizer=l2_penalty(0.00004),
        activation=tf.nn.relu6,
        batch_norm=BatchNormSettings(decay=decay, epsilon=0.001, center=True, scale=True),
    )


class InvertedResidual(keras.layers.Layer):
    """An inverted residual (see the module docstring).

    Args:
        name: name of the block.
        inputs: channels of the input.
        filters: channels of the output.
        inner: channels of the depthwise convolution; there is no `expand` if they are equal to `inputs`.
        hyperparams: hyperparameters of every convolution; `project` has no activation.
        stride: stride of the depthwise convolution.
        rate: dilation rate of the depthwise convolution.
        padding: padding of the depthwise convolution.
    """

    def __init__(
        self,
        name: str,
        inputs: int,
        filters: int,
        inner: int,
        hyperparams: Hyperparams,
        stride: int = 1,
        rate: int = 1,
        padding: str = "SAME",
    ) -> None:
        super().__init__(name=name, autocast=False)
        expand = (Conv("expand", inner, 1, hyperparams),) if inner > inputs else ()
        depthwise = DepthwiseConv("depthwise", 3, hyperparams, stride=stride, rate=rate, padding=padding)
        project = Conv("project", filters, 1, dataclasses.replace(hyperparams, activation=None))
        self.parts = (*expand, depthwise, project)
        self.adds = stride == 1 and inputs == filters

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the convolutions are built when first called, inside this layer's scope."""

    def call(
        self, x: tf.Tensor, training: bool = False, taps: tuple[str, ...] = ()
    ) -> tf.Tensor | tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Applies the block to x float32 [B, h, w, inputs].

        Args:
            x: the input.
            training: whether batch norm runs in training mode.
            taps: names of the block's convolutions whose outputs are returned too, as in `Chain`.

        Returns:
            float32 [B, ceil(h / stride), ceil(w / stride), filters]; with `taps`, a tuple of this and {name: output}.
        """
        outputs: dict[str, tf.Tensor] = {}
        y = x
        for part in self.parts:
            y = outputs[part.name] = part(y, training=training)
        if self.adds:
            y += x
        return (y, {name: outputs[name] for name in taps if name in outputs}) if taps else y


@keras_layers.register
def _(layer: InvertedResidual) -> Iterator[KerasLayer]:
    return layers_of(layer.parts)


def blocks(
    hyperparams: Hyperparams,
    depth: DepthRule,
    padding: str = "SAME",
    output_stride: int = 32,
    last_depth: float = LAST_DEPTH,
) -> tuple[keras.layers.Layer, ...]:
    """Returns the 19 blocks up to and including `Conv_1`.

    Args:
        hyperparams: hyperparameters of every convolution.
        depth: channels at depth multiplier 1 -> number of channels (`divisible_depth_rule`).
        padding: padding of the 3x3 convolutions, SAME or EXPLICIT.
        output_stride: stride of the last map, pixels: 32, or 16 or 8 with atrous depthwise convolutions.
        last_depth: channels of `Conv_1` at depth multiplier 1.
    """
    inputs = depth(STEM_DEPTH)
    layers: list[keras.layers.Layer] = [Conv("Conv", inputs, 3, hyperparams, stride=STEM_STRIDE, padding=padding)]
    _, *plan = strides_and_rates([STEM_STRIDE, *(stride for stride, _ in RESIDUALS)], output_stride)
    for number, ((stride, rate), (_, table_depth)) in enumerate(zip(plan, RESIDUALS, strict=True)):
        filters, inner = depth(table_depth), divisible(EXPANSION * inputs) if number else inputs
        name = f"expanded_conv_{number}" if number else "expanded_conv"
        layers.append(InvertedResidual(name, inputs, filters, inner, hyperparams, stride, rate, padding))
        inputs = filters
    return (*layers, Conv("Conv_1", depth(last_depth), 1, hyperparams))


def _classifier(num_logits: int, depth_multiplier: float = 1.0) -> Classifier:
    """Returns a classifier; with a depth multiplier below 1, `Conv_1` keeps its full depth (section 4 of the paper)."""
    hyperparams = training_defaults()
    network = blocks(
        hyperparams, divisible_depth_rule(depth_multiplier), last_depth=LAST_DEPTH / min(depth_multiplier, 1.0)
    )
    head = (SpatialMean(), Dropout("Dropout", DROPOUT_KEEP), Conv("Conv2d_1c_1x1", num_logits, 1, hyperparams.linear()))
    return Classifier(SCOPE, network, (Chain("Logits", head),))


CLASSIFIERS = {
    "mobilenet_v2": ClassifierSpec(
        make=_classifier, scale=scaling.to_unit_range, image_size=224, num_logits=1001, background=True
    )
}
