"""What must hold for the values of one message: single fields by the tables of `ranges`, several fields by a small
function each.

Numbers are checked whether they are written or left at their default, in every message that is present.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

from google.protobuf.message import Message

from detection.config.ranges import ORDERED, RANGES
from detection.config.schema import cut
from detection.config.walk import join

SMALLEST_SIDE = 33  # pixels of a resized image
# Extractors whose network the TF Object Detection API always makes by conv_hyperparams, and refuses to make otherwise.
_MADE_BY_CONV_HYPERPARAMS = ("ssd_inception_v2", "ssd_inception_v3")


def _ssd(message: Message, path: str) -> Iterator[str]:
    yield from _maps(message, path)
    code_size = 3 if message.box_coder.HasField("square_box_coder") else 4
    for kind in ("convolutional_box_predictor", "weight_shared_convolutional_box_predictor"):
        predictor = getattr(message.box_predictor, kind)
        if message.box_predictor.HasField(kind) and predictor.box_code_size != code_size:
            coder = message.box_coder.WhichOneof("box_coder_oneof")
            yield (
                f"{path}.box_predictor.{kind}.box_code_size ({predictor.box_code_size}) must be {code_size}, as"
                f" box_coder is {coder}"
            )
    kind = message.box_predictor.WhichOneof("box_predictor_oneof")
    if kind in ("mask_rcnn_box_predictor", "rfcn_box_predictor"):
        yield f"{path}.box_predictor.{kind} is for the regions of a two-stage detector; use convolutional_box_predictor"
    if message.loss.HasField("hard_example_miner") and message.loss.classification_loss.HasField(
        "weighted_sigmoid_focal"
    ):
        yield (
            f"{path}.loss.hard_example_miner does not go with weighted_sigmoid_focal, which weighs hard examples"
            " itself; remove one of the two"
        )
    yield from _image_size(message.image_resizer, f"{path}.image_resizer")
    yield from _base_network(message.feature_extractor, f"{path}.feature_extractor")


def _maps(message: Message, path: str) -> Iterator[str]:
    """Every map has its anchors: those of a pyramid by level, others by number."""
    extractor, generator = message.feature_extractor, message.anchor_generator
    anchors, levels, fpn = generator.ssd_anchor_generator, generator.multiscale_anchor_generator, extractor.fpn
    pyramid = extractor.type.removesuffix("_keras").endswith("_fpn")
    if extractor.HasField("fpn") and not pyramid:
        yield (
            f"{path}.feature_extractor.fpn is for types with a feature pyramid, such as ssd_mobilenet_v2_fpn_keras, not"
            f" {extractor.type}; remove it, or use one of them"
        )
    if pyramid and extractor.type.startswith("ssd_resnet"):
        for field in ("use_depthwise", "use_explicit_padding"):
            if getattr(extractor, field):
                yield f"{path}.feature_extractor.{field} is not for {extractor.type}; remove it"
    maps = fpn.max_level - fpn.min_level + 1 if pyramid else extractor.num_layers
    source = f"fpn has levels {fpn.min_level} to {fpn.max_level}" if pyramid else f"num_layers ({maps})"
    if generator.HasField("ssd_anchor_generator") and anchors.num_layers != maps:
        yield (
            f"{path}.anchor_generator.ssd_anchor_generator.num_layers ({anchors.num_layers}) differs from"
            f" feature_extractor.{source}; every map needs its anchors"
        )
    same = (levels.min_level, levels.max_level) == (fpn.min_level, fpn.max_level)
    if generator.HasField("multiscale_anchor_generator") and pyramid and not same:
        yield (
            f"{path}.anchor_generator.multiscale_anchor_generator has levels {levels.min_level} to {levels.max_level},"
            f" but feature_extractor.{source}; give both the same levels"
        )


def _weight_shared(message: Message, path: str) -> Iterator[str]:
    if message.num_layers_before_predictor and not message.depth:
        yield f"{path}.depth is not set; the convolutions before the predictor need it, for example depth: 256"


def _base_network(message: Message, path: str) -> Iterator[str]:
    """Without the field these two would be built by tf-slim's own hyperparameters (no gamma, ReLU).

    No checkpoint of a detector was trained so: the API refuses such a config today, and in its first releases, whose
    configs lack the field, it applied conv_hyperparams to the network all the same.
    """
    field = "override_base_feature_extractor_hyperparams"
    if message.type in _MADE_BY_CONV_HYPERPARAMS and not getattr(message, field):
        yield (
            f"{path}.{field} is {'false' if message.HasField(field) else 'not set'}: the TF Object Detection API"
            f" applies conv_hyperparams to the base network of {message.type} always, in its 2018 models too; set"
            f" {field}: true, for a detection checkpoint (with the conv_hyperparams that it was trained with) as well"
            " as for an ImageNet checkpoint of tf-slim (which has no gamma: it starts at 1)"
        )


def _image_size(resizer: Message, path: str) -> Iterator[str]:
    """The bound of the reference's extractors. Single images may be smaller, where they keep their size or are long and
    thin: they have a map too."""
    fixed, kept = resizer.fixed_shape_resizer, resizer.keep_aspect_ratio_resizer
    if resizer.HasField("fixed_shape_resizer") and min(fixed.height, fixed.width) < SMALLEST_SIDE:
        yield (
            f"{path}.fixed_shape_resizer is {fixed.height} x {fixed.width}; the extractors need at least"
            f" {SMALLEST_SIDE} x {SMALLEST_SIDE}"
        )
    if resizer.HasField("keep_aspect_ratio_resizer") and kept.min_dimension < SMALLEST_SIDE:
        yield (
            f"{path}.keep_aspect_ratio_resizer.min_dimension is {kept.min_dimension}; the extractors need at least"
            f" {SMALLEST_SIDE}"
        )


def _two_stage(message: Message, path: str) -> Iterator[str]:
    given = path.endswith("fast_rcnn")
    yield from _image_size(message.image_resizer, f"{path}.image_resizer")
    if not given:
        for field in ("first_stage_anchor_generator", "first_stage_box_predictor_conv_hyperparams"):
            if not message.HasField(field):
                yield f"{path}.{field} is not set; regions are proposed with it"
        grid, stride = (
            message.first_stage_anchor_generator.grid_anchor_generator,
            message.feature_extractor.first_stage_features_stride,
        )
        for field in ("height_stride", "width_stride"):
            if (
                message.first_stage_anchor_generator.HasField("grid_anchor_generator")
                and getattr(grid, field) != stride
            ):
                yield (
                    f"{path}.first_stage_anchor_generator.grid_anchor_generator.{field} ({getattr(grid, field)})"
                    f" differs from feature_extractor.first_stage_features_stride ({stride}); anchors would not lie on"
                    " the cells that they are predicted from"
                )
    if message.second_stage_normalize_targets and not given:
        yield (
            f"{path}.second_stage_normalize_targets is for model.fast_rcnn: what a network proposes changes while it"
            " learns; remove it"
        )
    if message.second_stage_background_iou >= message.second_stage_matched_iou:
        low, high = message.second_stage_background_iou, message.second_stage_matched_iou
        yield f"{path}.second_stage_background_iou ({low:g}) must be below second_stage_matched_iou ({high:g})"
    if message.number_of_stages == 1 and not given:
        return
    predictor = message.second_stage_box_predictor
    if not predictor.WhichOneof("box_predictor_oneof"):
        yield (
            f"{path}.second_stage_box_predictor is not set; set mask_rcnn_box_predictor, or rfcn_box_predictor for"
            " R-FCN"
        )
    elif predictor.HasField("convolutional_box_predictor"):
        yield (
            f"{path}.second_stage_box_predictor.convolutional_box_predictor is SSD's; use mask_rcnn_box_predictor, or"
            " rfcn_box_predictor for R-FCN"
        )
    if predictor.HasField("mask_rcnn_box_predictor"):
        for field in ("initial_crop_size", "maxpool_kernel_size", "maxpool_stride"):
            if not getattr(message, field):
                yield f"{path}.{field} is not set, so regions cannot be cropped; the usual values are 14, 2 and 2"
        if message.maxpool_kernel_size > message.initial_crop_size:
            yield (
                f"{path}.maxpool_kernel_size ({message.maxpool_kernel_size}) must not exceed initial_crop_size"
                f" ({message.initial_crop_size})"
            )


def _rfcn(message: Message, path: str) -> Iterator[str]:
    for side in ("height", "width"):
        crop, bins = getattr(message, f"crop_{side}"), getattr(message, f"num_spatial_bins_{side}")
        if bins > 0 and crop % bins:
            yield f"{path}.crop_{side} ({crop}) must be a multiple of num_spatial_bins_{side} ({bins})"


def _argmax_matcher(message: Message, path: str) -> Iterator[str]:
    matched, unmatched = message.matched_threshold, message.unmatched_threshold
    if message.ignore_thresholds:
        return
    if unmatched > matched:
        yield f"{path}.unmatched_threshold ({unmatched:g}) must not exceed matched_threshold ({matched:g})"
    if unmatched == matched and not message.negatives_lower_than_unmatched:
        yield (
            f"{path}.unmatched_threshold ({unmatched:g}) must be below matched_threshold ({matched:g}) when"
            " negatives_lower_than_unmatched is false: the negatives lie between them"
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
        yield (
            f"{path}.per_channel_pad_value has {len(message.per_channel_pad_value)} values; give 3, one a channel, or"
            " none"
        )


def _non_max_suppression(message: Message, path: str) -> Iterator[str]:
    if message.use_combined_nms and message.use_class_agnostic_nms:
        yield f"{path}: use_combined_nms does not go with use_class_agnostic_nms; remove the former"
    if message.use_class_agnostic_nms and message.max_classes_per_detection != 1:
        yield (
            f"{path}.max_classes_per_detection ({message.max_classes_per_detection}) must be 1, as"
            " use_class_agnostic_nms gives a box one class"
        )


def _manual_steps(message: Message, path: str) -> Iterator[str]:
    steps = [row.step for row in message.schedule]
    for index, (before, after) in enumerate(zip(steps, steps[1:], strict=False), start=1):
        if after <= before:
            yield f"{path}.schedule[{index}].step ({after}) must be more than the one before it ({before})"
    if message.warmup and not steps:
        yield f"{path}.schedule is empty, so there is nothing to warm up to; list steps, or remove warmup"


def _cosine(message: Message, path: str) -> Iterator[str]:
    if message.warmup_steps and message.warmup_learning_rate > message.learning_rate_base:
        yield (
            f"{path}.warmup_learning_rate ({message.warmup_learning_rate:g}) must not exceed learning_rate_base"
            f" ({message.learning_rate_base:g})"
        )
    before = message.warmup_steps + message.hold_base_rate_steps
    if message.total_steps <= before:
        yield (
            f"{path}.total_steps ({message.total_steps}) must be more than warmup_steps + hold_base_rate_steps"
            f" ({before})"
        )


def _train(message: Message, path: str) -> Iterator[str]:
    for field in ("freeze_variables", "update_trainable_variables"):
        for index, pattern in enumerate(getattr(message, field)):
            try:
                re.compile(pattern)
            except (re.error, RecursionError, OverflowError) as error:
                yield f"{path}.{field}[{index}] ({cut(repr(pattern))}) is no regular expression: {error}"


def _input_reader(message: Message, path: str) -> Iterator[str]:
    weights, paths = len(message.sample_from_datasets_weights), len(message.tf_record_input_reader.input_path)
    if weights and weights != paths:
        yield (
            f"{path}.sample_from_datasets_weights has {weights} values for {paths} of"
            " tf_record_input_reader.input_path; give one a path"
        )


def _pipeline(message: Message, path: str) -> Iterator[str]:
    """Fast R-CNN's proposals come with the data."""
    if message.model.WhichOneof("model") != "fast_rcnn":
        return
    readers = [("train_input_reader", message.train_input_reader)]
    readers += [(f"eval_input_reader[{index}]", reader) for index, reader in enumerate(message.eval_input_reader)]
    drawn = (
        0 if message.model.fast_rcnn.HasField("hard_example_miner") else message.model.fast_rcnn.second_stage_batch_size
    )
    for place, reader in readers:
        most, asked = (
            reader.max_number_of_proposals,
            reader.proposals_path or reader.HasField("max_number_of_proposals"),
        )
        if reader.WhichOneof("input_reader") and not (asked and most):
            yield (
                f"{place} gives no proposals to model.fast_rcnn; set its proposals_path, or max_number_of_proposals"
                " where the records hold them"
            )
        elif asked and place == "train_input_reader" and most < drawn:
            yield (
                f"{place}.max_number_of_proposals ({most}) is less than model.fast_rcnn.second_stage_batch_size"
                f" ({drawn}), drawn from them"
            )


# Message -> what must hold between its fields; each yields sentences.
RULES: dict[str, Callable[[Message, str], Iterator[str]]] = {
    "TrainEvalPipelineConfig": _pipeline,
    "Ssd": _ssd,
    "FasterRcnn": _two_stage,
    "RfcnBoxPredictor": _rfcn,
    "WeightSharedConvolutionalBoxPredictor": _weight_shared,
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


def without_effect(message: Message, path: str) -> Iterator[str]:
    """Sentences on what is set, and read only with another field: not a fault, but maybe another model than is
    meant."""
    override = "override_base_feature_extractor_hyperparams"
    if (
        message.DESCRIPTOR.name == "FasterRcnnFeatureExtractor"
        and message.HasField("conv_hyperparams")
        and not getattr(message, override)
    ):
        yield (
            f"{path}.conv_hyperparams has no effect: the network is made as it was trained on ImageNet unless"
            f" {override} is true"
        )


def out_of_range(message: Message, path: str, name: str) -> Iterator[str]:
    """Sentences on single fields of one message; `name` is that of its type."""
    for field, interval in RANGES.get(name, {}).items():
        value = getattr(message, field)
        numbers = (
            [(field, value)]
            if isinstance(value, int | float)
            else [(f"{field}[{index}]", item) for index, item in enumerate(value)]
        )
        for place, number in numbers:
            if number not in interval and math.isfinite(
                number
            ):  # That numbers are finite is checked for all fields alike.
                yield f"{join(path, place)} ({short(number)}) must be {interval}"
    for low, high in ORDERED.get(name, ()):
        if getattr(message, low) > getattr(message, high):
            yield (
                f"{join(path, low)} ({short(getattr(message, low))}) must not exceed {high}"
                f" ({short(getattr(message, high))})"
            )


def short(number: int | float) -> str:
    """Whole numbers in full, others with the digits a float32 has."""
    return str(number) if isinstance(number, int) else f"{number:g}"
