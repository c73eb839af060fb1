"""CenterNet: the detector itself, its tasks and its feature extractor."""

from __future__ import annotations

from detection import registry
from detection.config.fields import extractors
from detection.config.fields.limits import KERNEL, MULTIPLIER, ROWS, WIDTH
from detection.config.fields.row import (
    NOT_NEGATIVE,
    ONE_A_CHANNEL,
    ONE_OR_MORE,
    POSITIVE,
    Interval,
    Limit,
    Message,
    honoured,
    no_effect,
    refused,
)

_ONLY_BOXES = "remove it: only boxes are predicted"

MESSAGES: dict[str, Message] = {
    "CenterNet": (
        honoured("num_classes", ONE_OR_MORE, Limit(1_000_000, "every cell has a score for each class")),
        honoured("feature_extractor", required=True),
        honoured("image_resizer", required=True),
        honoured("use_depthwise"),
        no_effect("compute_heatmap_sparse", "heat maps are made box by box, not box by class", stock=True),
        honoured("object_detection_task", required=True),
        honoured("object_center_params", required=True),
        refused("keypoint_label_map_path", _ONLY_BOXES),
        refused("keypoint_estimation_task", _ONLY_BOXES),
        refused("mask_estimation_task", _ONLY_BOXES),
        refused("densepose_estimation_task", _ONLY_BOXES),
        refused("track_estimation_task", _ONLY_BOXES),
        refused("temporal_offset_task", _ONLY_BOXES),
        refused("deepmac_mask_estimation", _ONLY_BOXES),
        honoured("post_processing"),
        no_effect("output_prediction_dict", "exported models have the outputs of every detector"),
    ),
    "CenterNetFeatureExtractor": (
        honoured("type", values=extractors.CENTER_NET, required=True, registry=registry.center_net_extractor),
        honoured("channel_means", counts=ONE_A_CHANNEL),
        honoured("channel_stds", POSITIVE, counts=ONE_A_CHANNEL),
        honoured("bgr_ordering"),
        no_effect("use_depthwise", "CenterNet.use_depthwise is of the heads, use_separable_conv of the layers below"),
        honoured("depth_multiplier", POSITIVE, MULTIPLIER),
        honoured("use_separable_conv"),
        honoured("upsampling_interpolation", values=("nearest", "bilinear")),
    ),
    "CenterNet.ObjectDetection": (
        honoured("task_loss_weight", NOT_NEGATIVE),
        honoured("offset_loss_weight", NOT_NEGATIVE),
        honoured("scale_loss_weight", NOT_NEGATIVE),
        honoured(
            "localization_loss",
            required=True,
            choose=("l1_localization_loss", "weighted_smooth_l1", "weighted_l2", "custom"),
        ),
        honoured("scale_head_params"),
        honoured("offset_head_params"),
    ),
    "CenterNet.ObjectCenterParams": (
        honoured("object_center_loss_weight", NOT_NEGATIVE),
        honoured("classification_loss", required=True, choose=("penalty_reduced_logistic_focal_loss", "custom")),
        honoured("heatmap_bias_init"),
        honoured("min_box_overlap_iou", Interval(0, 1, open_low=True, open_high=True)),
        honoured("max_box_predictions", ONE_OR_MORE, ROWS),
        honoured("use_labeled_classes"),
        refused("keypoint_weights_for_center", _ONLY_BOXES),
        honoured("center_head_params"),
        honoured("peak_max_pool_kernel_size", ONE_OR_MORE, KERNEL),
    ),
    "CenterNet.PredictionHeadParams": (
        honoured("num_filters", ONE_OR_MORE, WIDTH),
        honoured("kernel_sizes", ONE_OR_MORE, KERNEL),
    ),
    "PenaltyReducedLogisticFocalLoss": (
        honoured("alpha", NOT_NEGATIVE),
        honoured("beta", NOT_NEGATIVE),
    ),
}
