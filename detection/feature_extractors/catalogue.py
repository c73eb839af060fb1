"""All feature extractors, by their names in configs.

The names are those of the TF Object Detection API, and names in the same style for extractors that it does not have.
The `_keras` types are the forms of its TensorFlow 2 models (`keras_form`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from detection.feature_extractors import (
    caffenet,
    efficientnet,
    hourglass,
    inception_resnet_v2,
    inception_v1,
    inception_v2,
    inception_v3,
    mobiledet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    nasnet,
    resnet_v1,
    resnet_v2,
    vgg16,
    vgg_cnn_m,
)
from detection.feature_extractors.center_maps import CenterExtractor, CenterExtractorOptions, HourglassExtractor
from detection.feature_extractors.pyramids import bifpn, fpn, mnasfpn, ppn
from detection.feature_extractors.pyramids import two_stage as fpn_two_stage
from detection.feature_extractors.pyramids.extractor import PyramidExtractor
from detection.feature_extractors.pyramids.levels import Levels
from detection.feature_extractors.ssd_maps import SsdExtractorOptions, SsdFeatureExtractor
from detection.feature_extractors.two_stage import TwoStageExtractor, TwoStageExtractorOptions
from detection.networks.hourglass import DESIGNS
from detection.networks.nasnet import NASNET, PNASNET

SsdExtractor = SsdFeatureExtractor | PyramidExtractor

# Networks that can have a pyramid, by their name in extractor types: ssd_<name>_<pyramid>, and
# ssd_<name>_<pyramid>_keras for the Keras form.
LEVELS: dict[str, Levels] = {
    **{f"efficientnet-b{version}": functools.partial(efficientnet.levels, version=version) for version in range(8)},
    "inception_resnet_v2": inception_resnet_v2.levels,
    "inception_v1": inception_v1.levels,
    "inception_v2": inception_v2.levels,
    "inception_v3": inception_v3.levels,
    "mobilenet_edgetpu": functools.partial(mobilenet_v3.levels, version="mobilenet_edgetpu"),
    "mobilenet_v1": mobilenet_v1.levels,
    "mobilenet_v2": mobilenet_v2.levels,
    "mobilenet_v3_large": functools.partial(mobilenet_v3.levels, version="mobilenet_v3_large"),
    "mobilenet_v3_small": functools.partial(mobilenet_v3.levels, version="mobilenet_v3_small"),
    "resnet101_v1": functools.partial(resnet_v1.levels, layers=101),
    "resnet152_v1": functools.partial(resnet_v1.levels, layers=152),
    "resnet50_v1": functools.partial(resnet_v1.levels, layers=50),
    "vgg16": vgg16.levels,
}
PPN_RESNET_DEPTH = 1024
PYRAMIDS: dict[str, Callable[..., SsdExtractor]] = {"fpn": fpn.ssd, "bifpn": bifpn.ssd}
SSD_EXTRACTORS: dict[str, Callable[[SsdExtractorOptions], SsdExtractor]] = {
    "embedded_ssd_mobilenet_v1": functools.partial(mobilenet_v1.ssd, embedded=True),
    "ssd_caffenet": caffenet.ssd,
    "ssd_inception_resnet_v2": inception_resnet_v2.ssd,
    "ssd_inception_v1": inception_v1.ssd,
    "ssd_inception_v2": inception_v2.ssd,
    "ssd_inception_v3": inception_v3.ssd,
    "ssd_mobiledet_cpu": functools.partial(mobiledet.ssd, version="mobiledet_cpu"),
    "ssd_mobiledet_dsp": functools.partial(mobiledet.ssd, version="mobiledet_dsp"),
    "ssd_mobiledet_edgetpu": functools.partial(mobiledet.ssd, version="mobiledet_edgetpu"),
    "ssd_mobiledet_gpu": functools.partial(mobiledet.ssd, version="mobiledet_gpu"),
    "ssd_mobilenet_edgetpu": functools.partial(mobilenet_v3.ssd, version="mobilenet_edgetpu"),
    "ssd_mobilenet_v1": mobilenet_v1.ssd,
    "ssd_mobilenet_v1_keras": functools.partial(mobilenet_v1.ssd, keras_form=True),
    "ssd_mobilenet_v1_ppn": functools.partial(ppn.ssd, levels=mobilenet_v1.levels),
    "ssd_mobilenet_v2": mobilenet_v2.ssd,
    "ssd_mobilenet_v2_mnasfpn": functools.partial(mnasfpn.ssd, levels=mobilenet_v2.levels),
    "ssd_mobilenet_v2_keras": functools.partial(mobilenet_v2.ssd, keras_form=True),
    "ssd_mobilenet_v3_large": functools.partial(mobilenet_v3.ssd, version="mobilenet_v3_large"),
    "ssd_mobilenet_v3_small": functools.partial(mobilenet_v3.ssd, version="mobilenet_v3_small"),
    "ssd_resnet101": functools.partial(resnet_v1.ssd, layers=101),
    "ssd_resnet152": functools.partial(resnet_v1.ssd, layers=152),
    "ssd_resnet50": functools.partial(resnet_v1.ssd, layers=50),
    **{
        f"ssd_resnet{layers}_v1_ppn": functools.partial(
            ppn.ssd, levels=LEVELS[f"resnet{layers}_v1"], base_depth=PPN_RESNET_DEPTH
        )
        for layers in (50, 101, 152)
    },
    "ssd_vgg16": vgg16.ssd,
    "ssd_vgg_cnn_m_1024": vgg_cnn_m.ssd,
    **{
        f"ssd_{name}_{pyramid}": functools.partial(make, levels=levels)
        for pyramid, make in PYRAMIDS.items()
        for name, levels in LEVELS.items()
    },
    **{
        f"ssd_{name}_{pyramid}_keras": functools.partial(make, levels=levels, keras_form=True)
        for pyramid, make in PYRAMIDS.items()
        for name, levels in LEVELS.items()
    },
}


def two_stage_name(name: str) -> str:
    """Returns a network's name in two-stage types, which omit a ResNet's version: `resnet50_v1` -> `resnet50`."""
    return name.removesuffix("_v1") if name.startswith("resnet") else name


TWO_STAGE_EXTRACTORS: dict[str, Callable[[TwoStageExtractorOptions], TwoStageExtractor]] = {
    "faster_rcnn_caffenet": caffenet.two_stage,
    "faster_rcnn_inception_resnet_v2": inception_resnet_v2.two_stage,
    "faster_rcnn_inception_resnet_v2_keras": functools.partial(inception_resnet_v2.two_stage, keras_form=True),
    "faster_rcnn_inception_v1": inception_v1.two_stage,
    "faster_rcnn_inception_v2": inception_v2.two_stage,
    "faster_rcnn_inception_v3": inception_v3.two_stage,
    "faster_rcnn_mobilenet_v1": mobilenet_v1.two_stage,
    "faster_rcnn_mobilenet_v2": mobilenet_v2.two_stage,
    "faster_rcnn_nas": functools.partial(nasnet.two_stage, design=NASNET),
    "faster_rcnn_pnas": functools.partial(nasnet.two_stage, design=PNASNET),
    "faster_rcnn_resnet101": functools.partial(resnet_v1.two_stage, layers=101),
    "faster_rcnn_resnet101_keras": functools.partial(resnet_v1.two_stage, layers=101, keras_form=True),
    "faster_rcnn_resnet152": functools.partial(resnet_v1.two_stage, layers=152),
    "faster_rcnn_resnet152_keras": functools.partial(resnet_v1.two_stage, layers=152, keras_form=True),
    "faster_rcnn_resnet50": functools.partial(resnet_v1.two_stage, layers=50),
    "faster_rcnn_resnet50_keras": functools.partial(resnet_v1.two_stage, layers=50, keras_form=True),
    "faster_rcnn_vgg16": vgg16.two_stage,
    "faster_rcnn_vgg_cnn_m_1024": vgg_cnn_m.two_stage,
    **{
        f"faster_rcnn_{two_stage_name(name)}_fpn": functools.partial(fpn_two_stage.two_stage, levels=levels)
        for name, levels in LEVELS.items()
    },
    **{
        f"faster_rcnn_{two_stage_name(name)}_fpn_keras": functools.partial(
            fpn_two_stage.two_stage, levels=levels, keras_form=True
        )
        for name, levels in LEVELS.items()
    },
}
CENTER_EXTRACTORS: dict[str, Callable[[CenterExtractorOptions], CenterExtractor | HourglassExtractor]] = {
    **{f"hourglass_{layers}": functools.partial(hourglass.center_net, layers=layers) for layers in DESIGNS},
    "mobilenet_v2": functools.partial(mobilenet_v2.center_net, pyramid=False),
    "mobilenet_v2_fpn": functools.partial(mobilenet_v2.center_net, pyramid=True),
    "mobilenet_v2_fpn_sep_conv": functools.partial(mobilenet_v2.center_net, pyramid=True, separable=True),
    "resnet_v1_101_fpn": functools.partial(resnet_v1.center_net, layers=101),
    "resnet_v1_18_fpn": functools.partial(resnet_v2.center_net, layers=18),
    "resnet_v1_34_fpn": functools.partial(resnet_v2.center_net, layers=34),
    "resnet_v1_50_fpn": functools.partial(resnet_v1.center_net, layers=50),
    "resnet_v2_101": functools.partial(resnet_v2.center_net, layers=101),
    "resnet_v2_50": functools.partial(resnet_v2.center_net, layers=50),
}
