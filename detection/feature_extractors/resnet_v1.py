"""ResNet v1 as a feature extractor of SSD, of the two-stage detectors, of pyramids and of CenterNet."""

from __future__ import annotations

from detection.feature_extractors import center_maps, ssd_maps
from detection.feature_extractors import two_stage as two_stage_parts
from detection.feature_extractors.pyramids.levels import NetworkLevels
from detection.networks import resnet_v1, scaling
from detection.networks.depths import depth_rule

# The topmost map and one of higher resolution (survey, section 3.1), strides 16 and 32: conv4_x before its last unit
# strides, and conv5_x.
SSD_SOURCES = ("block3", "block4")
SSD_EXTRA_DEPTHS = (512, 256, 256, 128)
LEVELS = {2: "block1", 3: "block2", 4: "block3", 5: "block4"}


def ssd(options: ssd_maps.SsdExtractorOptions, layers: int) -> ssd_maps.SsdFeatureExtractor:
    """Returns the SSD extractor: maps of strides 16 and 32 from the network, then up to four extra ones.

    Args:
        options: the extractor's options in the config.
        layers: 50, 101 or 152.
    """
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    hyperparams = options.base_hyperparams(resnet_v1.training_defaults())
    return ssd_maps.make(
        scope=resnet_v1.scope(layers),
        network=resnet_v1.blocks(hyperparams, depth, resnet_v1.UNITS[layers], dense=SSD_SOURCES),
        sources=SSD_SOURCES,
        extra_depths=SSD_EXTRA_DEPTHS,
        depth=depth,
        scale=scaling.subtract_resnet_means,
        options=options,
    )


def levels(options: ssd_maps.SsdExtractorOptions, layers: int) -> NetworkLevels:
    """Returns the network for pyramids, whose maps are the blocks before they stride.

    Args:
        options: the extractor's options in the config; with `keras_form`, the network is Keras's, otherwise tf-slim's.
        layers: 50, 101 or 152.
    """
    depth, units = depth_rule(options.depth_multiplier, options.min_depth), resnet_v1.UNITS[layers]
    hyperparams = options.base_hyperparams(resnet_v1.training_defaults(options.keras_form))
    if options.keras_form:
        network = resnet_v1.keras_blocks(hyperparams, depth, units)
    else:
        network = resnet_v1.blocks(hyperparams, depth, units, dense=tuple(LEVELS.values()))
    return NetworkLevels(
        scope=resnet_v1.scope(layers, options.keras_form),
        network=network,
        endpoints=LEVELS,
        depth=depth,
        scale=scaling.subtract_resnet_means,
        coarse_name="bottom_up_block",
        coarse_number=5,
    )


def center_net(options: center_maps.CenterExtractorOptions, layers: int) -> center_maps.CenterExtractor:
    """Returns the CenterNet extractor: Keras's network of 50 or 101 `layers`, with biases, and top-down layers."""
    depth = depth_rule(options.depth_multiplier, resnet_v1.MIN_DEPTH)
    return center_maps.CenterExtractor(
        scope=resnet_v1.scope(layers, keras_form=True),
        network=resnet_v1.keras_blocks(
            center_maps.resnet_defaults(biased=True), depth, resnet_v1.UNITS[layers], pool_padding="EXPLICIT"
        ),
        sources=tuple(LEVELS.values()),
        decoder=center_maps.TopDown(tuple(map(depth, (256, 256, 128, 64))), tuple(map(depth, (128, 64, 64)))),
        scale=options.pixels.then(scaling.subtract_caffe_means),
    )


def two_stage(
    options: two_stage_parts.TwoStageExtractorOptions, layers: int, keras_form: bool = False
) -> two_stage_parts.TwoStageExtractor:
    """Returns the two-stage extractor: body up to `block3` (1024 channels), tail `block4` (2048) without dilation.

    The body has stride 16 or 8. Checkpoints of the reference have a second, unused block4 behind the body, so this
    extractor has one too. The Keras form has no such block, stride 16 only, and a tail that halves crops.
    """
    if keras_form:
        return _keras_two_stage(options.as_keras(), layers)
    two_stage_parts.check_stride(options, f"ResNet v1 {layers}", (8, 16))
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    hyperparams, units = options.base_hyperparams(resnet_v1.training_defaults()), resnet_v1.UNITS[layers]
    *body, unused = resnet_v1.blocks(hyperparams, depth, units, output_stride=options.stride)
    return two_stage_parts.make(
        scope=resnet_v1.scope(layers),
        body=tuple(body),
        carried=(unused,),
        tail=(resnet_v1.last_block(hyperparams, depth, units),),
        scale=scaling.subtract_resnet_means,
        options=options,
    )


def _keras_two_stage(
    options: two_stage_parts.TwoStageExtractorOptions, layers: int
) -> two_stage_parts.TwoStageExtractor:
    two_stage_parts.check_stride(options, f"ResNet v1 {layers} (Keras)")
    depth, units = depth_rule(options.depth_multiplier, options.min_depth), resnet_v1.UNITS[layers]
    hyperparams = options.base_hyperparams(resnet_v1.training_defaults(keras_form=True))
    *body, _ = resnet_v1.keras_blocks(hyperparams, depth, units)
    return two_stage_parts.make(
        scope=resnet_v1.scope(layers, keras_form=True),
        body=tuple(body),
        tail=(resnet_v1.keras_last_block(hyperparams, depth, units, stride=1 if options.whole_map else 2),),
        scale=scaling.subtract_resnet_means,
        options=options,
        keras_form=True,
    )
