"""Faster R-CNN, R-FCN and Fast R-CNN: the detector itself and its feature extractor."""

from __future__ import annotations

from detection import registry
from detection.config.fields import extractors, losses
from detection.config.fields.limits import ANCHORS, CROP, DRAWN, KERNEL, MIN_DEPTH, MULTIPLIER, WIDTH, WITHIN_CROP
from detection.config.fields.row import (
    BELOW_ONE,
    FRACTION,
    NOT_NEGATIVE,
    ONE_OR_MORE,
    PART,
    POSITIVE,
    Interval,
    Limit,
    Message,
    all_honoured,
    honoured,
    no_effect,
    refused,
)

_MASKS = "it belongs to masks, which are not predicted"
_SAME_NMS = "the result is that of plain suppression"
_MATMUL = "gathering is batched here"
_STATIC = "shapes are always static"

MESSAGES: dict[str, Message] = {
    "FasterRcnn": (
        honoured("number_of_stages", Interval(1, 2)),
        honoured("num_classes", ONE_OR_MORE, Limit(1_000_000, "every region has a score and a box for each class")),
        honoured("image_resizer", required=True),
        honoured("feature_extractor", required=True),
        honoured("first_stage_anchor_generator", choose=("grid_anchor_generator", "multiscale_anchor_generator")),
        honoured("first_stage_atrous_rate", ONE_OR_MORE, Limit(1_000, "the kernel would be wider than any map")),
        honoured("first_stage_box_predictor_conv_hyperparams"),
        honoured("first_stage_box_predictor_kernel_size", ONE_OR_MORE, KERNEL),
        honoured("first_stage_box_predictor_depth", ONE_OR_MORE, WIDTH),
        honoured("first_stage_minibatch_size", ONE_OR_MORE, ANCHORS),
        honoured("first_stage_positive_balance_fraction", FRACTION),
        honoured("first_stage_nms_score_threshold", BELOW_ONE),
        honoured("first_stage_nms_iou_threshold", FRACTION),
        honoured("first_stage_max_proposals", ONE_OR_MORE, DRAWN),
        honoured("first_stage_localization_loss_weight", NOT_NEGATIVE),
        honoured("first_stage_objectness_loss_weight", NOT_NEGATIVE),
        honoured("initial_crop_size", NOT_NEGATIVE, CROP),
        honoured("maxpool_kernel_size", NOT_NEGATIVE, WITHIN_CROP),
        honoured("maxpool_stride", NOT_NEGATIVE, WITHIN_CROP),
        honoured("second_stage_box_predictor", choose=("mask_rcnn_box_predictor", "rfcn_box_predictor")),
        honoured("second_stage_batch_size", ONE_OR_MORE, DRAWN),
        honoured("second_stage_balance_fraction", FRACTION),
        honoured("second_stage_post_processing"),
        honoured("second_stage_localization_loss_weight", NOT_NEGATIVE),
        honoured("second_stage_classification_loss_weight", NOT_NEGATIVE),
        no_effect("second_stage_mask_prediction_loss_weight", _MASKS),
        honoured("hard_example_miner"),
        honoured("second_stage_classification_loss", choose=losses.CLASSIFICATION),
        no_effect("inplace_batchnorm_update", "batch norm statistics are always updated within the step"),
        honoured("use_matmul_crop_and_resize"),
        honoured("clip_anchors_to_image"),
        no_effect("use_matmul_gather_in_matcher", _MATMUL),
        no_effect("use_static_balanced_label_sampler", _STATIC),
        no_effect("use_static_shapes", _STATIC),
        no_effect("resize_masks", _MASKS),
        no_effect("use_static_shapes_for_eval", _STATIC),
        no_effect("use_partitioned_nms_in_first_stage", _SAME_NMS),
        no_effect("return_raw_detections_during_predict", "raw boxes and scores are always exported"),
        no_effect("use_combined_nms_in_first_stage", _SAME_NMS),
        *all_honoured("output_final_box_features output_final_box_rpn_features"),
        refused("context_config", "remove it: every image is looked at by itself"),
        honoured("roi_max_pool"),
        honoured("second_stage_matched_iou", PART),
        honoured("second_stage_background_iou", BELOW_ONE),
        honoured("second_stage_add_groundtruth"),
        honoured("second_stage_normalize_targets"),
        *all_honoured("first_stage_localization_loss first_stage_matcher"),
        *all_honoured("first_stage_box_coder first_stage_similarity_calculator"),
        *all_honoured("second_stage_localization_loss second_stage_matcher"),
        *all_honoured("second_stage_box_coder second_stage_similarity_calculator"),
    ),
    "FasterRcnnFeatureExtractor": (
        honoured("type", values=tuple(extractors.TWO_STAGE), required=True, registry=registry.two_stage_extractor),
        honoured("first_stage_features_stride", ONE_OR_MORE),
        honoured("batch_norm_trainable"),
        honoured("conv_hyperparams"),
        honoured("override_base_feature_extractor_hyperparams"),
        no_effect("pad_to_multiple", "images are padded to 32 pixels for fpn, as in the API, and not at all otherwise"),
        honoured("fpn"),
        honoured("depth_multiplier", POSITIVE, MULTIPLIER),
        honoured("min_depth", ONE_OR_MORE, MIN_DEPTH),
    ),
}
