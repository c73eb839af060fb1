"""How large a config may make things. What is beyond is refused before anything of that size exists, naming the field:
a typing error of three zeros would otherwise fill the memory first and say something about a tensor then.

The limits lie far above what detectors are built with. LIMITS bounds single fields; the functions below bound what
several fields make together: pixels of an image and of a batch, anchors, weights of the layers whose width the config
decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from google.protobuf.message import Message

from detection.config.rules import short
from detection.config.walk import join

MAX_IMAGE = 100_000_000  # pixels, as of the images that are read: 1.2 GB of float32
MAX_BATCH = 5_000_000_000  # pixels of all images of a batch: 60 GB of float32
MAX_ANCHORS = 10_000_000  # of an image: 160 MB, and several times that while they are made
MAX_WEIGHTS = 1 << 28  # numbers in one group of layers: 1 GiB, and again for each array of the optimizer
MAX_LAYER = 1 << 27  # of them in one layer, whose first values are drawn at once, with several times its memory
TYPICAL_DEPTH = 1024  # channels of the maps that heads stand on
_FIRST_STRIDE = 8  # pixels; of the finest map that any extractor offers


class Limit(NamedTuple):
    """The largest value of a field, and what it costs."""

    high: int
    reason: str


_WIDTH = Limit(4096, "it is a number of channels, and weights grow with its square")
_KERNEL = Limit(31, "it is the side of a kernel, and weights grow with its square")
_ROWS = Limit(100_000, "so many rows are kept for every image, whether there are boxes for them or not")
_DRAWN = Limit(100_000, "so many regions of every image are computed at once")
_SIDE = Limit(100_000, "it is a side of an image, in pixels")
_BATCH = Limit(1_000_000, "all images of a batch are in memory together")
_MULTIPLIER = Limit(4, "weights grow with its square")
_MIN_DEPTH = Limit(512, "every layer gets at least so many channels")
_PER_CELL = "every cell of a map has an anchor for each"
_QUEUED = "all of them are in memory together"

LIMITS: dict[str, dict[str, Limit]] = {
    "Ssd": {"num_classes": Limit(1_000_000, "every anchor has a score for each class")},
    "FasterRcnn": {
        "num_classes": Limit(1_000_000, "every region has a score and a box for each class"),
        "first_stage_atrous_rate": Limit(1000, "the kernel would be wider than any map"),
        "first_stage_box_predictor_kernel_size": _KERNEL,
        "first_stage_box_predictor_depth": _WIDTH,
        "first_stage_minibatch_size": Limit(MAX_ANCHORS, "it is a number of anchors"),
        "first_stage_max_proposals": _DRAWN,
        "second_stage_batch_size": _DRAWN,
        "initial_crop_size": Limit(512, "every region is cropped to this size, with all channels"),
        "maxpool_kernel_size": Limit(512, "it lies within the crop"),
        "maxpool_stride": Limit(512, "it lies within the crop"),
    },
    "SsdFeatureExtractor": {
        "depth_multiplier": _MULTIPLIER,
        "min_depth": _MIN_DEPTH,
        "num_layers": Limit(
            20, "each further map has half the side of the one before it, so the last ones would be single cells"
        ),
        "pad_to_multiple": Limit(1024, "even the smallest image is padded to it, in pixels"),
    },
    "FasterRcnnFeatureExtractor": {"depth_multiplier": _MULTIPLIER, "min_depth": _MIN_DEPTH},
    "ConvolutionalBoxPredictor": {
        "min_depth": _WIDTH,
        "max_depth": _WIDTH,
        "kernel_size": _KERNEL,
        "num_layers_before_predictor": Limit(32, "each is a layer on every map"),
    },
    "WeightSharedConvolutionalBoxPredictor": {
        "depth": _WIDTH,
        "kernel_size": _KERNEL,
        "num_layers_before_predictor": Limit(32, "each is a layer on every map"),
    },
    "FeaturePyramidNetworks": {
        "max_level": Limit(20, "a level's stride is 2 to the power of it, in pixels"),
        "additional_layer_depth": _WIDTH,
    },
    "RfcnBoxPredictor": {
        "depth": _WIDTH,
        "num_spatial_bins_height": Limit(100, "every bin has maps of its own for every class"),
        "num_spatial_bins_width": Limit(100, "every bin has maps of its own for every class"),
        "crop_height": Limit(512, "every region is cropped to this size, with all channels"),
        "crop_width": Limit(512, "every region is cropped to this size, with all channels"),
    },
    "SsdAnchorGenerator": {"num_layers": Limit(20, "each further map has half the side of the one before it")},
    "MultiscaleAnchorGenerator": {
        "max_level": Limit(20, "a level's stride is 2 to the power of it, in pixels"),
        "scales_per_octave": Limit(1000, _PER_CELL),
    },
    "KeepAspectRatioResizer": {"min_dimension": _SIDE},
    "BatchNonMaxSuppression": {"max_total_detections": _ROWS},
    "HardExampleMiner": {"num_hard_examples": Limit(MAX_ANCHORS, "it is a number of anchors or regions")},
    "TrainConfig": {"batch_size": _BATCH},
    "EvalConfig": {
        "batch_size": _BATCH,
        "num_visualizations": Limit(10_000, "the pictures of an evaluation are kept in memory until it ends"),
    },
    "InputReader": {
        "max_number_of_boxes": _ROWS,
        "max_number_of_proposals": _DRAWN,
        "shuffle_buffer_size": Limit(10_000_000, "memory for so many records is taken at once"),
        "filenames_shuffle_buffer_size": Limit(10_000_000, "memory for so many names is taken at once"),
        "num_readers": Limit(10_000, "each is an open file with a buffer of 1 MiB"),
        "num_prefetch_batches": Limit(1000, _QUEUED),
    },
    # Augmentation makes images, which the resizer then makes smaller.
    "RandomImageScale": {"max_scale_ratio": Limit(100, "sides of images grow by it")},
    "ResizeImage": {"new_height": _SIDE, "new_width": _SIDE},
    "RandomResizeMethod": {"target_height": _SIDE, "target_width": _SIDE},
    "RandomPadImage": dict.fromkeys(
        ("min_image_height", "min_image_width", "max_image_height", "max_image_width"), _SIDE
    ),
    "RandomAbsolutePadImage": {"max_height_padding": _SIDE, "max_width_padding": _SIDE},
    "RandomSquareCropByScale": {"max_border": _SIDE, "num_scales": Limit(100_000, "so many sizes are drawn from")},
    "RandomScaleCropAndPadToSquare": {
        "output_size": Limit(10_000, "images get this side"),
        "scale_max": Limit(100, "sides of images grow by it"),
    },
    "RandomBlackPatches": {"max_black_patches": Limit(10_000, "patches are drawn one after the other")},
    **dict.fromkeys(
        ("RandomCropPadImage", "SSDRandomCropPadOperation", "SSDRandomCropPadFixedAspectRatio"),
        {
            "max_padded_size_ratio": Limit(100, "sides of images grow by it"),
            "min_padded_size_ratio": Limit(100, "sides of images grow by it"),
        },
    ),
}


def too_large(message: Message, path: str, name: str) -> Iterator[str]:
    """Sentences on single fields of one message, and on what they make together; `name` is that of its type."""
    single = list(_fields(message, path, name))
    yield from single
    if not single and name in _TOGETHER:
        yield from _TOGETHER[name](message, path)


def _fields(message: Message, path: str, name: str) -> Iterator[str]:
    for field, limit in LIMITS.get(name, {}).items():
        value = getattr(message, field)
        numbers = (
            [(field, value)]
            if isinstance(value, int | float)
            else [(f"{field}[{index}]", item) for index, item in enumerate(value)]
        )
        for place, number in numbers:
            if math.isfinite(number) and number > limit.high:
                yield f"{join(path, place)} ({short(number)}) is more than {limit.high:,}: {limit.reason}"


def _ssd(message: Message, path: str) -> Iterator[str]:
    faults = list(
        _anchors(
            message.anchor_generator, f"{path}.anchor_generator", _pixels(message.image_resizer), message.image_resizer
        )
    )
    yield from faults
    if faults:
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
            f"{path}.num_classes ({message.num_classes}) with {sum(maps)} anchors a cell and box_predictor's"
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


def _two_stage(message: Message, path: str) -> Iterator[str]:
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


def _anchors(generator: Message, path: str, pixels: int | None, resizer: Message) -> Iterator[str]:
    """On the number of anchors of an image: cells of the maps times anchors a cell. `pixels` None: the size of images
    is theirs."""
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
    """Anchors a cell, of each map; counted, not made."""
    kind = generator.WhichOneof("anchor_generator_oneof")
    if kind == "ssd_anchor_generator":
        ssd = generator.ssd_anchor_generator
        each = len(ssd.aspect_ratios) + (ssd.interpolated_scale_aspect_ratio > 0)
        layers = min(max(ssd.num_layers, 0), LIMITS["SsdAnchorGenerator"]["num_layers"].high)
        return [3 if level == 0 and ssd.reduce_boxes_in_lowest_layer else each for level in range(layers)]
    if kind == "grid_anchor_generator":
        return [len(generator.grid_anchor_generator.scales) * len(generator.grid_anchor_generator.aspect_ratios)]
    if kind == "multiscale_anchor_generator":
        multi = generator.multiscale_anchor_generator
        levels = min(
            max(multi.max_level - multi.min_level + 1, 0), LIMITS["MultiscaleAnchorGenerator"]["max_level"].high + 1
        )
        return [len(multi.aspect_ratios) * max(multi.scales_per_octave, 0)] * levels
    return []


def _pixels(resizer: Message) -> int | None:
    """Of the largest image that a resizer makes of an image of the usual proportions; None where it leaves that to the
    image."""
    fixed, kept = resizer.fixed_shape_resizer, resizer.keep_aspect_ratio_resizer
    if resizer.HasField("fixed_shape_resizer"):
        return max(fixed.height, 0) * max(fixed.width, 0)
    if resizer.HasField("keep_aspect_ratio_resizer"):
        # A short side of min_dimension with a long one of max_dimension; people write 100,000 for no bound on the
        # latter.
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


def _resizer(message: Message, path: str) -> Iterator[str]:
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
    """On images that an augmentation makes."""
    for height, width in pairs:
        pixels = max(getattr(message, height), 0) * max(getattr(message, width), 0)
        if pixels > MAX_IMAGE:
            yield (
                f"{path}.{height} ({getattr(message, height)}) and {width} ({getattr(message, width)}) make images of"
                f" {pixels:,} pixels, more than {MAX_IMAGE:,}; lower them"
            )


def _batches(message: Message, path: str) -> Iterator[str]:
    """On the pixels of a batch, which depend on the model's resizer."""
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
        if message.HasField(part) and batch * pixels > MAX_BATCH and batch <= _BATCH.high:
            yield (
                f"{part}.batch_size ({batch}) of images of {pixels:,} pixels ({resizer}) makes batches of"
                f" {batch * pixels:,} pixels, more than {MAX_BATCH:,}; lower one of the two"
            )


def _sizes(*pairs: tuple[str, str]) -> Callable[[Message, str], Iterator[str]]:
    return lambda message, path: _pad_sizes(message, path, *pairs)


# Message -> what its fields must not make together.
_TOGETHER: dict[str, Callable[[Message, str], Iterator[str]]] = {
    "TrainEvalPipelineConfig": _batches,
    "Ssd": _ssd,
    "FasterRcnn": _two_stage,
    "ImageResizer": _resizer,
    "ResizeImage": _sizes(("new_height", "new_width")),
    "RandomResizeMethod": _sizes(("target_height", "target_width")),
    "RandomPadImage": _sizes(("min_image_height", "min_image_width"), ("max_image_height", "max_image_width")),
    "RandomAbsolutePadImage": _sizes(("max_height_padding", "max_width_padding")),
}
