"""Messages `SsdFeatureExtractor`, `FasterRcnnFeatureExtractor`, `CenterNetFeatureExtractor` -> feature extractors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import keras

from detection import registry
from detection.builders import hyperparams
from detection.feature_extractors.catalogue import (
    CENTER_EXTRACTORS,
    SSD_EXTRACTORS,
    TWO_STAGE_EXTRACTORS,
    SsdExtractor,
)
from detection.feature_extractors.center_maps import (
    CenterExtractor,
    CenterExtractorOptions,
    HourglassExtractor,
    PixelScale,
)
from detection.feature_extractors.ssd_maps import BifpnOptions, FpnOptions, SsdExtractorOptions
from detection.feature_extractors.two_stage import TwoStageExtractor, TwoStageExtractorOptions
from detection.protos import center_net_pb2, faster_rcnn_pb2, fpn_pb2, ssd_pb2
from detection.registry import Registry


def build_ssd(message: ssd_pb2.SsdFeatureExtractor, freeze_batch_norm: bool) -> SsdExtractor:
    """An SSD feature extractor: a network with extra layers."""
    conv_hyperparams = hyperparams.build(message.conv_hyperparams)
    if message.use_hardswish:
        conv_hyperparams = dataclasses.replace(conv_hyperparams, activation=keras.activations.hard_swish)
    return _make(
        SSD_EXTRACTORS,
        registry.ssd_extractor,
        message.type,
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
            bifpn=_bifpn(message.bifpn) if message.HasField("bifpn") else None,
        ),
    )


def _bifpn(message: fpn_pb2.BidirectionalFeaturePyramidNetworks) -> BifpnOptions:
    return BifpnOptions(
        min_level=message.min_level,
        max_level=message.max_level,
        iterations=message.num_iterations,
        depth=message.num_filters,
        combine=message.combine_method,
    )


def build_two_stage(message: faster_rcnn_pb2.FasterRcnnFeatureExtractor, whole_map: bool) -> TwoStageExtractor:
    """A two-stage feature extractor.

    Args:
        message: the config of the extractor.
        whole_map: whether the second part runs on the whole map (R-FCN) instead of on crops.
    """
    override = message.override_base_feature_extractor_hyperparams
    fpn = message.fpn
    options = TwoStageExtractorOptions(
        stride=message.first_stage_features_stride,
        train_batch_norm=message.batch_norm_trainable,
        hyperparams=hyperparams.build(message.conv_hyperparams) if override else None,
        depth_multiplier=message.depth_multiplier,
        min_depth=message.min_depth,
        whole_map=whole_map,
        fpn=FpnOptions(fpn.min_level, fpn.max_level, fpn.additional_layer_depth) if message.HasField("fpn") else None,
        added_hyperparams=hyperparams.build(message.conv_hyperparams) if message.HasField("conv_hyperparams") else None,
    )
    return _make(TWO_STAGE_EXTRACTORS, registry.two_stage_extractor, message.type, options)


def build_center_net(message: center_net_pb2.CenterNetFeatureExtractor) -> CenterExtractor | HourglassExtractor:
    """A network whose maps have stride 4."""
    options = CenterExtractorOptions(
        pixels=PixelScale(tuple(message.channel_means), tuple(message.channel_stds), message.bgr_ordering),
        depth_multiplier=message.depth_multiplier,
        separable=message.use_separable_conv,
        interpolation=message.upsampling_interpolation,
    )
    return _make(CENTER_EXTRACTORS, registry.center_net_extractor, message.type, options)


def _make(ours: Mapping[str, Callable], others: Registry, name: str, options: object) -> object:
    """Builds an extractor of this package or a registered one."""
    return ours[name](options) if name in ours else others.make(name, options, field="feature_extractor.type")
