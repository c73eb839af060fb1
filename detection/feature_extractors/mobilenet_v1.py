"""MobileNet v1 as a feature extractor: where SSD reads it, and what lies behind."""

from __future__ import annotations

from detection.feature_extractors import scaling, ssd_maps
from detection.networks import mobilenet_v1

SSD_SOURCES = ("Conv2d_11_pointwise", "Conv2d_13_pointwise")  # strides 16 and 32
SSD_EXTRA_DEPTHS = (512, 256, 256, 128)


def ssd(options: ssd_maps.SsdExtractorOptions) -> ssd_maps.SsdFeatureExtractor:
    """Maps of stride 16 and 32 from the network, then up to four extra ones."""
    depth = mobilenet_v1.depth_rule(options.depth_multiplier, options.min_depth)
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
