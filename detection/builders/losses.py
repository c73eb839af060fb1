"""Message `Loss` -> LossTerms. The anchorwise_output fields have no effect, as in the reference."""

from __future__ import annotations

from detection import registry
from detection.losses.bootstrapped_sigmoid import BootstrappedSigmoid
from detection.losses.l1 import L1
from detection.losses.penalty_reduced_focal import PenaltyReducedFocal
from detection.losses.weighted_giou import WeightedGiou
from detection.losses.weighted_iou import WeightedIou
from detection.losses.weighted_l2 import WeightedL2
from detection.losses.weighted_logits_softmax import WeightedLogitsSoftmax
from detection.losses.weighted_sigmoid import WeightedSigmoid
from detection.losses.weighted_sigmoid_focal import WeightedSigmoidFocal
from detection.losses.weighted_smooth_l1 import WeightedSmoothL1
from detection.losses.weighted_softmax import WeightedSoftmax
from detection.meta_architectures.multibox_loss import EveryAnchor, LossSum, LossTerms, RandomAnchors
from detection.ops.expected_sampling import ExpectedSampling, NoExpectation, ReweightedNegatives
from detection.ops.mining import HardExampleMiner, NoMining
from detection.ops.samplers import BalancedSampler
from detection.protos import losses_pb2

LocalizationLoss = WeightedL2 | WeightedSmoothL1 | WeightedIou | WeightedGiou | L1
ClassificationLoss = (
    WeightedSigmoid
    | WeightedSoftmax
    | WeightedLogitsSoftmax
    | BootstrappedSigmoid
    | WeightedSigmoidFocal
    | PenaltyReducedFocal
)

_LOSS_TYPES = {
    losses_pb2.HardExampleMiner.BOTH: "both",
    losses_pb2.HardExampleMiner.CLASSIFICATION: "classification",
    losses_pb2.HardExampleMiner.LOCALIZATION: "localization",
}


def build(message: losses_pb2.Loss) -> LossTerms:
    """Both losses, their weights, and the choice of training examples."""
    return LossTerms(
        localization=localization(message.localization_loss),
        classification=classification(message.classification_loss),
        localization_weight=message.localization_weight,
        classification_weight=message.classification_weight,
        miner=_miner(message),
        random_sampler=_random_sampler(message),
        expected=_expected(message),
    )


def localization(
    message: losses_pb2.LocalizationLoss | losses_pb2.LocalizationLossTerm, shares: bool = False
) -> LocalizationLoss | LossSum:
    """The localisation loss that is set.

    Args:
        message: the loss, or a term of a sum.
        shares: whether weights of anchors are also shares of the loss, which must not be squared.
    """
    kind = message.WhichOneof("localization_loss")
    if kind == "sum":
        return LossSum(tuple((term.weight, localization(term, shares)) for term in message.sum.term))
    return WeightedL2(enters_once=shares) if kind == "weighted_l2" else _LOCALIZATION[kind](getattr(message, kind))


def classification(message: losses_pb2.ClassificationLoss) -> ClassificationLoss:
    """The classification loss that is set."""
    kind = message.WhichOneof("classification_loss")
    return _CLASSIFICATION[kind](getattr(message, kind))


_LOCALIZATION = {
    "weighted_smooth_l1": lambda options: WeightedSmoothL1(options.delta),
    "weighted_iou": lambda _: WeightedIou(),
    "weighted_giou": lambda _: WeightedGiou(),
    "l1_localization_loss": lambda _: L1(),
    "custom": lambda part: registry.localization_loss.make(part.name, parameters=part.parameters, field="custom"),
}
_CLASSIFICATION = {
    "weighted_sigmoid": lambda _: WeightedSigmoid(),
    "weighted_sigmoid_focal": lambda options: WeightedSigmoidFocal(
        options.gamma, options.alpha if options.HasField("alpha") else None
    ),
    "bootstrapped_sigmoid": lambda options: BootstrappedSigmoid(options.alpha, options.hard_bootstrap),
    "penalty_reduced_logistic_focal_loss": lambda options: PenaltyReducedFocal(options.alpha, options.beta),
    "weighted_softmax": lambda options: WeightedSoftmax(options.logit_scale),
    "weighted_logits_softmax": lambda options: WeightedLogitsSoftmax(options.logit_scale),
    "custom": lambda part: registry.classification_loss.make(part.name, parameters=part.parameters, field="custom"),
}


def miner(
    message: losses_pb2.HardExampleMiner,
    classification_weight: float,
    localization_weight: float,
) -> HardExampleMiner:
    """Hard example mining; the loss weights are used only to rank the examples."""
    return HardExampleMiner(
        num_hard_examples=message.num_hard_examples,
        iou_threshold=message.iou_threshold,
        loss_type=_LOSS_TYPES[message.loss_type],
        max_negatives_per_positive=message.max_negatives_per_positive,
        min_negatives_per_image=message.min_negatives_per_image,
        classification_weight=classification_weight,
        localization_weight=localization_weight,
    )


def _miner(message: losses_pb2.Loss) -> HardExampleMiner | NoMining:
    if not message.HasField("hard_example_miner"):
        return NoMining()
    weights = (message.classification_weight, message.localization_weight)
    return miner(message.hard_example_miner, *weights)


def _expected(message: losses_pb2.Loss) -> ExpectedSampling | ReweightedNegatives | NoExpectation:
    settings = (message.desired_negative_sampling_ratio, message.min_num_negative_samples)
    if message.expected_loss_weights == losses_pb2.Loss.EXPECTED_SAMPLING:
        return ExpectedSampling(*settings)
    if message.expected_loss_weights == losses_pb2.Loss.REWEIGHTING_UNMATCHED_ANCHORS:
        return ReweightedNegatives(*settings)
    return NoExpectation()


def _random_sampler(message: losses_pb2.Loss) -> RandomAnchors | EveryAnchor:
    if not message.HasField("random_example_sampler"):
        return EveryAnchor()
    return RandomAnchors(BalancedSampler(message.random_example_sampler.positive_sample_fraction))
