"""VGG_CNN_M_1024, the medium network (M) of the Fast R-CNN paper.

Chatfield et al. 2014, Table 1, CNN-M with fc7 of 1024 channels. Published weights are Caffe's;
`checkpoints.caffe` reads them.
"""

from __future__ import annotations

import functools

import keras

from detection.networks import alexnet, scaling
from detection.networks.alexnet import Convolution, Design, Normalization
from detection.networks.classifier import ClassifierSpec
from detection.networks.depths import DepthRule
from detection.networks.hyperparams import Hyperparams

SCOPE = "vgg_cnn_m_1024"
DESIGN = Design(  # padding, alpha and k are those of Girshick's models/VGG_CNN_M_1024
    scope=SCOPE,
    convolutions=(
        Convolution(96, 7, stride=2),
        Convolution(256, 5, stride=2, border=1),
        Convolution(512, 3, border=1),
        Convolution(512, 3, border=1),
        Convolution(512, 3, border=1),
    ),
    normalization=Normalization(alpha=5e-4, bias=2.0, before_pool=True),
    fc_kernel=6,
    fc_depths=(4096, 1024),
)

training_defaults = alexnet.training_defaults


def blocks(hyperparams: Hyperparams, depth: DepthRule) -> tuple[keras.layers.Layer, ...]:
    """Returns the layers up to conv5 (stride 16, 512 channels) in the aligned form.

    They are `conv1`, `norm1`, `pool1`, `conv2`, `norm2`, `pool2`, `conv3`, `conv4`, `conv5`. Girshick's Fast R-CNN
    keeps the classifier's padding here, so that its cells are centred 17 pixels beyond the multiples of 16 and the last
    cells are missing. The weights are the same; results differ only at the border of the image.
    """
    return alexnet.blocks(DESIGN, hyperparams, depth)


def tail(hyperparams: Hyperparams, depth: DepthRule, whole_map: bool = False) -> tuple[keras.layers.Layer, ...]:
    """Returns fc6 and fc7 (1024 channels) with dropout: 6x6 crops become one cell, or a map keeps its size."""
    return alexnet.tail(DESIGN, hyperparams, depth, whole_map)


CLASSIFIERS = {
    SCOPE: ClassifierSpec(
        functools.partial(alexnet.classifier, DESIGN),
        scaling.subtract_vgg_means,
        image_size=224,
        num_logits=1000,
        background=False,
    )
}
