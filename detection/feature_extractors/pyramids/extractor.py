"""A feature extractor made of any network and any pyramid on it."""

from __future__ import annotations

from typing import Protocol

import keras
import tensorflow as tf

from detection.feature_extractors.pyramids.levels import NetworkLevels
from detection.feature_extractors.ssd_maps import SsdExtractorOptions, pad_to_multiple
from detection.networks.blocks import Blocks, Chain
from detection.networks.keras_layers import numbered

WHOLE = "classification_backbone"  # name of the classifier in object-based checkpoints


class Pyramid(Protocol):
    """A layer: maps of the network -> maps of the pyramid, all of one depth. Both are ordered from fine to coarse."""

    num_maps: int  # number of maps of the pyramid

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables, keyed by their path below the extractor in an object-based checkpoint."""


class PyramidExtractor(keras.layers.Layer):
    """A network and a pyramid on it; both are in the network's scope, below `FeatureExtractor`.

    Args:
        levels: the network.
        taken: levels of the network's maps that the pyramid takes, from fine to coarse.
        pyramid: maps of the network -> maps of the pyramid.
        options: the extractor's options in the config, of which padding and `keras_form` are used.
        name: name of this part of the detector in checkpoints.
        own_scope: whether the pyramid's variables in checkpoints are beside the network's scope, not in it.
    """

    def __init__(
        self,
        levels: NetworkLevels,
        taken: range,
        pyramid: keras.layers.Layer,
        options: SsdExtractorOptions,
        name: str = "FeatureExtractor",
        own_scope: bool = False,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.sources = tuple(levels.endpoints[level] for level in taken)
        # Checkpoints have the whole network, also where the pyramid does not take its last levels. The network is then
        # run up to its last map, or, where checkpoints have the whole classifier, its unread layers are only created.
        self.last = self.sources[-1] if levels.top else levels.endpoints[max(levels.endpoints)]
        names = [block.name for block in levels.network]
        end = names.index(self.last.partition("/")[0]) + 1 if levels.top else len(names)
        unread = (*levels.network[end:], *levels.top)
        self.network = Blocks(levels.scope, levels.network[:end])
        self.pyramid = pyramid if own_scope else Chain(levels.scope, (pyramid,))
        self.unread = Blocks(levels.scope, unread) if unread else None
        self.scale, self.pad_to_multiple = levels.scale, options.pad_to_multiple
        self.keras_form, self.read_key = options.keras_form, levels.read_key
        self.num_maps = pyramid.num_maps

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def call(self, images: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, ...]:
        """Scaled images float32 [B, H, W, 3] -> maps float32 [B, h, w, c], from fine to coarse."""
        images = pad_to_multiple(images, self.pad_to_multiple)
        outputs = self.network(images, endpoints=(*self.sources, self.last), training=training)
        if self.unread is not None and not self.unread.weights:
            self.unread(outputs[self.last])  # only so that its variables exist
        return self.pyramid(tuple(outputs[name] for name in self.sources), training=training)

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables, keyed by their path below the extractor in an object-based checkpoint.

        Layers are numbered over the whole network.
        """
        read, whole = numbered(self.network.blocks), self.whole_keys()
        keys = {f"{self.read_key if key in read else WHOLE}/{key}": variable for key, variable in whole.items()}
        pyramid = self.pyramid.parts[0] if isinstance(self.pyramid, Chain) else self.pyramid
        return keys | pyramid.object_keys()

    def whole_keys(self) -> dict[str, keras.Variable]:
        """Returns the network's variables, numbered as the layers of the classifier."""
        return numbered((*self.network.blocks, *(self.unread.blocks if self.unread is not None else ())))
