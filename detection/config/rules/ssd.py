"""What must hold between the fields of an SSD."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message

from detection import registry
from detection.config.fields import extractors
from detection.config.rules import anchors, boxes, images

MOST_MAPS = 20  # larger values of feature_extractor.num_layers are rejected by the table


def ssd(message: Message, path: str) -> Iterator[str]:
    """Ssd: checks that its parts fit each other."""
    yield from _maps(message, path)
    yield from _background(message, path)
    code_size = boxes.code_size(message.box_coder)
    for kind in ("convolutional_box_predictor", "weight_shared_convolutional_box_predictor"):
        predictor = getattr(message.box_predictor, kind)
        if message.box_predictor.HasField(kind) and predictor.box_code_size != code_size:
            coder = message.box_coder.WhichOneof("box_coder_oneof")
            yield (
                f"{path}.box_predictor.{kind}.box_code_size ({predictor.box_code_size}) must be {code_size}, as"
                f" box_coder is {coder}"
            )
    kind = message.box_predictor.WhichOneof("box_predictor_oneof")
    if kind in ("mask_rcnn_box_predictor", "rfcn_box_predictor"):
        yield f"{path}.box_predictor.{kind} is for the regions of a two-stage detector; use convolutional_box_predictor"
    type_ = message.feature_extractor.type
    smallest = extractors.SSD[type_].smallest_image if type_ in extractors.SSD else 0
    yield from images.too_small(message.image_resizer, f"{path}.image_resizer", type_, smallest)
    if type_ in extractors.SSD and extractors.SSD[type_].image:
        yield from _only_size(message, path, extractors.SSD[type_].image)
    if message.use_confidences_as_targets and not (message.add_background_class or message.explicit_background_class):
        yield (
            f"{path}.use_confidences_as_targets cannot be combined with add_background_class: false; remove one"
            f" of the two"
        )
    yield from _base_network(message.feature_extractor, f"{path}.feature_extractor")


def _maps(message: Message, path: str) -> Iterator[str]:
    """The network must have enough feature maps, and every map needs anchors."""
    extractor = message.feature_extractor
    network = extractors.SSD.get(extractor.type)
    if network is None and registry.ssd_extractor.find(extractor.type) is None:
        return  # What goes with it is not known; that there is no such type is reported elsewhere.
    for field, kind in (("fpn", "feature"), ("bifpn", "bidirectional feature")):
        if extractor.HasField(field) and (network is None or network.pyramid != field):
            yield (
                f"{path}.feature_extractor.{field} is for types with a {kind} pyramid, such as"
                f" ssd_mobilenet_v2_{field}_keras, not {extractor.type}; remove it, or use one of them"
            )
    for field in network.refuses if network is not None else ():
        if getattr(extractor, field):
            yield f"{path}.feature_extractor.{field} is not for {extractor.type}; remove it"
    if network is not None and network.pyramid:
        yield from _levels(message, path, network)
        return
    layers = extractor.num_layers
    if network is not None and not extractor.HasField("num_layers"):
        layers = min(layers, network.maps)
    if network is not None and network.maps < layers <= MOST_MAPS:
        yield (
            f"{path}.feature_extractor.num_layers ({layers}) is more than the {network.maps} feature maps that"
            f" {extractor.type} makes; set {network.maps} or less"
        )
    kind = message.anchor_generator.WhichOneof("anchor_generator_oneof")
    count = anchors.number_of_maps(message.anchor_generator)
    if kind == "ssd_anchor_generator" and count != layers:
        yield (
            f"{path}.anchor_generator.ssd_anchor_generator.num_layers ({count}) differs from"
            f" feature_extractor.num_layers ({layers}); every map needs its anchors"
        )
    elif count is not None and 0 < count != layers:
        yield (
            f"{path}.anchor_generator.{kind} has anchors for {count} map{'s' * (count > 1)}, and"
            f" feature_extractor.num_layers is {layers}; every map needs its anchors"
        )


def _levels(message: Message, path: str, network: extractors.SsdNetwork) -> Iterator[str]:
    """A pyramid's maps and anchors must have the same levels."""
    extractor, generator = message.feature_extractor, message.anchor_generator
    pyramid, multiscale = getattr(extractor, network.pyramid), generator.multiscale_anchor_generator
    low, high = pyramid.min_level, pyramid.max_level
    if network.levels is not None and (low, high) != network.levels:
        lowest, highest = network.levels
        yield (
            f"{path}.feature_extractor.{network.pyramid} has levels {low} to {high}; {extractor.type} has {lowest} to"
            f" {highest} only: set min_level: {lowest} max_level: {highest}"
        )
    kind, count = generator.WhichOneof("anchor_generator_oneof"), anchors.number_of_maps(generator)
    same = (multiscale.min_level, multiscale.max_level) == (low, high)
    if kind == "multiscale_anchor_generator" and not same:
        yield (
            f"{path}.anchor_generator.{kind} has levels {multiscale.min_level} to {multiscale.max_level}, and"
            f" feature_extractor.{network.pyramid} has {low} to {high}; give both the same levels"
        )
    elif count is not None and low <= high and count != high - low + 1:
        yield (
            f"{path}.anchor_generator.{kind} has anchors for {count} map{'s' * (count > 1)}, and"
            f" feature_extractor.{network.pyramid} has levels {low} to {high}; every map needs its anchors"
        )


def _only_size(message: Message, path: str, side: int) -> Iterator[str]:
    """The network accepts images of one size only, without padding."""
    extractor, fixed = message.feature_extractor, message.image_resizer.fixed_shape_resizer
    needed = f"{extractor.type} takes images of {side} x {side} only"
    if message.image_resizer.HasField("fixed_shape_resizer") and (fixed.height, fixed.width) == (side, side):
        if extractor.pad_to_multiple != 1:
            yield f"{path}.feature_extractor.pad_to_multiple ({extractor.pad_to_multiple}) must be 1: {needed}"
    else:
        yield f"{path}.image_resizer: {needed}; use fixed_shape_resizer {{ height: {side} width: {side} }}"


def _background(message: Message, path: str) -> Iterator[str]:
    """Without a background column the losses must treat classes independently."""
    if message.explicit_background_class:
        if message.add_background_class:
            yield (
                f"{path}.explicit_background_class is true: num_classes includes the background already; set"
                " add_background_class: false"
            )
        if message.num_classes == 1:
            yield f"{path}.num_classes (1) leaves no class besides the background of explicit_background_class; set 2"
    if message.add_background_class or message.explicit_background_class:
        return
    asked = f"{path}.add_background_class is false"
    if not message.encode_background_as_zeros:
        yield f"{asked}: the background has no column; set encode_background_as_zeros: true"
    loss = message.loss.classification_loss.WhichOneof("classification_loss")
    if loss in ("weighted_softmax", "weighted_logits_softmax"):
        yield f"{asked}: {loss} needs a column for the background; use weighted_sigmoid_focal or weighted_sigmoid"


def without_effect(message: Message, path: str) -> Iterator[str]:
    """SsdFeatureExtractor: warns of fields that are set but have no effect."""
    network = extractors.SSD.get(message.type)
    for field in network.ignores if network is not None else ():
        if getattr(message, field):
            yield f"{path}.{field} has no effect on {message.type}, as in the TF Object Detection API"


def weight_shared(message: Message, path: str) -> Iterator[str]:
    """WeightSharedConvolutionalBoxPredictor: convolutions need a depth."""
    if message.num_layers_before_predictor and not message.depth:
        yield f"{path}.depth is not set; the convolutions before the predictor need it, for example depth: 256"


def _base_network(message: Message, path: str) -> Iterator[str]:
    """Base networks to which the TF Object Detection API always applies conv_hyperparams need the field that says so.

    Without it they would be built with tf-slim's own hyperparameters (no gamma, ReLU), with which no detection
    checkpoint was trained: the API rejects such a config today, and its first releases, whose configs lack the field,
    applied conv_hyperparams anyway.
    """
    network = extractors.SSD.get(message.type)
    field = "override_base_feature_extractor_hyperparams"
    if network is not None and network.made_by_conv_hyperparams and not getattr(message, field):
        yield (
            f"{path}.{field} is {'false' if message.HasField(field) else 'not set'}: the TF Object Detection API"
            f" applies conv_hyperparams to the base network of {message.type} always, in its 2018 models too; set"
            f" {field}: true, for a detection checkpoint (with the conv_hyperparams that it was trained with) as well"
            " as for an ImageNet checkpoint of tf-slim (which has no gamma: it starts at 1)"
        )
