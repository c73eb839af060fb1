"""Messages to losses, miner and sampler."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from detection.builders import losses
from detection.errors import ConfigError
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
from detection.ops.mining import HardExampleMiner
from detection.ops.samplers import BalancedSampler
from detection.protos import losses_pb2

PLAIN = "localization_loss { weighted_smooth_l1 {} } classification_loss { weighted_sigmoid {} }"


def build(text):
    return losses.build(text_format.Parse(text, losses_pb2.Loss()))


def test_defaults():
    assert build(PLAIN) == losses.LossTerms(WeightedSmoothL1(1.0), WeightedSigmoid(), 1.0, 1.0)


@pytest.mark.parametrize(
    "text, expected",
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


@pytest.mark.parametrize(
    "text, expected",
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


@pytest.mark.parametrize(
    "text, message",
    [
        ("classification_loss { weighted_sigmoid {} }", r"loss\.localization_loss is empty; set one"),
        ("localization_loss { weighted_l2 {} }", r"loss\.classification_loss is empty; set one"),
        ("localization_loss { weighted_smooth_l1 { delta: 0 } }", r"weighted_smooth_l1\.delta \(0\) must be positive"),
        (
            "localization_loss { weighted_l2 {} } classification_loss { weighted_dice_classification_loss {} }",
            r"weighted_dice_classification_loss is not supported",
        ),
        (
            "localization_loss { weighted_l2 {} } classification_loss { weighted_softmax { logit_scale: 0 } }",
            r"weighted_softmax\.logit_scale \(0\)",
        ),
        (
            "localization_loss { weighted_l2 {} } classification_loss { weighted_sigmoid_focal { alpha: 2 } }",
            r"alpha \(2\) must be in \[0, 1\]",
        ),
        (
            "localization_loss { weighted_l2 {} } classification_loss { weighted_sigmoid_focal { gamma: -1 } }",
            r"gamma \(-1\) must be a finite number",
        ),
        (
            PLAIN + "classification_weight: -1",
            r"loss\.classification_weight \(-1\) must be a finite number, at least 0",
        ),
        (PLAIN + "localization_weight: nan", r"loss\.localization_weight \(nan\)"),
        (
            PLAIN + "hard_example_miner { iou_threshold: 1.5 }",
            r"loss\.hard_example_miner\.iou_threshold \(1\.5\) must be in \[0, 1\]",
        ),
        (PLAIN + "hard_example_miner { num_hard_examples: -1 }", r"num_hard_examples \(-1\)"),
        (
            PLAIN + "random_example_sampler { positive_sample_fraction: 0 }",
            r"positive_sample_fraction \(0\) must be in \(0, 1\]",
        ),
        (PLAIN + "equalization_loss { weight: 1 }", r"equalization_loss\.weight \(1\) is not supported"),
        (
            PLAIN + "expected_loss_weights: EXPECTED_SAMPLING",
            r"expected_loss_weights \(EXPECTED_SAMPLING\) is not supported",
        ),
        (
            (
                "localization_loss { weighted_l2 {} } classification_loss { weighted_sigmoid_focal {} }"
                " hard_example_miner {}"
            ),
            r"hard_example_miner cannot be used with classification_loss\.weighted_sigmoid_focal",
        ),
    ],
)
def test_refuses(text, message):
    with pytest.raises(ConfigError, match=message):
        build(text)
