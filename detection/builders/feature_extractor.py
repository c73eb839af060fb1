"""Messages `SsdFeatureExtractor` and `FasterRcnnFeatureExtractor` -> feature extractors.

Type strings are those of the TF Object Detection API, with their `_keras` aliases, and in the same style those that it
never had.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Mapping
from typing import TypeVar

from detection.builders import hyperparams
from detection.errors import ConfigError
from detection.feature_extractors import (
    caffenet,
    inception_resnet_v2,
    inception_v2,
    inception_v3,
    mobilenet_v1,
    mobilenet_v2,
    resnet_v1,
    vgg16,
    vgg_cnn_m,
)
from detection.feature_extractors.pyramids import fpn
from detection.feature_extractors.pyramids.fpn import FpnExtractor
from detection.feature_extractors.pyramids.levels import Levels
from detection.feature_extractors.ssd_maps import FpnOptions, SsdExtractorOptions, SsdFeatureExtractor
from detection.feature_extractors.two_stage import TwoStageExtractor, TwoStageExtractorOptions
from detection.protos import faster_rcnn_pb2, ssd_pb2

Factory = TypeVar("Factory", bound=Callable)

SsdExtractor = SsdFeatureExtractor | FpnExtractor

# What can stand below a pyramid, by its name in the types: ssd_<name>_fpn, and ssd_<name>_fpn_keras for the Keras form.
LEVELS: dict[str, Levels] = {
    "mobilenet_v1": mobilenet_v1.levels,
    "mobilenet_v2": mobilenet_v2.levels,
    "resnet101_v1": functools.partial(resnet_v1.levels, layers=101),
    "resnet152_v1": functools.partial(resnet_v1.levels, layers=152),
    "resnet50_v1": functools.partial(resnet_v1.levels, layers=50),
}
SSD_EXTRACTORS: dict[str, Callable[[SsdExtractorOptions], SsdExtractor]] = {
    "ssd_caffenet": caffenet.ssd,
    "ssd_inception_resnet_v2": inception_resnet_v2.ssd,
    "ssd_inception_v2": inception_v2.ssd,
    "ssd_inception_v3": inception_v3.ssd,
    "ssd_mobilenet_v1": mobilenet_v1.ssd,
    "ssd_mobilenet_v1_keras": mobilenet_v1.ssd,
    "ssd_mobilenet_v2": mobilenet_v2.ssd,
    "ssd_mobilenet_v2_keras": mobilenet_v2.ssd,
    "ssd_resnet101": functools.partial(resnet_v1.ssd, layers=101),
    "ssd_resnet152": functools.partial(resnet_v1.ssd, layers=152),
    "ssd_resnet50": functools.partial(resnet_v1.ssd, layers=50),
    "ssd_vgg16": vgg16.ssd,
    "ssd_vgg_cnn_m_1024": vgg_cnn_m.ssd,
    **{f"ssd_{name}_fpn": functools.partial(fpn.ssd, levels=levels) for name, levels in LEVELS.items()},
    **{
        f"ssd_{name}_fpn_keras": functools.partial(fpn.ssd, levels=levels, keras_form=True)
        for name, levels in LEVELS.items()
    },
}
TWO_STAGE_EXTRACTORS: dict[str, Callable[[TwoStageExtractorOptions], TwoStageExtractor]] = {
    "faster_rcnn_caffenet": caffenet.two_stage,
    "faster_rcnn_inception_resnet_v2": inception_resnet_v2.two_stage,
    "faster_rcnn_inception_resnet_v2_keras": inception_resnet_v2.two_stage,
    "faster_rcnn_inception_v2": inception_v2.two_stage,
    "faster_rcnn_inception_v3": inception_v3.two_stage,
    "faster_rcnn_mobilenet_v1": mobilenet_v1.two_stage,
    "faster_rcnn_mobilenet_v2": mobilenet_v2.two_stage,
    "faster_rcnn_resnet101": functools.partial(resnet_v1.two_stage, layers=101),
    "faster_rcnn_resnet101_keras": functools.partial(resnet_v1.two_stage, layers=101),
    "faster_rcnn_resnet152": functools.partial(resnet_v1.two_stage, layers=152),
    "faster_rcnn_resnet152_keras": functools.partial(resnet_v1.two_stage, layers=152),
    "faster_rcnn_resnet50": functools.partial(resnet_v1.two_stage, layers=50),
    "faster_rcnn_resnet50_keras": functools.partial(resnet_v1.two_stage, layers=50),
    "faster_rcnn_vgg16": vgg16.two_stage,
    "faster_rcnn_vgg_cnn_m_1024": vgg_cnn_m.two_stage,
}


def build_ssd(
    message: ssd_pb2.SsdFeatureExtractor, freeze_batch_norm: bool, path: str = "model.ssd.feature_extractor"
) -> SsdExtractor:
    """Raises ConfigError, listing the right names, where the type is unknown."""
    make = _factory(SSD_EXTRACTORS, message.type, path)
    conv_hyperparams = hyperparams.build(message.conv_hyperparams, f"{path}.conv_hyperparams")
    return make(
        SsdExtractorOptions(
            hyperparams=conv_hyperparams.frozen() if freeze_batch_norm else conv_hyperparams,
            freeze_batch_norm=freeze_batch_norm,
            override_base=message.override_base_feature_extractor_hyperparams,
            depth_multiplier=message.depth_multiplier,
            min_depth=message.min_depth,
            pad_to_multiple=message.pad_to_multiple,
            explicit_padding=message.use_explicit_padding,
            depthwise=message.use_depthwise,
            num_maps=message.num_layers,
            fpn=FpnOptions(message.fpn.min_level, message.fpn.max_level, message.fpn.additional_layer_depth),
        )
    )


def has_pyramid(extractor_type: str) -> bool:
    """Whether the maps are those of a feature pyramid, which `fpn` describes."""
    return extractor_type.removesuffix("_keras").endswith("_fpn")


def build_two_stage(
    message: faster_rcnn_pb2.FasterRcnnFeatureExtractor, whole_map: bool, path: str
) -> TwoStageExtractor:
    """An extractor cut in two; `whole_map` where the tail sees the whole map (R-FCN).

    Raises:
        ConfigError: the type is unknown, with the right names; or the network has no map of the stride asked for.
    """
    make = _factory(TWO_STAGE_EXTRACTORS, message.type, path)
    override = message.override_base_feature_extractor_hyperparams
    options = TwoStageExtractorOptions(
        stride=message.first_stage_features_stride,
        train_batch_norm=message.batch_norm_trainable,
        hyperparams=hyperparams.build(message.conv_hyperparams, f"{path}.conv_hyperparams") if override else None,
        depth_multiplier=message.depth_multiplier,
        min_depth=message.min_depth,
        whole_map=whole_map,
    )
    try:
        return make(options)
    except ValueError as error:
        raise ConfigError(f"{path}.{error}") from error


def _factory(known: Mapping[str, Factory], name: str, path: str) -> Factory:
    make = known.get(name)
    if make is None:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"{path}.type: {name!r} is not supported{hint} (supported: {', '.join(sorted(known))})")
    return make
