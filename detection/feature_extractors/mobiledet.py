"""MobileDet as a feature extractor of SSD."""

from __future__ import annotations

import dataclasses

from detection.feature_extractors import ssd_maps
from detection.networks import mobiledet, scaling
from detection.networks.depths import depth_rule

SSD_LEVELS = (4, 5)  # strides 16 and 32
SSD_EXTRA_DEPTHS = (512, 256, 256, 128)
SSD_EXTRA_NAME = "C5"  # the reference's name of the last map


def ssd(options: ssd_maps.SsdExtractorOptions, version: str) -> ssd_maps.SsdFeatureExtractor:
    """Returns the SSD extractor: maps of strides 16 and 32 from the backbone, then up to four extra ones.

    The backbone always has the hyperparameters of the paper, also with `override_base_feature_extractor_hyperparams`;
    `min_depth` applies to the extra maps only.

    Args:
        options: the extractor's options in the config.
        version: a key of `networks.mobiledet.VERSIONS`.
    """
    chosen = mobiledet.VERSIONS[version]
    endpoints = mobiledet.endpoints(chosen)
    return ssd_maps.make(
        scope=chosen.scope,
        network=mobiledet.blocks(
            chosen,
            dataclasses.replace(options, override_base=False).base_hyperparams(mobiledet.training_defaults()),
            mobiledet.depth_rule(options.depth_multiplier),
        ),
        sources=tuple(endpoints[level] for level in SSD_LEVELS),
        extra_depths=SSD_EXTRA_DEPTHS,
        depth=depth_rule(options.depth_multiplier, options.min_depth),
        scale=scaling.to_unit_range,
        options=options,
        extra_name=SSD_EXTRA_NAME,
    )
