"""Message `PreprocessingStep` -> an augmentation, `(sample, seed) -> sample`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from detection import registry
from detection.data.augment import auto_augment, color, crop, flip, pad, patches, rows, scale
from detection.data.resize import Method
from detection.data.sample import Augmentation
from detection.protos import preprocessor_pb2


def build(message: preprocessor_pb2.PreprocessingStep) -> Augmentation:
    """The augmentation of the step that is set."""
    step = message.WhichOneof("preprocessing_step")
    return _BUILDERS[step](getattr(message, step))


def _plain(function: Callable, *fields: str) -> Callable[[Any], Augmentation]:
    """A builder that passes fields under their own names."""
    return lambda message: partial(function, **{field: getattr(message, field) for field in fields})


def _subtract_channel_mean(message: preprocessor_pb2.SubtractChannelMean) -> Augmentation:
    return partial(color.subtract_channel_mean, means=tuple(message.means))


def _crop(message: Any, aspect_ratio_range: tuple[float, float] | None = None) -> crop.Crop:
    """Crop settings that many messages share; `aspect_ratio_range` replaces the message's own."""
    return crop.Crop(
        min_object_covered=message.min_object_covered,
        aspect_ratio_range=aspect_ratio_range or (message.min_aspect_ratio, message.max_aspect_ratio),
        area_range=(message.min_area, message.max_area),
        overlap_thresh=message.overlap_thresh,
        clip_boxes=message.clip_boxes,
        random_coef=message.random_coef,
    )


def _random_crop_image(message: preprocessor_pb2.RandomCropImage) -> Augmentation:
    return partial(crop.random_crop_image, settings=_crop(message))


def _ssd_random_crop(message: preprocessor_pb2.SSDRandomCrop) -> Augmentation:
    return partial(crop.ssd_random_crop, crops=tuple(map(_crop, message.operations)) or crop.SSD_CROPS)


def _ratios(values: Sequence[float], default: pad.Ratios) -> pad.Ratios:
    """Height and width ratios of a canvas."""
    return tuple(values) or default


def _random_pad_image(message: preprocessor_pb2.RandomPadImage) -> Augmentation:
    sizes = {}
    for which in ("min", "max"):
        size = (getattr(message, f"{which}_image_height"), getattr(message, f"{which}_image_width"))
        sizes[f"{which}_image_size"] = size if message.HasField(f"{which}_image_height") else None
    return partial(pad.random_pad_image, **sizes, pad_color=tuple(message.pad_color) or None)


def _random_absolute_pad_image(message: preprocessor_pb2.RandomAbsolutePadImage) -> Augmentation:
    return partial(
        pad.random_absolute_pad_image,
        max_height_padding=message.max_height_padding or 1,  # 0 means 1, which adds no padding, as in the reference
        max_width_padding=message.max_width_padding or 1,
        pad_color=tuple(message.pad_color) or None,
    )


def _crop_pad(message: Any, color_: pad.Color) -> pad.CropPad:
    return pad.CropPad(
        crop=_crop(message),
        min_padded_size_ratio=_ratios(message.min_padded_size_ratio, (1.0, 1.0)),
        max_padded_size_ratio=_ratios(message.max_padded_size_ratio, (2.0, 2.0)),
        pad_color=color_,
    )


def _random_crop_pad_image(message: preprocessor_pb2.RandomCropPadImage) -> Augmentation:
    return partial(pad.random_crop_pad_image, settings=_crop_pad(message, tuple(message.pad_color) or None))


def _ssd_random_crop_pad(message: preprocessor_pb2.SSDRandomCropPad) -> Augmentation:
    operations = tuple(
        _crop_pad(operation, (operation.pad_color_r, operation.pad_color_g, operation.pad_color_b))
        for operation in message.operations
    )
    return partial(pad.ssd_random_crop_pad, operations=operations or pad.SSD_CROP_PADS)


def _fixed_ratio_crops(message: Any, own_ratios: bool) -> tuple[crop.Crop, ...]:
    """Crops of a step that has one aspect ratio.

    They use that ratio themselves unless the operations have ratios of their own.
    """
    fixed = (message.aspect_ratio, message.aspect_ratio)
    if not message.operations:
        return (
            crop.SSD_CROPS
            if own_ratios
            else tuple(replace(settings, aspect_ratio_range=fixed) for settings in crop.SSD_CROPS)
        )
    return tuple(_crop(operation, None if own_ratios else fixed) for operation in message.operations)


def _ssd_random_crop_fixed_aspect_ratio(message: preprocessor_pb2.SSDRandomCropFixedAspectRatio) -> Augmentation:
    crops = _fixed_ratio_crops(message, own_ratios=False)
    return partial(pad.ssd_random_crop_fixed_aspect_ratio, crops=crops, aspect_ratio=message.aspect_ratio)


def _ssd_random_crop_pad_fixed_aspect_ratio(message: preprocessor_pb2.SSDRandomCropPadFixedAspectRatio) -> Augmentation:
    return partial(
        pad.ssd_random_crop_pad_fixed_aspect_ratio,
        crops=_fixed_ratio_crops(message, own_ratios=True),
        aspect_ratio=message.aspect_ratio,
        min_padded_size_ratio=_ratios(message.min_padded_size_ratio, (1.0, 1.0)),
        max_padded_size_ratio=_ratios(message.max_padded_size_ratio, (2.0, 2.0)),
    )


def _resize_image(message: preprocessor_pb2.ResizeImage) -> Augmentation:
    method = Method[preprocessor_pb2.ResizeImage.Method.Name(message.method)]
    return partial(scale.resize_image, new_height=message.new_height, new_width=message.new_width, method=method)


def _random_jitter_boxes(message: preprocessor_pb2.RandomJitterBoxes) -> Augmentation:
    return partial(rows.random_jitter_boxes, ratio=message.ratio, mode=rows.Jitter(message.jitter_mode))


def _remap_labels(message: preprocessor_pb2.RemapLabels) -> Augmentation:
    return partial(rows.remap_labels, original_labels=tuple(message.original_labels), new_label=message.new_label)


_BUILDERS: dict[str, Callable[[Any], Augmentation]] = {
    "normalize_image": _plain(
        color.normalize_image, "original_minval", "original_maxval", "target_minval", "target_maxval"
    ),
    "random_horizontal_flip": _plain(flip.random_horizontal_flip, "probability"),
    "random_vertical_flip": _plain(flip.random_vertical_flip, "probability"),
    "random_rotation90": _plain(flip.random_rotation90, "probability"),
    "random_pixel_value_scale": _plain(color.random_pixel_value_scale, "minval", "maxval"),
    "random_rgb_to_gray": _plain(color.random_rgb_to_gray, "probability"),
    "rgb_to_gray": _plain(color.rgb_to_gray),
    "random_adjust_brightness": _plain(color.random_adjust_brightness, "max_delta"),
    "random_adjust_contrast": _plain(color.random_adjust_contrast, "min_delta", "max_delta"),
    "random_adjust_hue": _plain(color.random_adjust_hue, "max_delta"),
    "random_adjust_saturation": _plain(color.random_adjust_saturation, "min_delta", "max_delta"),
    "random_distort_color": _plain(color.random_distort_color, "color_ordering"),
    "adjust_gamma": _plain(color.adjust_gamma, "gamma", "gain"),
    "subtract_channel_mean": _subtract_channel_mean,
    "random_crop_image": _random_crop_image,
    "random_crop_to_aspect_ratio": _plain(
        crop.random_crop_to_aspect_ratio, "aspect_ratio", "overlap_thresh", "clip_boxes"
    ),
    "random_square_crop_by_scale": _plain(
        crop.random_square_crop_by_scale, "max_border", "scale_min", "scale_max", "num_scales"
    ),
    "ssd_random_crop": _ssd_random_crop,
    "ssd_random_crop_pad": _ssd_random_crop_pad,
    "ssd_random_crop_fixed_aspect_ratio": _ssd_random_crop_fixed_aspect_ratio,
    "ssd_random_crop_pad_fixed_aspect_ratio": _ssd_random_crop_pad_fixed_aspect_ratio,
    "random_pad_image": _random_pad_image,
    "random_absolute_pad_image": _random_absolute_pad_image,
    "random_crop_pad_image": _random_crop_pad_image,
    "random_image_scale": _plain(scale.random_image_scale, "min_scale_ratio", "max_scale_ratio"),
    "resize_image": _resize_image,
    "random_resize_method": _plain(scale.random_resize_method, "target_height", "target_width"),
    "random_downscale_to_target_pixels": _plain(
        scale.random_downscale_to_target_pixels, "random_coef", "min_target_pixels", "max_target_pixels"
    ),
    "random_scale_crop_and_pad_to_square": _plain(
        scale.random_scale_crop_and_pad_to_square, "output_size", "scale_min", "scale_max"
    ),
    "random_jpeg_quality": _plain(scale.random_jpeg_quality, "random_coef", "min_jpeg_quality", "max_jpeg_quality"),
    "random_black_patches": _plain(
        patches.random_black_patches, "max_black_patches", "probability", "size_to_image_ratio"
    ),
    "random_patch_gaussian": _plain(
        patches.random_patch_gaussian,
        "random_coef",
        "min_patch_size",
        "max_patch_size",
        "min_gaussian_stddev",
        "max_gaussian_stddev",
    ),
    "random_jitter_boxes": _random_jitter_boxes,
    "random_self_concat_image": _plain(
        rows.random_self_concat_image, "concat_vertical_probability", "concat_horizontal_probability"
    ),
    "drop_label_probabilistically": _plain(rows.drop_label_probabilistically, "label", "drop_probability"),
    "remap_labels": _remap_labels,
    "convert_class_logits_to_softmax": _plain(rows.convert_class_logits_to_softmax, "temperature"),
    "autoaugment_image": _plain(auto_augment.autoaugment_image, "policy_name"),
    "custom": lambda part: registry.augmentation.make(part.name, parameters=part.parameters, field="custom"),
}
SUPPORTED = tuple(_BUILDERS)
