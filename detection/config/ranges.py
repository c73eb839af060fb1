"""Where the numbers of a config must lie, what must be set, which of two must be the smaller: as data, by message and
field."""

from __future__ import annotations

import math
from typing import NamedTuple

INFINITY = math.inf


class Interval(NamedTuple):
    """The numbers from `low` to `high`; `open_low` and `open_high` leave out the end itself."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: object) -> bool:
        assert isinstance(value, int | float)
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        if self.high == INFINITY:
            return f"more than {self.low:g}" if self.open_low else f"at least {self.low:g}"
        return f"in {'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"


POSITIVE = Interval(0, INFINITY, open_low=True)
NOT_NEGATIVE = Interval(0, INFINITY)
ONE_OR_MORE = Interval(1, INFINITY)
FRACTION = Interval(0, 1)
BELOW_ONE = Interval(0, 1, open_high=True)
PART = Interval(0, 1, open_low=True)

# Messages with the fields of a crop.
_CROPS = (
    "RandomCropImage",
    "RandomCropPadImage",
    "SSDRandomCropOperation",
    "SSDRandomCropPadOperation",
    "SSDRandomCropPadFixedAspectRatioOperation",
)

# Message -> {field: where its value must lie}; for lists, each value.
RANGES: dict[str, dict[str, Interval]] = {
    "Ssd": {"num_classes": ONE_OR_MORE, "negative_class_weight": NOT_NEGATIVE},
    "SsdFeatureExtractor": {
        "depth_multiplier": POSITIVE,
        "min_depth": ONE_OR_MORE,
        "pad_to_multiple": ONE_OR_MORE,
        "num_layers": ONE_OR_MORE,
    },
    "FeaturePyramidNetworks": {"min_level": Interval(2, 5), "additional_layer_depth": ONE_OR_MORE},
    "FasterRcnn": {
        "number_of_stages": Interval(1, 2),
        "num_classes": ONE_OR_MORE,
        "first_stage_atrous_rate": ONE_OR_MORE,
        "first_stage_box_predictor_kernel_size": ONE_OR_MORE,
        "first_stage_box_predictor_depth": ONE_OR_MORE,
        "first_stage_minibatch_size": ONE_OR_MORE,
        "first_stage_positive_balance_fraction": FRACTION,
        "first_stage_nms_score_threshold": BELOW_ONE,
        "first_stage_nms_iou_threshold": FRACTION,
        "first_stage_max_proposals": ONE_OR_MORE,
        "first_stage_localization_loss_weight": NOT_NEGATIVE,
        "first_stage_objectness_loss_weight": NOT_NEGATIVE,
        "initial_crop_size": NOT_NEGATIVE,
        "maxpool_kernel_size": NOT_NEGATIVE,
        "maxpool_stride": NOT_NEGATIVE,
        "second_stage_batch_size": ONE_OR_MORE,
        "second_stage_balance_fraction": FRACTION,
        "second_stage_matched_iou": PART,
        "second_stage_background_iou": BELOW_ONE,
        "second_stage_localization_loss_weight": NOT_NEGATIVE,
        "second_stage_classification_loss_weight": NOT_NEGATIVE,
    },
    "FasterRcnnFeatureExtractor": {
        "first_stage_features_stride": ONE_OR_MORE,
        "depth_multiplier": POSITIVE,
        "min_depth": ONE_OR_MORE,
    },
    "MaskRCNNBoxPredictor": {"dropout_keep_probability": PART, "box_code_size": Interval(4, 4)},
    "RfcnBoxPredictor": {
        "num_spatial_bins_height": ONE_OR_MORE,
        "num_spatial_bins_width": ONE_OR_MORE,
        "depth": ONE_OR_MORE,
        "box_code_size": Interval(4, 4),
        "crop_height": ONE_OR_MORE,
        "crop_width": ONE_OR_MORE,
    },
    "ConvolutionalBoxPredictor": {
        "min_depth": NOT_NEGATIVE,
        "max_depth": NOT_NEGATIVE,
        "num_layers_before_predictor": NOT_NEGATIVE,
        "dropout_keep_probability": PART,
        "kernel_size": ONE_OR_MORE,
    },
    "WeightSharedConvolutionalBoxPredictor": {
        "depth": NOT_NEGATIVE,
        "num_layers_before_predictor": NOT_NEGATIVE,
        "dropout_keep_probability": PART,
        "kernel_size": ONE_OR_MORE,
    },
    "L1Regularizer": {"weight": NOT_NEGATIVE},
    "L2Regularizer": {"weight": NOT_NEGATIVE},
    "TruncatedNormalInitializer": {"stddev": NOT_NEGATIVE},
    "RandomNormalInitializer": {"stddev": NOT_NEGATIVE},
    "VarianceScalingInitializer": {"factor": POSITIVE},
    "BatchNorm": {"decay": FRACTION, "epsilon": POSITIVE},
    "FixedShapeResizer": {"height": ONE_OR_MORE, "width": ONE_OR_MORE},
    "KeepAspectRatioResizer": {"min_dimension": ONE_OR_MORE, "max_dimension": ONE_OR_MORE},
    "ConditionalShapeResizer": {"size_threshold": ONE_OR_MORE},
    "PadToMultipleResizer": {"multiple": ONE_OR_MORE},
    "SsdAnchorGenerator": {
        "num_layers": ONE_OR_MORE,
        "min_scale": POSITIVE,
        "max_scale": POSITIVE,
        "scales": POSITIVE,
        "aspect_ratios": POSITIVE,
        "interpolated_scale_aspect_ratio": NOT_NEGATIVE,
        "base_anchor_height": POSITIVE,
        "base_anchor_width": POSITIVE,
        "height_stride": ONE_OR_MORE,
        "width_stride": ONE_OR_MORE,
    },
    "GridAnchorGenerator": {
        "height": ONE_OR_MORE,
        "width": ONE_OR_MORE,
        "height_stride": ONE_OR_MORE,
        "width_stride": ONE_OR_MORE,
        "scales": POSITIVE,
        "aspect_ratios": POSITIVE,
    },
    "MultiscaleAnchorGenerator": {
        "min_level": NOT_NEGATIVE,
        "anchor_scale": POSITIVE,
        "aspect_ratios": POSITIVE,
        "scales_per_octave": ONE_OR_MORE,
    },
    "FasterRcnnBoxCoder": dict.fromkeys(("y_scale", "x_scale", "height_scale", "width_scale"), POSITIVE),
    "SquareBoxCoder": dict.fromkeys(("y_scale", "x_scale", "length_scale"), POSITIVE),
    "MeanStddevBoxCoder": {"stddev": POSITIVE},
    "ArgMaxMatcher": {"matched_threshold": FRACTION, "unmatched_threshold": FRACTION},
    "ThresholdedIouSimilarity": {"iou_threshold": FRACTION},
    "Loss": {"classification_weight": NOT_NEGATIVE, "localization_weight": NOT_NEGATIVE},
    "WeightedSmoothL1LocalizationLoss": {"delta": POSITIVE},
    "SigmoidFocalClassificationLoss": {"gamma": NOT_NEGATIVE, "alpha": FRACTION},
    "WeightedSoftmaxClassificationLoss": {"logit_scale": POSITIVE},
    "WeightedSoftmaxClassificationAgainstLogitsLoss": {"logit_scale": POSITIVE},
    "BootstrappedSigmoidClassificationLoss": {"alpha": FRACTION},
    "HardExampleMiner": {
        "num_hard_examples": NOT_NEGATIVE,
        "iou_threshold": FRACTION,
        "max_negatives_per_positive": NOT_NEGATIVE,
        "min_negatives_per_image": NOT_NEGATIVE,
    },
    "RandomExampleSampler": {"positive_sample_fraction": PART},
    "PostProcessing": {"logit_scale": POSITIVE},
    "BatchNonMaxSuppression": {
        "iou_threshold": FRACTION,
        "max_detections_per_class": ONE_OR_MORE,
        "max_total_detections": ONE_OR_MORE,
        "max_classes_per_detection": ONE_OR_MORE,
    },
    "RandomHorizontalFlip": {"probability": FRACTION},
    "RandomVerticalFlip": {"probability": FRACTION},
    "RandomRotation90": {"probability": FRACTION},
    "RandomRGBtoGray": {"probability": FRACTION},
    "RandomPixelValueScale": {"minval": NOT_NEGATIVE},
    "RandomImageScale": {"min_scale_ratio": POSITIVE},
    "RandomBlackPatches": {"probability": FRACTION, "size_to_image_ratio": PART},
    "RandomJpegQuality": {
        "random_coef": FRACTION,
        "min_jpeg_quality": Interval(0, 100),
        "max_jpeg_quality": Interval(0, 100),
    },
    "RandomDownscaleToTargetPixels": {"random_coef": FRACTION, "min_target_pixels": ONE_OR_MORE},
    "RandomPatchGaussian": {
        "random_coef": FRACTION,
        "min_patch_size": ONE_OR_MORE,
        "min_gaussian_stddev": NOT_NEGATIVE,
    },
    "RandomSelfConcatImage": {"concat_vertical_probability": FRACTION, "concat_horizontal_probability": FRACTION},
    "DropLabelProbabilistically": {"label": ONE_OR_MORE, "drop_probability": FRACTION},
    "RemapLabels": {"original_labels": ONE_OR_MORE, "new_label": ONE_OR_MORE},
    "RandomJitterBoxes": {"ratio": NOT_NEGATIVE},
    "RandomCropToAspectRatio": {"aspect_ratio": POSITIVE, "overlap_thresh": FRACTION},
    "ResizeImage": {"new_height": ONE_OR_MORE, "new_width": ONE_OR_MORE},
    "RandomResizeMethod": {"target_height": ONE_OR_MORE, "target_width": ONE_OR_MORE},
    "RandomAbsolutePadImage": {"max_height_padding": ONE_OR_MORE, "max_width_padding": ONE_OR_MORE},
    "RandomSquareCropByScale": {"max_border": ONE_OR_MORE, "scale_min": POSITIVE, "num_scales": ONE_OR_MORE},
    "RandomScaleCropAndPadToSquare": {"output_size": ONE_OR_MORE, "scale_min": POSITIVE},
    "RandomAdjustBrightness": {"max_delta": NOT_NEGATIVE},
    "RandomAdjustHue": {"max_delta": Interval(0, 0.5)},
    "RandomAdjustContrast": {"min_delta": NOT_NEGATIVE},
    "RandomAdjustSaturation": {"min_delta": NOT_NEGATIVE},
    **dict.fromkeys(
        _CROPS,
        {
            "min_object_covered": FRACTION,
            "min_aspect_ratio": POSITIVE,
            "min_area": PART,
            "max_area": PART,
            "overlap_thresh": FRACTION,
            "random_coef": FRACTION,
        },
    ),
    "TrainConfig": {
        "batch_size": ONE_OR_MORE,
        "gradient_clipping_by_norm": NOT_NEGATIVE,
        "keep_checkpoint_every_n_hours": NOT_NEGATIVE,
        "bias_grad_multiplier": NOT_NEGATIVE,
    },
    "Optimizer": {"moving_average_decay": BELOW_ONE},
    "RMSPropOptimizer": {"momentum_optimizer_value": BELOW_ONE, "decay": BELOW_ONE, "epsilon": NOT_NEGATIVE},
    "MomentumOptimizer": {"momentum_optimizer_value": BELOW_ONE},
    "AdamOptimizer": {"epsilon": POSITIVE},
    "ConstantLearningRate": {"learning_rate": NOT_NEGATIVE},
    "ExponentialDecayLearningRate": {
        "initial_learning_rate": NOT_NEGATIVE,
        "decay_steps": ONE_OR_MORE,
        "decay_factor": POSITIVE,
        "burnin_learning_rate": NOT_NEGATIVE,
        "min_learning_rate": NOT_NEGATIVE,
    },
    "ManualStepLearningRate": {"initial_learning_rate": NOT_NEGATIVE},
    "ManualStepLearningRate.LearningRateSchedule": {"step": ONE_OR_MORE, "learning_rate": NOT_NEGATIVE},
    "CosineDecayLearningRate": {
        "learning_rate_base": NOT_NEGATIVE,
        "total_steps": ONE_OR_MORE,
        "warmup_learning_rate": NOT_NEGATIVE,
    },
    "InputReader": {
        "max_number_of_boxes": ONE_OR_MORE,
        "max_number_of_proposals": NOT_NEGATIVE,
        "shuffle_buffer_size": ONE_OR_MORE,
        "filenames_shuffle_buffer_size": ONE_OR_MORE,
        "sample_1_of_n_examples": ONE_OR_MORE,
        "num_readers": ONE_OR_MORE,
        "read_block_length": ONE_OR_MORE,
        "sample_from_datasets_weights": NOT_NEGATIVE,
    },
    "EvalConfig": {
        "batch_size": ONE_OR_MORE,
        "min_score_threshold": FRACTION,
        "max_num_boxes_to_visualize": NOT_NEGATIVE,
    },
}

# Message -> pairs of fields, the first of which must not exceed the second.
ORDERED: dict[str, tuple[tuple[str, str], ...]] = {
    "KeepAspectRatioResizer": (("min_dimension", "max_dimension"),),
    "SsdAnchorGenerator": (("min_scale", "max_scale"),),
    "MultiscaleAnchorGenerator": (("min_level", "max_level"),),
    "ConvolutionalBoxPredictor.BoxEncodingsClipRange": (("min", "max"),),
    "WeightSharedConvolutionalBoxPredictor.BoxEncodingsClipRange": (("min", "max"),),
    "FeaturePyramidNetworks": (("min_level", "max_level"),),
    "BatchNonMaxSuppression": (("max_detections_per_class", "max_total_detections"),),
    "NormalizeImage": (("original_minval", "original_maxval"),),
    "RandomPixelValueScale": (("minval", "maxval"),),
    "RandomAdjustContrast": (("min_delta", "max_delta"),),
    "RandomAdjustSaturation": (("min_delta", "max_delta"),),
    **dict.fromkeys(_CROPS, (("min_aspect_ratio", "max_aspect_ratio"), ("min_area", "max_area"))),
    "RandomImageScale": (("min_scale_ratio", "max_scale_ratio"),),
    "RandomJpegQuality": (("min_jpeg_quality", "max_jpeg_quality"),),
    "RandomDownscaleToTargetPixels": (("min_target_pixels", "max_target_pixels"),),
    "RandomPatchGaussian": (("min_patch_size", "max_patch_size"), ("min_gaussian_stddev", "max_gaussian_stddev")),
    "RandomSquareCropByScale": (("scale_min", "scale_max"),),
    "RandomScaleCropAndPadToSquare": (("scale_min", "scale_max"),),
}

# Message -> what must be set in it for anything to be built.
REQUIRED: dict[str, tuple[str, ...]] = {
    "TrainEvalPipelineConfig": ("model",),
    "Ssd": (
        "image_resizer",
        "feature_extractor",
        "box_coder",
        "matcher",
        "similarity_calculator",
        "box_predictor",
        "anchor_generator",
        "loss",
    ),
    "FasterRcnn": ("image_resizer", "feature_extractor"),
    "FasterRcnnFeatureExtractor": ("type",),
    "MaskRCNNBoxPredictor": ("fc_hyperparams",),
    "RfcnBoxPredictor": ("conv_hyperparams",),
    "SsdFeatureExtractor": ("type", "conv_hyperparams"),
    "ConvolutionalBoxPredictor": ("conv_hyperparams",),
    "WeightSharedConvolutionalBoxPredictor": ("conv_hyperparams",),
    "Hyperparams": ("initializer",),
    "Loss": ("localization_loss", "classification_loss"),
    "TrainConfig": ("optimizer",),
    "RMSPropOptimizer": ("learning_rate",),
    "MomentumOptimizer": ("learning_rate",),
    "AdamOptimizer": ("learning_rate",),
}
# Oneofs that may be left empty; in every other one a message that is present must choose.
OPTIONAL_ONEOFS = {"normalizer_oneof", "regularizer_oneof", "feature_pyramid_oneof", "input_reader", "calibrator"}
