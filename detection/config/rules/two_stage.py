"""What must hold between the fields of Faster R-CNN, R-FCN and Fast R-CNN."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message

from detection.config.fields import extractors
from detection.config.rules import anchors, boxes, images

LEVELS_WITHOUT_FPN = (2, 6)  # as in the TF Object Detection API, whose schema has other defaults for a message `fpn`


def two_stage(message: Message, path: str) -> Iterator[str]:
    """FasterRcnn, as any of the three detectors: checks that its parts fit each other."""
    given = path.endswith("fast_rcnn")
    yield from images.too_small(message.image_resizer, f"{path}.image_resizer")
    if not given:
        yield from _proposals(message, path)
    yield from _network(message.feature_extractor, f"{path}.feature_extractor")
    yield from _pyramid(message, path)
    if message.second_stage_normalize_targets and not given:
        yield (
            f"{path}.second_stage_normalize_targets is for model.fast_rcnn: what a network proposes changes while it"
            " learns; remove it"
        )
    if message.second_stage_background_iou >= message.second_stage_matched_iou:
        low, high = message.second_stage_background_iou, message.second_stage_matched_iou
        yield f"{path}.second_stage_background_iou ({low:g}) must be below second_stage_matched_iou ({high:g})"
    yield from _box_features(message, path)
    if message.number_of_stages == 1 and not given:
        return
    predictor = message.second_stage_box_predictor
    if not predictor.WhichOneof("box_predictor_oneof"):
        yield (
            f"{path}.second_stage_box_predictor is not set; set mask_rcnn_box_predictor, or rfcn_box_predictor for"
            " R-FCN"
        )
    for field in ("convolutional_box_predictor", "weight_shared_convolutional_box_predictor"):
        if predictor.HasField(field):
            yield (
                f"{path}.second_stage_box_predictor.{field} is SSD's; use mask_rcnn_box_predictor, or"
                " rfcn_box_predictor for R-FCN"
            )
    if predictor.HasField("mask_rcnn_box_predictor"):
        yield from _crops(message, path)
    yield from _region_targets(message, path)


def _region_targets(message: Message, path: str) -> Iterator[str]:
    """The second stage's box coder and its predictor, and its matcher and the thresholds of the usual one."""
    kind = message.second_stage_box_predictor.WhichOneof("box_predictor_oneof")
    needed = boxes.code_size(message.second_stage_box_coder)
    predictor = getattr(message.second_stage_box_predictor, kind or "mask_rcnn_box_predictor")
    if kind in ("mask_rcnn_box_predictor", "rfcn_box_predictor") and predictor.box_code_size != needed:
        coder = message.second_stage_box_coder.WhichOneof("box_coder_oneof") or "faster_rcnn_box_coder"
        yield (
            f"{path}.second_stage_box_predictor.{kind}.box_code_size ({predictor.box_code_size}) must be {needed}, as"
            f" the second stage's box coder is {coder}"
        )
    for field in ("second_stage_matched_iou", "second_stage_background_iou"):
        if message.HasField("second_stage_matcher") and message.HasField(field):
            yield (
                f"{path}.{field} cannot be combined with second_stage_matcher, which has thresholds of its own; remove"
                " one of them"
            )


def _box_features(message: Message, path: str) -> Iterator[str]:
    """Features of detections are those of a second stage that crops."""
    stages = message.number_of_stages == 1 and not path.endswith("fast_rcnn")
    for field in ("output_final_box_features", "output_final_box_rpn_features"):
        if getattr(message, field) and stages:
            yield f"{path}.{field} is of the second stage, and number_of_stages is 1; remove it"
        elif getattr(message, field) and message.second_stage_box_predictor.HasField("rfcn_box_predictor"):
            yield (
                f"{path}.{field} is of crops, and rfcn_box_predictor makes none; use mask_rcnn_box_predictor, or remove"
                " it"
            )


def _proposals(message: Message, path: str) -> Iterator[str]:
    """Region proposal network: one map with anchors on its cells, or a pyramid with anchors of the same levels."""
    for field in ("first_stage_anchor_generator", "first_stage_box_predictor_conv_hyperparams"):
        if not message.HasField(field):
            yield f"{path}.{field} is not set; regions are proposed with it"
    generator = message.first_stage_anchor_generator
    kind, count = generator.WhichOneof("anchor_generator_oneof"), anchors.number_of_maps(generator)
    place, stride = f"{path}.first_stage_anchor_generator.{kind}", message.feature_extractor.first_stage_features_stride
    network = extractors.TWO_STAGE.get(message.feature_extractor.type)
    if network is not None and network.pyramid:
        yield from _levels(message, path)
    elif kind == "multiscale_anchor_generator" or count not in (None, 1):
        pyramid = ", or a type with a feature pyramid, such as faster_rcnn_resnet50_fpn_keras"
        yield (
            f"{place} makes anchors for {count} map{'s' * (count != 1)}, and regions are proposed on one; use"
            f" grid_anchor_generator with height_stride and width_stride {stride}"
            f"{pyramid if kind == 'multiscale_anchor_generator' else ''}"
        )


def _levels(message: Message, path: str) -> Iterator[str]:
    """A pyramid and its anchors must have the same levels."""
    low, high = pyramid_levels(message.feature_extractor)
    generator = message.first_stage_anchor_generator
    kind, multiscale = generator.WhichOneof("anchor_generator_oneof"), generator.multiscale_anchor_generator
    place = f"{path}.first_stage_anchor_generator"
    if kind is not None and kind != "multiscale_anchor_generator":
        yield (
            f"{place}.{kind} is for one map, and {message.feature_extractor.type} has those of levels {low} to {high};"
            f" use multiscale_anchor_generator with min_level {low} and max_level {high}"
        )
    elif kind is not None and (multiscale.min_level, multiscale.max_level) != (low, high):
        yield (
            f"{place}.{kind} has levels {multiscale.min_level} to {multiscale.max_level}, and feature_extractor.fpn has"
            f" {low} to {high}{'' if message.feature_extractor.HasField('fpn') else ' where it is not set'}; give both"
            " the same levels"
        )


def pyramid_levels(extractor: Message) -> tuple[int, int]:
    """The lowest and the highest level of a FasterRcnnFeatureExtractor's pyramid."""
    return (extractor.fpn.min_level, extractor.fpn.max_level) if extractor.HasField("fpn") else LEVELS_WITHOUT_FPN


def _pyramid(message: Message, path: str) -> Iterator[str]:
    """Fields that a feature extractor with a pyramid needs, and fields that it does not support."""
    extractor, type_ = message.feature_extractor, message.feature_extractor.type
    network = extractors.TWO_STAGE.get(type_)
    if network is None:
        return
    if not network.pyramid:
        if extractor.HasField("fpn"):
            yield (
                f"{path}.feature_extractor.fpn is for types with a feature pyramid, such as"
                f" faster_rcnn_resnet50_fpn_keras, not {type_}; remove it, or use one of them"
            )
        return
    if not extractor.HasField("conv_hyperparams"):
        yield (
            f"{path}.feature_extractor.conv_hyperparams is not set; the layers of the pyramid are made by it: add"
            " conv_hyperparams { initializer { ... } batch_norm { ... } }"
        )
    if message.roi_max_pool:
        yield f"{path}.roi_max_pool is for one map, not for the pyramid of {type_}; remove it"
    if message.second_stage_box_predictor.HasField("rfcn_box_predictor"):
        yield (
            f"{path}.second_stage_box_predictor.rfcn_box_predictor scores one map, not the pyramid of {type_}; use"
            " mask_rcnn_box_predictor, or a type without a pyramid"
        )


def _network(message: Message, path: str) -> Iterator[str]:
    """Whether the network has a map of the requested stride, and which hyperparameters apply to it."""
    stride, network = message.first_stage_features_stride, extractors.TWO_STAGE.get(message.type)
    if network is not None and stride > 0 and stride not in network.strides:
        yield (
            f"{path}.first_stage_features_stride ({stride}) is not one that {message.type} can have; use"
            f" {' or '.join(map(str, network.strides))}"
        )
    if message.override_base_feature_extractor_hyperparams and not message.HasField("conv_hyperparams"):
        yield (
            f"{path}.conv_hyperparams is not set, and override_base_feature_extractor_hyperparams is true; add"
            " conv_hyperparams { initializer { ... } }, or remove the latter"
        )


def _crops(message: Message, path: str) -> Iterator[str]:
    """Crops of regions, and whether the network accepts crops of that size."""
    crop, kernel, stride = message.initial_crop_size, message.maxpool_kernel_size, message.maxpool_stride
    for field in ("initial_crop_size", "maxpool_kernel_size", "maxpool_stride"):
        if not getattr(message, field):
            yield f"{path}.{field} is not set, so regions cannot be cropped; the usual values are 14, 2 and 2"
    if kernel > crop:
        yield f"{path}.maxpool_kernel_size ({kernel}) must not exceed initial_crop_size ({crop})"
    network = extractors.TWO_STAGE.get(message.feature_extractor.type)
    if network is None or min(crop, kernel, stride) < 1 or kernel > crop:
        return
    size = (crop - kernel) // stride + 1
    made = (
        f"{path}.initial_crop_size ({crop}), maxpool_kernel_size ({kernel}) and maxpool_stride ({stride}) make crops of"
        f" {size} x {size}, but {message.feature_extractor.type}"
    )
    if network.crop_size not in (None, size):
        yield f"{made} takes {network.crop_size} x {network.crop_size}; set {2 * network.crop_size}, 2 and 2"
    elif size < network.smallest_crop:
        yield (
            f"{made} takes {network.smallest_crop} x {network.smallest_crop} or more; the usual values are 14, 2 and 2"
        )


def rfcn(message: Message, path: str) -> Iterator[str]:
    """RfcnBoxPredictor: crops must consist of whole bins."""
    for side in ("height", "width"):
        crop, bins = getattr(message, f"crop_{side}"), getattr(message, f"num_spatial_bins_{side}")
        if bins > 0 and crop % bins:
            yield f"{path}.crop_{side} ({crop}) must be a multiple of num_spatial_bins_{side} ({bins})"


def sampled(message: Message, path: str) -> Iterator[str]:
    """Warns if more regions are sampled than proposed, which affects only training.

    It is no error, as the TF Object Detection API then trains on the existing proposals, but may not be intended.
    """
    size, most = message.second_stage_batch_size, message.first_stage_max_proposals
    given = path.endswith("fast_rcnn")
    if given or message.number_of_stages == 1 or message.HasField("hard_example_miner") or size <= most:
        return
    yield (
        f"{path}.second_stage_batch_size ({size}) exceeds first_stage_max_proposals ({most}): at most {most} regions"
        f" are learnt from, as in the TF Object Detection API, of which second_stage_balance_fraction of {size} may be"
        f" objects; set it to {most} unless that is meant"
    )


def hyperparams_without_effect(message: Message, path: str) -> Iterator[str]:
    """Warns if a two-stage extractor's conv_hyperparams are ignored because another field is not set."""
    override = "override_base_feature_extractor_hyperparams"
    network = extractors.TWO_STAGE.get(message.type)
    if network is not None and network.pyramid:  # whose own layers they make
        return
    if message.HasField("conv_hyperparams") and not getattr(message, override):
        yield (
            f"{path}.conv_hyperparams has no effect: the network is made as it was trained on ImageNet unless"
            f" {override} is true"
        )


def anchors_off_their_cells(message: Message, path: str) -> Iterator[str]:
    """Warns of anchors whose stride differs from the map's.

    The TF Object Detection API accepts them, but few of them match an object.
    """
    network = extractors.TWO_STAGE.get(message.feature_extractor.type)
    if path.endswith("fast_rcnn") or network is None or network.pyramid:
        return
    generator, stride = message.first_stage_anchor_generator, message.feature_extractor.first_stage_features_stride
    if generator.WhichOneof("anchor_generator_oneof") != "grid_anchor_generator":
        return
    for field in ("height_stride", "width_stride"):
        own = getattr(generator.grid_anchor_generator, field)
        if own != stride:
            yield (
                f"{path}.first_stage_anchor_generator.grid_anchor_generator.{field} ({own}) differs from"
                f" feature_extractor.first_stage_features_stride ({stride}): anchors do not lie on the cells that they"
                f" are predicted from, and {'reach beyond' if own > stride else 'do not cover'} the image; set {field}"
                f" to {stride}"
            )
