"""Message `PreprocessingStep` -> an augmentation, `(sample, seed) -> sample`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from detection.data.augment import color, crop, flip, pad, patches, rows, scale
from detection.data.resize import Method
from detection.data.sample import Augmentation
from detection.errors import ConfigError
from detection.protos import preprocessor_pb2


def build(
    message: preprocessor_pb2.PreprocessingStep, path: str = "train_config.data_augmentation_options"
) -> Augmentation:
    """`path` names the message in errors. Raises ConfigError for steps that are not supported and numbers that make no
    sense."""
    step = message.WhichOneof("preprocessing_step")
    if step is None:
        raise ConfigError(f"{path} is empty; set one of: {', '.join(SUPPORTED)}")
    if step not in _BUILDERS:
        raise ConfigError(f"{path}.{step} is not supported; remove it or use one of: {', '.join(SUPPORTED)}")
    return _BUILDERS[step](getattr(message, step), f"{path}.{step}")


def _plain(function: Callable, *fields: str) -> Callable[[Any, str], Augmentation]:
    """A builder that hands the fields over under their own names, after checking what their names say about them."""

    def make(message: Any, path: str) -> Augmentation:
        settings = {field: getattr(message, field) for field in fields}
        for low in fields:
            high = low.replace("min", "max")
            if high != low and high in settings and settings[low] > settings[high]:
                raise ConfigError(f"{path}.{low} ({settings[low]:g}) must not exceed {high} ({settings[high]:g})")
        for field, value in settings.items():
            if (
                field.endswith(("probability", "_coef", "_thresh")) or field == "size_to_image_ratio"
            ) and not 0 <= value <= 1:
                raise ConfigError(f"{path}.{field} is {value:g}; it must lie between 0 and 1")
        return partial(function, **settings)

    return make


def _normalize_image(message: preprocessor_pb2.NormalizeImage, path: str) -> Augmentation:
    if message.original_minval >= message.original_maxval:
        raise ConfigError(
            f"{path}.original_minval ({message.original_minval:g}) must be less than original_maxval"
            f" ({message.original_maxval:g})"
        )
    return _plain(color.normalize_image, "original_minval", "original_maxval", "target_minval", "target_maxval")(
        message, path
    )


def _subtract_channel_mean(message: preprocessor_pb2.SubtractChannelMean, path: str) -> Augmentation:
    if len(message.means) != 3:
        raise ConfigError(f"{path}.means has {len(message.means)} values; give 3, one a channel")
    return partial(color.subtract_channel_mean, means=tuple(message.means))


def _random_distort_color(message: preprocessor_pb2.RandomDistortColor, path: str) -> Augmentation:
    if message.color_ordering not in (0, 1):
        raise ConfigError(f"{path}.color_ordering is {message.color_ordering}; it must be 0 or 1")
    return partial(color.random_distort_color, color_ordering=message.color_ordering)


def _crop(message: Any, path: str, aspect_ratio_range: tuple[float, float] | None = None) -> crop.Crop:
    """The crop settings that many messages share; without `aspect_ratio_range` they are the message's own."""
    ranges = (
        [("min_area", "max_area")]
        if aspect_ratio_range
        else [("min_aspect_ratio", "max_aspect_ratio"), ("min_area", "max_area")]
    )
    for low, high in ranges:
        least, most = getattr(message, low), getattr(message, high)
        if not 0 < least <= most:
            raise ConfigError(f"{path}: 0 < {low} ({least:g}) <= {high} ({most:g}) must hold")
    if message.max_area > 1:
        raise ConfigError(f"{path}.max_area is {message.max_area:g}; it is a fraction of the image, at most 1")
    for field in ("min_object_covered", "overlap_thresh", "random_coef"):
        if not 0 <= getattr(message, field) <= 1:
            raise ConfigError(f"{path}.{field} is {getattr(message, field):g}; it must lie between 0 and 1")
    return crop.Crop(
        min_object_covered=message.min_object_covered,
        aspect_ratio_range=aspect_ratio_range or (message.min_aspect_ratio, message.max_aspect_ratio),
        area_range=(message.min_area, message.max_area),
        overlap_thresh=message.overlap_thresh,
        clip_boxes=message.clip_boxes,
        random_coef=message.random_coef,
    )


def _random_crop_image(message: preprocessor_pb2.RandomCropImage, path: str) -> Augmentation:
    return partial(crop.random_crop_image, settings=_crop(message, path))


def _ssd_random_crop(message: preprocessor_pb2.SSDRandomCrop, path: str) -> Augmentation:
    crops = tuple(
        _crop(operation, f"{path}.operations[{number}]") for number, operation in enumerate(message.operations)
    )
    return partial(crop.ssd_random_crop, crops=crops or crop.SSD_CROPS)


def _random_crop_to_aspect_ratio(message: preprocessor_pb2.RandomCropToAspectRatio, path: str) -> Augmentation:
    _check_positive(message, path, "aspect_ratio")
    return _plain(crop.random_crop_to_aspect_ratio, "aspect_ratio", "overlap_thresh", "clip_boxes")(message, path)


def _random_square_crop_by_scale(message: preprocessor_pb2.RandomSquareCropByScale, path: str) -> Augmentation:
    _check_positive(message, path, "max_border", "scale_min", "num_scales")
    return _plain(crop.random_square_crop_by_scale, "max_border", "scale_min", "scale_max", "num_scales")(message, path)


def _ratios(values: Sequence[float], default: pad.Ratios, path: str) -> pad.Ratios:
    """Height and width ratios of a canvas."""
    if len(values) not in (0, 2) or any(value < 0 for value in values):
        raise ConfigError(f"{path} is {list(values)}; give two positive values, for height and width, or none")
    return tuple(values) or default


def _color(values: Sequence[float], path: str) -> pad.Color:
    if len(values) not in (0, 3):
        raise ConfigError(f"{path} has {len(values)} values; give 3, one a channel, or none for the mean of the image")
    return tuple(values) or None


def _random_pad_image(message: preprocessor_pb2.RandomPadImage, path: str) -> Augmentation:
    sizes = {}
    for which in ("min", "max"):
        given = [message.HasField(f"{which}_image_{side}") for side in ("height", "width")]
        if any(given) and not all(given):
            raise ConfigError(f"{path}: set {which}_image_height and {which}_image_width together, or neither")
        size = (getattr(message, f"{which}_image_height"), getattr(message, f"{which}_image_width"))
        sizes[f"{which}_image_size"] = size if all(given) else None
    return partial(pad.random_pad_image, **sizes, pad_color=_color(message.pad_color, f"{path}.pad_color"))


def _random_absolute_pad_image(message: preprocessor_pb2.RandomAbsolutePadImage, path: str) -> Augmentation:
    _check_positive(message, path, "max_height_padding", "max_width_padding")
    color_ = _color(message.pad_color, f"{path}.pad_color")
    return partial(
        pad.random_absolute_pad_image,
        max_height_padding=message.max_height_padding,
        max_width_padding=message.max_width_padding,
        pad_color=color_,
    )


def _crop_pad(message: Any, path: str, color_: pad.Color) -> pad.CropPad:
    return pad.CropPad(
        crop=_crop(message, path),
        min_padded_size_ratio=_ratios(message.min_padded_size_ratio, (1.0, 1.0), f"{path}.min_padded_size_ratio"),
        max_padded_size_ratio=_ratios(message.max_padded_size_ratio, (2.0, 2.0), f"{path}.max_padded_size_ratio"),
        pad_color=color_,
    )


def _random_crop_pad_image(message: preprocessor_pb2.RandomCropPadImage, path: str) -> Augmentation:
    return partial(
        pad.random_crop_pad_image, settings=_crop_pad(message, path, _color(message.pad_color, f"{path}.pad_color"))
    )


def _ssd_random_crop_pad(message: preprocessor_pb2.SSDRandomCropPad, path: str) -> Augmentation:
    operations = tuple(
        _crop_pad(
            operation,
            f"{path}.operations[{number}]",
            (operation.pad_color_r, operation.pad_color_g, operation.pad_color_b),
        )
        for number, operation in enumerate(message.operations)
    )
    return partial(pad.ssd_random_crop_pad, operations=operations or pad.SSD_CROP_PADS)


def _fixed_ratio_crops(message: Any, path: str, own_ratios: bool) -> tuple[crop.Crop, ...]:
    """Crops of a step with an aspect ratio of its own: they cut to it right away, unless the operations have ratios of
    their own."""
    _check_positive(message, path, "aspect_ratio")
    fixed = (message.aspect_ratio, message.aspect_ratio)
    if not message.operations:
        return (
            crop.SSD_CROPS
            if own_ratios
            else tuple(replace(settings, aspect_ratio_range=fixed) for settings in crop.SSD_CROPS)
        )
    return tuple(
        _crop(operation, f"{path}.operations[{number}]", None if own_ratios else fixed)
        for number, operation in enumerate(message.operations)
    )


def _ssd_random_crop_fixed_aspect_ratio(
    message: preprocessor_pb2.SSDRandomCropFixedAspectRatio, path: str
) -> Augmentation:
    crops = _fixed_ratio_crops(message, path, own_ratios=False)
    return partial(pad.ssd_random_crop_fixed_aspect_ratio, crops=crops, aspect_ratio=message.aspect_ratio)


def _ssd_random_crop_pad_fixed_aspect_ratio(
    message: preprocessor_pb2.SSDRandomCropPadFixedAspectRatio, path: str
) -> Augmentation:
    return partial(
        pad.ssd_random_crop_pad_fixed_aspect_ratio,
        crops=_fixed_ratio_crops(message, path, own_ratios=True),
        aspect_ratio=message.aspect_ratio,
        min_padded_size_ratio=_ratios(message.min_padded_size_ratio, (1.0, 1.0), f"{path}.min_padded_size_ratio"),
        max_padded_size_ratio=_ratios(message.max_padded_size_ratio, (2.0, 2.0), f"{path}.max_padded_size_ratio"),
    )


def _resize_image(message: preprocessor_pb2.ResizeImage, path: str) -> Augmentation:
    _check_positive(message, path, "new_height", "new_width")
    method = Method[preprocessor_pb2.ResizeImage.Method.Name(message.method)]
    return partial(scale.resize_image, new_height=message.new_height, new_width=message.new_width, method=method)


def _random_resize_method(message: preprocessor_pb2.RandomResizeMethod, path: str) -> Augmentation:
    _check_positive(message, path, "target_height", "target_width")
    return _plain(scale.random_resize_method, "target_height", "target_width")(message, path)


def _random_jitter_boxes(message: preprocessor_pb2.RandomJitterBoxes, path: str) -> Augmentation:
    if message.ratio < 0:
        raise ConfigError(f"{path}.ratio is {message.ratio:g}; it must not be negative")
    return partial(rows.random_jitter_boxes, ratio=message.ratio, mode=rows.Jitter(message.jitter_mode))


def _random_black_patches(message: preprocessor_pb2.RandomBlackPatches, path: str) -> Augmentation:
    _check_positive(message, path, "max_black_patches")
    return _plain(patches.random_black_patches, "max_black_patches", "probability", "size_to_image_ratio")(
        message, path
    )


def _drop_label(message: preprocessor_pb2.DropLabelProbabilistically, path: str) -> Augmentation:
    _check_positive(message, path, "label")
    return _plain(rows.drop_label_probabilistically, "label", "drop_probability")(message, path)


def _remap_labels(message: preprocessor_pb2.RemapLabels, path: str) -> Augmentation:
    _check_positive(message, path, "new_label")
    return partial(rows.remap_labels, original_labels=tuple(message.original_labels), new_label=message.new_label)


def _check_positive(message: Any, path: str, *fields: str) -> None:
    for field in fields:
        if getattr(message, field) <= 0:
            raise ConfigError(f"{path}.{field} is {getattr(message, field):g}; it must be positive")


_BUILDERS: dict[str, Callable[[Any, str], Augmentation]] = {
    "normalize_image": _normalize_image,
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
    "random_distort_color": _random_distort_color,
    "adjust_gamma": _plain(color.adjust_gamma, "gamma", "gain"),
    "subtract_channel_mean": _subtract_channel_mean,
    "random_crop_image": _random_crop_image,
    "random_crop_to_aspect_ratio": _random_crop_to_aspect_ratio,
    "random_square_crop_by_scale": _random_square_crop_by_scale,
    "ssd_random_crop": _ssd_random_crop,
    "ssd_random_crop_pad": _ssd_random_crop_pad,
    "ssd_random_crop_fixed_aspect_ratio": _ssd_random_crop_fixed_aspect_ratio,
    "ssd_random_crop_pad_fixed_aspect_ratio": _ssd_random_crop_pad_fixed_aspect_ratio,
    "random_pad_image": _random_pad_image,
    "random_absolute_pad_image": _random_absolute_pad_image,
    "random_crop_pad_image": _random_crop_pad_image,
    "random_image_scale": _plain(scale.random_image_scale, "min_scale_ratio", "max_scale_ratio"),
    "resize_image": _resize_image,
    "random_resize_method": _random_resize_method,
    "random_downscale_to_target_pixels": _plain(
        scale.random_downscale_to_target_pixels, "random_coef", "min_target_pixels", "max_target_pixels"
    ),
    "random_scale_crop_and_pad_to_square": _plain(
        scale.random_scale_crop_and_pad_to_square, "output_size", "scale_min", "scale_max"
    ),
    "random_jpeg_quality": _plain(scale.random_jpeg_quality, "random_coef", "min_jpeg_quality", "max_jpeg_quality"),
    "random_black_patches": _random_black_patches,
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
    "drop_label_probabilistically": _drop_label,
    "remap_labels": _remap_labels,
}
SUPPORTED = tuple(_BUILDERS)
