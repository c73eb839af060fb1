"""EfficientNet as a feature extractor below pyramids, and the pyramid settings of EfficientDet."""

from __future__ import annotations

import dataclasses

from detection.feature_extractors import ssd_maps
from detection.feature_extractors.pyramids.levels import NetworkLevels
from detection.networks import efficientnet, scaling
from detection.networks.depths import depth_rule

# The last map of each stride of b0, used for all versions: from b1 on, two of them are not the ends of their stacks,
# and no detector reads the blocks of the last stack behind its first.
LEVELS = {2: "stack_1_block_1", 3: "stack_2_block_1", 4: "stack_4_block_2", 5: "stack_6_block_0"}
# EfficientDet D0 to D6, and D7, which is D6 on larger images; b7 has the pyramid of b6 (Tan et al. 2020, Table 1).
BIFPN = tuple(
    ssd_maps.BifpnOptions(iterations=iterations, depth=depth, combine=combine)
    for iterations, depth, combine in (
        (3, 64, "fast_attention"),
        (4, 88, "fast_attention"),
        (5, 112, "fast_attention"),
        (6, 160, "fast_attention"),
        (7, 224, "fast_attention"),
        (7, 288, "fast_attention"),
        (8, 384, "sum"),
        (8, 384, "sum"),
    )
)


def levels(options: ssd_maps.SsdExtractorOptions, version: int) -> NetworkLevels:
    """Returns the network b<version> (0 to 7) for pyramids, whose maps are the last block of each stride."""
    # The Keras form is trained with the same hyperparameters: depthwise kernels are not regularised.
    hyperparams = dataclasses.replace(options, keras_form=False).base_hyperparams(efficientnet.training_defaults())
    depth = efficientnet.depth_rule(version, options.depth_multiplier)
    return NetworkLevels(
        scope=efficientnet.scope(version),
        network=efficientnet.blocks(version, hyperparams, depth),
        endpoints=LEVELS,
        depth=depth_rule(options.depth_multiplier, options.min_depth),
        scale=scaling.standardize_imagenet,
        coarse_name="bottom_up_block",
        coarse_number=5,
        top=efficientnet.top(hyperparams, depth) if options.keras_form else (),
        read_key="_efficientnet",
        bifpn=BIFPN[version],
    )
