from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from detection.builders import optimizer as builder
from detection.optimizers import rules as optimizers
from detection.optimizers import schedules
from detection.protos import optimizer_pb2


def _parse(text: str, kind=optimizer_pb2.Optimizer):
    return text_format.Parse(text, kind())


def _constant(name: str = "momentum_optimizer", more: str = "") -> str:
    return f"{name} {{ learning_rate {{ constant_learning_rate {{ learning_rate: 0.5 }} }} {more} }}"


@pytest.mark.parametrize("index", range(4))
def test_schedules_equal_the_reference(shared, index):
    units, arrays = (
        json.loads((shared / "parity/units.json").read_text())["units"],
        np.load(shared / "parity/units.npz"),
    )
    unit = f"lr_schedule_{index}_v0"
    schedule = builder.build_schedule(_parse(units[unit]["params"]["proto"], optimizer_pb2.LearningRate))
    rates = [schedule(tf.constant(step)).numpy() for step in arrays[f"{unit}.in.steps"]]
    np.testing.assert_allclose(rates, arrays[f"{unit}.out.learning_rate"], rtol=1e-5, atol=1e-9)


def test_a_first_step_of_0_gives_the_rate_from_the_start():
    """The most common manual schedule of published configs; its initial_learning_rate is never used."""
    rows = "schedule { step: 0 learning_rate: 0.5 } schedule { step: 10 learning_rate: 0.1 }"
    text = f"manual_step_learning_rate {{ initial_learning_rate: 9 {rows} }}"
    schedule = builder.build_schedule(_parse(text, optimizer_pb2.LearningRate))
    assert schedule == schedules.ManualStep((10,), (0.5, np.float32(0.1)))
    only = builder.build_schedule(
        _parse("manual_step_learning_rate { schedule { learning_rate: 0.5 } }", optimizer_pb2.LearningRate)
    )
    assert only == schedules.ManualStep((), (0.5,))


@pytest.mark.parametrize("index", range(3))
def test_updates_equal_the_reference(shared, index):
    units, arrays = (
        json.loads((shared / "parity/units.json").read_text())["units"],
        np.load(shared / "parity/units.npz"),
    )
    unit = f"optimizer_{index}_v0"
    settings = builder.build(_parse(units[unit]["params"]["proto"]))
    variable = tf.Variable(arrays[f"{unit}.in.start"])
    slots = [tf.Variable(tf.fill(variable.shape, slot.initial)) for slot in settings.rule.slots]
    scalars = [tf.Variable(slot.initial) for slot in settings.rule.scalars]
    rate = settings.schedule(tf.constant(0, tf.int64))
    for gradient, expected in zip(arrays[f"{unit}.in.gradients"], arrays[f"{unit}.out.values"], strict=True):
        settings.rule.update(variable, slots, scalars, tf.constant(gradient), rate)
        settings.rule.finish(scalars)
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_every_rule_is_built_with_its_numbers():
    rms = builder.build(
        _parse(_constant("rms_prop_optimizer", "momentum_optimizer_value: 0.8 decay: 0.7 epsilon: 0.5"))
    ).rule
    assert isinstance(rms, optimizers.RmsProp)
    np.testing.assert_allclose([rms.momentum, rms.decay, rms.epsilon], [0.8, 0.7, 0.5], rtol=1e-6)
    assert builder.build(
        _parse(_constant("momentum_optimizer", "momentum_optimizer_value: 0.5"))
    ).rule == optimizers.Momentum(0.5)
    assert builder.build(_parse(_constant("adam_optimizer", "epsilon: 0.25"))).rule == optimizers.Adam(epsilon=0.25)


@pytest.mark.parametrize(
    ("text", "read", "kept"),
    [
        ("", False, False),
        ("", True, True),
        ("use_moving_average: true", False, True),
        ("use_moving_average: false", False, False),
    ],
)
def test_moving_averages_are_kept_only_if_evaluation_reads_them(text, read, kept):
    decay = builder.build(_parse(_constant() + text), averages_are_read=read).moving_average_decay
    assert (decay is not None) is kept
    if kept:
        assert decay == pytest.approx(0.9999)


def test_defaults_of_the_schema():
    schedule = builder.build_schedule(_parse("exponential_decay_learning_rate {}", optimizer_pb2.LearningRate))
    assert isinstance(schedule, schedules.ExponentialDecay) and schedule.staircase and schedule.decay_steps == 4_000_000
