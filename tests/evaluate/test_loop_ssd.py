"""The loop with a real SSD, untrained: every interface meets, batches of any size, one graph."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from detection.builders import image_resizer, model
from detection.evaluate.loop import evaluate
from detection.evaluate.metrics import evaluators
from detection.protos import model_pb2
from detection.settings import EvalSettings, Style
from detection.types import Category, Example, Groundtruth, ImageBatch, ImageInfo

CATEGORIES = (Category(1, "square"), Category(2, "disc"))
SSD = """
ssd {
  num_classes: 2
  image_resizer { fixed_shape_resizer { height: 96 width: 96 } }
  feature_extractor {
    type: "ssd_mobilenet_v1" depth_multiplier: 0.25 min_depth: 8
    conv_hyperparams {
      activation: RELU_6
      regularizer { l2_regularizer { weight: 0.00004 } }
      initializer { truncated_normal_initializer { stddev: 0.03 } }
      batch_norm { decay: 0.97 epsilon: 0.001 scale: true }
    }
  }
  box_coder { faster_rcnn_box_coder { y_scale: 10 x_scale: 10 height_scale: 5 width_scale: 5 } }
  matcher { argmax_matcher { matched_threshold: 0.5 unmatched_threshold: 0.5 negatives_lower_than_unmatched: true
    force_match_for_each_row: true } }
  similarity_calculator { iou_similarity {} }
  box_predictor {
    convolutional_box_predictor {
      conv_hyperparams { regularizer { l2_regularizer { weight: 0.00004 } } initializer { truncated_normal_initializer
        { stddev: 0.03 } } }
    }
  }
  anchor_generator { ssd_anchor_generator { aspect_ratios: 1.0 aspect_ratios: 2.0 aspect_ratios: 0.5 } }
  post_processing {
    batch_non_max_suppression { score_threshold: 1e-8 iou_threshold: 0.6 max_detections_per_class: 20
      max_total_detections: 20 }
    score_converter: SIGMOID
  }
  loss {
    classification_loss { weighted_sigmoid {} }
    localization_loss { weighted_smooth_l1 {} }
    classification_weight: 1.0 localization_weight: 1.0
  }
}
"""


@pytest.mark.slow
def test_an_untrained_ssd_is_evaluated(tmp_path):
    message = text_format.Parse(SSD, model_pb2.DetectionModel())
    tf.random.set_seed(0)
    detector = model.build(message, image_resizer.build(message.ssd.image_resizer))
    detector.build_weights()
    images, rows = 5, 4
    rng = np.random.default_rng(0)
    boxes = np.zeros((images, rows, 4), np.float32)
    boxes[:, 0] = [20, 20, 60, 70]
    weights = np.array([[1, 0, 0, 0]] * images, np.float32)
    nothing = np.zeros((images, rows), bool)
    example = Example(
        ImageBatch(rng.uniform(0, 255, (images, 96, 96, 3)).astype(np.float32), np.full((images, 2), 96, np.int32)),
        Groundtruth(
            boxes,
            np.zeros((images, rows), np.int32),
            weights,
            np.ones(images, np.int32),
            nothing,
            nothing,
            weights * 2000,
        ),
        ImageInfo(np.array([f"{number}".encode() for number in range(images)]), np.full((images, 2), 192, np.int32)),
    )
    settings = EvalSettings(num_visualizations=1, style=Style(min_score=0.0), export_path=str(tmp_path / "found.json"))
    metrics = evaluate(
        detector,
        tf.data.Dataset.from_tensor_slices(example).batch(2),
        evaluators(settings, CATEGORIES),
        CATEGORIES,
        settings=settings,
        model_dir=tmp_path,
        stream=io.StringIO(),
    )
    assert 0.0 <= metrics["DetectionBoxes_Precision/mAP"] < 0.5
    assert all(math.isfinite(value) for value in metrics.values())
    parts = sum(metrics[f"Loss/{part}_loss"] for part in ("localization", "classification", "regularization"))
    assert metrics["Loss/total_loss"] == pytest.approx(parts, rel=1e-5)
    entries = json.loads((tmp_path / "found.json").read_text())
    assert (
        entries
        and {entry["category_id"] for entry in entries} <= {1, 2}
        and {entry["image_id"] for entry in entries} <= set(range(images))
    )
    assert all(
        x >= 0 and y >= 0 and x + width <= 192.1 and y + height <= 192.1
        for x, y, width, height in (entry["bbox"] for entry in entries)
    )
