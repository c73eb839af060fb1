"""What the names in a checkpoint say: which arrays are weights, which of them a model has no place for, and what that
tells about its config.

A checkpoint of another configuration has most names in common with the model. It is recognised by what is left over
inside the model's own scopes, for example `FeatureExtractor/MobilenetV1/Conv2d_0/BatchNorm/gamma` where the model's
batch norm has no gamma: the model would compute something else with the weights that it takes. What training keeps
beside the weights (optimiser slots, moving averages, the step), and whole parts that a detector does not have (the head
of a classifier, the proposal network for Fast R-CNN), are no such sign.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence

GLOBAL_STEP = "global_step"
AVERAGE = "ExponentialMovingAverage"
EXTRACTOR_SCOPES = ("FeatureExtractor/", "FirstStageFeatureExtractor/", "SecondStageFeatureExtractor/")
RANDOM = "seed_generator_state"
ALLOW_UNUSED = "--allow_unused_checkpoint_variables"
_SCALARS = {GLOBAL_STEP, "beta1_power", "beta2_power"}
_INPUT_MEAN = "mean_rgb"  # what was subtracted from the pixels, in tf-slim's VGG and ResNet checkpoints
_NORM = "BatchNorm"
_NORM_PARTS = ("gamma", "beta", "moving_mean", "moving_variance")
# Layers of classifiers behind the part that detectors read; `AuxLogits` and `PreLogits` are in published checkpoints
# only.
_CLASSIFIER_HEADS = {"Logits", "AuxLogits", "PreLogits", "logits", "Predictions", "fc6", "fc7", "fc8"}
# tf-slim's classifier has biases in its first, separable convolution, where every detector has batch norm.
_CLASSIFIER_ONLY = {"InceptionV2/Conv2d_1a_7x7/biases"}
_EXTRA_MAP = re.compile(r"_[12]_Conv2d_\d+_[^/]+/")
_SCORES = re.compile(r"/(ClassPredictor|class_predictions)/")  # last layers of heads
_OUTPUTS = re.compile(r"/(ClassPredictor|class_predictions|BoxEncodingPredictor|refined_locations)/")
_SEPARABLE = re.compile(r"(Predictor|_s2_\d+)_depthwise/")  # in heads and extra maps


def is_optional(name: str) -> bool:
    """Whether a variable may be missing from a checkpoint: counters of random generators, which name-based checkpoints
    from elsewhere lack."""
    return name.endswith(RANDOM)


def is_bookkeeping(name: str, found: Container[str]) -> bool:
    """Whether an array of a checkpoint is no weight: the step, what training keeps below the name of a weight, the
    state of random generators, the mean of the input."""
    parent, _, last = name.rpartition("/")
    return (
        name in _SCALARS or parent in found or last in ("beta1_power", "beta2_power", _INPUT_MEAN) or is_optional(name)
    )


def unused(wanted: Collection[str], found: Iterable[str]) -> list[str]:
    """Weights of a checkpoint inside the scopes of the model that no variable of it is filled from.

    Args:
        wanted: names under which the model looks for its variables.
        found: names of the checkpoint's arrays.
    """
    found = set(found)
    own = {_family(name) for name in wanted}
    left = (name for name in found.difference(wanted) if _family(name) in own and name.rpartition("/")[0] not in wanted)
    return sorted(name for name in left if not is_bookkeeping(name, found))


def unused_at_start(wanted: Collection[str], found: Iterable[str], classifier: bool, whole: bool = True) -> list[str]:
    """`unused`, without what a detector that starts from a checkpoint leaves on purpose.

    Args:
        wanted, found: as of `unused`.
        classifier: the checkpoint is one of a classifier, whose head stays unused.
        whole: the model has all of the network's blocks; False for a first stage alone.
    """
    left = unused(wanted, found)
    if not classifier:
        return left
    layers = {layer(name) for name in wanted}
    behind = [
        name
        for name in left
        if layer(name) not in layers and (not whole or _CLASSIFIER_HEADS & set(name.split("/")[1:-1]))
    ]
    return [name for name in left if name not in behind and name not in _CLASSIFIER_ONLY]


def layer(name: str) -> str:
    """The scope of the layer that an array belongs to: its batch norm is part of a convolution."""
    return name.rpartition("/")[0].removesuffix(f"/{_NORM}")


def is_norm(name: str) -> bool:
    """Whether an array is batch norm's."""
    return name.endswith(tuple(f"{_NORM}/{part}" for part in _NORM_PARTS))


def cause(wanted: Collection[str], found: Collection[str], left: Sequence[str] = ()) -> str:
    """What in a config most likely makes the difference; "" where the names do not tell.

    Args:
        wanted, found: as of `unused`.
        left: what of the checkpoint has no place.
    """
    missing = [name for name in wanted if name not in found and not is_optional(name)]
    return next(_causes(wanted, found, left, missing), "")


def _causes(
    wanted: Collection[str], found: Collection[str], left: Sequence[str], missing: Sequence[str]
) -> Iterator[str]:
    """The most telling first."""
    override = "override_base_feature_extractor_hyperparams"
    for part, field in (("gamma", "scale"), ("beta", "center")):
        for one, other, names, others in (
            ("the checkpoint's", "the model's", left, wanted),
            ("the model's", "the checkpoint's", missing, found),
        ):
            if any(
                name.endswith(f"{_NORM}/{part}") and f"{layer(name)}/{_NORM}/moving_mean" in others for name in names
            ):
                yield (
                    f"{one} batch norm has {part}, {other} has none: conv_hyperparams.batch_norm.{field} or {override}"
                    " differs"
                )
    if any(is_norm(name) and f"{layer(name)}/biases" in wanted for name in left):
        yield (
            f"where the checkpoint has batch norm the model has biases: conv_hyperparams.batch_norm or {override}"
            " differs"
        )
    if any(name.endswith("/biases") and f"{layer(name)}/{_NORM}/moving_mean" in wanted for name in left):
        yield (
            f"where the checkpoint has biases the model has batch norm: conv_hyperparams.batch_norm or {override}"
            " differs"
        )
    if any(re.search(r"/(weights|act)_quant/", name) for name in left):
        yield (
            "the checkpoint is one of quantization-aware training (graph_rewriter), which rounds weights and"
            " activations; that is not supported"
        )
    if any(map(_SEPARABLE.search, (*left, *missing))):
        yield "only one of the two has depthwise separable layers: use_depthwise differs"
    if any(map(_EXTRA_MAP.search, left)) and any(map(_EXTRA_MAP.search, missing)):
        yield "the extra maps have other depths: depth_multiplier or min_depth differs"
    if any(_EXTRA_MAP.search(name) or re.match(r"BoxPredictor_\d", name) for name in (*left, *missing)):
        yield "the number of maps is another: num_layers differs"
    if left:
        yield "the checkpoint has layers that the model does not have: is feature_extractor.type the same?"


def shape_cause(differ: Mapping[str, tuple[Sequence[int], Sequence[int]]]) -> str:
    """What in a config most likely makes shapes differ; "" where they do not tell.

    Args:
        differ: name -> shape in the checkpoint and in the model.
    """
    if any("FeatureExtractor" in name for name in differ):
        return "the network's layers have other depths: depth_multiplier or min_depth differs"
    outputs = [name for name in differ if _OUTPUTS.search(name)]
    if len(outputs) < len(differ):
        return ""
    if any(list(one)[:-1] != list(other)[:-1] for one, other in differ.values()):
        return "the box predictor's kernel_size or depth differs"
    scores_only = all(_SCORES.search(name) for name in outputs)
    if any(name.startswith("SecondStage") for name in outputs) or (
        scores_only and not any(name.startswith("FirstStage") for name in outputs)
    ):
        return "num_classes differs"
    return "the number of anchors of a cell is another: the anchor generator's scales or aspect_ratios differ"


def shown(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _family(name: str) -> str:
    """The outermost scope without its number, as `BoxPredictor_0` and `BoxPredictor` (of a single map) are of one
    kind."""
    return re.sub(r"_\d+$", "", name.partition("/")[0])
