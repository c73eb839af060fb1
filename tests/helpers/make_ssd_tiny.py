"""Writes ssd_tiny.json: what SSD computes on weights and images made by rule. Run after a change that is meant to
change numbers:

    python -m tests.helpers.make_ssd_tiny

The stored file was made by the revision that agreed with the reference implementation on all arrays of
tests/meta_architectures/test_ssd_parity.py.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf import text_format

from detection.builders import pipeline
from detection.protos import pipeline_pb2
from detection.types import Groundtruth, ImageBatch

FOLDER = Path(__file__).resolve().parents[1] / "goldens"
FILE = FOLDER / "ssd_tiny.json"


def make_detector():
    """A four-class SSD MobileNet v1 of depth 0.25 on 64 x 80 pixels, every weight a function of its name."""
    message = text_format.Parse((FOLDER / "ssd_tiny.config").read_text(), pipeline_pb2.TrainEvalPipelineConfig())
    detector = pipeline.build(message).detector()
    fill(detector)
    return detector


def fill(detector) -> None:
    for variable in detector.variables:
        values = np.random.default_rng(zlib.crc32(variable.path.encode())).standard_normal(variable.shape)
        leaf = variable.path.rsplit("/", 1)[-1]
        if leaf in ("weights", "depthwise_weights"):
            fan_in = np.prod(variable.shape[:2] if leaf == "depthwise_weights" else variable.shape[:-1])
            values *= 1.6 / np.sqrt(fan_in)
        else:
            values = {"gamma": 1 + 0.1 * values, "moving_variance": np.exp(0.2 * values)}.get(leaf, 0.1 * values)
        variable.assign(values.astype("f4"))


def batch() -> ImageBatch:
    y, x, c = np.mgrid[0:64, 0:80, 0:3]
    images = np.stack([127 + 60 * np.sin(x / 7 + c) + 60 * np.cos(y / 5 * k + c) for k in (1, 2)])
    return ImageBatch(tf.constant(images, tf.float32), tf.constant([[64, 80], [64, 80]]))


def groundtruth() -> Groundtruth:
    boxes = np.zeros((2, 4, 4), "f4")
    boxes[0, :3] = [[4, 6, 40, 38], [20, 30, 60, 76], [30, 30, 42, 42]]
    boxes[1, :1] = [[0, 0, 64, 80]]
    classes, weights = np.array([[0, 2, 3, 0], [1, 0, 0, 0]], "i4"), np.array([[1, 1, 0.5, 0], [1, 0, 0, 0]], "f4")
    flags = np.zeros((2, 4), bool)
    return Groundtruth(*map(tf.constant, (boxes, classes, weights, np.array([3, 1], "i4"), flags, flags, weights)))


def compute(detector) -> dict[str, np.ndarray]:
    """Returns the arrays to store, by name."""
    images = batch()
    predictions = detector.predict(images)
    detections = detector.postprocess(predictions, images.true_shapes)
    with tf.GradientTape() as tape:
        train_losses = detector.loss(detector.predict(images, training=True), groundtruth())
        total = tf.add_n(list(train_losses.values())) + detector.regularization_loss()
    variables = [v for v in detector.trainable_variables if v.path.endswith("/weights")][::6]
    gradients = tape.gradient(total, [v.value for v in variables])
    fill(detector)  # resets the moving averages of batch norm
    losses = detector.loss(predictions, groundtruth())
    return {
        "anchors": predictions.anchors[::7],
        "box_codes": predictions.box_codes[:, ::9],
        "class_logits": predictions.class_logits[:, ::9],
        "detection_boxes": detections.boxes[:, :8],
        "detection_scores": detections.scores[:, :8],
        "detection_classes": detections.classes[:, :8],
        "losses": list(losses.values()),
        "train_losses": list(train_losses.values()),
        "regularization_loss": detector.regularization_loss(),
        "gradient_norms": [tf.norm(g) for g in gradients],
    }


if __name__ == "__main__":
    FILE.write_text(
        json.dumps(
            {name: np.asarray(value).astype("f8").round(6).tolist() for name, value in compute(make_detector()).items()}
        )
        + "\n"
    )
