"""SSD: the detector itself and its feature extractor."""

from __future__ import annotations

from detection import registry
from detection.config.fields import extractors
from detection.config.fields.limits import MIN_DEPTH, MULTIPLIER, WIDTH
from detection.config.fields.row import (
    INFINITY,
    NOT_NEGATIVE,
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
    "Ssd": (
        honoured("num_classes", ONE_OR_MORE, Limit(1_000_000, "every anchor has a score for each class")),
        honoured("image_resizer", required=True),
        honoured("feature_extractor", required=True),
        honoured("box_coder", required=True),
        honoured("matcher", required=True),
        honoured("similarity_calculator", required=True),
        honoured("encode_background_as_zeros"),
        honoured("negative_class_weight", NOT_NEGATIVE),
        honoured(
            "box_predictor",
            required=True,
            choose=("convolutional_box_predictor", "weight_shared_convolutional_box_predictor"),
        ),
        honoured("anchor_generator", required=True),
        honoured("post_processing"),
        honoured("normalize_loss_by_num_matches"),
        honoured("normalize_loc_loss_by_codesize"),
        honoured("loss", required=True),
        honoured("freeze_batchnorm"),
        no_effect("inplace_batchnorm_update", "batch norm statistics are always updated within the step"),
        honoured("add_background_class"),
        honoured("explicit_background_class"),
        honoured("use_confidences_as_targets"),
        honoured("implicit_example_weight", NOT_NEGATIVE),
        no_effect("return_raw_detections_during_predict", "raw boxes and scores are always exported"),
        refused("mask_head_config", _ONLY_BOXES),
    ),
    "SsdFeatureExtractor": (
        honoured("type", values=tuple(extractors.SSD), required=True, registry=registry.ssd_extractor),
        honoured("depth_multiplier", POSITIVE, MULTIPLIER),
        honoured("min_depth", ONE_OR_MORE, MIN_DEPTH),
        honoured("conv_hyperparams", required=True),
        honoured("override_base_feature_extractor_hyperparams"),
        honoured("pad_to_multiple", ONE_OR_MORE, Limit(1_024, "even the smallest image is padded to it, in pixels")),
        honoured("use_explicit_padding"),
        honoured("use_depthwise"),
        honoured("fpn"),
        honoured("bifpn"),
        refused("replace_preprocessor_with_placeholder"),
        honoured(
            "num_layers",
            ONE_OR_MORE,
            Limit(
                20, "each further map has half the side of the one before it, so the last ones would be single cells"
            ),
        ),
        refused("spaghettinet_arch_name"),
        honoured("use_hardswish"),
    ),
    "FeaturePyramidNetworks": (
        honoured("min_level", Interval(2, 5), below="max_level"),
        honoured("max_level", Interval(2, INFINITY), Limit(20, "a level's stride is 2 to the power of it, in pixels")),
        honoured("additional_layer_depth", ONE_OR_MORE, WIDTH),
    ),
    "BidirectionalFeaturePyramidNetworks": (
        honoured("min_level", Interval(2, 5), below="max_level", strictly=True),
        honoured("max_level", Interval(2, INFINITY), Limit(20, "a level's stride is 2 to the power of it, in pixels")),
        honoured("num_iterations", NOT_NEGATIVE, Limit(32, "each is two more layers on every level")),
        honoured("num_filters", NOT_NEGATIVE, WIDTH),
        honoured("combine_method", values=("fast_attention", "weighted_sum", "attention", "sum")),
        no_effect("use_native_resize_op", "pixels are repeated, by whichever operation"),
    ),
}
