"""Numbers of a row, and what to call it."""

from __future__ import annotations

import dataclasses

import pytest

from detection.errors import ConfigError
from detection.sweep import quantities, results
from tests.helpers.sweep_rows import timed_row


@pytest.mark.parametrize(
    "benchmark",
    [
        {},
        {"milliseconds": None},
        {"milliseconds": {"end_to_end": None}},
        {"milliseconds": {"end_to_end": {"median": "5"}}},
    ],
)
def test_numbers_that_are_not_there(benchmark):
    for quantity in quantities.QUANTITIES.values():
        assert (
            quantity.read(timed_row("odd", benchmark=benchmark, metrics={"DetectionBoxes_Precision/mAP": None})) is None
        )


def test_memory_is_the_accelerator_s_where_there_is_one():
    assert quantities.memory(timed_row("a", 5.0)) == 50.0
    assert quantities.memory(timed_row("b", benchmark={"host_mib": 900.0, "device_mib": 70.0})) == 70.0


def test_titles_say_what_the_axes_add():
    one = timed_row(
        "a", meta_architecture="faster_rcnn", feature_extractor="mobilenet_v1", resolution=128, stride=16, proposals=50
    )
    axes = {"base": "faster_rcnn", "extractor": "mobilenet_v1", "resolution": "128", "stride": "16", "proposals": "50"}
    assert (
        quantities.title(dataclasses.replace(one, axes=axes))
        == "Faster R-CNN MobileNet v1, 128 px, stride 16, 50 proposals"
    )
    varied = dataclasses.replace(one, axes={**axes, "extractor": "mobilenet_v1_half", "loss": "2:1"})
    assert (
        quantities.title(varied)
        == "Faster R-CNN MobileNet v1, 128 px, stride 16, 50 proposals, extractor mobilenet_v1_half, loss 2:1"
    )


def test_one_device(caplog):
    def on(device: str, name: str) -> results.SweepRow:
        return timed_row(
            name, benchmark={"milliseconds": {"end_to_end": {"median": 1.0}}, "device": device, "batch": 1}
        )

    rows = [on("NVIDIA H200", "a"), on("AMD EPYC, 2 cores", "b"), timed_row("untimed", None, 0.5)]
    with pytest.raises(
        ConfigError, match="times of different devices are not comparable.* AMD EPYC, 2 cores; NVIDIA H200; name one"
    ):
        quantities.of_one_device(rows)
    with pytest.raises(ConfigError, match="--device=tpu: no row was timed on it; the devices are: AMD"):
        quantities.of_one_device(rows, "tpu")
    assert not caplog.records
    assert [one.id for one in quantities.of_one_device(rows, "h200")] == ["a", "untimed"]
    assert "1 rows are omitted: timed on AMD EPYC, 2 cores, not on NVIDIA H200" in caplog.text
    assert [one.id for one in quantities.of_one_device(rows[:1])] == ["a"]
    caplog.clear()
    bigger = dataclasses.replace(rows[0], benchmark={**rows[0].benchmark, "batch": 8})
    assert len(quantities.of_one_device([rows[0], bigger])) == 2 and "differ in batch (1, 8)" in caplog.text
