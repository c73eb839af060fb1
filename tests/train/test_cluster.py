"""TF_CONFIG: one process alone may be described, several are refused, and what is no description is an error."""

from __future__ import annotations

import json

import pytest

from detection.errors import ConfigError
from detection.sweep import run as sweep
from detection.train import cluster, evaluation, loop, main


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "{}",
        '{"cluster": {}}',
        '{"cluster": null, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["localhost:2222"]}, "task": {"type": "worker", "index": 0}}',
        (
            '{"cluster": {"chief": ["127.0.0.1:2222"], "worker": []}, "task": {"type": "chief", "index": 0},'
            ' "environment": "cloud"}'
        ),
        '{"cluster": {"worker": {"0": "a:1"}}}',
    ],
)
def test_one_process_alone(text):
    assert cluster.refuse(text) is None


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}, "2 processes (2 worker)"),
        ({"cluster": {"chief": ["a:1"], "worker": ["b:1"], "ps": ["c:1"]}}, "3 processes (1 chief, 1 worker, 1 ps)"),
        ({"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "evaluator", "index": 0}}, "2 processes"),
        ({"cluster": {"worker": {"0": "a:1", "5": "b:1"}}}, "2 processes"),
    ],
)
def test_several_are_refused(settings, parts):
    with pytest.raises(ConfigError) as error:
        cluster.refuse(json.dumps(settings))
    assert parts in str(error.value) and "unset TF_CONFIG to use this machine alone" in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "worker",
        "[1]",
        "3",
        '"x"',
        '{"cluster": 3}',
        '{"cluster": ["a:1"]}',
        '{"cluster": {"worker": "a:1"}}',
        "[" * 9999,
    ],
)
def test_what_is_no_description(text):
    with pytest.raises(ConfigError, match="^TF_CONFIG .*unset TF_CONFIG"):
        cluster.refuse(text)


def test_everybody_who_would_ignore_it_refuses(monkeypatch):
    """Before anything is read or built."""
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}}')
    calls = (
        lambda: main.run(None, "run"),
        lambda: main.run(None, "run", eval_only=main.EvalOnly("run")),
        lambda: evaluation.evaluate_checkpoints(None, "run", "run"),
        lambda: sweep.run(None, [], "out", sweep.SweepOptions()),
    )
    for call in calls:
        with pytest.raises(ConfigError, match="TF_CONFIG names 2 processes"):
            call()


def test_training_by_hand_too(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}}')

    class Parts:
        train = train_input = True

    with pytest.raises(ConfigError, match="TF_CONFIG names 2 processes"):
        loop.train(Parts, "run")
