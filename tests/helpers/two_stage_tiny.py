"""Small two-stage detectors, and a batch with proposals for them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from google.protobuf import text_format

from detection import config
from detection.builders import pipeline
from detection.meta_architectures.two_stage import TwoStage
from detection.protos import pipeline_pb2
from detection.types import Groundtruth, ImageBatch, Proposals

CONFIG = """
model { faster_rcnn {
  num_classes: 3
  image_resizer { fixed_shape_resizer { height: 96 width: 128 } }
  feature_extractor { type: "faster_rcnn_mobilenet_v1" depth_multiplier: 0.25 min_depth: 8 }
  first_stage_anchor_generator { grid_anchor_generator {
    height: 32 width: 32 scales: 0.5 scales: 1.0 aspect_ratios: 1.0 aspect_ratios: 2.0 height_stride: 16 width_stride:
      16
  } }
  first_stage_box_predictor_conv_hyperparams { initializer { truncated_normal_initializer { stddev: 0.1 } } }
  first_stage_box_predictor_depth: 32
  first_stage_max_proposals: 20
  first_stage_minibatch_size: 32
  second_stage_batch_size: 8
  initial_crop_size: 6 maxpool_kernel_size: 2 maxpool_stride: 2
  second_stage_box_predictor { mask_rcnn_box_predictor {
    fc_hyperparams { op: FC initializer { truncated_normal_initializer { stddev: 0.1 } } regularizer { l2_regularizer
      { weight: 0.01 } } }
  } }
  second_stage_post_processing {
    batch_non_max_suppression { score_threshold: 0.0 iou_threshold: 0.6 max_detections_per_class: 10
      max_total_detections: 10 }
    score_converter: SOFTMAX
  }
} }
"""
RFCN = """
rfcn_box_predictor {
  conv_hyperparams { initializer { truncated_normal_initializer { stddev: 0.1 } } } depth: 16 crop_height: 6
    crop_width: 6
}
"""


def detector(*overrides: str, given: bool = False) -> TwoStage:
    """Returns a detector with weights; `given`: a Fast R-CNN instead of a Faster R-CNN.

    Overrides always use model.faster_rcnn.
    """
    message = config.override(text_format.Parse(CONFIG, pipeline_pb2.TrainEvalPipelineConfig()), list(overrides))
    if given:
        message.model.fast_rcnn.CopyFrom(message.model.faster_rcnn)
    made = pipeline.build(message).detector()
    generator = np.random.default_rng(1)
    for variable in made.variables:
        # Without the batch statistics that the network was made for, its own initial values would let every signal
        # fade.
        if "FeatureExtractor/" in variable.path and variable.path.endswith("weights"):
            fan_in = np.prod(variable.shape[:2] if "depthwise" in variable.path else variable.shape[:-1])
            variable.assign(generator.normal(size=variable.shape) * np.sqrt(2.5 / fan_in))
    return made


def rfcn(*overrides: str) -> TwoStage:
    return detector(f"model.faster_rcnn.second_stage_box_predictor={{{RFCN}}}", *overrides)


def batch(size: int = 2, proposals: bool = False) -> ImageBatch:
    """Returns images of 96x128; the last one is 80x100, padded."""
    generator = np.random.default_rng(3)
    images = generator.uniform(0, 255, (size, 96, 128, 3)).astype("f4")
    shapes = np.array([[96, 128]] * (size - 1) + [[80, 100]], "i4")
    for image, (height, width) in zip(images, shapes, strict=True):
        image[height:], image[:, width:] = 0, 0
    return ImageBatch(tf.constant(images), tf.constant(shapes), random_proposals(shapes) if proposals else ())


def random_proposals(shapes: np.ndarray, count: int = 20) -> Proposals:
    """Random boxes inside the images, and close to the groundtruth of `groundtruth`; the last image has three fewer."""
    generator = np.random.default_rng(4)
    boxes = np.zeros((len(shapes), count, 4), "f4")
    for i, (height, width) in enumerate(shapes):
        tops = generator.uniform(0, 0.6, (count, 2)) * (height, width)
        sizes = generator.uniform(0.1, 0.4, (count, 2)) * (height, width)
        boxes[i] = np.concatenate([tops, tops + sizes], 1)
        boxes[i, :4] = BOXES[i % 2][:2].repeat(2, 0) + generator.uniform(-3, 3, (4, 4))
    counts = np.full(len(shapes), count, "i4")
    counts[-1] -= 3
    boxes[-1, -3:] = 0
    scores = np.linspace(1, 0.1, count, dtype="f4")[None].repeat(len(shapes), 0)
    return Proposals(tf.constant(boxes), tf.constant(scores), tf.constant(counts))


BOXES = np.array(
    [[[10, 12, 50, 60], [40, 70, 90, 120], [0, 0, 0, 0]], [[5, 5, 40, 45], [30, 40, 75, 95], [20, 20, 60, 60]]], "f4"
)


def groundtruth() -> Groundtruth:
    """Two boxes in the first image, three in the second, of which the last is a crowd."""
    classes, weights = np.array([[0, 2, 0], [1, 1, 0]], "i4"), np.array([[1, 1, 0], [1, 1, 0]], "f4")
    flags = np.array([[0, 0, 0], [0, 0, 1]], bool)
    return Groundtruth(
        *map(tf.constant, (BOXES, classes, weights, np.array([2, 3], "i4"), flags, np.zeros_like(flags), weights))
    )
