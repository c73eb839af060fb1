"""The configs of the survey's Table 1, built: each has its row's matcher, box code, loss and network."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from detection import config
from detection.builders import losses, stages
from detection.builders import ssd as ssd_builder
from detection.losses.weighted_l2 import WeightedL2
from detection.losses.weighted_smooth_l1 import WeightedSmoothL1
from detection.ops.box_coders import BoxCoder, CenterSqrtBoxCoder, CornerBoxCoder, FasterRcnnBoxCoder
from detection.ops.boxes import CentreInside
from detection.ops.matchers import ArgMaxMatcher, BipartiteMatcher
from detection.protos import pipeline_pb2

FOLDER = Path(__file__).parents[2] / "configs" / "table1"


class Row(NamedTuple):
    """A row of the table."""

    meta: str
    extractor: str
    matching: str
    coder: BoxCoder
    loss: object


_FASTER = FasterRcnnBoxCoder(10.0, 10.0, 5.0, 5.0)
TABLE = {
    "szegedy_ssd_inception_v3": Row("ssd", "inception_v3", "bipartite", CornerBoxCoder(300.0), WeightedL2()),
    "redmon_ssd_inception_v1": Row("ssd", "inception_v1_fpn", "box center", CenterSqrtBoxCoder(448.0), WeightedL2()),
    "ren_faster_rcnn_vgg16": Row("faster_rcnn", "vgg16", "argmax", _FASTER, WeightedSmoothL1()),
    "he_faster_rcnn_resnet101": Row("faster_rcnn", "resnet101", "argmax", _FASTER, WeightedSmoothL1()),
    "liu_v1_ssd_inception_v3": Row("ssd", "inception_v3", "argmax", CornerBoxCoder(300.0), WeightedL2()),
    "liu_ssd_vgg16": Row("ssd", "vgg16", "argmax", _FASTER, WeightedSmoothL1()),
    "dai_rfcn_resnet101": Row("rfcn", "resnet101", "argmax", _FASTER, WeightedSmoothL1()),
}


def load(name: str) -> pipeline_pb2.TrainEvalPipelineConfig:
    return config.load(FOLDER / f"{name}.config")


def test_every_row_has_a_config() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_row(name: str) -> None:
    message = load(name)
    assert config.check(message, name, check_paths=False) == []
    model = message.model
    if model.HasField("ssd"):
        assigner = ssd_builder._assigner(model.ssd, normalised=False)
        meta, extractor = "ssd", model.ssd.feature_extractor.type.removeprefix("ssd_")
        loss = losses.build(model.ssd.loss).localization
    else:
        faster = model.faster_rcnn
        assigner = stages.second_assigner(faster)
        whole_map = faster.second_stage_box_predictor.HasField("rfcn_box_predictor")
        meta, extractor = "rfcn" if whole_map else "faster_rcnn", faster.feature_extractor.type[len("faster_rcnn_") :]
        loss = stages.localization(faster.second_stage_localization_loss)
    assert isinstance(assigner.matcher, ArgMaxMatcher | BipartiteMatcher)
    matching = (
        "box center"
        if isinstance(assigner.similarity, CentreInside)
        else {ArgMaxMatcher: "argmax", BipartiteMatcher: "bipartite"}[type(assigner.matcher)]
    )
    assert Row(meta, extractor, matching, assigner.box_coder, loss) == TABLE[name]


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if not isinstance(row.coder, FasterRcnnBoxCoder)])
def test_units_are_the_side_of_the_images(name: str) -> None:
    ssd = load(name).model.ssd
    side = ssd.image_resizer.fixed_shape_resizer
    assert side.height == side.width == TABLE[name].coder.unit


def test_redmons_anchors_are_the_cells_of_the_map() -> None:
    anchors = ssd_builder.anchor_generator.build(load("redmon_ssd_inception_v1").model.ssd.anchor_generator)
    boxes = anchors([(14, 14)], (448, 448)).numpy()
    assert boxes.shape == (196, 4)
    assert boxes[15].tolist() == [32.0, 32.0, 64.0, 64.0] and boxes[-1].tolist() == [416.0, 416.0, 448.0, 448.0]


def test_dais_regions_are_the_means_of_7_by_7_bins() -> None:
    predictor = load("dai_rfcn_resnet101").model.faster_rcnn.second_stage_box_predictor.rfcn_box_predictor
    assert predictor.average_pool
    assert predictor.num_spatial_bins_height == predictor.num_spatial_bins_width == 7
