"""Compares variable names of a checkpoint with those of a model.

Finds which arrays of a checkpoint are weights, which of them the model does not have, and which config field most
likely makes the difference.

A checkpoint of another configuration has most names in common with the model. It is recognised by unused weights inside
the model's own scopes, for example `FeatureExtractor/MobilenetV1/Conv2d_0/BatchNorm/gamma` if the model's batch norm
has no gamma: with the other weights alone the model would compute something different. Training state (optimizer slots,
moving averages, the step) and whole parts that a detector does not have (the head of a classifier, the proposal network
for Fast R-CNN) do not count as unused weights.
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
_INPUT_MEAN = "mean_rgb"  # the mean pixel value stored in tf-slim's VGG and ResNet checkpoints
_NORM = "BatchNorm"
_NORM_PARTS = ("gamma", "beta", "moving_mean", "moving_variance")
# Layers of classifiers after the part that detectors use; `AuxLogits` and `PreLogits` occur in published checkpoints
# only.
_CLASSIFIER_HEADS = {"Logits", "AuxLogits", "PreLogits", "logits", "Predictions", "fc6", "fc7", "fc8"}
# tf-slim's classifier has biases in its first, separable convolution, where every detector has batch norm.
_CLASSIFIER_ONLY = {"InceptionV2/Conv2d_1a_7x7/biases"}
_EXTRA_MAP = re.compile(r"_[12]_Conv2d_\d+_[^/]+/")
_SCORES = re.compile(r"/(ClassPredictor|class_predictions)/")  # last layers of heads
_OUTPUTS = re.compile(r"/(ClassPredictor|class_predictions|BoxEncodingPredictor|refined_locations)/")
_SEPARABLE = re.compile(r"(Predictor|_s2_\d+)_depthwise/")  # in heads and extra maps


def is_optional(name: str) -> bool:
    """Returns whether a variable may be missing from a checkpoint.

    True for the state of random generators, which name-based checkpoints of other projects do not have.
    """
    return name.endswith(RANDOM)


def is_bookkeeping(name: str, found: Container[str]) -> bool:
    """Returns whether an array of a checkpoint is not a weight.

    True for the step, for training state stored below the name of a weight (optimizer slots, moving averages), for the
    state of random generators and for the mean pixel value.
    """
    parent, _, last = name.rpartition("/")
    return (
        name in _SCALARS or parent in found or last in ("beta1_power", "beta2_power", _INPUT_MEAN) or is_optional(name)
    )


def unused(requested: Collection[str], found: Iterable[str]) -> list[str]:
    """Lists the weights of a checkpoint that are inside the scopes of the model but restore none of its variables.

    Args:
        requested: names under which the model looks up its variables.
        found: names of the arrays in the checkpoint.
    """
    found = set(found)
    own = {_family(name) for name in requested}
    other = found.difference(requested)
    left = (name for name in other if _family(name) in own and name.rpartition("/")[0] not in requested)
    return sorted(name for name in left if not is_bookkeeping(name, found))


def unused_at_start(
    requested: Collection[str], found: Iterable[str], classifier: bool, whole: bool = True
) -> list[str]:
    """Lists unused weights as `unused` does, without those that fine-tuning leaves out on purpose.

    Args:
        requested: names under which the model looks up its variables.
        found: names of the arrays in the checkpoint.
        classifier: the checkpoint is one of a classifier, whose head stays unused.
        whole: the model has all blocks of the network; False for a first stage alone.
    """
    left = unused(requested, found)
    if not classifier:
        return left
    layers = {layer(name) for name in requested}
    head = [
        name
        for name in left
        if layer(name) not in layers and (not whole or _CLASSIFIER_HEADS & set(name.split("/")[1:-1]))
    ]
    return [name for name in left if name not in head and name not in _CLASSIFIER_ONLY]


def layer(name: str) -> str:
    """Returns the scope of the layer that an array belongs to; batch norm counts as part of its convolution."""
    return name.rpartition("/")[0].removesuffix(f"/{_NORM}")


def is_norm(name: str) -> bool:
    """Returns whether an array belongs to a batch norm."""
    return name.endswith(tuple(f"{_NORM}/{part}" for part in _NORM_PARTS))


def likely_cause(requested: Collection[str], found: Collection[str], left: Sequence[str] = ()) -> str:
    """Names the config field that most likely makes the difference; "" if the names give no indication.

    Args:
        requested: names under which the model looks up its variables.
        found: names of the arrays in the checkpoint.
        left: the unused ones of them.
    """
    missing = [name for name in requested if name not in found and not is_optional(name)]
    return next(_causes(requested, found, left, missing), "")


def _causes(
    requested: Collection[str], found: Collection[str], left: Sequence[str], missing: Sequence[str]
) -> Iterator[str]:
    """Yields possible causes, the most specific first."""
    override = "override_base_feature_extractor_hyperparams"
    for part, field in (("gamma", "scale"), ("beta", "center")):
        for one, other, names, others in (
            ("the checkpoint's", "the model's", left, requested),
            ("the model's", "the checkpoint's", missing, found),
        ):
            if any(
                name.endswith(f"{_NORM}/{part}") and f"{layer(name)}/{_NORM}/moving_mean" in others for name in names
            ):
                yield (
                    f"{one} batch norm has {part}, {other} has none: conv_hyperparams.batch_norm.{field} or {override}"
                    " differs"
                )
    if any(is_norm(name) and f"{layer(name)}/biases" in requested for name in left):
        yield (f"the checkpoint has batch norm and the model biases: conv_hyperparams.batch_norm or {override} differs")
    if any(name.endswith("/biases") and f"{layer(name)}/{_NORM}/moving_mean" in requested for name in left):
        yield (f"the checkpoint has biases and the model batch norm: conv_hyperparams.batch_norm or {override} differs")
    if any(re.search(r"/(weights|act)_quant/", name) for name in left):
        yield ("the checkpoint is from quantization-aware training (graph_rewriter), which is not supported")
    if any(map(_SEPARABLE.search, (*left, *missing))):
        yield "only one of them has depthwise separable layers: use_depthwise differs"
    if any(map(_EXTRA_MAP.search, left)) and any(map(_EXTRA_MAP.search, missing)):
        yield "the extra feature maps have different depths: depth_multiplier or min_depth differs"
    if any(_EXTRA_MAP.search(name) or re.match(r"BoxPredictor_\d", name) for name in (*left, *missing)):
        yield "the number of feature maps differs: num_layers differs"
    if left:
        yield "the checkpoint has layers that the model does not have: is feature_extractor.type the same?"


def likely_shape_cause(differ: Mapping[str, tuple[Sequence[int], Sequence[int]]]) -> str:
    """Names the config field that most likely makes shapes differ; "" if they give no indication.

    Args:
        differ: name -> shape in the checkpoint and shape in the model.
    """
    if any("FeatureExtractor" in name for name in differ):
        return "the layers of the network have different depths: depth_multiplier or min_depth differs"
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
    return "the number of anchors per cell differs: the anchor generator's scales or aspect_ratios differ"


def abbreviated(names: Sequence[str], limit: int = 3) -> str:
    """Joins the first `limit` names and says how many more there are."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _family(name: str) -> str:
    """Returns the outermost scope without its number: `BoxPredictor` for `BoxPredictor_0` too."""
    return re.sub(r"_\d+$", "", name.partition("/")[0])
