"""VGG_CNN_M_1024 as a feature extractor of SSD (maps by the survey's rule) and of two stages (Girshick 2015)."""

from __future__ import annotations

from detection.feature_extractors import ssd_maps
from detection.feature_extractors import two_stage as two_stage_parts
from detection.networks import scaling, vgg_cnn_m
from detection.networks.depths import depth_rule

SSD_SOURCES = ("conv2", "conv5")  # strides 8 and 16
SSD_EXTRA_DEPTHS = (512, 256, 256, 256)


def ssd(options: ssd_maps.SsdExtractorOptions) -> ssd_maps.SsdFeatureExtractor:
    """Returns the SSD extractor: conv2 with L2 normalisation (256 channels), conv5 (512), up to four extra maps.

    The extra maps have the batch norm of the config.
    """
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    return ssd_maps.make(
        scope=vgg_cnn_m.SCOPE,
        network=vgg_cnn_m.blocks(options.base_hyperparams(vgg_cnn_m.training_defaults()), depth),
        sources=SSD_SOURCES,
        extra_depths=SSD_EXTRA_DEPTHS,
        depth=depth,
        scale=scaling.subtract_vgg_means,
        options=options,
        normalized=SSD_SOURCES[:1],
    )


def two_stage(options: two_stage_parts.TwoStageExtractorOptions) -> two_stage_parts.TwoStageExtractor:
    """Returns the two-stage extractor: body up to conv5 (512 channels), tail fc6 and fc7 (1024) on 6x6 crops."""
    two_stage_parts.check_stride(options, "VGG_CNN_M_1024")
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    hyperparams = options.base_hyperparams(vgg_cnn_m.training_defaults())
    body, tail = vgg_cnn_m.blocks(hyperparams, depth), vgg_cnn_m.tail(hyperparams, depth, options.whole_map)
    return two_stage_parts.make(
        vgg_cnn_m.SCOPE, body, tail, scaling.subtract_vgg_means, options, crop_size=vgg_cnn_m.DESIGN.fc_kernel
    )
