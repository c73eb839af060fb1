"""Suggestions for misspelt names."""

from __future__ import annotations

from detection.tools.suggest import closest, did_you_mean


def test_the_closest_name_whatever_its_capitals():
    assert did_you_mean("sigmoid", ["SIGMOID", "SOFTMAX"]) == "; did you mean 'SIGMOID'?"
    assert did_you_mean("num_clases", ["num_classes", "num_steps"]) == "; did you mean 'num_classes'?"
    assert did_you_mean("x", ["num_classes"]) == "" == did_you_mean("x", [])


def test_several_in_order_and_none_for_a_very_long_name():
    assert closest("conv1", ["conv12", "conv1", "dense"], limit=2) == ["conv1", "conv12"]
    assert closest("a" * 100_000, ["a" * 99_999]) == []
