"""Inception v1 (GoogLeNet) as a feature extractor of SSD, of the two-stage detectors and of pyramids."""

from __future__ import annotations

from detection.feature_extractors import ssd_maps
from detection.feature_extractors import two_stage as two_stage_parts
from detection.feature_extractors.pyramids.levels import NetworkLevels
from detection.networks import inception_v1, scaling
from detection.networks.depths import depth_rule

SSD_SOURCES = ("Mixed_4f", "Mixed_5c")  # strides 16 and 32
SSD_EXTRA_DEPTHS = (512, 256, 256, 128)
LAST_OF_BODY = "Mixed_4f"
LEVELS = {2: "Conv2d_2c_3x3", 3: "Mixed_3c", 4: "Mixed_4f", 5: "Mixed_5c"}


def ssd(options: ssd_maps.SsdExtractorOptions) -> ssd_maps.SsdFeatureExtractor:
    """Returns the SSD extractor: maps of strides 16 and 32 from the network, then up to four extra ones."""
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    return ssd_maps.make(
        scope=inception_v1.SCOPE,
        network=inception_v1.blocks(options.base_hyperparams(inception_v1.training_defaults()), depth),
        sources=SSD_SOURCES,
        extra_depths=SSD_EXTRA_DEPTHS,
        depth=depth,
        scale=scaling.to_unit_range,
        options=options,
    )


def levels(options: ssd_maps.SsdExtractorOptions) -> NetworkLevels:
    """Returns the network for pyramids, with the last map of each stride."""
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    return NetworkLevels(
        scope=inception_v1.SCOPE,
        network=inception_v1.blocks(options.base_hyperparams(inception_v1.training_defaults()), depth),
        endpoints=LEVELS,
        depth=depth,
        scale=scaling.to_unit_range,
        coarse_name="bottom_up_Mixed_",
        coarse_number=6,
    )


def two_stage(options: two_stage_parts.TwoStageExtractorOptions) -> two_stage_parts.TwoStageExtractor:
    """Returns the two-stage extractor: body to `Mixed_4f` (832 channels), tail from `MaxPool_5a_2x2` (1024).

    The tail halves its input: 7x7 crops become 4x4.
    """
    two_stage_parts.check_stride(options, "Inception v1")
    blocks = inception_v1.blocks(
        options.base_hyperparams(inception_v1.training_defaults()),
        depth_rule(options.depth_multiplier, options.min_depth),
    )
    cut = [block.name for block in blocks].index(LAST_OF_BODY) + 1
    return two_stage_parts.make(inception_v1.SCOPE, blocks[:cut], blocks[cut:], scaling.to_unit_range, options)
