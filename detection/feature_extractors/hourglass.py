"""Hourglass networks as feature extractors of CenterNet."""

from __future__ import annotations

from detection.feature_extractors import center_maps
from detection.networks import hourglass
from detection.networks.depths import depth_rule

MIN_DEPTH = 8


def center_net(options: center_maps.CenterExtractorOptions, layers: int) -> center_maps.HourglassExtractor:
    """Returns the CenterNet extractor of the network with `layers` layers; it has one map per hourglass."""
    design = hourglass.DESIGNS[layers]
    depth = depth_rule(options.depth_multiplier, MIN_DEPTH)
    network = hourglass.Hourglass(f"hourglass_{layers}", design, hourglass.training_defaults(), depth)
    return center_maps.HourglassExtractor(network, design.multiple, options.pixels.then(lambda images: images))
