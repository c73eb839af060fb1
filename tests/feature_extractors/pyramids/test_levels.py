"""What stands below pyramids: of every network the map of each level has its stride, and none behind it has."""

from __future__ import annotations

import keras
import pytest
import tensorflow as tf

from detection.feature_extractors import catalogue
from detection.feature_extractors.ssd_maps import FpnOptions, SsdExtractorOptions
from detection.networks.blocks import Blocks
from detection.networks.hyperparams import Hyperparams

HYPER = Hyperparams(keras.initializers.Ones(), activation=tf.nn.relu)
HEIGHT, WIDTH = 160, 130
LONG = ("efficientnet-b1", "efficientnet-b2", "efficientnet-b3", "efficientnet-b4", "efficientnet-b5")
LONG += ("efficientnet-b6", "efficientnet-b7", "resnet101_v1", "resnet152_v1")  # more of the same


@pytest.mark.parametrize("name", [name for name in catalogue.LEVELS if name not in LONG])
def test_every_level_has_its_stride(name: str) -> None:
    """Aligned with the image: ceil(size / stride) cells. Traced, not computed."""
    below = catalogue.LEVELS[name](SsdExtractorOptions(HYPER, depth_multiplier=0.125, min_depth=8))
    network = Blocks(below.scope, below.network)
    with tf.Graph().as_default():
        sizes = {block: features.shape[1:3] for block, features in network(tf.zeros([1, HEIGHT, WIDTH, 3])).items()}
    assert sorted(below.endpoints) == [2, 3, 4, 5]
    for level, endpoint in below.endpoints.items():
        expected = (-(-HEIGHT // 2**level), -(-WIDTH // 2**level))
        assert tuple(sizes[endpoint]) == expected, endpoint
        last = [block for block, size in sizes.items() if tuple(size) == expected][-1]
        assert endpoint == last or name.startswith("efficientnet"), f"{last} lies behind {endpoint}"
        # EfficientNet's pyramids leave out the block behind the last map, as published.
    assert below.coarse_names(2) == (
        f"{below.coarse_name}{below.coarse_number}",
        f"{below.coarse_name}{below.coarse_number + 1}",
    )


@pytest.mark.parametrize("name", ["inception_resnet_v2", "vgg16"])
def test_a_pyramid_on_a_network_without_published_pyramid(name: str) -> None:
    options = SsdExtractorOptions(HYPER, depth_multiplier=0.125, min_depth=8, fpn=FpnOptions(3, 6, 64))
    extractor = catalogue.SSD_EXTRACTORS[f"ssd_{name}_fpn"](options)
    with tf.Graph().as_default():
        maps = extractor(tf.zeros([1, 96, 128, 3]))
    assert [each.shape[1:].as_list() for each in maps] == [[12, 16, 8], [6, 8, 8], [3, 4, 8], [2, 2, 8]]
    paths = {variable.path for variable in extractor.variables}
    scope = extractor.network.name
    assert f"FeatureExtractor/{scope}/fpn/projection_1/weights" in paths
    assert any(path.startswith(f"FeatureExtractor/{scope}/fpn/bottom_up_") for path in paths)
