"""What stands below a pyramid: a network, and which of its maps has which stride.

Level l has stride 2^l (Lin et al. 2017, "Feature Pyramid Networks"). A network offers itself by a function
`levels(options) -> NetworkLevels` in its file; nothing else is needed to put any pyramid on it.
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
    """A network as pyramids take it.

    Attributes:
        scope: the network's name in checkpoints.
        network: its layers.
        endpoints: level -> the block (or `block/layer`) whose output is the last map of that stride.
        depth: a table depth -> number of channels, for the layers that the pyramid adds.
        scale: pixels 0 to 255 -> what the network was trained on, elementwise.
        coarse_name, coarse_number: of the first layer above the network, in checkpoints; the next ones count on.
        top: layers behind the network that no pyramid reads, where object-based checkpoints hold the whole classifier;
            then the network ends at the last map that is taken, and what lies between is not read either.
        read_key: where object-based checkpoints keep the part that is read; the rest is `classification_backbone`.
        bifpn: the bidirectional pyramid that was published on the network.
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
        """Names of the first `count` layers above the network."""
        return tuple(f"{self.coarse_name}{self.coarse_number + number}" for number in range(count))


Levels = Callable[[SsdExtractorOptions], NetworkLevels]
