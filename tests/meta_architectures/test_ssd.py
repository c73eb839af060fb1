"""SSD: the stored golden, Equation 1 by hand, padding, and the shapes that every verb promises."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from detection.builders import pipeline
from detection.protos import pipeline_pb2
from detection.types import ImageBatch
from tests.helpers import make_ssd_tiny as tiny

GOLDENS = Path(__file__).resolve().parents[1] / "goldens"


@pytest.fixture(scope="module")
def detector():
    return tiny.make_detector()


def test_golden(detector) -> None:
    stored = json.loads(tiny.FILE.read_text())
    computed = tiny.compute(detector)
    assert set(stored) == set(computed)
    for name, value in computed.items():
        # Another order of float32 sums moves the last digits; batch statistics of maps with 4 values amplify that in
        # gradients.
        tolerance = {"rtol": 5e-2} if name == "gradient_norms" else {"rtol": 1e-3, "atol": 1e-3}
        np.testing.assert_allclose(np.asarray(value), np.asarray(stored[name]), err_msg=name, **tolerance)


def test_loss_is_equation_1(detector) -> None:
    """Smooth L1 and sigmoid cross-entropy in numpy, hard negatives picked by sorting (the miner's IoU of 0.99
    suppresses nothing here)."""
    predictions, groundtruth = detector.predict(tiny.batch()), tiny.groundtruth()
    targets = detector.assigner(predictions.anchors, groundtruth, 4)
    codes, logits = predictions.box_codes.numpy().astype("f8"), predictions.class_logits.numpy().astype("f8")
    gap = np.abs(codes - targets.box_codes.numpy())
    localization = np.where(gap <= 1, gap**2 / 2, gap - 0.5).sum(2) * targets.box_weights.numpy()
    entropy = np.maximum(logits, 0) - logits * targets.classes.numpy() + np.log1p(np.exp(-abs(logits)))
    classification = entropy.sum(2) * targets.class_weights.numpy()
    sums = np.zeros(2)
    for image in range(2):
        positive = targets.matches.numpy()[image] >= 0
        ranked = [a for a in np.argsort(-classification[image]) if not positive[a]]
        kept = [*np.flatnonzero(positive), *ranked[: 3 * positive.sum()]]
        sums += localization[image, kept].sum(), classification[image, kept].sum()
    normalizer = max(targets.box_weights.numpy().sum(), 1)
    losses = detector.loss(predictions, groundtruth)
    np.testing.assert_allclose(losses["Loss/localization_loss"], 2 * sums[0] / normalizer, rtol=1e-4)
    np.testing.assert_allclose(losses["Loss/classification_loss"], sums[1] / normalizer, rtol=1e-4)


def test_an_image_without_boxes_has_a_finite_loss_and_gradient(detector) -> None:
    empty = type(tiny.groundtruth())(*(tf.zeros_like(field) for field in tiny.groundtruth()))
    with tf.GradientTape() as tape:
        losses = detector.loss(detector.predict(tiny.batch(), training=True), empty)
        total = tf.add_n(list(losses.values()))
    gradients = tape.gradient(total, [v.value for v in detector.trainable_variables], unconnected_gradients="zero")
    tiny.fill(detector)
    assert float(losses["Loss/localization_loss"]) == 0
    assert all(bool(tf.reduce_all(tf.math.is_finite(g))) for g in gradients)


def test_detections_are_inside_the_image_and_sorted(detector) -> None:
    images = tiny.batch()
    detections = detector.postprocess(detector.predict(images), images.true_shapes)
    boxes, scores = detections.boxes.numpy(), detections.scores.numpy()
    assert boxes.shape == (2, 20, 4) and boxes.min() >= 0 and boxes.max() <= 1
    assert (np.diff(scores, axis=1) <= 0).all()
    for image, count in enumerate(detections.counts.numpy()):
        assert 0 < count <= 20 and (scores[image, :count] > 0.01).all() and not scores[image, count:].any()
    assert detections.raw_scores.shape[2] == 5 and detections.raw_boxes.shape[:2] == detections.raw_scores.shape[:2]


def test_padding_has_the_pad_value_after_scaling() -> None:
    """Keep-aspect-ratio with padding: the network sees zeros there, not scaled black, and boxes are relative to the
    true image."""
    message = text_format.Parse((GOLDENS / "ssd_tiny.config").read_text(), pipeline_pb2.TrainEvalPipelineConfig())
    message.model.ssd.ClearField("image_resizer")
    text_format.Parse(
        "keep_aspect_ratio_resizer { min_dimension: 64 max_dimension: 96 pad_to_max_dimension: true }",
        message.model.ssd.image_resizer,
    )
    built = pipeline.build(message)
    detector = built.make_detector()
    batch = built.resizer.batch(tf.fill([1, 32, 40, 3], 255))
    assert batch.images.shape == (1, 96, 96, 3) and batch.true_shapes.numpy().tolist() == [[64, 80]]
    predictions = detector.predict(batch)
    images = predictions.images.numpy()
    assert (images[0, :64, :80] == 1).all() and not images[0, 64:].any() and not images[0, :, 80:].any()
    detections = detector.postprocess(predictions, batch.true_shapes)
    np.testing.assert_allclose(
        detections.raw_boxes * [64, 80, 64, 80],
        detector.assigner.box_coder.decode(predictions.box_codes, predictions.anchors),
        atol=1e-3,
    )
    assert detections.boxes.numpy().max() <= 1


def test_one_trace_works_for_every_batch_size(detector) -> None:
    traced = tf.function(lambda x, s: detector.postprocess(detector.predict(ImageBatch(x, s)), s), autograph=False)
    concrete = traced.get_concrete_function(tf.TensorSpec([None, 64, 80, 3]), tf.TensorSpec([None, 2], tf.int32))
    images = tiny.batch()
    both = concrete(images.images, images.true_shapes)
    one = concrete(images.images[1:], images.true_shapes[1:])
    np.testing.assert_allclose(one.scores[0], both.scores[1], atol=1e-5)
    assert concrete.structured_outputs.boxes.shape[1:] == (20, 4)
    assert concrete.structured_outputs.raw_scores.shape[1:] == both.raw_scores.shape[1:]


def test_weights_are_built_with_dropout() -> None:
    message = text_format.Parse((GOLDENS / "ssd_tiny.config").read_text(), pipeline_pb2.TrainEvalPipelineConfig())
    message.model.ssd.box_predictor.convolutional_box_predictor.use_dropout = True
    detector = pipeline.build(message).make_detector()
    assert detector.variables and not detector.weights, "dropout's random generators are there from the beginning"
    detector.build_weights()
    assert detector.trainable_variables


def test_freeze_batchnorm_leaves_every_statistic() -> None:
    message = text_format.Parse((GOLDENS / "ssd_tiny.config").read_text(), pipeline_pb2.TrainEvalPipelineConfig())
    message.model.ssd.freeze_batchnorm = True
    detector = pipeline.build(message).detector()
    tiny.fill(detector)
    before = [v.numpy() for v in detector.non_trainable_variables]
    plain = detector.predict(tiny.batch()).class_logits
    np.testing.assert_array_equal(detector.predict(tiny.batch(), training=True).class_logits, plain)
    for old, new in zip(before, detector.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new)
