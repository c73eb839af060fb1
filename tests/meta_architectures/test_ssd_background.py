"""SSD whose logits have no column for the background (`add_background_class: false`)."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from detection import config
from detection.builders import image_resizer, model
from detection.protos import pipeline_pb2
from detection.types import Groundtruth, ImageBatch
from tests.helpers import detector_configs

SIDE, CLASSES = 64, 4


def _detector(type_: str, background: bool, *settings: str):
    text = detector_configs.ssd(detector_configs.Settings(type_, SIDE, SIDE, CLASSES, depth_multiplier=0.1))
    message = text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig())
    message = config.override(message, [f"model.ssd.add_background_class={str(background).lower()}", *settings])
    message = message.model
    made = model.build(message, image_resizer.build(message.ssd.image_resizer))
    made.build_weights()
    return made


@pytest.mark.parametrize("type_", ["ssd_mobilenet_v1", "ssd_mobilenet_v1_fpn_keras"])
def test_every_column_is_a_class(type_: str) -> None:
    detector = _detector(type_, background=False)
    images = tf.random.stateless_uniform([2, SIDE, SIDE, 3], [1, 2], 0, 255)
    batch = ImageBatch(images, tf.constant([[SIDE, SIDE]] * 2))
    predictions = detector.predict(batch)
    # The classes' scores differ, and the first one's are among the detections.
    logits = tf.random.stateless_normal(predictions.class_logits.shape, [3, 4])
    assert logits.shape[-1] == CLASSES
    detections = detector.postprocess(predictions._replace(class_logits=logits), batch.true_shapes)
    raw = tf.gather(detections.raw_scores, detections.rows, batch_dims=1).numpy()
    classes = detections.classes.numpy()
    np.testing.assert_allclose(np.take_along_axis(raw, classes[..., None], 2)[..., 0], detections.scores, rtol=1e-6)
    assert set(classes.ravel()) == set(range(CLASSES))


def test_the_loss_has_no_background_term() -> None:
    """With the background's column at a logit that costs nothing, the loss with such a column is the same."""
    boxes = tf.constant([[[8.0, 8.0, 40.0, 40.0]]])
    no = tf.zeros([1, 1], tf.bool)
    truth = Groundtruth(boxes, tf.constant([[2]]), tf.ones([1, 1]), tf.constant([1]), no, no, tf.ones([1, 1]))
    batch = ImageBatch(tf.random.stateless_uniform([1, SIDE, SIDE, 3], [1, 2], 0, 255), tf.constant([[SIDE, SIDE]]))
    losses = []
    for background in (False, True):
        detector = _detector("ssd_mobilenet_v1", background)
        predictions = detector.predict(batch)
        logits = tf.random.stateless_normal([1, predictions.class_logits.shape[1], CLASSES], [5, 6])
        if background:
            logits = tf.concat([tf.fill([*logits.shape[:2], 1], -1e4), logits], axis=-1)
        predictions = predictions._replace(class_logits=logits, box_codes=tf.zeros_like(predictions.box_codes))
        losses.append({tag: float(loss) for tag, loss in detector.loss(predictions, truth).items()})
    assert losses[0] == pytest.approx(losses[1], rel=1e-6) and losses[0]["Loss/classification_loss"] > 1


def test_an_explicit_background_is_one_of_the_classes() -> None:
    """4 classes with the background: logits of 4 columns, of which the first is never detected; boxes learn scores of
    all 4, anchors without one the background."""
    settings = ["model.ssd.add_background_class=false", "model.ssd.explicit_background_class=true"]
    detector = _detector("ssd_mobilenet_v1", False, *settings, "model.ssd.encode_background_as_zeros=false")
    assert detector.num_classes == CLASSES - 1
    batch = ImageBatch(tf.random.stateless_uniform([1, SIDE, SIDE, 3], [1, 2], 0, 255), tf.constant([[SIDE, SIDE]]))
    predictions = detector.predict(batch)
    logits = tf.random.stateless_normal(predictions.class_logits.shape, [3, 4])
    assert logits.shape[-1] == CLASSES
    detections = detector.postprocess(predictions._replace(class_logits=logits), batch.true_shapes)
    raw = tf.gather(detections.raw_scores, detections.rows, batch_dims=1).numpy()
    columns = detections.classes.numpy()[..., None] + 1
    np.testing.assert_allclose(np.take_along_axis(raw, columns, 2)[..., 0], detections.scores, rtol=1e-6)
    boxes, no = tf.constant([[[8.0, 8.0, 40.0, 40.0]]]), tf.zeros([1, 1], tf.bool)
    truth = Groundtruth(boxes, tf.constant([[2]]), tf.ones([1, 1]), tf.constant([1]), no, no, tf.ones([1, 1]))
    scores = [0.125, 0.5, 0.25, 0.125]
    learnt = detector.assigner(predictions.anchors, truth._replace(class_sets=tf.constant([[scores]])), CLASSES - 1)
    matched = learnt.matches.numpy() >= 0
    assert matched.any() and (learnt.classes.numpy()[matched] == scores).all()
    assert (learnt.classes.numpy()[~matched] == [1, 0, 0, 0]).all()
