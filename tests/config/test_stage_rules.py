"""Choices of the two stages, sums of losses and the codes of Table 1: what the check accepts and what it refuses."""

from __future__ import annotations

import pytest

from detection import config
from detection.config import describe, facts
from tests.config.test_rules import FASTER, TWO_STAGE, faults

HEAD = f"{FASTER}.second_stage_box_predictor.mask_rcnn_box_predictor"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            [f"{FASTER}.second_stage_matcher={{bipartite_matcher {{}}}}", f"{FASTER}.second_stage_matched_iou=0.6"],
            f"{FASTER}.second_stage_matched_iou cannot be combined with second_stage_matcher, which has thresholds of"
            " its own; remove one of them",
        ),
        (
            [f"{FASTER}.second_stage_box_coder={{square_box_coder {{}}}}"],
            f"{HEAD}.box_code_size (4) must be 3, as the second stage's box coder is square_box_coder",
        ),
        (
            [f"{HEAD}.box_code_size=3"],
            f"{HEAD}.box_code_size (3) must be 4, as the second stage's box coder is faster_rcnn_box_coder",
        ),
        (
            [f"{FASTER}.first_stage_localization_loss={{sum {{}}}}"],
            f"{FASTER}.first_stage_localization_loss.sum.term is empty; give losses to add up, for example"
            " term { weighted_smooth_l1 { } }",
        ),
        (
            [f"{FASTER}.second_stage_localization_loss={{sum {{ term {{ weight: 0 weighted_iou {{}} }} }}}}"],
            f"{FASTER}.second_stage_localization_loss.sum.term has the weight 0 only; give at least one loss another"
            " weight",
        ),
        (
            [f"{FASTER}.first_stage_box_coder={{corner_box_coder {{ unit: 0 }}}}"],
            f"{FASTER}.first_stage_box_coder.corner_box_coder.unit (0) must be more than 0",
        ),
    ],
)
def test_refused(settings: list[str], expected: str, ssd) -> None:
    assert faults(ssd, TWO_STAGE, *settings) == [expected]


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("first_stage_matcher={}", "first_stage_matcher"),
        ("first_stage_box_coder={keypoint_box_coder {}}", "first_stage_box_coder.keypoint_box_coder"),
        ("second_stage_localization_loss={sum {term {weight: 2}}}", "second_stage_localization_loss.sum.term[0]"),
        ("second_stage_box_coder={center_sqrt_box_coder {}}", "second_stage_box_coder.center_sqrt_box_coder.unit"),
    ],
)
def test_refused_by_the_table(setting: str, place: str, ssd) -> None:
    (fault,) = faults(ssd, TWO_STAGE, f"{FASTER}.{setting}")
    assert fault.startswith(f"{FASTER}.{place}")


def test_all_choices_pass_and_are_described(ssd) -> None:
    settings = [
        TWO_STAGE,
        f"{FASTER}.first_stage_matcher={{box_center_matcher {{}}}}",
        f"{FASTER}.second_stage_localization_loss="
        "{sum {term {weighted_smooth_l1 {}} term {weight: 0.5 weighted_iou {}}}}",
    ]
    assert faults(ssd, *settings) == []
    model = config.override(ssd, settings).model
    assert facts.of(model)["location_loss"] == "smooth_l1+iou"
    losses = dict(describe.model_rows(config.override(ssd, settings)))["loss"]
    assert losses == (
        "1 x weighted_softmax + 1 x (weighted_smooth_l1 + 0.5 weighted_iou) of the regions + 1 x objectness +"
        " 1 x weighted_smooth_l1 (box_center_matcher) of the proposals"
    )
