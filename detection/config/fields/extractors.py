"""The feature extractors that a config may name, and what their networks support.

The names are those of the TF Object Detection API with their `_keras` aliases; extractors that the API does not have
are named in the same style. `detection.builders.feature_extractor` finds the code of each; a test compares the two
lists.
"""

from __future__ import annotations

from typing import NamedTuple


class SsdNetwork(NamedTuple):
    """Capabilities of an SSD feature extractor."""

    maps: int = 6  # maximum number of feature maps, including the extra layers' maps; 0: a pyramid's levels
    made_by_conv_hyperparams: bool = (
        False  # whether the TF Object Detection API always applies conv_hyperparams to the network
    )
    smallest_image: int = 0  # minimum side of images, because its convolutions without padding shrink the maps
    image: int = 0  # the only supported side of images; 0: any
    refuses: tuple[str, ...] = ()  # fields that must not be true
    ignores: tuple[str, ...] = ()  # fields without effect, as in the TF Object Detection API
    levels: tuple[int, int] | None = None  # the only supported lowest and highest level of its pyramid; None: any
    pyramid: str = ""  # the field that describes its feature pyramid: fpn or bifpn


class TwoStageNetwork(NamedTuple):
    """Capabilities of a two-stage feature extractor."""

    strides: tuple[int, ...] = (16,)  # supported strides of the map that regions are cropped from, pixels
    pyramid: bool = False  # whether it has a feature pyramid; `strides` are then only the values that the API accepts
    crop_size: int | None = None  # side of crops, fixed by fully connected layers; None: any
    smallest_crop: int = 1  # minimum side of crops, because its convolutions without padding shrink them


_EXPLICIT = ("use_explicit_padding",)
_PLAIN = ("use_depthwise", "use_explicit_padding")
# What pyramids stand on, and the fields that may not be true with a feature pyramid on it.
_BELOW_PYRAMIDS: dict[str, tuple[str, ...]] = {
    **{f"efficientnet-b{version}": _PLAIN for version in range(8)},
    "inception_resnet_v2": _EXPLICIT,
    "inception_v1": _EXPLICIT,
    "inception_v2": _EXPLICIT,
    "inception_v3": _EXPLICIT,
    "mobilenet_edgetpu": _EXPLICIT,
    "mobilenet_v1": (),
    "mobilenet_v2": (),
    "mobilenet_v3_large": _EXPLICIT,
    "mobilenet_v3_small": _EXPLICIT,
    "resnet101_v1": _PLAIN,
    "resnet152_v1": _PLAIN,
    "resnet50_v1": _PLAIN,
    "vgg16": _EXPLICIT,
}
_MOBILEDET = SsdNetwork(refuses=_EXPLICIT, ignores=("override_base_feature_extractor_hyperparams",))


_FORMS = ("", "_keras")
# The first of each is the example in messages.
SSD: dict[str, SsdNetwork] = {
    "ssd_mobilenet_v1": SsdNetwork(),
    "embedded_ssd_mobilenet_v1": SsdNetwork(maps=5, image=256),
    "ssd_caffenet": SsdNetwork(),
    "ssd_inception_resnet_v2": SsdNetwork(),
    "ssd_inception_v1": SsdNetwork(),
    "ssd_inception_v2": SsdNetwork(made_by_conv_hyperparams=True),
    "ssd_inception_v3": SsdNetwork(made_by_conv_hyperparams=True, smallest_image=75),
    "ssd_mobiledet_cpu": _MOBILEDET,
    "ssd_mobiledet_dsp": _MOBILEDET,
    "ssd_mobiledet_edgetpu": _MOBILEDET,
    "ssd_mobiledet_gpu": _MOBILEDET,
    "ssd_mobilenet_edgetpu": SsdNetwork(refuses=_EXPLICIT),
    "ssd_mobilenet_v1_keras": SsdNetwork(),
    "ssd_mobilenet_v1_ppn": SsdNetwork(ignores=("use_depthwise",)),
    "ssd_mobilenet_v2": SsdNetwork(),
    "ssd_mobilenet_v2_mnasfpn": SsdNetwork(
        maps=0,
        refuses=_EXPLICIT,
        ignores=("use_depthwise", "conv_hyperparams", "override_base_feature_extractor_hyperparams"),
        levels=(3, 6),
        pyramid="fpn",
    ),
    "ssd_mobilenet_v2_keras": SsdNetwork(),
    "ssd_mobilenet_v3_large": SsdNetwork(refuses=_EXPLICIT),
    "ssd_mobilenet_v3_small": SsdNetwork(refuses=_EXPLICIT),
    "ssd_resnet101": SsdNetwork(),
    "ssd_resnet152": SsdNetwork(),
    "ssd_resnet50": SsdNetwork(),
    **{f"ssd_resnet{layers}_v1_ppn": SsdNetwork(ignores=_PLAIN) for layers in (50, 101, 152)},
    "ssd_vgg16": SsdNetwork(),
    "ssd_vgg_cnn_m_1024": SsdNetwork(),
    **{
        f"ssd_{name}_fpn{form}": SsdNetwork(maps=0, refuses=refuses, pyramid="fpn")
        for name, refuses in _BELOW_PYRAMIDS.items()
        for form in _FORMS
    },
    **{
        f"ssd_{name}_bifpn{form}": SsdNetwork(maps=0, refuses=_PLAIN, pyramid="bifpn")
        for name in _BELOW_PYRAMIDS
        for form in _FORMS
    },
}
_DENSE = TwoStageNetwork(strides=(8, 16))
TWO_STAGE: dict[str, TwoStageNetwork] = {
    "faster_rcnn_resnet101": _DENSE,
    "faster_rcnn_caffenet": TwoStageNetwork(crop_size=6),
    "faster_rcnn_inception_resnet_v2": TwoStageNetwork(strides=(8, 16), smallest_crop=3),
    "faster_rcnn_inception_resnet_v2_keras": _DENSE,
    "faster_rcnn_inception_v1": TwoStageNetwork(),
    "faster_rcnn_inception_v2": TwoStageNetwork(),
    "faster_rcnn_inception_v3": TwoStageNetwork(smallest_crop=3),
    "faster_rcnn_mobilenet_v1": _DENSE,
    "faster_rcnn_mobilenet_v2": _DENSE,
    "faster_rcnn_nas": TwoStageNetwork(),
    "faster_rcnn_pnas": TwoStageNetwork(),
    "faster_rcnn_resnet101_keras": TwoStageNetwork(),
    "faster_rcnn_resnet152": _DENSE,
    "faster_rcnn_resnet152_keras": TwoStageNetwork(),
    "faster_rcnn_resnet50": _DENSE,
    "faster_rcnn_resnet50_keras": TwoStageNetwork(),
    "faster_rcnn_vgg16": TwoStageNetwork(crop_size=7),
    "faster_rcnn_vgg_cnn_m_1024": TwoStageNetwork(crop_size=6),
}


def _two_stage_name(name: str) -> str:
    """`ssd_resnet50_v1_fpn_keras` -> `faster_rcnn_resnet50_fpn_keras`."""
    name = name.removeprefix("ssd_")
    return f"faster_rcnn_{name.replace('_v1_fpn', '_fpn') if name.startswith('resnet') else name}"


# Every network of SSD's pyramids can also be used with the two-stage pyramid.
TWO_STAGE |= {
    _two_stage_name(name): TwoStageNetwork(strides=(8, 16), pyramid=True)
    for name in SSD
    if name.removesuffix("_keras").endswith("_fpn")
}
# Feature extractors of CenterNet.
CENTER_NET: tuple[str, ...] = (
    "resnet_v2_101",
    "hourglass_10",
    "hourglass_100",
    "hourglass_104",
    "hourglass_20",
    "hourglass_32",
    "hourglass_52",
    "mobilenet_v2",
    "mobilenet_v2_fpn",
    "mobilenet_v2_fpn_sep_conv",
    "resnet_v1_101_fpn",
    "resnet_v1_18_fpn",
    "resnet_v1_34_fpn",
    "resnet_v1_50_fpn",
    "resnet_v2_50",
)
