"""Patterns of what learns: each must mean something, and what is frozen is said."""

from __future__ import annotations

import dataclasses

import pytest

from detection.errors import DetectionError
from detection.optimizers.rules import Momentum, OptimizerSettings
from detection.optimizers.schedules import Constant
from detection.settings import TrainSettings
from detection.train import frozen

NAMES = [
    *(
        f"FeatureExtractor/MobilenetV1/Conv2d_{number}/{part}"
        for number in range(4)
        for part in ("weights", "BatchNorm/gamma", "BatchNorm/beta")
    ),
    *(
        f"BoxPredictor_0/{head}/{part}"
        for head in ("BoxEncodingPredictor", "ClassPredictor")
        for part in ("weights", "biases")
    ),
]
SETTINGS = TrainSettings(num_steps=1, batch_size=1, optimizer=OptimizerSettings(Momentum(), Constant(0.1), None))


def faults(**changes: object) -> list[str]:
    with pytest.raises(DetectionError) as error:
        frozen.check(dataclasses.replace(SETTINGS, **changes), NAMES)
    assert error.value.exit_code == 2
    return error.value.lines()


@pytest.mark.parametrize(
    "pattern", ["FeatureExtractor/", "Conv2d_[01]/", "^BoxPredictor_0", "biases$", ".*/MobilenetV1/.*", "BatchNorm"]
)
def test_patterns_that_match(pattern):
    for field in ("frozen", "trained"):
        frozen.check(dataclasses.replace(SETTINGS, **{field: (pattern,)}), NAMES)


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("FeatureExtracter/", "did you mean FeatureExtractor"),
        (
            "MobileNetV1/Conv2d_0",
            "upper and lower case differ: the variable is FeatureExtractor/MobilenetV1/Conv2d_0/weights",
        ),
        ("^MobilenetV1/Conv2d_3", "did you mean FeatureExtractor/MobilenetV1/Conv2d_3"),
        ("Conv2d_9", "did you mean FeatureExtractor/MobilenetV1/Conv2d_"),
        ("BoxPredictor_0/ClasPredictor/.*", "did you mean BoxPredictor_0/ClassPredictor"),
        ("BatchNorm/moving_mean", "did you mean "),
        ("resnet_v1_50/block1", "the variables are FeatureExtractor/MobilenetV1/Conv2d_0/weights, "),
        ("x" * 100_000, "the variables are "),
    ],
)
def test_patterns_that_match_nothing(pattern, advice):
    for field, name in (("frozen", "freeze_variables"), ("trained", "update_trainable_variables")):
        (fault,) = faults(**{field: (pattern,)})
        shown = repr(pattern if len(pattern) <= 80 else pattern[:80] + "...")
        assert fault.startswith(
            f"train_config.{name} ({shown}) matches none of the 16 variables that can be trained; {advice}"
        )


def test_every_pattern_is_told():
    assert len(faults(frozen=("FeatureExtractor/", "nothing", "neither"), trained=("nor this",))) == 3


def test_something_must_be_left_to_train():
    (fault,) = faults(frozen=(".*",))
    assert fault.startswith("train_config.freeze_variables leaves none of the 16 variables to be trained; freeze fewer")
    (fault,) = faults(trained=("BatchNorm",), frozen=("BatchNorm",))
    assert fault.startswith("train_config.freeze_variables leaves none of the 16 variables to be trained")


def test_a_factor_for_biases_needs_biases():
    frozen.check(dataclasses.replace(SETTINGS, bias_multiplier=2.0), NAMES)
    (fault,) = faults(bias_multiplier=2.0, frozen=("biases",))
    assert fault.startswith("train_config.bias_grad_multiplier (2) has nothing to multiply: none of the 14 variables")


def test_summary():
    assert frozen.summary(SETTINGS, NAMES) == ""
    assert (
        frozen.summary(dataclasses.replace(SETTINGS, frozen=("biases",)), NAMES)
        == "14 of 16 variables are trained; 2 are frozen: BoxPredictor_0/BoxEncodingPredictor/biases,"
        " BoxPredictor_0/ClassPredictor/biases"
    )
    assert frozen.summary(dataclasses.replace(SETTINGS, trained=("BoxPredictor",)), NAMES).endswith(
        "; 12 are frozen: FeatureExtractor/MobilenetV1/Conv2d_0/weights,"
        " FeatureExtractor/MobilenetV1/Conv2d_0/BatchNorm/gamma,"
        " FeatureExtractor/MobilenetV1/Conv2d_0/BatchNorm/beta, ..."
    )


@pytest.mark.parametrize("pattern", ["([A-Za-z/_0-9]+)+!", "(.*)*(.*)*(.*)*!", r"((Mobile|M)*(e|o)*\w*/?)*Z"])
def test_a_search_of_exponential_time_is_refused(pattern, monkeypatch):
    monkeypatch.setattr(frozen, "_SEARCH_SECONDS", 1)
    (fault,) = faults(frozen=("BatchNorm.*gamma.*", pattern))
    assert (
        fault.startswith(f"train_config.freeze_variables ({pattern!r}) takes more than 1 seconds to match")
        and "(a+)+" in fault
    )


@pytest.mark.parametrize("pattern", ["^(?!BoxPredictor).*/weights.*", "(Conv2d_[0-9]+/)+", r"([A-Za-z_]+)/.*\1|biases"])
def test_repetitions_that_end_are_accepted(pattern):
    frozen.check(dataclasses.replace(SETTINGS, frozen=(pattern,)), NAMES)
