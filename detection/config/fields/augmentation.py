"""Augmentation: the steps of train_config.data_augmentation_options."""

from __future__ import annotations

from detection import registry
from detection.config.fields.limits import GROWTH, SIDE
from detection.config.fields.row import (
    FRACTION,
    NOT_NEGATIVE,
    ONE_OR_MORE,
    PART,
    POSITIVE,
    Counts,
    Interval,
    Limit,
    Message,
    all_honoured,
    honoured,
    no_effect,
    refused,
)

_BOXES = "only boxes are read"
_COLOR = Counts((0, 3), "give 3, one per channel, or none for the mean of the image")
_ASPECT_RATIO = Interval(0.01, 100)  # images are cut or padded to it
_SIDES = Counts((0, 2), "give 2, for height and width, or none")
_CROP: Message = (
    honoured("min_object_covered", FRACTION),
    honoured("min_aspect_ratio", POSITIVE, below="max_aspect_ratio"),
    honoured("max_aspect_ratio"),
    honoured("min_area", PART, below="max_area"),
    honoured("max_area", PART),
    honoured("overlap_thresh", FRACTION),
    honoured("clip_boxes"),
    honoured("random_coef", FRACTION),
)

MESSAGES: dict[str, Message] = {
    "PreprocessingStep": (
        *all_honoured(
            "normalize_image random_horizontal_flip random_pixel_value_scale random_image_scale "
            "random_rgb_to_gray random_adjust_brightness random_adjust_contrast random_adjust_hue "
            "random_adjust_saturation random_distort_color random_jitter_boxes random_crop_image "
            "random_pad_image random_crop_pad_image random_crop_to_aspect_ratio random_black_patches "
            "random_resize_method"
        ),
        refused("scale_boxes_to_pixel_coordinates"),
        *all_honoured(
            "resize_image subtract_channel_mean ssd_random_crop ssd_random_crop_pad "
            "ssd_random_crop_fixed_aspect_ratio ssd_random_crop_pad_fixed_aspect_ratio random_vertical_flip "
            "random_rotation90 rgb_to_gray"
        ),
        honoured("convert_class_logits_to_softmax"),
        *all_honoured("random_absolute_pad_image random_self_concat_image"),
        honoured("autoaugment_image"),
        *all_honoured(
            "drop_label_probabilistically remap_labels random_jpeg_quality random_downscale_to_target_pixels "
            "random_patch_gaussian random_square_crop_by_scale random_scale_crop_and_pad_to_square "
            "adjust_gamma"
        ),
        honoured("custom", registry=registry.augmentation),
    ),
    "NormalizeImage": (
        honoured("original_minval", below="original_maxval", strictly=True),
        honoured("original_maxval"),
        honoured("target_minval"),
        honoured("target_maxval"),
    ),
    "RandomHorizontalFlip": (
        no_effect("keypoint_flip_permutation", _BOXES),
        honoured("probability", FRACTION),
    ),
    "RandomPixelValueScale": (
        honoured("minval", NOT_NEGATIVE, below="maxval"),
        honoured("maxval"),
    ),
    "RandomImageScale": (
        honoured("min_scale_ratio", POSITIVE, below="max_scale_ratio"),
        honoured("max_scale_ratio", limit=GROWTH),
    ),
    "RandomRGBtoGray": (honoured("probability", FRACTION),),
    "RandomAdjustBrightness": (honoured("max_delta", NOT_NEGATIVE),),
    "RandomAdjustContrast": (
        honoured("min_delta", NOT_NEGATIVE, below="max_delta"),
        honoured("max_delta"),
    ),
    "RandomAdjustHue": (honoured("max_delta", Interval(0, 0.5)),),
    "RandomAdjustSaturation": (
        honoured("min_delta", NOT_NEGATIVE, below="max_delta"),
        honoured("max_delta"),
    ),
    "RandomDistortColor": (honoured("color_ordering", Interval(0, 1)),),
    "RandomJitterBoxes": (
        honoured("ratio", NOT_NEGATIVE),
        honoured("jitter_mode"),
    ),
    "RandomCropImage": _CROP,
    "RandomPadImage": (
        honoured("min_image_height", limit=SIDE),
        honoured("min_image_width", limit=SIDE),
        honoured("max_image_height", limit=SIDE),
        honoured("max_image_width", limit=SIDE),
        honoured("pad_color", counts=_COLOR),
    ),
    "RandomCropPadImage": (
        *_CROP,
        honoured("min_padded_size_ratio", NOT_NEGATIVE, GROWTH, counts=_SIDES),
        honoured("max_padded_size_ratio", NOT_NEGATIVE, GROWTH, counts=_SIDES),
        honoured("pad_color", counts=_COLOR),
    ),
    "RandomCropToAspectRatio": (
        honoured("aspect_ratio", _ASPECT_RATIO),
        honoured("overlap_thresh", FRACTION),
        honoured("clip_boxes"),
    ),
    "RandomBlackPatches": (
        honoured("max_black_patches", ONE_OR_MORE, Limit(10_000, "patches are drawn one after the other")),
        honoured("probability", FRACTION),
        honoured("size_to_image_ratio", PART),
    ),
    "RandomResizeMethod": (
        honoured("target_height", ONE_OR_MORE, SIDE),
        honoured("target_width", ONE_OR_MORE, SIDE),
    ),
    "ResizeImage": (
        honoured("new_height", ONE_OR_MORE, SIDE),
        honoured("new_width", ONE_OR_MORE, SIDE),
        honoured("method"),
    ),
    "SubtractChannelMean": (honoured("means", counts=Counts((3,), "give 3, one per channel")),),
    "SSDRandomCrop": (honoured("operations"),),
    "SSDRandomCropPad": (honoured("operations"),),
    "SSDRandomCropFixedAspectRatio": (
        honoured("operations"),
        honoured("aspect_ratio", _ASPECT_RATIO),
    ),
    "SSDRandomCropPadFixedAspectRatio": (
        honoured("operations"),
        honoured("aspect_ratio", _ASPECT_RATIO),
        honoured("min_padded_size_ratio", NOT_NEGATIVE, GROWTH, counts=_SIDES),
        honoured("max_padded_size_ratio", NOT_NEGATIVE, GROWTH, counts=_SIDES),
    ),
    "RandomVerticalFlip": (
        no_effect("keypoint_flip_permutation", _BOXES),
        honoured("probability", FRACTION),
    ),
    "RandomRotation90": (
        no_effect("keypoint_rot_permutation", _BOXES),
        honoured("probability", FRACTION),
    ),
    "RGBtoGray": (),
    "RandomAbsolutePadImage": (
        honoured("max_height_padding", NOT_NEGATIVE, SIDE),
        honoured("max_width_padding", NOT_NEGATIVE, SIDE),
        honoured("pad_color", counts=_COLOR),
    ),
    "RandomSelfConcatImage": (
        honoured("concat_vertical_probability", FRACTION),
        honoured("concat_horizontal_probability", FRACTION),
    ),
    "DropLabelProbabilistically": (
        honoured("label", ONE_OR_MORE),
        honoured("drop_probability", FRACTION),
    ),
    "RemapLabels": (
        honoured("original_labels", ONE_OR_MORE),
        honoured("new_label", ONE_OR_MORE),
    ),
    "AutoAugmentImage": (honoured("policy_name", values=("v0", "v1", "v2", "v3", "test")),),
    "ConvertClassLogitsToSoftmax": (honoured("temperature", POSITIVE),),
    "RandomJpegQuality": (
        honoured("random_coef", FRACTION),
        honoured("min_jpeg_quality", Interval(0, 100), below="max_jpeg_quality"),
        honoured("max_jpeg_quality", Interval(0, 100)),
    ),
    "RandomDownscaleToTargetPixels": (
        honoured("random_coef", FRACTION),
        honoured("min_target_pixels", ONE_OR_MORE, below="max_target_pixels"),
        honoured("max_target_pixels"),
    ),
    "RandomPatchGaussian": (
        honoured("random_coef", FRACTION),
        honoured("min_patch_size", ONE_OR_MORE, below="max_patch_size"),
        honoured("max_patch_size"),
        honoured("min_gaussian_stddev", NOT_NEGATIVE, below="max_gaussian_stddev"),
        honoured("max_gaussian_stddev"),
    ),
    "RandomSquareCropByScale": (
        honoured("max_border", ONE_OR_MORE, SIDE),
        honoured("scale_min", POSITIVE, below="scale_max"),
        honoured("scale_max"),
        honoured("num_scales", ONE_OR_MORE, Limit(100_000, "so many sizes are drawn from")),
    ),
    "RandomScaleCropAndPadToSquare": (
        honoured("output_size", ONE_OR_MORE, Limit(10_000, "images get this side")),
        honoured("scale_min", POSITIVE, below="scale_max"),
        honoured("scale_max", limit=GROWTH),
    ),
    "AdjustGamma": (
        honoured("gamma"),
        honoured("gain"),
    ),
    "SSDRandomCropOperation": _CROP,
    "SSDRandomCropPadOperation": (
        *_CROP,
        honoured("min_padded_size_ratio", NOT_NEGATIVE, GROWTH, counts=_SIDES),
        honoured("max_padded_size_ratio", NOT_NEGATIVE, GROWTH, counts=_SIDES),
        honoured("pad_color_r"),
        honoured("pad_color_g"),
        honoured("pad_color_b"),
    ),
    "SSDRandomCropFixedAspectRatioOperation": tuple(
        row for row in _CROP if row.name not in ("min_aspect_ratio", "max_aspect_ratio")
    ),
    "SSDRandomCropPadFixedAspectRatioOperation": _CROP,
}
