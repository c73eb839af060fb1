"""Learning-rate schedules that end before training does."""

from __future__ import annotations

import math

import pytest

from detection import config
from detection.builders import optimizer
from detection.errors import ConfigError

RATE = "train_config.optimizer.rms_prop_optimizer.learning_rate"


def check(message, *settings: str, training: bool = True) -> list[str]:
    changed = config.override(message, ["train_config.num_steps=1000", *settings])
    return [
        line.removeprefix("my.config: ")
        for line in config.check(changed, "my.config", check_paths=False, training=training)
    ]


def fault(message, *settings: str) -> str:
    with pytest.raises(ConfigError) as error:
        check(message, *settings)
    (line,) = error.value.lines()
    return line.removeprefix("my.config: ")


COSINE = (
    f"{RATE}.cosine_decay_learning_rate={{learning_rate_base: 0.1 total_steps: %d warmup_steps: %d"
    " warmup_learning_rate: 0.01}"
)
DECAY = (
    f"{RATE}.exponential_decay_learning_rate={{initial_learning_rate: 0.1 decay_steps: %d decay_factor: %g"
    " burnin_steps: %d min_learning_rate: "
)
DECAY += "%g}"
MANUAL = f"{RATE}.manual_step_learning_rate={{initial_learning_rate: 0.1 schedule {{step: %d learning_rate: 0.01}} "
MANUAL += "schedule {step: %d learning_rate: %g}}"


def test_a_cosine_that_ends_first_is_a_warning(ssd):
    """The TF Object Detection API accepts such configs."""
    assert check(ssd, COSINE % (999, 10)) == [
        f"{RATE}.cosine_decay_learning_rate.total_steps (999) is less than train_config.num_steps (1000): from then"
        " on the learning rate is 0, as in the TF Object Detection API, and nothing more is learnt; set total_steps to"
        " 1000"
    ]
    assert check(ssd, COSINE % (1000, 10)) == check(ssd, COSINE % (5000, 10)) == []
    assert check(ssd, COSINE % (999, 10), training=False) == []  # An exporter does not mind.


def test_a_cosine_without_an_end_of_training_is_a_warning(ssd):
    (warning,) = check(ssd, COSINE % (999, 10), "train_config.num_steps=0")
    assert warning.startswith(
        f"{RATE}.cosine_decay_learning_rate.total_steps (999): from then on the learning rate is 0, and train_config."
    )


def test_an_exponential_decay_to_0_is_an_error(ssd):
    assert (
        fault(ssd, DECAY % (10, 0.1, 0, 0))
        == f"{RATE}.exponential_decay_learning_rate.decay_steps (10) and decay_factor (0.1) bring the learning rate to"
        " 0 at step 371, before train_config.num_steps (1000); raise decay_steps, or set min_learning_rate"
    )
    assert (
        check(ssd, DECAY % (10, 0.1, 0, 0.001))
        == check(ssd, DECAY % (100, 0.1, 0, 0))
        == check(ssd, DECAY % (10, 1, 0, 0))
        == []
    )
    assert check(ssd, DECAY % (10, 0.1, 700, 0)) == []


def test_a_decay_vanishes_at_the_reported_step(ssd):
    """Evaluates the schedule at the step that the message names."""
    message = config.override(ssd, [DECAY % (10, 0.1, 0, 0)]).train_config.optimizer.rms_prop_optimizer.learning_rate
    schedule = optimizer.build_schedule(message)
    assert float(schedule(359)) > 1e-38 and math.isclose(float(schedule(400)), 0.0, abs_tol=1e-38)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            COSINE % (5000, 1000),
            (
                "cosine_decay_learning_rate.warmup_steps (1000) is not less than train_config.num_steps (1000):"
                " training ends"
            ),
        ),
        (
            DECAY % (10, 0.9, 1000, 0),
            "exponential_decay_learning_rate.burnin_steps (1000) is not less than train_config.num_steps (1000): ",
        ),
        (
            MANUAL % (500, 1000, 0.001),
            "manual_step_learning_rate.schedule: 1 of 2 steps of the schedule, from 1000 on, is not before ",
        ),
        (
            MANUAL % (9000, 12000, 0.001),
            "manual_step_learning_rate.schedule: 2 of 2 steps of the schedule, from 9000 on, are not before ",
        ),
        (
            MANUAL % (500, 800, 0),
            "manual_step_learning_rate.schedule: the learning rate is 0 from step 800 on: nothing more is learnt",
        ),
        (
            f"{RATE}.constant_learning_rate={{learning_rate: 0}}",
            "constant_learning_rate.learning_rate is 0: nothing is learnt",
        ),
    ],
)
def test_unreachable_or_unlikely_settings_give_warnings(ssd, setting, expected):
    (warning,) = check(ssd, setting)
    assert warning.startswith(f"{RATE}.{expected}")


def test_usual_schedules_have_no_warning(ssd):
    for setting in (
        COSINE % (1000, 100),
        DECAY % (800, 0.95, 0, 0),
        DECAY % (800720, 0.95, 0, 0),
        MANUAL % (500, 800, 0.001),
    ):
        assert check(ssd, setting) == []
