"""VGG16 as a feature extractor of SSD, of the two-stage detectors and of pyramids.

SSD is that of Liu et al. 2016, except for the extra maps, which follow the survey; the two-stage form is that of Ren et
al. 2015.
"""

from __future__ import annotations

from detection.feature_extractors import ssd_maps
from detection.feature_extractors import two_stage as two_stage_parts
from detection.feature_extractors.pyramids.levels import NetworkLevels
from detection.networks import scaling, vgg
from detection.networks.depths import depth_rule

SSD_SOURCES = ("conv4", "fc7")  # strides 8 and 16
SSD_EXTRA_DEPTHS = (512, 256, 256, 256)
LEVELS = {2: "conv3", 3: "conv4", 4: "conv5", 5: "pool5"}


def ssd(options: ssd_maps.SsdExtractorOptions) -> ssd_maps.SsdFeatureExtractor:
    """Returns the SSD extractor: conv4_3 with L2 normalisation (512 channels), fc7 (1024), up to four extra maps.

    fc6 is an atrous convolution. The extra maps have the batch norm of the config.
    """
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    hyperparams = options.base_hyperparams(vgg.training_defaults())
    return ssd_maps.make(
        scope=vgg.SCOPE,
        network=(*vgg.blocks(hyperparams, depth), *vgg.atrous_tail(hyperparams, depth)),
        sources=SSD_SOURCES,
        extra_depths=SSD_EXTRA_DEPTHS,
        depth=depth,
        scale=scaling.subtract_vgg_means,
        options=options,
        normalized=SSD_SOURCES[:1],
    )


def levels(options: ssd_maps.SsdExtractorOptions) -> NetworkLevels:
    """Returns the network for pyramids: its maps are the last convolution of each stride, and `pool5`."""
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    return NetworkLevels(
        scope=vgg.SCOPE,
        network=vgg.blocks(options.base_hyperparams(vgg.training_defaults()), depth, last_pool=True),
        endpoints=LEVELS,
        depth=depth,
        scale=scaling.subtract_vgg_means,
        coarse_name="bottom_up_conv",
        coarse_number=6,
    )


def two_stage(options: two_stage_parts.TwoStageExtractorOptions) -> two_stage_parts.TwoStageExtractor:
    """Returns the two-stage extractor: body up to conv5_3 (512 channels), tail fc6 and fc7 (4096) on 7x7 crops."""
    two_stage_parts.check_stride(options, "VGG16")
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    hyperparams = options.base_hyperparams(vgg.training_defaults())
    body, tail = vgg.blocks(hyperparams, depth), vgg.tail(hyperparams, depth, options.whole_map)
    return two_stage_parts.make(vgg.SCOPE, body, tail, scaling.subtract_vgg_means, options, crop_size=vgg.FC_KERNEL)
