"""Evaluation: metrics and pictures."""

from __future__ import annotations

from detection import registry
from detection.config.fields.limits import BATCH
from detection.config.fields.row import (
    FRACTION,
    NOT_NEGATIVE,
    ONE_OR_MORE,
    Limit,
    Message,
    honoured,
    no_effect,
    refused,
)

_KEYPOINTS = "it belongs to keypoints, which are not predicted"

MESSAGES: dict[str, Message] = {
    "EvalConfig": (
        honoured("batch_size", ONE_OR_MORE, BATCH),
        honoured(
            "num_visualizations", limit=Limit(10_000, "the pictures of an evaluation are kept in memory until it ends")
        ),
        no_effect("num_examples", "every evaluation covers its whole input"),
        honoured("eval_interval_secs"),
        no_effect("max_evals", "every checkpoint is evaluated"),
        no_effect("save_graph", "graphs are exported, not logged"),
        honoured("visualization_export_dir"),
        no_effect("eval_master", "evaluation runs in its own process"),
        honoured(
            "metrics_set",
            values=(
                "coco_detection_metrics",
                "pascal_voc_detection_metrics",
                "weighted_pascal_voc_detection_metrics",
                "precision_at_recall_detection_metrics",
                "oid_V2_detection_metrics",
                "oid_challenge_detection_metrics",
                "confusion_detection_metrics",
            ),
            registry=registry.metric,
        ),
        no_effect("parameterized_metric", _KEYPOINTS),
        honoured("export_path"),
        honoured("ignore_groundtruth"),
        honoured("use_moving_averages"),
        refused("eval_instance_masks", "remove it: only boxes are evaluated"),
        honoured("min_score_threshold", FRACTION),
        honoured("max_num_boxes_to_visualize", NOT_NEGATIVE),
        honoured("skip_scores"),
        honoured("skip_labels"),
        honoured("visualize_groundtruth_boxes"),
        honoured("groundtruth_box_visualization_color"),
        honoured("keep_image_id_for_visualization_export"),
        honoured("retain_original_images"),
        honoured("include_metrics_per_category"),
        honoured("all_metrics_per_category"),
        honoured("super_categories"),
        honoured("recall_lower_bound", FRACTION, below="recall_upper_bound"),
        honoured("recall_upper_bound", FRACTION),
        no_effect("retain_original_image_additional_channels", "pictures are of red, green and blue"),
        honoured("force_no_resize"),
        honoured("use_dummy_loss_in_eval"),
        no_effect("keypoint_edge", _KEYPOINTS),
        honoured("skip_predictions_for_unlabeled_class"),
        honoured("image_classes_field_map_empty_to_ones"),
    ),
}
