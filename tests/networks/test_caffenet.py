"""CaffeNet as published: names, shapes, sizes of the maps. Its numbers are compared in `test_alexnet.py`."""

from __future__ import annotations

import tensorflow as tf

from detection.networks import caffenet
from detection.networks.blocks import Blocks
from detection.networks.depths import depth_rule

SHAPES = {  # of BVLC's caffemodel, turned to [h, w, in / groups, out]
    "conv1": (11, 11, 3, 96),
    "conv2": (5, 5, 48, 256),
    "conv3": (3, 3, 256, 384),
    "conv4": (3, 3, 192, 384),
    "conv5": (3, 3, 192, 256),
    "fc6": (6, 6, 256, 4096),
    "fc7": (1, 1, 4096, 4096),
    "fc8": (1, 1, 4096, 1000),
}


def test_names_and_shapes_of_the_classifier() -> None:
    spec = caffenet.CLASSIFIERS["caffenet"]
    classifier = spec.make(spec.num_logits)
    images = tf.zeros([1, spec.image_size, spec.image_size, 3])
    logits, _ = classifier(images)
    assert logits.shape == (1, 1000) and spec.image_size == 227 and not spec.background
    expected = {f"caffenet/{layer}/weights": shape for layer, shape in SHAPES.items()}
    expected |= {f"caffenet/{layer}/biases": shape[-1:] for layer, shape in SHAPES.items()}
    assert {v.path: tuple(v.shape) for v in classifier.trainable_variables} == expected
    assert (
        sum(tf.size(v).numpy() for v in classifier.trainable_variables) == 60_965_224
    )  # the number given for AlexNet everywhere


def test_sizes_of_the_classifiers_maps() -> None:
    sizes, x = {}, tf.zeros([1, 227, 227, 3])
    for block in caffenet.CLASSIFIERS["caffenet"].make(10, 1 / 64).network:
        x = block(x)
        sizes[block.name] = x.shape[1]
    assert [*sizes] == ["conv1", "pool1", "norm1", "conv2", "pool2", "norm2", "conv3", "conv4", "conv5", "pool5"]
    assert [*sizes.values()] == [55, 27, 27, 27, 13, 13, 13, 13, 13, 6]


def test_depth_multiplier_applies_to_every_layer() -> None:
    classifier = caffenet.CLASSIFIERS["caffenet"].make(10, 1 / 8)
    classifier(tf.zeros([1, 227, 227, 3]))
    depths = [v.shape[-1] for v in classifier.trainable_variables if v.path.endswith("weights")]
    assert depths == [12, 32, 48, 48, 32, 512, 512, 10]


def test_blocks_and_tail_share_names_with_the_classifier() -> None:
    depth, hyperparams = depth_rule(1 / 8, 8), caffenet.training_defaults()
    body, tail = (
        Blocks("caffenet", caffenet.blocks(hyperparams, depth)),
        Blocks("caffenet", caffenet.tail(hyperparams, depth)),
    )
    features = body(tf.zeros([2, 100, 60, 3]))["conv5"]
    assert features.shape == (2, 7, 4, 32)
    assert tail(tf.zeros([3, 6, 6, 32]))["fc7"].shape == (3, 1, 1, 512)
    classifier = caffenet.CLASSIFIERS["caffenet"].make(10, 1 / 8)
    classifier(tf.zeros([1, 227, 227, 3]))
    parts = {v.path: tuple(v.shape) for part in (body, tail) for v in part.trainable_variables}
    assert parts == {v.path: tuple(v.shape) for v in classifier.trainable_variables if "/fc8/" not in v.path}
