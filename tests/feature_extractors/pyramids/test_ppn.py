"""The pooling pyramid by hand: maps are the largest values of ever larger squares."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from detection.feature_extractors import catalogue
from detection.feature_extractors.pyramids.ppn import Ppn
from detection.feature_extractors.ssd_maps import SsdExtractorOptions
from detection.networks.hyperparams import Hyperparams

HYPER = Hyperparams(keras.initializers.Ones(), activation=tf.nn.relu)


def test_every_map_is_a_max_pool_of_the_previous_one() -> None:
    """A side of five becomes three: the last cell sees one row."""
    features = np.arange(25, dtype="f4").reshape(1, 5, 5, 1)
    maps = [each.numpy()[0, ..., 0].tolist() for each in Ppn(4)((tf.constant(features),))]
    assert maps[0] == features[0, ..., 0].tolist()
    assert maps[1:] == [[[6, 8, 9], [16, 18, 19], [21, 23, 24]], [[18, 19], [23, 24]], [[24]]]


def test_layers_above_the_map_are_created_but_never_run() -> None:
    options = SsdExtractorOptions(HYPER, depth_multiplier=0.125, min_depth=8)
    extractor = catalogue.SSD_EXTRACTORS["ssd_mobilenet_v1_ppn"](options)
    maps = extractor(tf.zeros([1, 96, 128, 3]))
    assert [each.shape[1:].as_list() for each in maps] == [
        [6, 8, 64], [3, 4, 64], [2, 2, 64], [1, 1, 64], [1, 1, 64], [1, 1, 64],
    ]  # fmt: skip
    like = catalogue.SSD_EXTRACTORS["ssd_mobilenet_v1"](
        SsdExtractorOptions(HYPER, depth_multiplier=0.125, min_depth=8, num_maps=2)
    )
    like(tf.zeros([1, 96, 128, 3]))
    assert {v.path: v.shape for v in extractor.variables} == {v.path: v.shape for v in like.variables}


def test_a_resnet_has_a_convolution_in_front() -> None:
    options = SsdExtractorOptions(HYPER, num_maps=3)
    extractor = catalogue.SSD_EXTRACTORS["ssd_resnet50_v1_ppn"](options)
    with tf.Graph().as_default():
        maps = extractor(tf.zeros([1, 64, 64, 3]))
    assert [each.shape[1:].as_list() for each in maps] == [[4, 4, 1024], [2, 2, 1024], [1, 1, 1024]]
    paths = {variable.path: tuple(variable.shape) for variable in extractor.variables}
    assert paths["FeatureExtractor/resnet_v1_50/Base_Conv2d_1x1_1024/weights"] == (1, 1, 1024, 1024)
    assert "FeatureExtractor/resnet_v1_50/block4/unit_3/bottleneck_v1/conv3/weights" in paths
