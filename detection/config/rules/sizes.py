"""Limits on sizes that result from several fields: pixels of images and batches, numbers of anchors and weights.

Limits on single fields are in the table of fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from google.protobuf.message import Message

from detection.config import fields
from detection.config.fields import extractors
from detection.config.fields.limits import BATCH, MAX_ANCHORS, MAX_BATCH, MAX_IMAGE, MAX_LAYER, MAX_WEIGHTS

TYPICAL_DEPTH = 1024  # channels of the feature maps below heads
_CENTER_STRIDE = 4  # stride of CenterNet's maps
_FIRST_STRIDE = 8  # stride in pixels of the finest map of any extractor


def ssd(message: Message, path: str) -> Iterator[str]:
    """Ssd: number of anchors, and weights of the box predictors."""
    faults = list(
        _anchors(
            message.anchor_generator, f"{path}.anchor_generator", _pixels(message.image_resizer), message.image_resizer
        )
    )
    yield from faults
    if faults:
        return
    yield from _bifpn(message.feature_extractor, f"{path}.feature_extractor.bifpn")
    if message.box_predictor.HasField("weight_shared_convolutional_box_predictor"):
        yield from _weight_shared(message, path)
        return
    predictor = message.box_predictor.convolutional_box_predictor
    maps = _per_cell(message.anchor_generator)
    depth = (
        min(predictor.max_depth, TYPICAL_DEPTH)
        if predictor.max_depth > 0 and predictor.num_layers_before_predictor > 0
        else TYPICAL_DEPTH // 2
    )
    kernel = 1 if predictor.use_depthwise else max(predictor.kernel_size, 1) ** 2
    numbers = sum(maps) * (max(message.num_classes, 0) + 1 + 4) * kernel * depth
    if numbers > MAX_WEIGHTS or max(maps, default=0) * numbers > MAX_LAYER * sum(maps):
        yield (
            f"{path}.num_classes ({message.num_classes}) with {sum(maps)} anchors per cell and box_predictor's"
            f" kernel_size ({predictor.kernel_size}) makes predictors of about {numbers:,} weights, more than"
            f" {MAX_WEIGHTS:,}, or {MAX_LAYER:,} on one map; lower one of them"
        )
    inner = (
        predictor.num_layers_before_predictor
        * max(predictor.min_depth, min(predictor.max_depth or TYPICAL_DEPTH, TYPICAL_DEPTH)) ** 2
    )
    if inner * len(maps) > MAX_WEIGHTS:
        yield (
            f"{path}.box_predictor.convolutional_box_predictor.num_layers_before_predictor"
            f" ({predictor.num_layers_before_predictor}) of min_depth ({predictor.min_depth}) makes about"
            f" {inner * len(maps):,} weights, more than {MAX_WEIGHTS:,}; lower one of them"
        )


def _bifpn(extractor: Message, path: str) -> Iterator[str]:
    """Weights of a bidirectional pyramid: two pointwise kernels per level and iteration."""
    pyramid = extractor.bifpn
    low, high = pyramid.min_level, min(pyramid.max_level, _most("BidirectionalFeaturePyramidNetworks", "max_level"))
    numbers = 2 * max(high - low, 0) * pyramid.num_iterations * pyramid.num_filters**2
    if numbers > MAX_WEIGHTS:
        yield (
            f"{path}.num_filters ({pyramid.num_filters}) in num_iterations ({pyramid.num_iterations}) on levels {low}"
            f" to {high} makes about {numbers:,} weights, more than {MAX_WEIGHTS:,}; lower one of them"
        )


def _weight_shared(message: Message, path: str) -> Iterator[str]:
    """Weights of a predictor that all maps share: its towers and its last layers."""
    predictor = message.box_predictor.weight_shared_convolutional_box_predictor
    anchors = max(_per_cell(message.anchor_generator), default=0)
    extractor = message.feature_extractor
    depth = predictor.depth or extractor.bifpn.num_filters or extractor.fpn.additional_layer_depth
    kernel = 1 if predictor.use_depthwise else max(predictor.kernel_size, 1) ** 2
    last = depth * kernel * anchors * (max(message.num_classes, 0) + 1 + 4)
    towers = 2 * predictor.num_layers_before_predictor * kernel * depth**2
    if last > MAX_LAYER or last + towers > MAX_WEIGHTS:
        yield (
            f"{path}.num_classes ({message.num_classes}) with {anchors} anchors per cell and box_predictor's depth"
            f" ({depth}), kernel_size ({predictor.kernel_size}) and num_layers_before_predictor"
            f" ({predictor.num_layers_before_predictor}) makes a predictor of about {last + towers:,} weights, more"
            f" than {MAX_WEIGHTS:,}, or {MAX_LAYER:,} in its last layers; lower one of them"
        )


def two_stage(message: Message, path: str) -> Iterator[str]:
    """FasterRcnn: number of anchors, and weights of both stages' predictors."""
    faults = []
    if not path.endswith("fast_rcnn"):
        anchors = f"{path}.first_stage_anchor_generator"
        faults = list(
            _anchors(
                message.first_stage_anchor_generator, anchors, _pixels(message.image_resizer), message.image_resizer
            )
        )
        numbers = (
            message.first_stage_box_predictor_depth * message.first_stage_box_predictor_kernel_size**2 * TYPICAL_DEPTH
        )
        if numbers > MAX_LAYER:
            faults.append(
                f"{path}.first_stage_box_predictor_depth ({message.first_stage_box_predictor_depth}) and"
                f" first_stage_box_predictor_kernel_size ({message.first_stage_box_predictor_kernel_size}) make a layer"
                f" of about {numbers:,} weights, more than {MAX_LAYER:,}; lower one"
            )
    yield from faults
    yield from _region_layers(message, path)
    rfcn, classes = message.second_stage_box_predictor.rfcn_box_predictor, max(message.num_classes, 0)
    whole = message.second_stage_box_predictor.HasField("rfcn_box_predictor")
    width = rfcn.depth * rfcn.num_spatial_bins_height * rfcn.num_spatial_bins_width if whole else 2 * TYPICAL_DEPTH
    numbers = width * 4 * (classes + 1)
    if numbers > MAX_LAYER:
        more = (
            f", depth ({rfcn.depth}) and {rfcn.num_spatial_bins_height} x {rfcn.num_spatial_bins_width} bins"
            if whole
            else ""
        )
        yield (
            f"{path}.num_classes ({message.num_classes}){more} makes a predictor of boxes of about {numbers:,} weights,"
            f" more than {MAX_LAYER:,}; lower {'one of them' if whole else 'it'}"
        )


def center_net(message: Message, path: str) -> Iterator[str]:
    """CenterNet: size of the heat maps, and weights of the heads."""
    classes, pixels = max(message.num_classes, 0), _pixels(message.image_resizer)
    numbers = (pixels or 0) // _CENTER_STRIDE**2 * classes
    if pixels is not None and pixels <= MAX_IMAGE and numbers > MAX_WEIGHTS:
        yield (
            f"{path}.num_classes ({classes}) makes heat maps of {numbers:,} numbers for images of {pixels:,} pixels,"
            f" more than {MAX_WEIGHTS:,}; lower it, or image_resizer"
        )
    for part, field, channels in (
        ("object_center_params", "center_head_params", classes),
        ("object_detection_task", "scale_head_params", 2),
        ("object_detection_task", "offset_head_params", 2),
    ):
        head = getattr(getattr(message, part), field)
        depths, kernels = list(head.num_filters) or [256], [*(list(head.kernel_sizes) or [3]), 1]
        weights = [
            before * after * kernel**2
            for before, after, kernel in zip([256, *depths], [*depths, channels], kernels, strict=False)
        ]
        if max(weights) > MAX_LAYER or sum(weights) > MAX_WEIGHTS:
            yield (
                f"{path}.{part}.{field} and num_classes ({classes}) make a head of about {sum(weights):,} weights, more"
                f" than {MAX_WEIGHTS:,}, or {MAX_LAYER:,} in one layer; lower one of them"
            )


def _region_layers(message: Message, path: str) -> Iterator[str]:
    """Weights of the fully connected layer on crops, with which a pyramid's second stage begins."""
    network = extractors.TWO_STAGE.get(message.feature_extractor.type)
    crop, kernel, stride = message.initial_crop_size, message.maxpool_kernel_size, message.maxpool_stride
    if network is None or not network.pyramid or min(crop, kernel, stride) < 1 or kernel > crop:
        return
    side, depth = (crop - kernel) // stride + 1, message.feature_extractor.fpn.additional_layer_depth
    numbers = side**2 * depth * TYPICAL_DEPTH
    if numbers > MAX_LAYER:
        yield (
            f"{path}.initial_crop_size ({crop}) makes crops of {side} x {side} cells, and with"
            f" feature_extractor.fpn.additional_layer_depth ({depth}) a layer of about {numbers:,} weights, more than"
            f" {MAX_LAYER:,}; lower one of them"
        )


def _anchors(generator: Message, path: str, pixels: int | None, resizer: Message) -> Iterator[str]:
    """Limits the number of anchors per image: cells of the maps times anchors per cell.

    `pixels` is None if images keep their size.
    """
    kind, maps = generator.WhichOneof("anchor_generator_oneof"), _per_cell(generator)
    if kind is None or not maps:
        return
    if max(maps) > 1000:
        yield (
            f"{path}.{kind} makes {max(maps):,} anchors at every cell, more than 1,000; list fewer scales or"
            " aspect_ratios"
        )
        return
    if pixels is None or pixels > MAX_IMAGE:
        return
    strides = [_FIRST_STRIDE << level for level in range(len(maps))]
    area = float(strides[0] ** 2)
    if kind == "grid_anchor_generator":
        grid = generator.grid_anchor_generator
        area = max(grid.height_stride, 1) * max(grid.width_stride, 1)
    count = sum(each * pixels / area / 4**level for level, each in enumerate(maps))
    if count > MAX_ANCHORS:
        chosen = resizer.WhichOneof("image_resizer_oneof")
        yield (
            f"{path}.{kind} makes about {count:,.0f} anchors on images of {pixels:,} pixels (image_resizer.{chosen}),"
            f" more than {MAX_ANCHORS:,}; lower the size of images, or list fewer scales or aspect_ratios"
        )


def _per_cell(generator: Message) -> list[int]:
    """Number of anchors per cell of each map, computed without making them."""
    kind = generator.WhichOneof("anchor_generator_oneof")
    if kind == "ssd_anchor_generator":
        ssd = generator.ssd_anchor_generator
        each = len(ssd.aspect_ratios) + (ssd.interpolated_scale_aspect_ratio > 0)
        layers = min(max(ssd.num_layers, 0), _most("SsdAnchorGenerator", "num_layers"))
        return [3 if level == 0 and ssd.reduce_boxes_in_lowest_layer else each for level in range(layers)]
    if kind == "grid_anchor_generator":
        return [len(generator.grid_anchor_generator.scales) * len(generator.grid_anchor_generator.aspect_ratios)]
    if kind == "flexible_grid_anchor_generator":
        return [len(grid.base_sizes) for grid in generator.flexible_grid_anchor_generator.anchor_grid]
    if kind == "multiscale_anchor_generator":
        multi = generator.multiscale_anchor_generator
        levels = min(max(multi.max_level - multi.min_level + 1, 0), _most("MultiscaleAnchorGenerator", "max_level") + 1)
        return [len(multi.aspect_ratios) * max(multi.scales_per_octave, 0)] * levels
    return []


def _pixels(resizer: Message) -> int | None:
    """Number of pixels of the largest image that a resizer makes; None if images keep their size."""
    fixed, kept = resizer.fixed_shape_resizer, resizer.keep_aspect_ratio_resizer
    if resizer.HasField("fixed_shape_resizer"):
        return max(fixed.height, 0) * max(fixed.width, 0)
    if resizer.HasField("keep_aspect_ratio_resizer"):
        # The short side is min_dimension and the long side max_dimension, for which 100,000 is usual as "no bound".
        return max(kept.max_dimension, 0) * max(
            kept.max_dimension if kept.pad_to_max_dimension else kept.min_dimension, 0
        )
    if resizer.HasField("pad_to_multiple_resizer"):
        return max(resizer.pad_to_multiple_resizer.multiple, 0) ** 2
    smaller = (
        resizer.conditional_shape_resizer.DESCRIPTOR.enum_types_by_name["ResizeCondition"]
        .values_by_name["SMALLER"]
        .number
    )
    if resizer.HasField("conditional_shape_resizer") and resizer.conditional_shape_resizer.condition == smaller:
        return max(resizer.conditional_shape_resizer.size_threshold, 0) ** 2
    return None


def resizer(message: Message, path: str) -> Iterator[str]:
    """ImageResizer: pixels of an image."""
    pixels = _pixels(message)
    kind = message.WhichOneof("image_resizer_oneof")
    if pixels is None or pixels <= MAX_IMAGE:
        return
    fixed, kept = message.fixed_shape_resizer, message.keep_aspect_ratio_resizer
    what = {
        "fixed_shape_resizer": f" (height {fixed.height}, width {fixed.width})",
        "keep_aspect_ratio_resizer": (
            f".max_dimension ({kept.max_dimension}"
            + (
                ", with pad_to_max_dimension)"
                if kept.pad_to_max_dimension
                else f", with min_dimension {kept.min_dimension})"
            )
        ),
        "pad_to_multiple_resizer": f".multiple ({message.pad_to_multiple_resizer.multiple})",
        "conditional_shape_resizer": f".size_threshold ({message.conditional_shape_resizer.size_threshold})",
    }[kind]
    yield f"{path}.{kind}{what} makes images of {pixels:,} pixels, more than {MAX_IMAGE:,}; lower it"


def _pad_sizes(message: Message, path: str, *pairs: tuple[str, str]) -> Iterator[str]:
    """Limits the size of images that an augmentation makes."""
    for height, width in pairs:
        pixels = max(getattr(message, height), 0) * max(getattr(message, width), 0)
        if pixels > MAX_IMAGE:
            yield (
                f"{path}.{height} ({getattr(message, height)}) and {width} ({getattr(message, width)}) make images of"
                f" {pixels:,} pixels, more than {MAX_IMAGE:,}; lower them"
            )


def batches(message: Message, path: str) -> Iterator[str]:
    """Limits the pixels of a batch, which depend on the model's resizer."""
    kind = message.model.WhichOneof("model")
    chosen = getattr(message.model, kind) if kind else None
    if chosen is None or "image_resizer" not in chosen.DESCRIPTOR.fields_by_name:
        return
    pixels = _pixels(chosen.image_resizer)
    if pixels is None or pixels > MAX_IMAGE:
        return
    resizer = f"model.{kind}.image_resizer.{chosen.image_resizer.WhichOneof('image_resizer_oneof')}"
    for part in ("train_config", "eval_config"):
        batch = getattr(message, part).batch_size
        if message.HasField(part) and batch * pixels > MAX_BATCH and batch <= BATCH.high:
            yield (
                f"{part}.batch_size ({batch}) of images of {pixels:,} pixels ({resizer}) makes batches of"
                f" {batch * pixels:,} pixels, more than {MAX_BATCH:,}; lower one of the two"
            )


def canvas(*pairs: tuple[str, str]) -> Callable[[Message, str], Iterator[str]]:
    """A rule on pairs of height and width fields of an augmentation step."""
    return lambda message, path: _pad_sizes(message, path, *pairs)


def _most(message: str, field: str) -> int:
    limit = fields.TABLE[message][field].limit
    assert limit is not None
    return limit.high
