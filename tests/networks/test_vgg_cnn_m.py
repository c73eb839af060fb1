"""VGG_CNN_M_1024 as published: names, shapes, sizes of the maps. Its numbers are compared in `test_alexnet.py`."""

from __future__ import annotations

import tensorflow as tf

from detection.networks import vgg_cnn_m
from detection.networks.blocks import Blocks
from detection.networks.depths import depth_rule

SHAPES = {
    "conv1": (7, 7, 3, 96),
    "conv2": (5, 5, 96, 256),
    "conv3": (3, 3, 256, 512),
    "conv4": (3, 3, 512, 512),
    "conv5": (3, 3, 512, 512),
    "fc6": (6, 6, 512, 4096),
    "fc7": (1, 1, 4096, 1024),
    "fc8": (1, 1, 1024, 1000),
}


def test_names_and_shapes_of_the_classifier() -> None:
    spec = vgg_cnn_m.CLASSIFIERS["vgg_cnn_m_1024"]
    classifier = spec.make(spec.num_logits)
    logits, _ = classifier(tf.zeros([1, spec.image_size, spec.image_size, 3]))
    assert logits.shape == (1, 1000) and spec.image_size == 224 and not spec.background
    expected = {f"vgg_cnn_m_1024/{layer}/weights": shape for layer, shape in SHAPES.items()}
    expected |= {f"vgg_cnn_m_1024/{layer}/biases": shape[-1:] for layer, shape in SHAPES.items()}
    assert {v.path: tuple(v.shape) for v in classifier.trainable_variables} == expected


def test_sizes_of_the_classifiers_maps() -> None:
    """pool2 makes 13 cells of 26 because it rounds up: 6 cells for fc6 come out at no other rounding."""
    sizes, x = {}, tf.zeros([1, 224, 224, 3])
    for block in vgg_cnn_m.CLASSIFIERS["vgg_cnn_m_1024"].make(10, 1 / 64).network:
        x = block(x)
        sizes[block.name] = x.shape[1]
    assert [*sizes] == ["conv1", "norm1", "pool1", "conv2", "norm2", "pool2", "conv3", "conv4", "conv5", "pool5"]
    assert [*sizes.values()] == [109, 109, 54, 26, 26, 13, 13, 13, 13, 6]


def test_depth_multiplier_applies_to_every_layer() -> None:
    classifier = vgg_cnn_m.CLASSIFIERS["vgg_cnn_m_1024"].make(10, 1 / 8)
    classifier(tf.zeros([1, 224, 224, 3]))
    depths = [v.shape[-1] for v in classifier.trainable_variables if v.path.endswith("weights")]
    assert depths == [12, 32, 64, 64, 64, 512, 128, 10]


def test_blocks_and_tail_share_names_with_the_classifier() -> None:
    depth, hyperparams = depth_rule(1 / 8, 8), vgg_cnn_m.training_defaults()
    body, tail = (
        Blocks("vgg_cnn_m_1024", vgg_cnn_m.blocks(hyperparams, depth)),
        Blocks("vgg_cnn_m_1024", vgg_cnn_m.tail(hyperparams, depth)),
    )
    assert body(tf.zeros([2, 100, 60, 3]))["conv5"].shape == (2, 7, 4, 64)
    assert tail(tf.zeros([3, 6, 6, 64]))["fc7"].shape == (3, 1, 1, 128)
    classifier = vgg_cnn_m.CLASSIFIERS["vgg_cnn_m_1024"].make(10, 1 / 8)
    classifier(tf.zeros([1, 224, 224, 3]))
    parts = {v.path: tuple(v.shape) for part in (body, tail) for v in part.trainable_variables}
    assert parts == {v.path: tuple(v.shape) for v in classifier.trainable_variables if "/fc8/" not in v.path}
