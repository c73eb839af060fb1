"""MobileNet v1 (Howard et al. 2017, Table 1): a convolution, then 13 pairs of depthwise and pointwise convolutions.

Block names are tf-slim's: `Conv2d_0`, `Conv2d_<n>_depthwise`, `Conv2d_<n>_pointwise`, n = 1 ... 13.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from detection.networks import scaling
from detection.networks.blocks import Chain, Dropout, SpatialMean
from detection.networks.classifier import Classifier, ClassifierSpec
from detection.networks.depths import DepthRule, depth_rule
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, l2_penalty
from detection.networks.layers import Conv, DepthwiseConv
from detection.networks.output_stride import strides_and_rates

SCOPE = "MobilenetV1"
STEM_STRIDE, STEM_DEPTH = 2, 32
PAIRS = (  # (stride of the depthwise convolution, output depth) at depth multiplier 1
    *((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512)),
    *((1, 512),) * 5,
    *((2, 1024), (1, 1024)),
)
LAST_DEPTHS = (PAIRS[-2][1], PAIRS[-1][1])
DROPOUT_KEEP = 0.999
MIN_DEPTH = 8  # of the published classifiers


def training_defaults() -> Hyperparams:
    """Returns the hyperparameters that tf-slim trains the network with, the default for base networks."""
    return Hyperparams(
        initializer=keras.initializers.TruncatedNormal(stddev=0.09),
        regularizer=l2_penalty(0.00004),
        activation=tf.nn.relu6,
        batch_norm=BatchNormSettings(decay=0.9997, epsilon=0.001, center=True, scale=True),
        regularize_depthwise=True,
    )


def blocks(
    hyperparams: Hyperparams,
    depth: DepthRule,
    padding: str = "SAME",
    output_stride: int = 32,
    last_depths: tuple[int, int] = LAST_DEPTHS,
) -> tuple[keras.layers.Layer, ...]:
    """Returns the 27 layers up to and including `Conv2d_13_pointwise`.

    Args:
        hyperparams: hyperparameters of every convolution.
        depth: channels at depth multiplier 1 -> number of channels (`depth_rule`).
        padding: padding of the 3x3 convolutions, SAME or EXPLICIT.
        output_stride: stride of the last map, pixels: 32, or 16 or 8 with atrous depthwise convolutions.
        last_depths: channels of the last two pairs at depth multiplier 1.
    """
    depths = (*(filters for _, filters in PAIRS[:-2]), *last_depths)
    layers: list[keras.layers.Layer] = [
        Conv("Conv2d_0", depth(STEM_DEPTH), 3, hyperparams, stride=STEM_STRIDE, padding=padding)
    ]
    _, *plan = strides_and_rates([STEM_STRIDE, *(stride for stride, _ in PAIRS)], output_stride)
    for number, ((stride, rate), filters) in enumerate(zip(plan, depths, strict=True), start=1):
        layers.append(
            DepthwiseConv(f"Conv2d_{number}_depthwise", 3, hyperparams, stride=stride, rate=rate, padding=padding)
        )
        layers.append(Conv(f"Conv2d_{number}_pointwise", depth(filters), 1, hyperparams))
    return tuple(layers)


def _classifier(num_logits: int, depth_multiplier: float = 1.0) -> Classifier:
    hyperparams = training_defaults()
    head = (
        SpatialMean(),
        Dropout("Dropout_1b", DROPOUT_KEEP),
        Conv("Conv2d_1c_1x1", num_logits, 1, hyperparams.linear()),
    )
    return Classifier(SCOPE, blocks(hyperparams, depth_rule(depth_multiplier, MIN_DEPTH)), (Chain("Logits", head),))


CLASSIFIERS = {
    "mobilenet_v1": ClassifierSpec(
        make=_classifier, scale=scaling.to_unit_range, image_size=224, num_logits=1001, background=True
    )
}
