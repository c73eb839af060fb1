"""CaffeNet as a feature extractor of SSD (maps by the survey's rule) and of the two-stage detectors (Girshick 2015)."""

from __future__ import annotations

from detection.feature_extractors import ssd_maps
from detection.feature_extractors import two_stage as two_stage_parts
from detection.networks import caffenet, scaling
from detection.networks.depths import depth_rule

SSD_SOURCES = ("conv2", "conv5")  # strides 8 and 16
SSD_EXTRA_DEPTHS = (512, 256, 256, 256)


def ssd(options: ssd_maps.SsdExtractorOptions) -> ssd_maps.SsdFeatureExtractor:
    """Returns the SSD extractor: conv2 with L2 normalisation (256 channels), conv5 (256), up to four extra maps.

    The extra maps have the batch norm of the config.
    """
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    return ssd_maps.make(
        scope=caffenet.SCOPE,
        network=caffenet.blocks(options.base_hyperparams(caffenet.training_defaults()), depth),
        sources=SSD_SOURCES,
        extra_depths=SSD_EXTRA_DEPTHS,
        depth=depth,
        scale=scaling.subtract_vgg_means,
        options=options,
        normalized=SSD_SOURCES[:1],
    )


def two_stage(options: two_stage_parts.TwoStageExtractorOptions) -> two_stage_parts.TwoStageExtractor:
    """Returns the two-stage extractor: body up to conv5 (256 channels), tail fc6 and fc7 (4096) on 6x6 crops."""
    two_stage_parts.check_stride(options, "CaffeNet")
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    hyperparams = options.base_hyperparams(caffenet.training_defaults())
    body, tail = caffenet.blocks(hyperparams, depth), caffenet.tail(hyperparams, depth, options.whole_map)
    return two_stage_parts.make(
        caffenet.SCOPE, body, tail, scaling.subtract_vgg_means, options, crop_size=caffenet.DESIGN.fc_kernel
    )
