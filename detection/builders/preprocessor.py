"""Message `PreprocessingStep` -> an augmentation, `(sample, seed) -> sample`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from detection.data.augment import color, crop, flip
from detection.data.sample import Augmentation
from detection.errors import ConfigError
from detection.protos import preprocessor_pb2


def build(message: preprocessor_pb2.PreprocessingStep, path: str = "train_config.data_augmentation_options") -> Augmentation:
    """`path` names the message in errors. Raises ConfigError for steps that are not supported and numbers that make no sense."""
    step = message.WhichOneof("preprocessing_step")
    if step is None:
        raise ConfigError(f"{path} is empty; set one of: {', '.join(SUPPORTED)}")
    if step not in _BUILDERS:
        raise ConfigError(f"{path}.{step} is not supported; remove it or use one of: {', '.join(SUPPORTED)}")
    return _BUILDERS[step](getattr(message, step), f"{path}.{step}")


def _plain(function: Callable, *fields: str) -> Callable[[Any, str], Augmentation]:
    """A builder that hands the fields over under their own names."""

    def make(message: Any, path: str) -> Augmentation:
        settings = {field: getattr(message, field) for field in fields}
        for low, high in (("minval", "maxval"), ("min_delta", "max_delta"), ("min_scale_ratio", "max_scale_ratio")):
            if low in settings and settings[low] > settings[high]:
                raise ConfigError(f"{path}.{low} ({settings[low]:g}) must not exceed {high} ({settings[high]:g})")
        if not 0 <= settings.get("probability", 0) <= 1:
            raise ConfigError(f"{path}.probability is {settings['probability']:g}; it must lie between 0 and 1")
        return partial(function, **settings)

    return make


def _normalize_image(message: preprocessor_pb2.NormalizeImage, path: str) -> Augmentation:
    if message.original_minval >= message.original_maxval:
        raise ConfigError(f"{path}.original_minval ({message.original_minval:g}) must be less than original_maxval ({message.original_maxval:g})")
    return _plain(color.normalize_image, "original_minval", "original_maxval", "target_minval", "target_maxval")(message, path)


def _subtract_channel_mean(message: preprocessor_pb2.SubtractChannelMean, path: str) -> Augmentation:
    if len(message.means) != 3:
        raise ConfigError(f"{path}.means has {len(message.means)} values; give 3, one a channel")
    return partial(color.subtract_channel_mean, means=tuple(message.means))


def _random_distort_color(message: preprocessor_pb2.RandomDistortColor, path: str) -> Augmentation:
    if message.color_ordering not in (0, 1):
        raise ConfigError(f"{path}.color_ordering is {message.color_ordering}; it must be 0 or 1")
    return partial(color.random_distort_color, color_ordering=message.color_ordering)


def _crop(message: Any, path: str) -> crop.Crop:
    """The crop settings that many messages share."""
    for low, high in (("min_aspect_ratio", "max_aspect_ratio"), ("min_area", "max_area")):
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
        aspect_ratio_range=(message.min_aspect_ratio, message.max_aspect_ratio),
        area_range=(message.min_area, message.max_area),
        overlap_thresh=message.overlap_thresh,
        clip_boxes=message.clip_boxes,
        random_coef=message.random_coef,
    )


def _random_crop_image(message: preprocessor_pb2.RandomCropImage, path: str) -> Augmentation:
    return partial(crop.random_crop_image, settings=_crop(message, path))


def _ssd_random_crop(message: preprocessor_pb2.SSDRandomCrop, path: str) -> Augmentation:
    crops = tuple(_crop(operation, f"{path}.operations[{number}]") for number, operation in enumerate(message.operations))
    return partial(crop.ssd_random_crop, crops=crops or crop.SSD_CROPS)


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
    "ssd_random_crop": _ssd_random_crop,
}
SUPPORTED = tuple(_BUILDERS)
