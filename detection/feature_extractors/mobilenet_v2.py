"""MobileNet v2 as a feature extractor of SSD, of the two-stage detectors, of pyramids and of CenterNet."""

from __future__ import annotations

import dataclasses

from detection.feature_extractors import center_maps, ssd_maps
from detection.feature_extractors import two_stage as two_stage_parts
from detection.feature_extractors.pyramids.levels import NetworkLevels
from detection.networks import mobilenet_v2, scaling
from detection.networks.depths import depth_rule, divisible_depth_rule, full_depth

# Strides 16 and 32. The last map of stride 16 that is wide and has an activation is inside the block that halves it.
SSD_SOURCES = ("expanded_conv_13/expand", "Conv_1")
SSD_EXTRA_DEPTHS = (512, 256, 256, 128)
SSD_EXTRA_NAME = "layer_19"  # the reference names the extra layers after its number for `Conv_1`
SSD_DECAY = 0.9997  # decay of the moving averages with which the reference trains this network for detection
LAST_OF_BODY = "expanded_conv_12"
LEVELS = {2: "expanded_conv_2", 3: "expanded_conv_5", 4: "expanded_conv_12", 5: "Conv_1"}
CENTER_SOURCES = ("expanded_conv_2", "expanded_conv_5", "expanded_conv_9", "Conv_1")  # strides 4 to 32
LITE_LAST_DEPTH = 256  # channels of `Conv_1` below a pyramid of depthwise convolutions; not in the Keras form


def ssd(options: ssd_maps.SsdExtractorOptions, keras_form: bool = False) -> ssd_maps.SsdFeatureExtractor:
    """Returns the SSD extractor: maps of strides 16 and 32 from the network, then up to four extra ones.

    Unlike in the classifier, the depth multiplier also applies to `Conv_1`.
    """
    options = options.as_keras() if keras_form else options
    hyperparams = options.base_hyperparams(mobilenet_v2.training_defaults(SSD_DECAY))
    return ssd_maps.make(
        scope=mobilenet_v2.SCOPE,
        network=mobilenet_v2.blocks(
            hyperparams, divisible_depth_rule(options.depth_multiplier, options.min_depth), options.padding
        ),
        sources=SSD_SOURCES,
        extra_depths=SSD_EXTRA_DEPTHS,
        depth=depth_rule(options.depth_multiplier, options.min_depth),
        scale=scaling.to_unit_range,
        options=options,
        extra_name=SSD_EXTRA_NAME,
    )


def levels(options: ssd_maps.SsdExtractorOptions) -> NetworkLevels:
    """Returns the network for pyramids, whose maps are the last bottleneck of each stride, and `Conv_1`."""
    thinned = options.depthwise and not options.keras_form
    return NetworkLevels(
        scope=mobilenet_v2.SCOPE,
        network=mobilenet_v2.blocks(
            options.base_hyperparams(mobilenet_v2.training_defaults(SSD_DECAY)),
            divisible_depth_rule(options.depth_multiplier, options.min_depth),
            options.padding,
            last_depth=LITE_LAST_DEPTH if thinned else mobilenet_v2.LAST_DEPTH,
        ),
        endpoints=LEVELS,
        depth=depth_rule(options.depth_multiplier, options.min_depth),
        scale=scaling.to_unit_range,
        coarse_name="bottom_up_Conv2d_",
        coarse_number=20,
    )


def center_net(
    options: center_maps.CenterExtractorOptions, pyramid: bool, separable: bool = False
) -> center_maps.CenterExtractor:
    """Returns the CenterNet extractor: the network of SSD without regularisation, and a decoder.

    The depth multiplier applies to the network only.

    Args:
        options: the extractor's options in the config.
        pyramid: whether top-down layers on several maps are the decoder; otherwise the last map is deconvolved.
        separable: whether the top-down layers are depthwise separable, whatever `options.separable` is.
    """
    hyperparams = dataclasses.replace(mobilenet_v2.training_defaults(SSD_DECAY), regularizer=None)
    if pyramid:
        separable = separable or options.separable
        decoder = center_maps.TopDown((64, 64, 32, 24), (32, 24, 24), separable, options.interpolation)
    else:
        decoder = center_maps.deconvolved(full_depth, kernel=1)
    return center_maps.CenterExtractor(
        scope=mobilenet_v2.SCOPE,
        network=mobilenet_v2.blocks(hyperparams, divisible_depth_rule(options.depth_multiplier)),
        sources=CENTER_SOURCES if pyramid else CENTER_SOURCES[-1:],
        decoder=decoder,
        scale=options.pixels.then(scaling.to_unit_range),
        one_model=not pyramid,
    )


def two_stage(options: two_stage_parts.TwoStageExtractorOptions) -> two_stage_parts.TwoStageExtractor:
    """Returns the two-stage extractor: body up to `expanded_conv_12`, tail from there (1280 channels).

    `expanded_conv_12` is the last bottleneck of stride 16, or of stride 8 with atrous convolutions. As in MobileNet v1,
    the cut is in front of the layer that halves the map for the last time. A bottleneck has few channels (96), so crops
    of it are cheap. The tail halves crops; on the whole map it keeps the size and dilates instead.
    """
    two_stage_parts.check_stride(options, "MobileNet v2", (8, 16))
    depth = divisible_depth_rule(options.depth_multiplier, options.min_depth)
    hyperparams = options.base_hyperparams(mobilenet_v2.training_defaults())
    dense = mobilenet_v2.blocks(hyperparams, depth, output_stride=options.stride)
    cut = [block.name for block in dense].index(LAST_OF_BODY) + 1
    tail = dense if options.whole_map else mobilenet_v2.blocks(hyperparams, depth)
    return two_stage_parts.make(mobilenet_v2.SCOPE, dense[:cut], tail[cut:], scaling.to_unit_range, options)
