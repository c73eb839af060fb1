"""CaffeNet, the small network (S) of the Fast R-CNN paper.

It is Caffe's version of AlexNet (Krizhevsky et al. 2012), with the pools before the normalisations.

Published weights are Caffe's; `checkpoints.caffe` reads them.
"""

from __future__ import annotations

import functools

import keras

from detection.networks import alexnet, scaling
from detection.networks.alexnet import Convolution, Design, Normalization
from detection.networks.classifier import ClassifierSpec
from detection.networks.depths import DepthRule
from detection.networks.hyperparams import Hyperparams

SCOPE = "caffenet"
DESIGN = Design(  # BVLC's models/bvlc_reference_caffenet
    scope=SCOPE,
    convolutions=(
        Convolution(96, 11, stride=4),
        Convolution(256, 5, border=2, groups=2),
        Convolution(384, 3, border=1),
        Convolution(384, 3, border=1, groups=2),
        Convolution(256, 3, border=1, groups=2),
    ),
    normalization=Normalization(alpha=1e-4, bias=1.0, before_pool=False),
    fc_kernel=6,
    fc_depths=(4096, 4096),
)

training_defaults = alexnet.training_defaults


def blocks(hyperparams: Hyperparams, depth: DepthRule) -> tuple[keras.layers.Layer, ...]:
    """Returns the layers up to conv5 (stride 16, 256 channels) in the aligned form.

    They are `conv1`, `pool1`, `norm1`, `conv2`, `pool2`, `norm2`, `conv3`, `conv4`, `conv5`. Girshick's Fast R-CNN has
    the same padding (5 pixels at conv1, 1 at the pools), but its pools round sizes up, which for even sizes adds a cell
    beyond the image.
    """
    return alexnet.blocks(DESIGN, hyperparams, depth)


def tail(hyperparams: Hyperparams, depth: DepthRule, whole_map: bool = False) -> tuple[keras.layers.Layer, ...]:
    """Returns fc6 and fc7 with dropout: 6x6 crops become one cell, or (`whole_map`) a map keeps its size."""
    return alexnet.tail(DESIGN, hyperparams, depth, whole_map)


CLASSIFIERS = {
    SCOPE: ClassifierSpec(
        functools.partial(alexnet.classifier, DESIGN),
        scaling.subtract_vgg_means,
        image_size=227,
        num_logits=1000,
        background=False,
    )
}
