"""ResNet v2 as a feature extractor of CenterNet."""

from __future__ import annotations

from detection.feature_extractors import center_maps
from detection.networks import resnet_v2, scaling
from detection.networks.depths import depth_rule

MIN_DEPTH = 8
MAPS = ("block1", "block2", "block3", "block4")
SMALL_DEPTHS, SMALL_SMOOTHED = (256, 256, 128, 64), (128, 64, 64)


def center_net(options: center_maps.CenterExtractorOptions, layers: int) -> center_maps.CenterExtractor:
    """Returns the CenterNet extractor.

    Args:
        options: the extractor's options in the config.
        layers: 50 or 101, whose last map (2048 channels) is deconvolved; or 18 or 34, with top-down layers on all maps.
    """
    depth = depth_rule(options.depth_multiplier, MIN_DEPTH)
    hyperparams = center_maps.resnet_defaults(biased=False)
    small = layers in resnet_v2.SMALL_UNITS
    decoder = (
        center_maps.TopDown(tuple(map(depth, SMALL_DEPTHS)), tuple(map(depth, SMALL_SMOOTHED)))
        if small
        else center_maps.deconvolved(depth, kernel=3)
    )
    return center_maps.CenterExtractor(
        scope=resnet_v2.scope(layers),
        network=resnet_v2.blocks(hyperparams, depth, layers),
        sources=MAPS if small else MAPS[-1:],
        decoder=decoder,
        scale=options.pixels.then(scaling.subtract_caffe_means if small else scaling.to_unit_range),
        carried=(resnet_v2.last_norm(hyperparams),),
    )
