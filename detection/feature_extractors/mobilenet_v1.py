"""MobileNet v1 as a feature extractor of SSD, of the two-stage detectors and of pyramids."""

from __future__ import annotations

import dataclasses

from detection.feature_extractors import ssd_maps
from detection.feature_extractors import two_stage as two_stage_parts
from detection.feature_extractors.pyramids.levels import NetworkLevels
from detection.networks import mobilenet_v1, scaling
from detection.networks.depths import depth_rule

SSD_SOURCES = ("Conv2d_11_pointwise", "Conv2d_13_pointwise")  # strides 16 and 32
SSD_EXTRA_DEPTHS = (512, 256, 256, 128)
# For devices on which a kernel cannot be larger than its map; with images of 256 pixels the last maps are that small.
EMBEDDED_EXTRA_DEPTHS, EMBEDDED_EXTRA_KERNELS = (512, 256, 256), (3, 3, 2)
LAST_OF_BODY = "Conv2d_11_pointwise"
LEVELS = {2: "Conv2d_3_pointwise", 3: "Conv2d_5_pointwise", 4: "Conv2d_11_pointwise", 5: "Conv2d_13_pointwise"}
LITE_LAST_DEPTHS = (512, 256)  # channels of the last two pairs below a pyramid of depthwise convolutions


def ssd(
    options: ssd_maps.SsdExtractorOptions, keras_form: bool = False, embedded: bool = False
) -> ssd_maps.SsdFeatureExtractor:
    """Returns the SSD extractor: maps of strides 16 and 32 from the network, then up to four extra ones.

    Args:
        options: the extractor's options in the config.
        keras_form: the form of the Keras models of the TF Object Detection API.
        embedded: the form for embedded devices, with up to three extra maps.
    """
    options = options.as_keras() if keras_form else options
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    defaults = mobilenet_v1.training_defaults()
    if embedded:
        defaults = dataclasses.replace(defaults, regularize_depthwise=False)
    hyperparams = options.base_hyperparams(defaults)
    return ssd_maps.make(
        scope=mobilenet_v1.SCOPE,
        network=mobilenet_v1.blocks(hyperparams, depth, options.padding),
        sources=SSD_SOURCES,
        extra_depths=EMBEDDED_EXTRA_DEPTHS if embedded else SSD_EXTRA_DEPTHS,
        depth=depth,
        scale=scaling.to_unit_range,
        options=options,
        extra_kernels=EMBEDDED_EXTRA_KERNELS if embedded else (),
    )


def levels(options: ssd_maps.SsdExtractorOptions) -> NetworkLevels:
    """Returns the network for pyramids, with the last map of each stride."""
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    return NetworkLevels(
        scope=mobilenet_v1.SCOPE,
        network=mobilenet_v1.blocks(
            options.base_hyperparams(mobilenet_v1.training_defaults()),
            depth,
            options.padding,
            last_depths=LITE_LAST_DEPTHS if options.depthwise else mobilenet_v1.LAST_DEPTHS,
        ),
        endpoints=LEVELS,
        depth=depth,
        scale=scaling.to_unit_range,
        coarse_name="bottom_up_Conv2d_",
        coarse_number=14,
    )


def two_stage(options: two_stage_parts.TwoStageExtractorOptions) -> two_stage_parts.TwoStageExtractor:
    """Returns the two-stage extractor: body up to `Conv2d_11_pointwise` (512 channels), tail from there (1024).

    The body has stride 16, or 8 with atrous convolutions. The tail halves crops; on the whole map it keeps the size and
    dilates instead.
    """
    two_stage_parts.check_stride(options, "MobileNet v1", (8, 16))
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    hyperparams = options.base_hyperparams(mobilenet_v1.training_defaults())
    dense = mobilenet_v1.blocks(hyperparams, depth, output_stride=options.stride)
    cut = [block.name for block in dense].index(LAST_OF_BODY) + 1
    tail = dense if options.whole_map else mobilenet_v1.blocks(hyperparams, depth)
    return two_stage_parts.make(mobilenet_v1.SCOPE, dense[:cut], tail[cut:], scaling.to_unit_range, options)
