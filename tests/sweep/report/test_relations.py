"""The relations of the survey, by hand."""

from __future__ import annotations

import dataclasses

import pytest

from detection.sweep import results
from detection.sweep.report import relations
from tests.helpers.sweep_rows import benchmark_row


def two_stages(name: str, ms: float, mean: float, **fields) -> results.SweepRow:
    usual = {
        "meta_architecture": "faster_rcnn",
        "feature_extractor": "inception_resnet_v2",
        "resolution": 600,
        "stride": 16,
        "proposals": 300,
    }
    return benchmark_row(name, ms, mean=mean, **{**usual, **fields})


def found(rows) -> dict[str, tuple[str, int]]:
    return {one.what: (one.ours, one.pairs) for one in relations.relations(rows)}


def test_relations_by_hand():
    rows = [
        two_stages("a", 900, 0.40),
        two_stages("b", 300, 0.38, proposals=50),
        two_stages("c", 240, 0.30, proposals=10),
        two_stages("d", 675, 0.30, resolution=300),
        two_stages("e", 1440, 0.42, stride=8),
        two_stages("f", 100, 0.20, meta_architecture="rfcn", feature_extractor="resnet101"),
        two_stages("g", 95, 0.19, meta_architecture="rfcn", feature_extractor="resnet101", proposals=10),
        two_stages("h", 110, 0.22, feature_extractor="resnet101", proposals=100),
    ]
    table = found(rows)
    assert table == {
        "Faster R-CNN Inception-ResNet v2, 300 to 50 proposals: time": ("3.00 times faster", 1),
        "the same: mAP kept": ("95 %", 1),
        "the same, 300 to 10 proposals: mAP kept": ("75 %", 1),
        "Faster R-CNN, all extractors, 300 to 10 proposals: time": ("-73.3 %", 1),
        "R-FCN, all extractors, 300 to 10 proposals: time": ("-5.0 %", 1),
        "Half the resolution: time": ("-25.0 %", 1),
        "Half the resolution: mAP": ("-25.0 %", 1),
        "Stride 8 in place of 16: time": ("+60.0 %", 1),
        "Stride 8 in place of 16: mAP": ("+5.0 %", 1),
        "Faster R-CNN with 100 proposals over R-FCN with 300, ResNets: time": ("1.10 times", 1),
        "Faster R-CNN with 100 proposals over R-FCN with 300, ResNets: mAP": ("1.10 times", 1),
    }
    assert relations.by_extractor(rows) == [
        ("Faster R-CNN", "Inception-ResNet v2", 1, pytest.approx(1 / 3), pytest.approx(0.95))
    ]


def test_relations_compare_only_what_differs_in_nothing_else():
    """Another loss, a failed row, a missing time: no pair."""
    pair = [two_stages("a", 900, 0.4), two_stages("b", 300, 0.3, proposals=50)]
    what = "Faster R-CNN Inception-ResNet v2, 300 to 50 proposals: time"
    assert found([dataclasses.replace(pair[0], axes={"loss": "2:1"}), pair[1]])[what] == ("–", 0)
    assert found([pair[0], dataclasses.replace(pair[1], status="failed")])[what] == ("–", 0)
    assert found([pair[0], dataclasses.replace(pair[1], benchmark=None)])[what] == ("–", 0)
    assert found([dataclasses.replace(one, axes={"loss": "2:1"}) for one in pair])[what] == ("3.00 times faster", 1)
    assert found([])[what] == ("–", 0)


def test_resolutions_that_halve_twice_give_two_pairs():
    rows = [two_stages(str(size), ms, 0.3, resolution=size) for size, ms in ((128, 10), (256, 20), (512, 80))]
    assert found(rows)["Half the resolution: time"] == ("-62.5 %", 2)  # -50 and -75


def test_resolutions_that_do_not_halve_are_compared_as_what_they_are():
    rows = [two_stages(str(size), ms, 0.3, resolution=size) for size, ms in ((128, 10), (160, 15), (192, 20))]
    assert found(rows)["192 to 128 pixels, 0.67 times the resolution: time"] == ("-50.0 %", 1)
    assert found(rows[:1])["Half the resolution: time"] == ("–", 0)


def test_share_of_post_processing():
    (one,) = relations.shares(
        [
            benchmark_row("a", 10, meta_architecture="ssd"),
            benchmark_row("b", 30, meta_architecture="ssd"),
            results.SweepRow("c", "c", "failed"),
        ]
    )
    assert one == ("SSD", 2, 2.0, 3.0, pytest.approx(0.1), pytest.approx(0.1))
    measured = benchmark_row("d", 50, meta_architecture="ssd")
    measured.benchmark["postprocess_share"] = 0.04  # of rounds in which the whole was run without it, too
    (one,) = relations.shares([measured])
    assert one == ("SSD", 1, pytest.approx(2.0), pytest.approx(2.0), 0.04, 0.04)
