"""The network below a pyramid, with the strides of its maps.

Level l has stride 2^l (Lin et al. 2017, "Feature Pyramid Networks"). A network that defines a function
`levels(options) -> NetworkLevels` can have any pyramid.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from detection.feature_extractors.ssd_maps import BifpnOptions, SsdExtractorOptions
from detection.networks.depths import DepthRule


@dataclasses.dataclass(frozen=True)
class NetworkLevels:
    """A network, in the form that pyramids need.

    Attributes:
        scope: the network's name in checkpoints.
        network: the layers of the network.
        endpoints: level -> the block (or `block/layer`) whose output is the last map of that stride.
        depth: channels at depth multiplier 1 -> number of channels, for the layers that the pyramid adds.
        scale: pixels 0 to 255 -> the input range that the network was trained with, elementwise.
        coarse_name, coarse_number: name and number of the first layer above the network, in checkpoints; the following
            layers have the following numbers.
        top: layers behind the network that no pyramid reads, where object-based checkpoints have the whole classifier.
            Then the network ends at the last map that the pyramid takes, and the layers between are not run either.
        read_key: name in object-based checkpoints of the part that is run; the rest is `classification_backbone`.
        bifpn: the bidirectional pyramid published with the network.
    """

    scope: str
    network: tuple[keras.layers.Layer, ...]
    endpoints: Mapping[int, str]
    depth: DepthRule
    scale: Callable[[tf.Tensor], tf.Tensor]
    coarse_name: str
    coarse_number: int
    top: tuple[keras.layers.Layer, ...] = ()
    read_key: str = "classification_backbone"
    bifpn: BifpnOptions = BifpnOptions(iterations=3, depth=64)

    def coarse_names(self, count: int) -> tuple[str, ...]:
        """Returns the names of the first `count` layers above the network."""
        return tuple(f"{self.coarse_name}{self.coarse_number + number}" for number in range(count))


Levels = Callable[[SsdExtractorOptions], NetworkLevels]
