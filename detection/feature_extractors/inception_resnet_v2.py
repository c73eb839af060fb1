"""Inception-ResNet v2 as a feature extractor of SSD, of the two-stage detectors and of pyramids."""

from __future__ import annotations

from detection.feature_extractors import ssd_maps
from detection.feature_extractors import two_stage as two_stage_parts
from detection.feature_extractors.pyramids.levels import NetworkLevels
from detection.networks import inception_resnet_v2, scaling
from detection.networks.depths import depth_rule

# The topmost map and one of higher resolution (survey, section 3.1): strides 16 and 32, 1088 and 1536 channels.
SSD_SOURCES = ("Repeat_1", "Conv2d_7b_1x1")
SSD_EXTRA_DEPTHS = (512, 256, 256, 128)
LEVELS = {2: "Conv2d_4a_3x3", 3: "Repeat", 4: "Repeat_1", 5: "Conv2d_7b_1x1"}


def ssd(options: ssd_maps.SsdExtractorOptions) -> ssd_maps.SsdFeatureExtractor:
    """Returns the SSD extractor: aligned maps of strides 16 and 32 from the network, then up to four extra ones."""
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    hyperparams = options.base_hyperparams(inception_resnet_v2.training_defaults())
    return ssd_maps.make(
        scope=inception_resnet_v2.SCOPE,
        network=inception_resnet_v2.blocks(hyperparams, depth, aligned=True),
        sources=SSD_SOURCES,
        extra_depths=SSD_EXTRA_DEPTHS,
        depth=depth,
        scale=scaling.to_unit_range,
        options=options,
    )


def levels(options: ssd_maps.SsdExtractorOptions) -> NetworkLevels:
    """Returns the network for pyramids, with the last aligned map of each stride."""
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    hyperparams = options.base_hyperparams(inception_resnet_v2.training_defaults())
    return NetworkLevels(
        scope=inception_resnet_v2.SCOPE,
        network=inception_resnet_v2.blocks(hyperparams, depth, aligned=True),
        endpoints=LEVELS,
        depth=depth,
        scale=scaling.to_unit_range,
        coarse_name="bottom_up_Conv2d_",
        coarse_number=8,
    )


def two_stage(
    options: two_stage_parts.TwoStageExtractorOptions, keras_form: bool = False
) -> two_stage_parts.TwoStageExtractor:
    """Returns the two-stage extractor: aligned body up to `Repeat_1` (1088 channels), tail from there (1536 channels).

    The body has stride 16 or 8. The tail halves crops of at least 3 cells a side; 17 is the size that it was trained
    with. On the whole map it keeps the size and dilates instead. Its repeated block is called `Repeat`, as in the
    reference's checkpoints. In the Keras form the tail is aligned too, so that it takes crops of any size.
    """
    options = options.as_keras() if keras_form else options
    two_stage_parts.check_stride(options, "Inception-ResNet v2", (8, 16))
    depth = depth_rule(options.depth_multiplier, options.min_depth)
    hyperparams = options.base_hyperparams(inception_resnet_v2.training_defaults())
    return two_stage_parts.make(
        scope=inception_resnet_v2.SCOPE,
        body=inception_resnet_v2.body(hyperparams, depth, output_stride=options.stride),
        tail=inception_resnet_v2.tail(
            hyperparams,
            depth,
            aligned=keras_form,
            repeat="Repeat",
            dense_from=options.stride if options.whole_map else None,
        ),
        scale=scaling.to_unit_range,
        options=options,
        keras_form=keras_form,
    )
