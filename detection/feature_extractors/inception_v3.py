"""Inception v3 as a feature extractor: where SSD reads it and what lies behind, and where the two-stage detectors cut
it."""

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
    """Maps of stride 8, 16 and 32 from the network, unpadded as the reference has it, then up to three extra ones."""
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
    """For pyramids: the last map of every stride, padded SAME: a pyramid adds maps, which must be aligned."""
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
    """Body up to `Mixed_6e` (768 channels), padded SAME so that its map is aligned with the image; tail `Mixed_7a` to
    `Mixed_7c` (2048).

    `Mixed_7a` halves what it sees. On crops it does so unpadded, as on ImageNet: no zeros stand where the image goes
    on, 17x17 become the 8x8 that the modules behind it were trained on, and 7x7 become 3x3 with every cell read (of an
    even side, 14 to 6, the last row and column are not). On a whole map (R-FCN) it is padded SAME, so that its own map
    is aligned too.
    """
    two_stage_parts.check_stride(options, "Inception v3")
    hyperparams = options.base_hyperparams(inception_v3.training_defaults())
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    body = inception_v3.blocks(hyperparams, depth, padding="SAME")
    tail = inception_v3.blocks(hyperparams, depth, padding="SAME" if options.whole_map else "VALID")
    cut = [block.name for block in body].index(LAST_OF_BODY) + 1
    return two_stage_parts.make(inception_v3.SCOPE, body[:cut], tail[cut:], scaling.to_unit_range, options)
