"""Pooling pyramid (Jin et al. 2018, "Pooling Pyramid Network for Object Detection", section 3).

One map of the network, halved repeatedly by max pools, so that a shared box predictor gets the same kind of features at
every scale.

    P_1 = C_4, or a 1x1 convolution of it          P_n+1 = max pool 2x2 of stride 2 of P_n

The convolution's name is `Base_Conv2d_1x1_<depth>`. Layers of the network above stride 16 are not used, but are in
checkpoints.
"""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from detection.feature_extractors.pyramids.extractor import PyramidExtractor
from detection.feature_extractors.pyramids.levels import Levels
from detection.feature_extractors.ssd_maps import SsdExtractorOptions
from detection.networks.blocks import MaxPool
from detection.networks.layers import Conv

LEVEL = 4  # stride 16
MOST_MAPS = 6
EXPANSION = 4  # of the bottlenecks of ResNet


class Ppn(keras.layers.Layer):
    """A pooling pyramid of `num_maps` maps."""

    def __init__(self, num_maps: int) -> None:
        super().__init__(name="ppn", autocast=False)
        self.num_maps = num_maps
        self.pools = tuple(MaxPool(f"MaxPool2d_{number}_2x2", 2, 2) for number in range(num_maps - 1))

    def call(self, maps: tuple[tf.Tensor, ...], training: bool = False) -> tuple[tf.Tensor, ...]:
        """One map float32 [B, h, w, c], in a tuple -> `num_maps` maps, from fine to coarse; the first is the input."""
        pyramid = list(maps)
        for pool in self.pools:
            pyramid.append(pool(pyramid[-1]))
        return tuple(pyramid)

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns an empty dict: there are no variables."""
        return {}


def ssd(options: SsdExtractorOptions, levels: Levels, base_depth: int = 0) -> PyramidExtractor:
    """Returns the SSD extractor with a pooling pyramid on the network that `levels` returns.

    Args:
        options: the extractor's options in the config.
        levels: returns the network.
        base_depth: channels of the convolution in front of the pools, at depth multiplier 1, for a ResNet, whose map
            has as many; 0: there is no such convolution.
    """
    below = levels(options)
    cut = [block.name for block in below.network].index(below.endpoints[LEVEL]) + 1
    read, endpoints = below.network[:cut], below.endpoints
    if base_depth:
        depth = EXPANSION * below.depth(base_depth / EXPANSION)
        read = (*read, Conv(f"Base_Conv2d_1x1_{depth}", depth, 1, options.hyperparams))
        endpoints = {LEVEL: read[-1].name}
    below = dataclasses.replace(below, network=read, endpoints=endpoints, top=below.network[cut:])
    return PyramidExtractor(below, range(LEVEL, LEVEL + 1), Ppn(min(options.num_maps, MOST_MAPS)), options)
