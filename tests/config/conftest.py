"""A small config for tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from detection import config
from detection.protos import pipeline_pb2

CONV_HYPERPARAMS = """
      conv_hyperparams {
        activation: RELU_6
        regularizer { l2_regularizer { weight: 0.00004 } }
        initializer { truncated_normal_initializer { stddev: 0.03 } }
        batch_norm { train: true scale: true decay: 0.9997 epsilon: 0.001 }
      }
"""
TEXT = f"""# A comment, and a { {"block": "in it"} }
model {{
  ssd {{
    num_classes: 3
    box_coder {{ faster_rcnn_box_coder {{ y_scale: 10.0 }} }}
    matcher {{ argmax_matcher {{ force_match_for_each_row: true }} }}
    similarity_calculator {{ iou_similarity {{}} }}
    anchor_generator {{ ssd_anchor_generator {{ aspect_ratios: [1.0, 2.0, 0.5] }} }}
    image_resizer {{ fixed_shape_resizer {{ height: 96 width: 96 }} }}
    box_predictor {{ convolutional_box_predictor {{ use_dropout: false {CONV_HYPERPARAMS} }} }}
    feature_extractor {{ type: 'ssd_mobilenet_v1' depth_multiplier: 0.25 {CONV_HYPERPARAMS} }}
    loss {{
      classification_loss {{ weighted_sigmoid {{}} }}
      localization_loss {{ weighted_smooth_l1 {{}} }}
      hard_example_miner {{ num_hard_examples: 3000 iou_threshold: 0.99 loss_type: CLASSIFICATION
        max_negatives_per_positive: 3 }}
    }}
    post_processing {{
      batch_non_max_suppression {{ score_threshold: 1e-8 iou_threshold: 0.6 max_detections_per_class: 100
        max_total_detections: 100 }}
      score_converter: SIGMOID
    }}
  }}
}}
train_config: {{
  batch_size: 4
  num_steps: 100
  optimizer {{
    rms_prop_optimizer: {{
      learning_rate: {{ exponential_decay_learning_rate {{ initial_learning_rate: 0.004 decay_steps: 800 decay_factor:
        0.95 }} }}
    }}
  }}
  data_augmentation_options {{ random_horizontal_flip {{}} }}
  data_augmentation_options {{ ssd_random_crop {{}} }}
}}
train_input_reader: {{
  tf_record_input_reader {{ input_path: "train.record" }}
  label_map_path: "label_map.pbtxt"
}}
eval_config: {{ metrics_set: "coco_detection_metrics" }}
eval_input_reader: {{
  tf_record_input_reader {{ input_path: "val.record" }}
  label_map_path: "label_map.pbtxt"
  shuffle: false
}}
"""


@pytest.fixture
def config_text() -> str:
    return TEXT


@pytest.fixture
def ssd(tmp_path: Path) -> pipeline_pb2.TrainEvalPipelineConfig:
    """TEXT, loaded; tests may change it."""
    path = tmp_path / "ssd.config"
    path.write_text(TEXT)
    return config.load(path)
