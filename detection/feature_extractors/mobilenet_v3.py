"""MobileNet v3 and MobileNet EdgeTPU as feature extractors of SSD and of pyramids."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import keras

from detection.feature_extractors import ssd_maps
from detection.feature_extractors.pyramids.levels import NetworkLevels
from detection.networks import mobilenet_v3, scaling
from detection.networks.depths import depth_rule, divisible_depth_rule
from detection.networks.hyperparams import Hyperparams
from detection.networks.mobilenet_v3 import VERSIONS

SSD_EXTRA_DEPTHS = (512, 256, 256, 128)
SSD_DECAY = 0.9997  # decay of the moving averages with which the reference trains these networks for detection


class Sources(NamedTuple):
    """The maps of a network that detectors read."""

    ssd: tuple[str, str]  # strides 16 and 32; the first is inside the block that halves it, or is wide there
    number: int  # number of the second among tf-slim's layers; the reference names the extra layers after it
    levels: dict[int, str]  # level -> block, for pyramids


SOURCES = {
    "mobilenet_v3_large": Sources(
        ssd=("expanded_conv_12/expand", "Conv_1"),
        number=17,
        levels={2: "expanded_conv_2", 3: "expanded_conv_5", 4: "expanded_conv_11", 5: "Conv_1"},
    ),
    "mobilenet_v3_small": Sources(
        ssd=("expanded_conv_8/expand", "Conv_1"),
        number=13,
        levels={2: "expanded_conv", 3: "expanded_conv_2", 4: "expanded_conv_7", 5: "Conv_1"},
    ),
    "mobilenet_edgetpu": Sources(
        ssd=("expanded_conv_16/expand", "expanded_conv_21"),
        number=23,
        levels={2: "expanded_conv_4", 3: "expanded_conv_8", 4: "expanded_conv_16", 5: "expanded_conv_21"},
    ),
}


def ssd(options: ssd_maps.SsdExtractorOptions, version: str) -> ssd_maps.SsdFeatureExtractor:
    """Returns the SSD extractor: maps of strides 16 and 32 from the network `version`, then up to four extra ones."""
    sources = SOURCES[version]
    return ssd_maps.make(
        scope=VERSIONS[version].scope,
        network=_network(options, version),
        sources=sources.ssd,
        extra_depths=SSD_EXTRA_DEPTHS,
        depth=depth_rule(options.depth_multiplier, options.min_depth),
        scale=scaling.to_unit_range,
        options=options,
        extra_name=f"layer_{sources.number}",
    )


def levels(options: ssd_maps.SsdExtractorOptions, version: str) -> NetworkLevels:
    """Returns the network `version` for pyramids: its maps are the last bottleneck of each stride, and the last map."""
    return NetworkLevels(
        scope=VERSIONS[version].scope,
        network=_network(options, version),
        endpoints=SOURCES[version].levels,
        depth=depth_rule(options.depth_multiplier, options.min_depth),
        scale=scaling.to_unit_range,
        coarse_name="bottom_up_Conv2d_",
        coarse_number=SOURCES[version].number + 1,
    )


def _network(options: ssd_maps.SsdExtractorOptions, version: str) -> tuple[keras.layers.Layer, ...]:
    """Returns the layers of the network's form for detectors, up to the last map that they read."""
    rule = divisible_depth_rule(options.depth_multiplier, options.min_depth)
    network = mobilenet_v3.blocks(VERSIONS[version], _hyperparams(options), rule, detector=True)
    return network[: [block.name for block in network].index(SOURCES[version].ssd[-1]) + 1]


def _hyperparams(options: ssd_maps.SsdExtractorOptions) -> Hyperparams:
    """Returns the hyperparameters of the network itself.

    Where the config overrides them, the network still has batch norm with gamma and beta, as tf-slim defines it.
    """
    defaults = mobilenet_v3.training_defaults(SSD_DECAY)
    made = options.base_hyperparams(defaults)
    norm = made.batch_norm or dataclasses.replace(options, override_base=False).base_hyperparams(defaults).batch_norm
    assert norm is not None
    return dataclasses.replace(made, batch_norm=dataclasses.replace(norm, center=True, scale=True), group_norm=None)
