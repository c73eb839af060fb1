"""Message `Loss` -> LossTerms. The anchorwise_output fields have no effect, as in the reference."""

from __future__ import annotations

from google.protobuf.message import Message

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
from detection.meta_architectures.multibox_loss import EveryAnchor, LossTerms, RandomAnchors
from detection.ops.mining import HardExampleMiner, NoMining
from detection.ops.samplers import BalancedSampler
from detection.protos import losses_pb2

LocalizationLoss = WeightedL2 | WeightedSmoothL1 | WeightedIou | WeightedGiou | L1
ClassificationLoss = (
    WeightedSigmoid | WeightedSoftmax | WeightedLogitsSoftmax | BootstrappedSigmoid | WeightedSigmoidFocal
)

_LOSS_TYPES = {
    losses_pb2.HardExampleMiner.BOTH: "both",
    losses_pb2.HardExampleMiner.CLASSIFICATION: "classification",
    losses_pb2.HardExampleMiner.LOCALIZATION: "localization",
}


def build(message: losses_pb2.Loss, path: str = "loss") -> LossTerms:
    """`path` names the message in errors. Raises ConfigError for what is missing, out of range, contradictory or not
    supported."""
    _check_supported(message, path)
    for name in ("localization_weight", "classification_weight"):
        _check(path, message, name, 0.0, float("inf"))
    return LossTerms(
        localization=localization(message.localization_loss, f"{path}.localization_loss"),
        classification=classification(message.classification_loss, f"{path}.classification_loss"),
        localization_weight=message.localization_weight,
        classification_weight=message.classification_weight,
        miner=_miner(message, path),
        random_sampler=_random_sampler(message, path),
    )


def localization(message: losses_pb2.LocalizationLoss, path: str = "localization_loss") -> LocalizationLoss:
    """The one loss that is set."""
    kind = message.WhichOneof("localization_loss")
    if kind == "weighted_l2":
        return WeightedL2()
    if kind == "weighted_smooth_l1":
        if not 0 < message.weighted_smooth_l1.delta < float("inf"):
            raise ConfigError(
                f"{path}.weighted_smooth_l1.delta ({message.weighted_smooth_l1.delta:g}) must be positive"
            )
        return WeightedSmoothL1(message.weighted_smooth_l1.delta)
    if kind == "weighted_iou":
        return WeightedIou()
    if kind == "weighted_giou":
        return WeightedGiou()
    if kind == "l1_localization_loss":
        return L1()
    raise ConfigError(f"{path} is empty; set one, for example weighted_smooth_l1 {{}}")


def classification(message: losses_pb2.ClassificationLoss, path: str = "classification_loss") -> ClassificationLoss:
    """The one loss that is set."""
    kind = message.WhichOneof("classification_loss")
    if kind is None:
        raise ConfigError(f"{path} is empty; set one, for example weighted_sigmoid {{}}")
    options = getattr(message, kind)
    path = f"{path}.{kind}"
    if kind == "weighted_sigmoid":
        return WeightedSigmoid()
    if kind == "weighted_sigmoid_focal":
        _check(path, options, "gamma", 0.0, float("inf"))
        _check(path, options, "alpha", 0.0, 1.0)
        return WeightedSigmoidFocal(options.gamma, options.alpha if options.HasField("alpha") else None)
    if kind == "bootstrapped_sigmoid":
        _check(path, options, "alpha", 0.0, 1.0)
        return BootstrappedSigmoid(options.alpha, options.hard_bootstrap)
    if kind in ("weighted_softmax", "weighted_logits_softmax"):
        if not 0 < options.logit_scale < float("inf"):
            raise ConfigError(f"{path}.logit_scale ({options.logit_scale:g}) must be positive")
        return (WeightedSoftmax if kind == "weighted_softmax" else WeightedLogitsSoftmax)(options.logit_scale)
    raise ConfigError(f"{path} is not supported; use for example weighted_sigmoid or weighted_sigmoid_focal")


def miner(
    message: losses_pb2.HardExampleMiner,
    classification_weight: float,
    localization_weight: float,
    path: str = "hard_example_miner",
) -> HardExampleMiner:
    """The two loss weights only enter the ranking."""
    for name in ("num_hard_examples", "max_negatives_per_positive", "min_negatives_per_image"):
        _check(path, message, name, 0, float("inf"))
    _check(path, message, "iou_threshold", 0.0, 1.0)
    return HardExampleMiner(
        num_hard_examples=message.num_hard_examples,
        iou_threshold=message.iou_threshold,
        loss_type=_LOSS_TYPES[message.loss_type],
        max_negatives_per_positive=message.max_negatives_per_positive,
        min_negatives_per_image=message.min_negatives_per_image,
        classification_weight=classification_weight,
        localization_weight=localization_weight,
    )


def _miner(message: losses_pb2.Loss, path: str) -> HardExampleMiner | NoMining:
    if not message.HasField("hard_example_miner"):
        return NoMining()
    if message.classification_loss.HasField("weighted_sigmoid_focal"):
        raise ConfigError(
            f"{path}: hard_example_miner cannot be used with classification_loss.weighted_sigmoid_focal, "
            "which weighs hard examples itself; remove one of the two"
        )
    weights = (message.classification_weight, message.localization_weight)
    return miner(message.hard_example_miner, *weights, path=f"{path}.hard_example_miner")


def _random_sampler(message: losses_pb2.Loss, path: str) -> RandomAnchors | EveryAnchor:
    if not message.HasField("random_example_sampler"):
        return EveryAnchor()
    fraction = message.random_example_sampler.positive_sample_fraction
    if not 0.0 < fraction <= 1.0:
        raise ConfigError(f"{path}.random_example_sampler.positive_sample_fraction ({fraction:g}) must be in (0, 1]")
    return RandomAnchors(BalancedSampler(fraction))


def _check_supported(message: losses_pb2.Loss, path: str) -> None:
    if message.equalization_loss.weight:
        raise ConfigError(
            f"{path}.equalization_loss.weight ({message.equalization_loss.weight:g}) is not supported; remove"
            " equalization_loss"
        )
    if message.expected_loss_weights != losses_pb2.Loss.NONE:
        name = losses_pb2.Loss.ExpectedLossWeights.Name(message.expected_loss_weights)
        raise ConfigError(
            f"{path}.expected_loss_weights ({name}) is not supported; use NONE, with hard_example_miner or"
            " random_example_sampler"
        )


def _check(path: str, message: Message, name: str, low: float, high: float) -> None:
    """Raises ConfigError unless the field is in [low, high] (finite, where high is infinite)."""
    value = getattr(message, name)
    if not low <= value <= high or value == float("inf"):
        bounds = "a finite number, at least 0" if high == float("inf") else f"in [{low:g}, {high:g}]"
        raise ConfigError(f"{path}.{name} ({value:g}) must be {bounds}")
