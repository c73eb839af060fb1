"""Message `Ssd` -> meta_architectures.ssd.Ssd."""

from __future__ import annotations

import dataclasses

from detection.builders import (
    anchor_generator,
    box_coder,
    box_predictor,
    feature_extractor,
    losses,
    matcher,
    post_processing,
    similarity,
)
from detection.data.resize import Resizer
from detection.errors import ConfigError
from detection.meta_architectures.multibox_loss import LossTerms
from detection.meta_architectures.ssd import FilledPadding, NoPadding, Ssd
from detection.ops.anchors import MultiscaleAnchors
from detection.ops.example_weights import ExplicitClasses
from detection.ops.targets import TargetAssigner
from detection.protos import ssd_pb2


def build(message: ssd_pb2.Ssd, resizer: Resizer) -> Ssd:
    """A new SSD for the output of `resizer`."""
    anchors = anchor_generator.build(message.anchor_generator)
    extractor = feature_extractor.build_ssd(message.feature_extractor, message.freeze_batchnorm)
    _check_maps(message, extractor.num_maps, len(anchors.num_per_location))
    # Otherwise images are padded, by the resizer or to the largest image of their batch.
    fixed = all(resizer.static_shape) and not resizer.pads
    return Ssd(
        num_classes=message.num_classes - message.explicit_background_class,
        extractor=extractor,
        anchors=anchors,
        head=box_predictor.build_dense(
            message.box_predictor,
            anchors.num_per_location,
            message.num_classes + message.add_background_class,
            message.freeze_batchnorm,
            extractor.keras_form,
        ),
        assigner=_assigner(message, normalised=isinstance(anchors, MultiscaleAnchors)),
        loss_terms=_loss_terms(message),
        postprocessing=post_processing.build(message.post_processing),
        normalize_by_matches=message.normalize_loss_by_num_matches,
        normalize_by_code_size=message.normalize_loc_loss_by_codesize,
        padding=NoPadding() if fixed else FilledPadding(_pad_value(message)),
    )


def _check_maps(message: ssd_pb2.Ssd, num_maps: int, num_anchor_maps: int) -> None:
    """Checks the only condition that is not known to `detection.config` before the extractor is built."""
    if num_maps != num_anchor_maps:
        kind = message.anchor_generator.WhichOneof("anchor_generator_oneof")
        raise ConfigError(
            f"model.ssd.feature_extractor ({message.feature_extractor.type}) makes {num_maps} feature maps, but"
            f" model.ssd.anchor_generator.{kind} has anchors for {num_anchor_maps}; give both the same number"
        )


def _loss_terms(message: ssd_pb2.Ssd) -> LossTerms:
    terms = losses.build(message.loss)
    if not message.use_confidences_as_targets:
        return terms
    return dataclasses.replace(terms, example_weights=ExplicitClasses(message.implicit_example_weight))


def _assigner(message: ssd_pb2.Ssd, normalised: bool) -> TargetAssigner:
    return TargetAssigner(
        similarity=matcher.similarity(message.matcher, similarity.build(message.similarity_calculator)),
        matcher=matcher.build(message.matcher),
        box_coder=box_coder.build(message.box_coder),
        negative_class_weight=message.negative_class_weight,
        background_as_zeros=message.encode_background_as_zeros,
        normalised=normalised,
        background_column=message.add_background_class or message.explicit_background_class,
    )


def _pad_value(message: ssd_pb2.Ssd) -> tuple[float, ...]:
    """Padding value per channel; it applies to scaled images, since the reference's SSD scales before it pads."""
    given = message.image_resizer.keep_aspect_ratio_resizer.per_channel_pad_value
    return tuple(given) or (0.0, 0.0, 0.0)
