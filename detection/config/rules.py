"""Which values make sense, as data where one field is concerned and as small functions where several are.

Numbers are checked whether they are written or left at their default, in every message that is present; NaN and infinity are refused everywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from google.protobuf.message import Message

from detection.config.walk import join

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

# Message -> {field: where its value must lie}; for lists, each value.
RANGES: dict[str, dict[str, Interval]] = {
    "Ssd": {"num_classes": ONE_OR_MORE, "negative_class_weight": NOT_NEGATIVE},
    "SsdFeatureExtractor": {"depth_multiplier": POSITIVE, "min_depth": ONE_OR_MORE, "pad_to_multiple": ONE_OR_MORE, "num_layers": ONE_OR_MORE},
    "ConvolutionalBoxPredictor": {
        "min_depth": NOT_NEGATIVE,
        "max_depth": NOT_NEGATIVE,
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
    "RandomAdjustBrightness": {"max_delta": NOT_NEGATIVE},
    "RandomAdjustHue": {"max_delta": Interval(0, 0.5)},
    "RandomAdjustContrast": {"min_delta": NOT_NEGATIVE},
    "RandomAdjustSaturation": {"min_delta": NOT_NEGATIVE},
    **dict.fromkeys(
        ("RandomCropImage", "SSDRandomCropOperation"),
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
    "CosineDecayLearningRate": {"learning_rate_base": NOT_NEGATIVE, "total_steps": ONE_OR_MORE, "warmup_learning_rate": NOT_NEGATIVE},
    "InputReader": {
        "max_number_of_boxes": ONE_OR_MORE,
        "shuffle_buffer_size": ONE_OR_MORE,
        "filenames_shuffle_buffer_size": ONE_OR_MORE,
        "sample_1_of_n_examples": ONE_OR_MORE,
        "num_readers": ONE_OR_MORE,
        "read_block_length": ONE_OR_MORE,
        "sample_from_datasets_weights": NOT_NEGATIVE,
    },
    "EvalConfig": {"batch_size": ONE_OR_MORE, "min_score_threshold": FRACTION, "max_num_boxes_to_visualize": NOT_NEGATIVE},
}

# Message -> pairs of fields, the first of which must not exceed the second.
ORDERED: dict[str, tuple[tuple[str, str], ...]] = {
    "KeepAspectRatioResizer": (("min_dimension", "max_dimension"),),
    "SsdAnchorGenerator": (("min_scale", "max_scale"),),
    "MultiscaleAnchorGenerator": (("min_level", "max_level"),),
    "ConvolutionalBoxPredictor.BoxEncodingsClipRange": (("min", "max"),),
    "BatchNonMaxSuppression": (("max_detections_per_class", "max_total_detections"),),
    "NormalizeImage": (("original_minval", "original_maxval"),),
    "RandomPixelValueScale": (("minval", "maxval"),),
    "RandomAdjustContrast": (("min_delta", "max_delta"),),
    "RandomAdjustSaturation": (("min_delta", "max_delta"),),
    "RandomCropImage": (("min_aspect_ratio", "max_aspect_ratio"), ("min_area", "max_area")),
    "SSDRandomCropOperation": (("min_aspect_ratio", "max_aspect_ratio"), ("min_area", "max_area")),
}

# Message -> what must be set in it for anything to be built.
REQUIRED: dict[str, tuple[str, ...]] = {
    "TrainEvalPipelineConfig": ("model",),
    "Ssd": ("image_resizer", "feature_extractor", "box_coder", "matcher", "similarity_calculator", "box_predictor", "anchor_generator", "loss"),
    "SsdFeatureExtractor": ("type", "conv_hyperparams"),
    "ConvolutionalBoxPredictor": ("conv_hyperparams",),
    "Hyperparams": ("initializer",),
    "Loss": ("localization_loss", "classification_loss"),
    "TrainConfig": ("optimizer",),
    "RMSPropOptimizer": ("learning_rate",),
    "MomentumOptimizer": ("learning_rate",),
    "AdamOptimizer": ("learning_rate",),
}
# Oneofs that may be left empty; in every other one a message that is present must choose.
OPTIONAL_ONEOFS = {"normalizer_oneof", "regularizer_oneof", "feature_pyramid_oneof", "input_reader", "calibrator"}


def _ssd(message: Message, path: str) -> Iterator[str]:
    layers, anchors = message.feature_extractor.num_layers, message.anchor_generator.ssd_anchor_generator
    if message.anchor_generator.HasField("ssd_anchor_generator") and anchors.num_layers != layers:
        yield (
            f"{path}.anchor_generator.ssd_anchor_generator.num_layers ({anchors.num_layers}) differs from feature_extractor.num_layers ({layers}); "
            "every map needs its anchors"
        )
    code_size = 3 if message.box_coder.HasField("square_box_coder") else 4
    for kind in ("convolutional_box_predictor", "weight_shared_convolutional_box_predictor"):
        predictor = getattr(message.box_predictor, kind)
        if message.box_predictor.HasField(kind) and predictor.box_code_size != code_size:
            coder = message.box_coder.WhichOneof("box_coder_oneof")
            yield f"{path}.box_predictor.{kind}.box_code_size ({predictor.box_code_size}) must be {code_size}, as box_coder is {coder}"
    if message.loss.HasField("hard_example_miner") and message.loss.classification_loss.HasField("weighted_sigmoid_focal"):
        yield f"{path}.loss.hard_example_miner does not go with weighted_sigmoid_focal, which weighs hard examples itself; remove one of the two"
    fixed = message.image_resizer.fixed_shape_resizer
    if message.image_resizer.HasField("fixed_shape_resizer") and min(fixed.height, fixed.width) < 33:
        yield f"{path}.image_resizer.fixed_shape_resizer is {fixed.height} x {fixed.width}; the extractors need at least 33 x 33"


def _argmax_matcher(message: Message, path: str) -> Iterator[str]:
    matched, unmatched = message.matched_threshold, message.unmatched_threshold
    if message.ignore_thresholds:
        return
    if unmatched > matched:
        yield f"{path}.unmatched_threshold ({unmatched:g}) must not exceed matched_threshold ({matched:g})"
    if unmatched == matched and not message.negatives_lower_than_unmatched:
        yield (
            f"{path}.unmatched_threshold ({unmatched:g}) must be below matched_threshold ({matched:g}) when negatives_lower_than_unmatched is "
            "false: the negatives lie between them"
        )


def _ssd_anchors(message: Message, path: str) -> Iterator[str]:
    for field in ("scales", "height_stride", "width_stride", "height_offset", "width_offset"):
        count = len(getattr(message, field))
        if count not in (0, message.num_layers):
            yield f"{path}.{field} has {count} values for num_layers {message.num_layers}; list one a layer"
    for height, width in (("height_stride", "width_stride"), ("height_offset", "width_offset")):
        if bool(getattr(message, height)) != bool(getattr(message, width)):
            yield f"{path}: {height} and {width} go together; list both"
    empty_layers = not message.reduce_boxes_in_lowest_layer or message.num_layers > 1
    if not message.aspect_ratios and not message.interpolated_scale_aspect_ratio and empty_layers:
        yield f"{path}.aspect_ratios is empty, which leaves no anchors; list some, for example aspect_ratios: 1.0"


def _some_anchors(*fields: str) -> Callable[[Message, str], Iterator[str]]:
    def rule(message: Message, path: str) -> Iterator[str]:
        for field in fields:
            if not getattr(message, field):
                yield f"{path}.{field} is empty, which leaves no anchors; list some, for example {field}: 1.0"

    return rule


def _keep_aspect_ratio(message: Message, path: str) -> Iterator[str]:
    if len(message.per_channel_pad_value) not in (0, 3):
        yield f"{path}.per_channel_pad_value has {len(message.per_channel_pad_value)} values; give 3, one a channel, or none"


def _non_max_suppression(message: Message, path: str) -> Iterator[str]:
    if message.use_combined_nms and message.use_class_agnostic_nms:
        yield f"{path}: use_combined_nms does not go with use_class_agnostic_nms; remove the former"
    if message.use_class_agnostic_nms and message.max_classes_per_detection != 1:
        yield f"{path}.max_classes_per_detection ({message.max_classes_per_detection}) must be 1, as use_class_agnostic_nms gives a box one class"


def _manual_steps(message: Message, path: str) -> Iterator[str]:
    steps = [row.step for row in message.schedule]
    for index, (before, after) in enumerate(zip(steps, steps[1:], strict=False), start=1):
        if after <= before:
            yield f"{path}.schedule[{index}].step ({after}) must be more than the one before it ({before})"
    if message.warmup and not steps:
        yield f"{path}.schedule is empty, so there is nothing to warm up to; list steps, or remove warmup"


def _cosine(message: Message, path: str) -> Iterator[str]:
    if message.warmup_steps and message.warmup_learning_rate > message.learning_rate_base:
        yield f"{path}.warmup_learning_rate ({message.warmup_learning_rate:g}) must not exceed learning_rate_base ({message.learning_rate_base:g})"
    before = message.warmup_steps + message.hold_base_rate_steps
    if message.total_steps <= before:
        yield f"{path}.total_steps ({message.total_steps}) must be more than warmup_steps + hold_base_rate_steps ({before})"


def _train(message: Message, path: str) -> Iterator[str]:
    for field in ("freeze_variables", "update_trainable_variables"):
        for index, pattern in enumerate(getattr(message, field)):
            try:
                re.compile(pattern)
            except re.error as error:
                yield f"{path}.{field}[{index}] ({pattern!r}) is no regular expression: {error}"


def _input_reader(message: Message, path: str) -> Iterator[str]:
    weights, paths = len(message.sample_from_datasets_weights), len(message.tf_record_input_reader.input_path)
    if weights and weights != paths:
        yield f"{path}.sample_from_datasets_weights has {weights} values for {paths} of tf_record_input_reader.input_path; give one a path"


# Message -> what must hold between its fields; each yields sentences.
RULES: dict[str, Callable[[Message, str], Iterator[str]]] = {
    "Ssd": _ssd,
    "ArgMaxMatcher": _argmax_matcher,
    "SsdAnchorGenerator": _ssd_anchors,
    "GridAnchorGenerator": _some_anchors("scales", "aspect_ratios"),
    "MultiscaleAnchorGenerator": _some_anchors("aspect_ratios"),
    "KeepAspectRatioResizer": _keep_aspect_ratio,
    "BatchNonMaxSuppression": _non_max_suppression,
    "ManualStepLearningRate": _manual_steps,
    "CosineDecayLearningRate": _cosine,
    "TrainConfig": _train,
    "InputReader": _input_reader,
}


def out_of_range(message: Message, path: str, name: str) -> Iterator[str]:
    """Sentences on single fields of one message; `name` is that of its type."""
    for field, interval in RANGES.get(name, {}).items():
        value = getattr(message, field)
        numbers = [(field, value)] if isinstance(value, int | float) else [(f"{field}[{index}]", item) for index, item in enumerate(value)]
        for place, number in numbers:
            if number not in interval:
                yield f"{join(path, place)} ({short(number)}) must be {interval}"
    for low, high in ORDERED.get(name, ()):
        if getattr(message, low) > getattr(message, high):
            yield f"{join(path, low)} ({short(getattr(message, low))}) must not exceed {high} ({short(getattr(message, high))})"


def short(number: int | float) -> str:
    """Whole numbers in full, others with the digits a float32 has."""
    return str(number) if isinstance(number, int) else f"{number:g}"
