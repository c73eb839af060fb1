"""Builders of losses, hard example mining and sampling."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from detection.builders import losses
from detection.losses.bootstrapped_sigmoid import BootstrappedSigmoid
from detection.losses.l1 import L1
from detection.losses.weighted_giou import WeightedGiou
from detection.losses.weighted_iou import WeightedIou
from detection.losses.weighted_l2 import WeightedL2
from detection.losses.weighted_logits_softmax import WeightedLogitsSoftmax
from detection.losses.weighted_sigmoid import WeightedSigmoid
from detection.losses.weighted_sigmoid_focal import WeightedSigmoidFocal
from detection.losses.weighted_smooth_l1 import WeightedSmoothL1
from detection.losses.weighted_softmax import WeightedSoftmax
from detection.meta_architectures.multibox_loss import RandomAnchors
from detection.ops.expected_sampling import ExpectedSampling, NoExpectation, ReweightedNegatives
from detection.ops.mining import HardExampleMiner
from detection.ops.samplers import BalancedSampler
from detection.protos import losses_pb2

PLAIN = "localization_loss { weighted_smooth_l1 {} } classification_loss { weighted_sigmoid {} }"


def build(text):
    return losses.build(text_format.Parse(text, losses_pb2.Loss()))


def test_defaults():
    assert build(PLAIN) == losses.LossTerms(WeightedSmoothL1(1.0), WeightedSigmoid(), 1.0, 1.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("weighted_l2 { anchorwise_output: true }", WeightedL2()),
        ("weighted_smooth_l1 { delta: 0.5 }", WeightedSmoothL1(0.5)),
        ("weighted_iou {}", WeightedIou()),
        ("weighted_giou {}", WeightedGiou()),
        ("l1_localization_loss {}", L1()),
    ],
)
def test_localization(text, expected):
    assert (
        build(f"localization_loss {{ {text} }} classification_loss {{ weighted_sigmoid {{}} }}").localization
        == expected
    )


def test_sum_of_localization_losses():
    """Its terms in their order; the weights of anchors are squared only where they are no shares of the loss."""
    text = "sum { term { weighted_l2 {} } term { weight: 0.5 weighted_smooth_l1 { delta: 2 } } }"
    message = text_format.Parse(text, losses_pb2.LocalizationLoss())
    smooth = (0.5, WeightedSmoothL1(2.0))
    assert losses.localization(message) == losses.LossSum(((1.0, WeightedL2()), smooth))
    shares = losses.localization(message, shares=True)
    assert shares == losses.LossSum(((1.0, WeightedL2(enters_once=True)), smooth))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("weighted_sigmoid { anchorwise_output: true }", WeightedSigmoid()),
        ("weighted_softmax { logit_scale: 2 }", WeightedSoftmax(2.0)),
        ("weighted_logits_softmax { logit_scale: 2 }", WeightedLogitsSoftmax(2.0)),
        ("bootstrapped_sigmoid { alpha: 0.5 hard_bootstrap: true }", BootstrappedSigmoid(0.5, True)),
        ("weighted_sigmoid_focal {}", WeightedSigmoidFocal(2.0, None)),
        ("weighted_sigmoid_focal { gamma: 1 alpha: 0 }", WeightedSigmoidFocal(1.0, 0.0)),
    ],
)
def test_classification(text, expected):
    assert (
        build(f"localization_loss {{ l1_localization_loss {{}} }} classification_loss {{ {text} }}").classification
        == expected
    )


def test_weights_miner_and_sampler():
    built = build(
        PLAIN
        + """ classification_weight: 2 localization_weight: 0.5 random_example_sampler { positive_sample_fraction:
          0.25 }
        hard_example_miner { num_hard_examples: 3000 iou_threshold: 0.75 loss_type: CLASSIFICATION
          max_negatives_per_positive: 3
                             min_negatives_per_image: 1 }"""
    )
    assert (built.classification_weight, built.localization_weight) == (2.0, 0.5)
    assert built.miner == HardExampleMiner(
        3000, 0.75, "classification", 3, 1, classification_weight=2.0, localization_weight=0.5
    )
    assert built.random_sampler == RandomAnchors(BalancedSampler(0.25))


def test_expected_weights():
    text = f"{PLAIN} min_num_negative_samples: 2 desired_negative_sampling_ratio: 5 expected_loss_weights: "
    assert build(text + "EXPECTED_SAMPLING").expected == ExpectedSampling(5, 2)
    assert build(text + "REWEIGHTING_UNMATCHED_ANCHORS").expected == ReweightedNegatives(5, 2)
    assert build(text + "NONE").expected == NoExpectation()
