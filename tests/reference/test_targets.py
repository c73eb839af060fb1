"""The target assigner against the values in the TF Object Detection API's own unit tests: IoU, argmax at 0.5, mean and
deviation codes of 0.1.

The reference's class-agnostic targets are a single column of 0 and 1; here they are the two columns background and
object.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.ops import boxes as box_ops
from detection.ops.box_coders import MeanStddevBoxCoder
from detection.ops.matchers import ArgMaxMatcher
from detection.ops.targets import TargetAssigner
from detection.types import Groundtruth

THREE = [[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 0.8], [0, 0.5, 0.5, 1.0]]
LARGER = [*THREE[:2], [0.0, 0.5, 0.9, 1.0]]  # the third with an IoU of 0.35
FOUR = [*THREE, [0.75, 0, 1.0, 0.25]]
OBJECTS = [[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 0.9, 0.9], [0.75, 0, 0.95, 0.27]]
NOTHING = [0.0] * 4
CODES = [NOTHING, [0, 0, -1, 1], NOTHING, [0, 0, -0.5, 0.2]]


def groundtruth(images, classes, weights=None, rows=4) -> Groundtruth:
    """Padded to `rows`."""
    count = np.array([len(boxes) for boxes in images], np.int32)
    padded = {"boxes": np.zeros((len(images), rows, 4), np.float32), "classes": np.zeros((len(images), rows), np.int32)}
    padded["weights"] = np.zeros((len(images), rows), np.float32)
    for number, boxes in enumerate(images):
        padded["boxes"][number, : len(boxes)] = np.reshape(boxes, (-1, 4))
        padded["classes"][number, : len(boxes)] = classes[number]
        padded["weights"][number, : len(boxes)] = 1.0 if weights is None else weights[number]
    flags = tf.zeros([len(images), rows], tf.bool)
    return Groundtruth(
        *(tf.constant(padded[name]) for name in ("boxes", "classes", "weights")),
        tf.constant(count),
        flags,
        flags,
        flags,
    )


def assign(anchors, truth, num_classes, unmatched=0.5, zeros=False):
    assigner = TargetAssigner(
        box_ops.iou, ArgMaxMatcher(0.5, unmatched), MeanStddevBoxCoder(0.1), background_as_zeros=zeros
    )
    return assigner(tf.constant(anchors, tf.float32), truth, num_classes)


@pytest.mark.parametrize(
    ("anchors", "unmatched", "class_weights"),
    [(THREE, 0.5, [1, 1, 1]), (LARGER, 0.3, [1, 1, 0])],
    ids=["plain", "with an ignored anchor"],
)
def test_one_class(anchors, unmatched, class_weights):
    targets = assign(anchors, groundtruth([OBJECTS[:2]], [[0, 0]]), 1, unmatched)
    np.testing.assert_allclose(targets.classes[0], [[0, 1], [0, 1], [1, 0]])
    np.testing.assert_allclose(targets.class_weights[0], class_weights)
    np.testing.assert_allclose(targets.box_codes[0], CODES[:3], atol=1e-5)
    np.testing.assert_allclose(targets.box_weights[0], [1, 1, 0])


@pytest.mark.parametrize(
    ("weights", "class_weights", "box_weights"),
    [(None, [1, 1, 1, 1], [1, 1, 0, 1]), ([[0.3, 0.0, 0.5]], [0.3, 0, 1, 0.5], [0.3, 0, 0, 0.5])],
)
def test_six_classes(weights, class_weights, box_weights):
    """Labels 1, 5 and 3 of 6; the third anchor is background, whose weight is 1 for its class and 0 for its box."""
    targets = assign(FOUR, groundtruth([OBJECTS], [[0, 4, 2]], weights), 6)
    np.testing.assert_allclose(targets.classes[0], np.eye(7)[[1, 5, 0, 3]])
    np.testing.assert_allclose(targets.class_weights[0], class_weights)
    np.testing.assert_allclose(targets.box_weights[0], box_weights)
    np.testing.assert_allclose(targets.box_codes[0], CODES, atol=1e-5)


@pytest.mark.parametrize("rows", [0, 4])
def test_an_image_without_objects(rows):
    targets = assign(FOUR, groundtruth([[]], [[]], rows=rows), 2, zeros=True)
    assert (
        not targets.classes.numpy().any()
        and not targets.box_codes.numpy().any()
        and not targets.box_weights.numpy().any()
    )
    np.testing.assert_allclose(targets.class_weights, np.ones((1, 4)))


def test_two_images():
    anchors = [[0, 0, 0.25, 0.25], [0, 0.25, 1, 1], [0, 0.1, 0.5, 0.5], [0.75, 0.75, 1, 1]]
    images = [[[0, 0, 0.2, 0.2]], [[0, 0.25123152, 1, 1], [0.015789, 0.0985, 0.55789, 0.3842]]]
    targets = assign(anchors, groundtruth(images, [[0], [2, 1]]), 3)
    codes = [[[0, 0, -0.5, -0.5], NOTHING, NOTHING, NOTHING]]
    codes += [[NOTHING, [0, 0.01231521, 0, 0], [0.15789001, -0.01500003, 0.57889998, -1.15799987], NOTHING]]
    np.testing.assert_allclose(targets.box_codes, codes, atol=1e-5)
    np.testing.assert_allclose(targets.classes, np.eye(4)[[[1, 0, 0, 0], [0, 3, 2, 0]]])
    np.testing.assert_allclose(targets.box_weights, [[1, 0, 0, 0], [0, 1, 1, 0]])
    np.testing.assert_allclose(targets.class_weights, np.ones((2, 4)))
