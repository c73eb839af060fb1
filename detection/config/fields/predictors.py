"""Box predictors."""

from __future__ import annotations

from detection.config.fields.limits import BINS, CROP, KERNEL, WIDTH
from detection.config.fields.row import (
    NOT_NEGATIVE,
    ONE_OR_MORE,
    PART,
    Interval,
    Limit,
    Message,
    all_honoured,
    honoured,
    no_effect,
    refused,
)

_MASKS = "it belongs to masks, which are not predicted"
_ONLY_BOXES = "remove it: only boxes are predicted"

_CLIP_RANGE = (honoured("min", below="max"), honoured("max"))
MESSAGES: dict[str, Message] = {
    "BoxPredictor": (
        *all_honoured("convolutional_box_predictor weight_shared_convolutional_box_predictor"),
        *all_honoured("mask_rcnn_box_predictor rfcn_box_predictor"),
    ),
    "ConvolutionalBoxPredictor": (
        honoured("conv_hyperparams", required=True),
        honoured("min_depth", NOT_NEGATIVE, WIDTH),
        honoured("max_depth", NOT_NEGATIVE, WIDTH),
        honoured("num_layers_before_predictor", NOT_NEGATIVE, Limit(32, "each is a layer on every map")),
        honoured("use_dropout"),
        honoured("dropout_keep_probability", PART),
        honoured("kernel_size", ONE_OR_MORE, KERNEL),
        honoured("box_code_size"),
        honoured("apply_sigmoid_to_scores"),
        honoured("class_prediction_bias_init"),
        honoured("use_depthwise"),
        honoured("box_encodings_clip_range"),
    ),
    "WeightSharedConvolutionalBoxPredictor": (
        honoured("conv_hyperparams", required=True),
        honoured("apply_conv_hyperparams_to_heads"),
        honoured("apply_conv_hyperparams_pointwise"),
        honoured("num_layers_before_predictor", NOT_NEGATIVE, Limit(32, "each is a layer on every map")),
        honoured("depth", NOT_NEGATIVE, WIDTH),
        honoured("kernel_size", ONE_OR_MORE, KERNEL),
        honoured("box_code_size"),
        honoured("class_prediction_bias_init"),
        honoured("use_dropout"),
        honoured("dropout_keep_probability", PART),
        honoured("share_prediction_tower"),
        honoured("use_depthwise"),
        honoured("score_converter"),
        honoured("box_encodings_clip_range"),
    ),
    "MaskRCNNBoxPredictor": (
        honoured("fc_hyperparams", required=True),
        honoured("use_dropout"),
        honoured("dropout_keep_probability", PART),
        honoured("box_code_size", Interval(3, 4)),
        no_effect("conv_hyperparams", _MASKS),
        refused("predict_instance_masks", _ONLY_BOXES),
        no_effect("mask_prediction_conv_depth", _MASKS),
        refused("predict_keypoints", _ONLY_BOXES),
        no_effect("mask_height", _MASKS),
        no_effect("mask_width", _MASKS),
        no_effect("mask_prediction_num_conv_layers", _MASKS),
        no_effect("masks_are_class_agnostic", _MASKS),
        honoured("share_box_across_classes"),
        no_effect("convolve_then_upsample_masks", _MASKS),
        honoured("box_initializer"),
    ),
    "RfcnBoxPredictor": (
        honoured("conv_hyperparams", required=True),
        honoured("num_spatial_bins_height", ONE_OR_MORE, BINS),
        honoured("num_spatial_bins_width", ONE_OR_MORE, BINS),
        honoured("depth", ONE_OR_MORE, WIDTH),
        honoured("box_code_size", Interval(3, 4)),
        honoured("crop_height", ONE_OR_MORE, CROP),
        honoured("crop_width", ONE_OR_MORE, CROP),
        honoured("average_pool"),
    ),
    "ConvolutionalBoxPredictor.BoxEncodingsClipRange": _CLIP_RANGE,
    "WeightSharedConvolutionalBoxPredictor.BoxEncodingsClipRange": _CLIP_RANGE,
}
