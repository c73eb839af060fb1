"""Two-stage extractors with a feature pyramid (Lin et al. 2017, "Feature Pyramid Networks", section 4.2).

Regions are proposed on every map and cropped from the map of their level; the tail is two fully connected layers:

    crop [N, s, s, c] -> fc1, activation -> batch norm -> fc2, activation -> [N, 1, 1, 1024]
"""

from __future__ import annotations

import keras
import tensorflow as tf

from detection.feature_extractors import two_stage as two_stage_parts
from detection.feature_extractors.pyramids.extractor import PyramidExtractor
from detection.feature_extractors.pyramids.fpn import build_fpn
from detection.feature_extractors.pyramids.levels import Levels
from detection.feature_extractors.ssd_maps import FpnOptions, SsdExtractorOptions
from detection.networks.dense import CropDense
from detection.networks.hyperparams import Hyperparams
from detection.networks.keras_layers import numbered

LEVELS_WITHOUT_FPN = FpnOptions(min_level=2, max_level=6)  # default for configs without `fpn`, as in the reference
PAD_TO_MULTIPLE = 32  # pixels; fixed, as in the reference
DEPTH = 1024  # channels of both layers of the tail


class FpnBody(PyramidExtractor):
    """A network with a pyramid as the first part of a two-stage detector: scaled images -> a tuple of maps."""

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables, keyed by their path below this part of the detector in an object-based checkpoint.

        There, it is a functional model of the network, the pyramid, and the layers above it.
        """
        pyramid = self.pyramid.parts[0]
        parts = {
            "layer_with_weights-0": self.whole_keys(),
            "layer_with_weights-1": pyramid.generator_keys(),
        }
        keys = {f"{path}/{key}": variable for path, part in parts.items() for key, variable in part.items()}
        return keys | numbered(pyramid.coarse, first=len(parts))


def two_stage(
    options: two_stage_parts.TwoStageExtractorOptions, levels: Levels, keras_form: bool = False
) -> two_stage_parts.TwoStageExtractor:
    """Returns the two-stage extractor with a feature pyramid on the network that `levels` returns.

    `options.stride` has no effect: regions come from maps of several strides.
    """
    two_stage_parts.check_stride(options, "a pyramid", (8, 16))
    assert options.added_hyperparams is not None
    own = SsdExtractorOptions(
        hyperparams=options.added_hyperparams if options.train_batch_norm else options.added_hyperparams.frozen(),
        override_base=options.hyperparams is not None,
        depth_multiplier=options.depth_multiplier,
        min_depth=options.min_depth,
        pad_to_multiple=PAD_TO_MULTIPLE,
        freeze_batch_norm=not options.train_batch_norm,
        fpn=options.fpn or LEVELS_WITHOUT_FPN,
    )
    own = own.as_keras() if keras_form else own
    below = levels(own)
    layers = Hyperparams(keras.initializers.GlorotUniform(), activation=tf.nn.relu)
    depth, norm = below.depth(DEPTH), own.hyperparams.batch_norm
    return two_stage_parts.TwoStageExtractor(
        body=FpnBody(below, *build_fpn(below, own), own, name=two_stage_parts.FIRST),
        tail=two_stage_parts.Stage(
            two_stage_parts.SECOND,
            below.scope,
            (CropDense("fc1", depth, layers), CropDense("fc2", depth, layers, norm)),
        ),
        scale=below.scale,
        stride=options.stride,
        keras_form=keras_form,
        pyramid=True,
    )
