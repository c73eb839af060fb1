"""Hourglass networks as feature extractors of CenterNet, which they were made for."""

from __future__ import annotations

from detection.feature_extractors import center_maps
from detection.networks import hourglass
from detection.networks.depths import depth_rule

MIN_DEPTH = 8


def center_net(options: center_maps.CenterExtractorOptions, layers: int) -> center_maps.HourglassExtractor:
    """One map an hourglass, of the network of so many `layers`."""
    design = hourglass.DESIGNS[layers]
    depth = depth_rule(options.depth_multiplier, MIN_DEPTH)
    network = hourglass.Hourglass(f"hourglass_{layers}", design, hourglass.training_defaults(), depth)
    return center_maps.HourglassExtractor(network, design.multiple, options.pixels.then(lambda images: images))
