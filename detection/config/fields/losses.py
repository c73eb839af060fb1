"""Losses and the choice of training examples."""

from __future__ import annotations

from detection import registry
from detection.config.fields.row import (
    FRACTION,
    NOT_NEGATIVE,
    PART,
    POSITIVE,
    Limit,
    Message,
    all_honoured,
    honoured,
    no_effect,
    refused,
)

_ANCHORWISE = "no builder of the schema ever read it"

# Losses of anchors and regions; the missing one is for heat maps.
CLASSIFICATION = (
    *("weighted_sigmoid", "weighted_softmax", "weighted_logits_softmax", "bootstrapped_sigmoid"),
    *("weighted_sigmoid_focal", "custom"),
)

MESSAGES: dict[str, Message] = {
    "HardExampleMiner": (
        honoured("num_hard_examples", NOT_NEGATIVE, Limit(10_000_000, "it is a number of anchors or regions")),
        honoured("iou_threshold", FRACTION),
        honoured("loss_type"),
        honoured("max_negatives_per_positive", NOT_NEGATIVE),
        honoured("min_negatives_per_image", NOT_NEGATIVE),
    ),
    "ClassificationLoss": (
        *all_honoured(
            "weighted_sigmoid weighted_softmax weighted_logits_softmax bootstrapped_sigmoid weighted_sigmoid_focal "
            "penalty_reduced_logistic_focal_loss"
        ),
        refused("weighted_dice_classification_loss"),
        honoured("custom", registry=registry.classification_loss),
    ),
    "Loss": (
        honoured("localization_loss", required=True),
        honoured("classification_loss", required=True, choose=CLASSIFICATION),
        honoured("hard_example_miner"),
        honoured("classification_weight", NOT_NEGATIVE),
        honoured("localization_weight", NOT_NEGATIVE),
        honoured("random_example_sampler"),
        no_effect("equalization_loss", "the TF Object Detection API takes it in and computes nothing of it either"),
        honoured("expected_loss_weights"),
        honoured("min_num_negative_samples", NOT_NEGATIVE),
        honoured("desired_negative_sampling_ratio", NOT_NEGATIVE),
    ),
    "WeightedSigmoidClassificationLoss": (no_effect("anchorwise_output", _ANCHORWISE),),
    "WeightedSoftmaxClassificationLoss": (
        no_effect("anchorwise_output", _ANCHORWISE),
        honoured("logit_scale", POSITIVE),
    ),
    "WeightedSoftmaxClassificationAgainstLogitsLoss": (
        no_effect("anchorwise_output", _ANCHORWISE),
        honoured("logit_scale", POSITIVE),
    ),
    "BootstrappedSigmoidClassificationLoss": (
        honoured("alpha", FRACTION),
        honoured("hard_bootstrap"),
        no_effect("anchorwise_output", _ANCHORWISE),
    ),
    "SigmoidFocalClassificationLoss": (
        no_effect("anchorwise_output", _ANCHORWISE),
        honoured("gamma", NOT_NEGATIVE),
        honoured("alpha", FRACTION),
    ),
    "LocalizationLoss": (
        *all_honoured("weighted_l2 weighted_smooth_l1 weighted_iou l1_localization_loss weighted_giou"),
        honoured("custom", registry=registry.localization_loss),
        honoured("sum"),
    ),
    "LocalizationLossSum": (honoured("term"),),
    "LocalizationLossTerm": (
        honoured("weight", NOT_NEGATIVE),
        *all_honoured("weighted_l2 weighted_smooth_l1 weighted_iou l1_localization_loss weighted_giou"),
        honoured("custom", registry=registry.localization_loss),
    ),
    "RandomExampleSampler": (honoured("positive_sample_fraction", PART),),
    "WeightedL2LocalizationLoss": (no_effect("anchorwise_output", _ANCHORWISE),),
    "WeightedSmoothL1LocalizationLoss": (
        no_effect("anchorwise_output", _ANCHORWISE),
        honoured("delta", POSITIVE),
    ),
    "WeightedIOULocalizationLoss": (),
    "L1LocalizationLoss": (),
    "WeightedGIOULocalizationLoss": (),
}
