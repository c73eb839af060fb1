"""Losses, matchers, box coders and similarities of the two stages (survey, Table 1 and Table 3), by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from detection import config
from detection.builders import stages, two_stage
from detection.losses.weighted_smooth_l1 import WeightedSmoothL1
from detection.meta_architectures.two_stage import TwoStage
from detection.ops import boxes as box_ops
from detection.ops.box_coders import CornerBoxCoder, FasterRcnnBoxCoder, SquareBoxCoder
from detection.ops.matchers import ArgMaxMatcher, BipartiteMatcher
from detection.protos import faster_rcnn_pb2, pipeline_pb2
from detection.types import Groundtruth, RegionPredictions
from tests.helpers import two_stage_tiny as tiny

F = "model.faster_rcnn"


@pytest.fixture(scope="module")
def detector() -> TwoStage:
    """In training it learns from the objects too, so that some of the sampled proposals are matched."""
    return tiny.detector(f"{F}.second_stage_add_groundtruth=true", f"{F}.second_stage_balance_fraction=0.5")


@pytest.fixture(scope="module")
def groundtruth() -> Groundtruth:
    """With weights of 0 and 1 only."""
    given = tiny.groundtruth()
    return given._replace(weights=tf.cast(given.weights > 0, tf.float32))


@pytest.fixture(scope="module")
def predictions(detector: TwoStage, groundtruth: Groundtruth) -> RegionPredictions:
    return detector.predict(tiny.batch(), groundtruth, training=True)


def message(*texts: str) -> faster_rcnn_pb2.FasterRcnn:
    base = text_format.Parse(tiny.CONFIG, pipeline_pb2.TrainEvalPipelineConfig())
    return config.override(base, [f"{F}.{text}" for text in texts]).model.faster_rcnn


def boxes_loss(predicted: np.ndarray, target: np.ndarray, generalised: bool) -> float:
    """1 - IoU or 1 - GIoU of two boxes."""
    height = min(predicted[2], target[2]) - max(predicted[0], target[0])
    width = min(predicted[3], target[3]) - max(predicted[1], target[1])
    shared = max(height, 0) * max(width, 0)
    union = sum(float((box[2] - box[0]) * (box[3] - box[1])) for box in (predicted, target)) - shared
    around = (max(predicted[2], target[2]) - min(predicted[0], target[0])) * (
        max(predicted[3], target[3]) - min(predicted[1], target[1])
    )
    return float(1 - shared / union + ((around - union) / around if generalised else 0))


# Text of a loss -> its value from codes and boxes, predicted and target.
LOSSES = {
    "l1_localization_loss {}": lambda p, t, a, b: np.abs(p - t).sum(),
    "weighted_l2 {}": lambda p, t, a, b: 0.5 * ((p - t) ** 2).sum(),
    "weighted_iou {}": lambda p, t, a, b: boxes_loss(a, b, False),
    "weighted_giou {}": lambda p, t, a, b: boxes_loss(a, b, True),
    "sum { term { weighted_l2 {} } term { weight: 3 weighted_iou {} } }": lambda p, t, a, b: (
        0.5 * ((p - t) ** 2).sum() + 3 * boxes_loss(a, b, False)
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_region_loss_by_hand(
    loss: str, detector: TwoStage, predictions: RegionPredictions, groundtruth: Groundtruth
) -> None:
    stage, targets = detector.second_stage, predictions.targets
    assert stage.assigner.box_coder == FasterRcnnBoxCoder()
    expected, matched = 0.0, 0
    for image in range(2):
        count = int(predictions.proposals.counts[image])
        for p in range(count):
            if float(targets.box_weights[image, p]) == 0:
                continue
            matched += 1
            label = int(np.argmax(targets.classes[image, p]))
            codes = predictions.box_codes[image, p, label - 1], targets.box_codes[image, p]
            boxes = [stage.assigner.box_coder.decode(code, predictions.proposals.boxes[image, p]) for code in codes]
            expected += LOSSES[loss](*(np.asarray(value, "f8") for value in (*codes, *boxes))) / count / 2
    assert matched > 2
    terms = two_stage._region_losses(message(f"second_stage_localization_loss={{ {loss} }}"))
    stage.loss_terms, usual = terms, stage.loss_terms
    found = stage.loss(predictions)["Loss/BoxClassifierLoss/localization_loss"]
    stage.loss_terms = usual
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_proposal_loss_by_hand(
    loss: str, detector: TwoStage, predictions: RegionPredictions, groundtruth: Groundtruth
) -> None:
    """All anchors are drawn, so that each counts 1 / their number."""
    settings = detector.proposer.settings
    terms = dataclasses.replace(
        settings.loss_terms,
        localization=stages.localization(
            message(f"first_stage_localization_loss={{ {loss} }}").first_stage_localization_loss
        ),
    )
    chosen = dataclasses.replace(settings, loss_terms=terms, minibatch=100_000, sampler=type(settings.sampler)(1.0))
    anchors = predictions.rpn.anchors
    objects = groundtruth._replace(classes=tf.zeros_like(groundtruth.classes), class_sets=())
    targets = settings.assigner(anchors, objects, num_classes=1)
    expected = 0.0
    for image in range(2):
        learnt = (targets.class_weights[image].numpy() > 0) & (box_ops.area(anchors[image]).numpy() > 0)
        for a in np.flatnonzero(learnt & (targets.matches[image].numpy() >= 0)):
            codes = predictions.rpn.box_codes[image, a], targets.box_codes[image, a]
            boxes = [settings.assigner.box_coder.decode(code, anchors[image, a]) for code in codes]
            expected += LOSSES[loss](*(np.asarray(value, "f8") for value in (*codes, *boxes))) / learnt.sum() / 2
    assert expected > 0
    detector.proposer.settings = chosen
    found = detector.proposer.loss(predictions.rpn, groundtruth)["Loss/RPNLoss/localization_loss"]
    detector.proposer.settings = settings
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_nothing_changes_where_nothing_is_set(detector: TwoStage) -> None:
    rpn, regions = detector.proposer.settings, detector.second_stage
    assert rpn.loss_terms.localization == regions.loss_terms.localization == WeightedSmoothL1(1.0)
    assert rpn.assigner == dataclasses.replace(
        regions.assigner, matcher=ArgMaxMatcher(0.7, 0.3, force_match_for_each_row=True)
    )
    assert regions.assigner.matcher == ArgMaxMatcher(0.5, 0.5) and regions.assigner.similarity is box_ops.iou
    assert stages.second_assigner(message("second_stage_background_iou=0.125")).matcher == ArgMaxMatcher(
        0.5, 0.125, negatives_lower_than_unmatched=False
    )


def test_every_choice_reaches_its_stage() -> None:
    """A detector of other choices everywhere, with 3 numbers a code in both stages, predicts and has finite losses."""
    other = tiny.detector(
        f"{F}.first_stage_matcher={{bipartite_matcher {{}}}}",
        f"{F}.first_stage_box_coder={{square_box_coder {{}}}}",
        f"{F}.first_stage_similarity_calculator={{neg_sq_dist_similarity {{}}}}",
        f"{F}.second_stage_matcher={{argmax_matcher {{matched_threshold: 0.375 unmatched_threshold: 0.25}}}}",
        f"{F}.second_stage_box_coder={{square_box_coder {{length_scale: 2}}}}",
        f"{F}.second_stage_similarity_calculator={{ioa_similarity {{}}}}",
        f"{F}.second_stage_box_predictor.mask_rcnn_box_predictor.box_code_size=3",
    )
    first, second = other.proposer.settings.assigner, other.second_stage.assigner
    assert first.matcher == BipartiteMatcher() and first.box_coder == SquareBoxCoder()
    assert first.similarity == box_ops.OfAreas(box_ops.neg_sq_dist)
    assert second.matcher == ArgMaxMatcher(0.375, 0.25) and second.similarity is box_ops.ioa
    assert second.box_coder == SquareBoxCoder(length_scale=2.0)
    batch, groundtruth = tiny.batch(), tiny.groundtruth()
    predictions = other.predict(batch, groundtruth, training=True)
    assert predictions.rpn.box_codes.shape[-1] == predictions.box_codes.shape[-1] == 3
    assert all(np.isfinite(float(loss)) for loss in other.loss(predictions, groundtruth).values())
    assert other.postprocess(predictions, batch.true_shapes).boxes.shape[-1] == 4


def test_first_stage_never_matches_an_anchor_that_is_not_used() -> None:
    """By distance the anchor of zeros would be nearest to the box in the corner."""
    assigner = stages.first_assigner(
        message(
            "first_stage_matcher={bipartite_matcher {}}",
            "first_stage_similarity_calculator={neg_sq_dist_similarity {}}",
            "first_stage_box_coder={corner_box_coder {unit: 10}}",
        )
    )
    assert assigner.box_coder == CornerBoxCoder(10.0)
    anchors = tf.constant([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 40.0, 40.0], [50.0, 50.0, 60.0, 60.0]])
    boxes, no = tf.constant([[[0.0, 0.0, 5.0, 8.0]]]), tf.constant([[False]])
    groundtruth = Groundtruth(
        boxes, tf.constant([[0]]), tf.constant([[1.0]]), tf.constant([1]), no, no, box_ops.area(boxes)
    )
    targets = assigner(anchors, groundtruth, num_classes=1)
    np.testing.assert_array_equal(targets.matches, [[-1, 0, -1]])
    np.testing.assert_allclose(targets.box_codes[0, 1], [0, 0, 0.5, 0.8])
