"""Inception v3 as a feature extractor of SSD, of the two-stage detectors and of pyramids."""

from __future__ import annotations

from detection.feature_extractors import ssd_maps
from detection.feature_extractors import two_stage as two_stage_parts
from detection.feature_extractors.pyramids.levels import NetworkLevels
from detection.networks import inception_v3, scaling
from detection.networks.depths import depth_rule

SSD_SOURCES = ("Mixed_5d", "Mixed_6e", "Mixed_7c")  # strides 8, 16 and 32
SSD_EXTRA_DEPTHS = (512, 256, 128)
LAST_OF_BODY = "Mixed_6e"
LEVELS = {2: "Conv2d_4a_3x3", 3: "Mixed_5d", 4: "Mixed_6e", 5: "Mixed_7c"}


def ssd(options: ssd_maps.SsdExtractorOptions) -> ssd_maps.SsdFeatureExtractor:
    """Returns the SSD extractor: maps of strides 8, 16 and 32 from the network, then up to three extra ones.

    Strided layers are padded VALID, as in the reference.
    """
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    return ssd_maps.make(
        scope=inception_v3.SCOPE,
        network=inception_v3.blocks(options.base_hyperparams(inception_v3.training_defaults()), depth),
        sources=SSD_SOURCES,
        extra_depths=SSD_EXTRA_DEPTHS,
        depth=depth,
        scale=scaling.to_unit_range,
        options=options,
    )


def levels(options: ssd_maps.SsdExtractorOptions) -> NetworkLevels:
    """Returns the network for pyramids, with the last map of each stride.

    It is padded SAME, because a pyramid adds maps, which must be aligned.
    """
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    hyperparams = options.base_hyperparams(inception_v3.training_defaults())
    return NetworkLevels(
        scope=inception_v3.SCOPE,
        network=inception_v3.blocks(hyperparams, depth, padding="SAME"),
        endpoints=LEVELS,
        depth=depth,
        scale=scaling.to_unit_range,
        coarse_name="bottom_up_Mixed_",
        coarse_number=8,
    )


def two_stage(options: two_stage_parts.TwoStageExtractorOptions) -> two_stage_parts.TwoStageExtractor:
    """Returns the two-stage extractor: body up to `Mixed_6e` (768 channels), tail `Mixed_7a` to `Mixed_7c` (2048).

    The body is padded SAME, so that its map is aligned with the image. `Mixed_7a` halves its input. On crops it is
    padded VALID, as in the classifier: there are no zeros where the image continues, 17x17 cells become the 8x8 that
    the following modules were trained with, and 7x7 become 3x3 with every cell read (with an even side, such as 14 to
    6, the last row and column are not read). On a whole map (R-FCN) it is padded SAME, so that its map is aligned too.
    """
    two_stage_parts.check_stride(options, "Inception v3")
    hyperparams = options.base_hyperparams(inception_v3.training_defaults())
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    body = inception_v3.blocks(hyperparams, depth, padding="SAME")
    tail = inception_v3.blocks(hyperparams, depth, padding="SAME" if options.whole_map else "VALID")
    cut = [block.name for block in body].index(LAST_OF_BODY) + 1
    return two_stage_parts.make(inception_v3.SCOPE, body[:cut], tail[cut:], scaling.to_unit_range, options)
