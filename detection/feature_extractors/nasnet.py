"""NASNet-A and PNASNet-5, large, as feature extractors of two-stage detectors."""

from __future__ import annotations

import keras
import tensorflow as tf

from detection.feature_extractors import two_stage as two_stage_parts
from detection.networks import nasnet, scaling
from detection.networks.blocks import Chain
from detection.networks.depths import depth_rule


class Part(Chain):
    """Cells directly below the scope of their stage: in the original there is no scope for the network."""

    @property
    def network(self) -> Part:
        """The layers themselves."""
        return self

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns no keys, since the TF2 models of the TF Object Detection API do not include these networks."""
        return {}


class AtLeast(keras.layers.Layer):
    """Pads small images with zeros at the bottom and right, so that an unpadded convolution has an output."""

    def __init__(self, name: str, pixels: int) -> None:
        super().__init__(name=name, autocast=False)
        self.pixels = pixels

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Images float32 [B, H, W, 3] -> float32 [B, max(H, pixels), max(W, pixels), 3]."""
        lacking = [tf.maximum(0, self.pixels - tf.shape(x)[axis]) for axis in (1, 2)]
        known = all(side is not None and side >= self.pixels for side in x.shape[1:3])
        return x if known else tf.pad(x, [[0, 0], [0, lacking[0]], [0, lacking[1]], [0, 0]])


def two_stage(
    options: two_stage_parts.TwoStageExtractorOptions, design: nasnet.Design
) -> two_stage_parts.TwoStageExtractor:
    """Builds a body up to the last cell of stride 16, and a tail of the cells behind it.

    The body's map is the concatenated output of its last two cells (4032 channels; PNASNet: 4320), which the tail
    splits again. The tail halves its input, whether crops or a whole map.
    """
    two_stage_parts.check_stride(options, "NASNet")
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    network = nasnet.blocks(
        design,
        options.base_hyperparams(nasnet.training_defaults(design)),
        lambda wanted: depth(wanted) + depth(wanted) % 2,  # half of them are made of every other pixel
    )
    behind = "reduction_cell_1" if design.own_reduction else f"cell_{design.halving[1]}"
    cut = [block.name for block in network].index(behind)
    return two_stage_parts.TwoStageExtractor(
        body=Part(
            two_stage_parts.FIRST,
            (AtLeast("at_least", nasnet.FIRST_KERNEL), *network[:cut], nasnet.Joined(name="joined")),
        ),
        tail=Part(
            two_stage_parts.SECOND, (nasnet.Parted(name="parted"), *network[cut:], nasnet.Last(name="final_layer"))
        ),
        scale=scaling.to_unit_range,
        stride=options.stride,
    )
