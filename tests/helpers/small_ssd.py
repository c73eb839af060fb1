"""Config text of the smallest possible SSD: two feature maps, one anchor per cell."""

from __future__ import annotations

_MODEL = """
model { ssd {
  num_classes: 4
  image_resizer { fixed_shape_resizer { height: %(height)d width: %(width)d } }
  feature_extractor {
    type: "ssd_mobilenet_v1" depth_multiplier: 0.1 min_depth: 4 num_layers: 2
      override_base_feature_extractor_hyperparams: true
    conv_hyperparams { batch_norm { decay: 0.9 scale: true } initializer { truncated_normal_initializer { stddev: 0.1
      } } }
  }
  anchor_generator { ssd_anchor_generator { num_layers: 2 aspect_ratios: 1 } }
  box_coder { faster_rcnn_box_coder {} }
  matcher { argmax_matcher { force_match_for_each_row: true } }
  similarity_calculator { iou_similarity {} }
  box_predictor { convolutional_box_predictor { conv_hyperparams { initializer { truncated_normal_initializer {
    stddev: 0.1 } } } } }
  loss { classification_loss { weighted_sigmoid {} } localization_loss { weighted_smooth_l1 {} } }
  post_processing { batch_non_max_suppression { max_detections_per_class: %(most)d max_total_detections: %(most)d }
    score_converter: SIGMOID }
} }
"""


def model(height: int, width: int, most: int) -> str:
    """For four classes, images resized to `height` x `width`, and `most` detections at most."""
    return _MODEL % {"height": height, "width": width, "most": most}
