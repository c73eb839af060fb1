"""Faster R-CNN over a feature pyramid, against the same worked out plainly: every level cropped for every region, then
chosen; two matrix products."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from detection.builders import pipeline
from detection.meta_architectures.two_stage import TwoStage
from detection.protos import pipeline_pb2
from detection.types import ImageBatch, RegionPredictions
from tests.helpers import detector_configs

HEIGHT, WIDTH = 100, 150  # neither is a multiple of 32, to which the network pads
STRIDES = (8, 16, 32, 64)
SIZES = [(-(-128 // stride), -(-160 // stride)) for stride in STRIDES]


@pytest.fixture(scope="module")
def detector() -> TwoStage:
    settings = detector_configs.Settings(
        "faster_rcnn_mobilenet_v1_fpn_keras", HEIGHT, WIDTH, depth_multiplier=0.1, train_batch_norm=True
    )
    message = text_format.Parse(detector_configs.faster_rcnn(settings), pipeline_pb2.TrainEvalPipelineConfig())
    made = pipeline.build(message).detector()
    random = np.random.default_rng(0)
    for variable in made.variables:
        if variable.path.endswith(("gamma", "moving_variance", "beta", "moving_mean", "biases")):
            low, high = (0.5, 1.5) if variable.path.endswith(("gamma", "variance")) else (-0.5, 0.5)
            variable.assign(random.uniform(low, high, variable.shape))
        else:
            variable.assign(random.normal(0, 1.4 / np.sqrt(np.prod(variable.shape[:-1])), variable.shape))
    return made


@pytest.fixture(scope="module")
def batch() -> ImageBatch:
    images = tf.random.stateless_uniform([2, HEIGHT, WIDTH, 3], [1, 2], 0, 255)
    return ImageBatch(images, tf.constant([[HEIGHT, WIDTH], [80, 150]]))


@pytest.fixture(scope="module")
def predictions(detector: TwoStage, batch: ImageBatch) -> RegionPredictions:
    return detector.predict(batch)


def test_regions_are_proposed_on_every_map(detector: TwoStage, predictions: RegionPredictions) -> None:
    assert [tuple(each.shape[1:3]) for each in predictions.feature_maps] == SIZES
    assert detector.anchors_per_cell == (2, 2, 2, 2)
    rows = 2 * sum(height * width for height, width in SIZES)
    assert predictions.rpn.box_codes.shape == (2, rows, 4) and predictions.rpn.class_logits.shape == (2, rows, 2)
    assert predictions.proposals.boxes.shape == (2, 24, 4)


def test_anchors_are_centred_on_their_cells(predictions: RegionPredictions) -> None:
    """Of every level, although no side of the image is a multiple of its stride; clipped to the image."""
    anchors = predictions.rpn.anchors.numpy()
    start = 0
    for (height, width), stride in zip(SIZES, STRIDES, strict=True):
        own = anchors[start : start + 2 * height * width].reshape(height, width, 2, 4)
        start += 2 * height * width
        middle, side = stride / 2, 3.0 * stride  # anchor_scale 3
        for column, ratio in enumerate((0.7, 1.4)):
            half = np.array([side / np.sqrt(ratio), side * np.sqrt(ratio)]) / 2
            expected = np.concatenate([middle - half, middle + half])
            np.testing.assert_allclose(own[0, 0, column], np.clip(expected, 0, [HEIGHT, WIDTH] * 2), rtol=1e-5)
        inner = own[height // 2 - 1, width // 2 - 1, 0] if stride == 8 else None
        if inner is not None:
            centre = (np.array([height // 2, width // 2]) - 0.5) * stride
            np.testing.assert_allclose((inner[:2] + inner[2:]) / 2, centre, rtol=1e-5)
    assert start == len(anchors)


def test_the_rpn_convolution_is_shared_and_heads_are_per_level(
    detector: TwoStage, predictions: RegionPredictions
) -> None:
    proposer = detector.proposer
    logits = []
    for features, head in zip(predictions.feature_maps, proposer.predictor.predictors, strict=True):
        hidden = tf.minimum(
            tf.nn.relu(tf.nn.conv2d(features, proposer.conv.kernel, 1, "SAME") + proposer.conv.bias), 6.0
        )
        (last,) = head.classes
        logits.append(tf.reshape(tf.nn.conv2d(hidden, last.kernel, 1, "SAME") + last.bias, [2, -1, 2]))
    np.testing.assert_allclose(tf.concat(logits, 1), predictions.rpn.class_logits, atol=1e-4)
    kernels = [head.classes[0].kernel.numpy() for head in proposer.predictor.predictors]
    assert len(kernels) == 4 and not np.array_equal(kernels[0], kernels[1])


def test_a_region_is_classified_by_the_map_of_its_level(detector: TwoStage, predictions: RegionPredictions) -> None:
    regions, image = detector.second_stage.regions, (10 * HEIGHT, 10 * WIDTH)  # as if the image were that large
    random = np.random.default_rng(3)
    sizes = random.choice([40.0, 120.0, 300.0, 600.0], [2, 12, 1]) * random.uniform(0.9, 1.1, [2, 12, 2])
    corners = random.uniform(0, 1, [2, 12, 2]) * (np.array(image) - sizes) * 0.999
    given = np.concatenate([corners, corners + sizes], axis=2).astype("f4")
    _, found = regions.run(predictions.feature_maps, tf.constant(given), image, False)
    boxes, images = given.reshape(-1, 4), np.repeat([0, 1], 12)
    # Regions of 224 pixels are of the last level but one.
    levels = np.floor(np.log2(np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)) / 224)).astype(int) + 2
    levels = np.clip(levels, 0, 3)
    assert set(levels) == {0, 1, 2, 3}
    crops = np.zeros([len(boxes), 14, 14, predictions.feature_maps[0].shape[-1]], "f4")
    for level, features in enumerate(predictions.feature_maps):
        own = tf.image.crop_and_resize(features, boxes / np.float32([*image, *image]), images, [14, 14]).numpy()
        crops[levels == level] = own[levels == level]
    flat = tf.nn.max_pool2d(crops, 2, 2, "VALID").numpy().reshape(len(boxes), -1)
    first, second = regions.tail.network.blocks
    hidden = np.maximum(flat @ first.kernel.numpy() + first.bias.numpy(), 0)
    norm = second.batch_norm
    scale = norm.gamma.numpy() / np.sqrt(norm.moving_variance.numpy() + norm.settings.epsilon)
    hidden = (hidden - norm.moving_mean.numpy()) * scale + norm.beta.numpy()
    hidden = np.maximum(hidden @ second.kernel.numpy() + second.bias.numpy(), 0)
    logits = hidden @ regions.head.classes.kernel.numpy() + regions.head.classes.bias.numpy()
    np.testing.assert_allclose(found.numpy().reshape(logits.shape), logits, atol=1e-3 * np.abs(logits).max())
