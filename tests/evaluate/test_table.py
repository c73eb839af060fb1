"""Tables for the terminal."""

from __future__ import annotations

from detection.evaluate import table
from detection.evaluate.evaluator import PerCategory


def test_overall_aligns_numbers_and_writes_minus_one_as_a_dash():
    assert table.overall({"a/mAP": 0.5, "a/mAP (small)": -1.0, "Loss/x": 12.5}).splitlines() == [
        "  a/mAP            0.5000",
        "  a/mAP (small)         -",
        "  Loss/x          12.5000",
    ]


def test_categories_with_groundtruth_in_order_and_the_others_counted():
    text = table.by_category(
        {"cat": 3, "yak": 0, "ox": 1200},
        [PerCategory("AP", {"cat": 0.25, "ox": 1.0}), PerCategory("AP50", {"cat": 0.5})],
    )
    assert text.splitlines() == [
        "  category    boxes       AP     AP50",
        "  cat             3   0.2500   0.5000",
        "  ox           1200   1.0000        -",
        "  (1 category without groundtruth left out)",
    ]


def test_long_names_are_cut():
    assert "…" in table.by_category({"x" * 80: 1}, [])


def test_no_categories_at_all():
    assert "category" in table.by_category({}, [])
    assert table.overall({}) == ""
