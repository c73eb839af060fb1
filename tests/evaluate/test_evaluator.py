"""What holds for every evaluator: each class of detection.evaluate that has the verbs is found and tried."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil

import numpy as np
import pytest

import detection.evaluate
from detection.evaluate.evaluator import Evaluator, ImageDetections, ImageGroundtruth, category_names
from detection.types import Category

CATEGORIES = (Category(1, "red"), Category(3, "blau/grün"), Category(4, "absent"))


def evaluators() -> list[type]:
    """All public classes with the verbs of an evaluator, but the protocol."""
    found = set()
    for module in pkgutil.iter_modules(detection.evaluate.__path__, "detection.evaluate."):
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if (
                all(hasattr(kind, verb) for verb in ("clear", "add", "result", "per_category"))
                and kind is not Evaluator
            ):
                found.add(kind)
    return sorted(found, key=lambda kind: kind.__name__)


each = pytest.mark.parametrize("kind", evaluators())
BOXES = np.array([[10.0, 10, 40, 50], [60, 60, 99, 90], [0, 0, 20, 20]])
NOTHING_THERE = ImageGroundtruth(
    np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0, bool), np.zeros(0)
)
NOTHING_FOUND = ImageDetections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))


def image(scores=(0.9, 0.8, 0.7), shift=0.0) -> tuple[ImageGroundtruth, ImageDetections]:
    classes = np.array([0, 2, 2])
    nothing = np.zeros(3, bool)
    return ImageGroundtruth(BOXES, classes, nothing, nothing, np.full(3, 900.0)), ImageDetections(
        BOXES + shift, np.array(scores), classes
    )


def test_all_are_found():
    assert {kind.__name__ for kind in evaluators()} >= {"CocoEvaluator", "PascalVocEvaluator", "ConfusionEvaluator"}


@each
def test_keeps_the_protocol(kind):
    assert isinstance(kind(CATEGORIES), Evaluator)


@each
def test_perfect_is_one_and_everything_is_finite_json(kind):
    evaluator = kind(CATEGORIES)
    evaluator.add("a", *image())
    result = evaluator.result()
    assert all(isinstance(tag, str) and isinstance(value, float) for tag, value in result.items())
    assert next(iter(result.values())) == pytest.approx(1.0)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert all(-1.0 <= value <= 1.0 for value in result.values())


@each
def test_worse_detections_score_less(kind):
    exact, shifted = kind(CATEGORIES), kind(CATEGORIES)
    exact.add("a", *image())
    shifted.add("a", *image(shift=25.0))
    assert next(iter(shifted.result().values())) < next(iter(exact.result().values()))


@each
def test_result_can_be_asked_for_at_any_time_and_clear_starts_anew(kind):
    evaluator = kind(CATEGORIES)
    nothing = evaluator.result()
    assert next(iter(nothing.values())) == -1.0
    evaluator.add("a", *image())
    first = evaluator.result()
    assert evaluator.result() == first
    evaluator.add("b", *image(shift=25.0))
    assert evaluator.result() != first
    evaluator.clear()
    assert evaluator.result() == nothing
    evaluator.add("a", *image())
    assert evaluator.result() == first


@each
def test_images_without_objects_or_detections(kind):
    evaluator = kind(CATEGORIES)
    evaluator.add("a", NOTHING_THERE, NOTHING_FOUND)
    evaluator.add("b", image()[0], NOTHING_FOUND)
    assert all(value in (-1.0, 0.0) for value in evaluator.result().values())
    evaluator.add("c", NOTHING_THERE, image()[1])
    assert next(iter(evaluator.result().values())) == 0.0


@each
def test_columns_of_the_table_hold_the_categories_with_groundtruth(kind):
    evaluator = kind(CATEGORIES)
    evaluator.add("a", *image())
    columns = evaluator.per_category()
    assert columns and all(set(column.values) == {"red", "blau/grün"} for column in columns)
    assert not any("absent" in tag for tag in evaluator.result())


@each
def test_arguments_are_not_changed(kind):
    groundtruth, detections = image()
    before = [np.array(field) for field in (*groundtruth, *detections)]
    evaluator = kind(CATEGORIES)
    evaluator.add("a", groundtruth, detections)
    evaluator.result()
    for field, copy in zip((*groundtruth, *detections), before, strict=True):
        np.testing.assert_array_equal(field, copy)


def test_repeated_names_are_told_apart():
    assert category_names((Category(1, "cell"), Category(2, "cell"), Category(3, "dish"))) == {
        0: "cell (id 1)",
        1: "cell (id 2)",
        2: "dish",
    }
    shown = category_names((Category(1, "/m/1", "cell"), Category(2, "cell"), Category(3, "/m/3", "dish\x1b[2J")))
    assert shown == {0: "cell (id 1)", 1: "cell (id 2)", 2: r"dish\x1b[2J"}
