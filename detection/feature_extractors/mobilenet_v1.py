"""MobileNet v1 as a feature extractor: where SSD reads it and what lies behind, and where the two-stage detectors cut
it."""

from __future__ import annotations

from detection.feature_extractors import ssd_maps
from detection.feature_extractors import two_stage as two_stage_parts
from detection.networks import mobilenet_v1, scaling
from detection.networks.depths import depth_rule

SSD_SOURCES = ("Conv2d_11_pointwise", "Conv2d_13_pointwise")  # strides 16 and 32
SSD_EXTRA_DEPTHS = (512, 256, 256, 128)
LAST_OF_BODY = "Conv2d_11_pointwise"


def ssd(options: ssd_maps.SsdExtractorOptions) -> ssd_maps.SsdFeatureExtractor:
    """Maps of stride 16 and 32 from the network, then up to four extra ones."""
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    hyperparams = options.base_hyperparams(mobilenet_v1.training_defaults())
    return ssd_maps.make(
        scope=mobilenet_v1.SCOPE,
        network=mobilenet_v1.blocks(hyperparams, depth, options.padding),
        sources=SSD_SOURCES,
        extra_depths=SSD_EXTRA_DEPTHS,
        depth=depth,
        scale=scaling.to_unit_range,
        options=options,
    )


def two_stage(options: two_stage_parts.TwoStageExtractorOptions) -> two_stage_parts.TwoStageExtractor:
    """Body up to `Conv2d_11_pointwise` (512 channels) at stride 16, or 8 by atrous convolutions; tail from there (1024
    channels).

    The tail halves crops; on the whole map it keeps the size and dilates instead.
    """
    two_stage_parts.check_stride(options, "MobileNet v1", (8, 16))
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    hyperparams = options.base_hyperparams(mobilenet_v1.training_defaults())
    dense = mobilenet_v1.blocks(hyperparams, depth, output_stride=options.stride)
    cut = [block.name for block in dense].index(LAST_OF_BODY) + 1
    tail = dense if options.whole_map else mobilenet_v1.blocks(hyperparams, depth)
    return two_stage_parts.make(mobilenet_v1.SCOPE, dense[:cut], tail[cut:], scaling.to_unit_range, options)
