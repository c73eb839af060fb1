"""The properties of a config that distinguish the rows of a sweep."""

from __future__ import annotations

from typing import Any, NamedTuple

from google.protobuf.message import Message


class Facts(NamedTuple):
    """Properties of one config."""

    meta_architecture: str  # ssd, faster_rcnn, rfcn, fast_rcnn, center_net
    feature_extractor: str  # such as resnet101, or resnet101_keras: the type without the API's prefix
    resolution: int  # pixels of the shorter side, or its minimum; 0 if images keep their size
    stride: int  # of the map that regions are cropped from; 0 without regions
    proposals: int | None  # maximum number in inference; None without regions


def facts(config: Message) -> Facts:
    """Properties of a TrainEvalPipelineConfig with a model."""
    kind = config.model.WhichOneof("model") or ""
    model = getattr(config.model, kind)
    name = model.feature_extractor.type.removeprefix("ssd_").removeprefix("faster_rcnn_")
    if kind in ("ssd", "center_net"):
        return Facts(kind, name, _resolution(model.image_resizer), 0, None)
    if kind == "faster_rcnn" and model.second_stage_box_predictor.HasField("rfcn_box_predictor"):
        kind = "rfcn"
    given = config.eval_input_reader[0] if kind == "fast_rcnn" and config.eval_input_reader else None
    proposals = given.max_number_of_proposals if given is not None else model.first_stage_max_proposals
    return Facts(
        kind, name, _resolution(model.image_resizer), model.feature_extractor.first_stage_features_stride, proposals
    )


def _resolution(resizer: Message) -> int:
    kind = resizer.WhichOneof("image_resizer_oneof")
    chosen: Any = getattr(resizer, kind) if kind else None
    if kind == "fixed_shape_resizer":
        return min(chosen.height, chosen.width)
    return chosen.min_dimension if kind == "keep_aspect_ratio_resizer" else 0
