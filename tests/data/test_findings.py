"""The report: sizes, table, faults, and its JSON."""

from __future__ import annotations

import json

import pytest

from detection.data.findings import KINDS, DataReport, Fault, size_of
from detection.data.record_writer import RecordBox, RecordImage


def image(*boxes: RecordBox, width: int = 20) -> RecordImage:
    return RecordImage(b"", "jpeg", 10, width, "a.jpg", "a", boxes)


def box(label: int = 1, text: str = "dog", area: float = 10.0, **more: bool) -> RecordBox:
    return RecordBox(0, 0, 1, 1, label, text, area, **more)


@pytest.mark.parametrize(
    ("area", "size"), [(0, "small"), (1023.9, "small"), (1024, "medium"), (9215.9, "medium"), (9216, "large")]
)
def test_coco_sizes(area, size):
    assert size_of(area) == size


def test_table_counts_images_boxes_and_sizes():
    report = DataReport("train")
    report.declare({2: "cat"})
    report.add(image(box(), box(area=2000.0, difficult=True), box(area=20000.0)))
    report.add(image(width=40))
    report.found_images = report.found_boxes = 3
    lines = list(report.lines())
    assert lines[0] == "train: 2 images, 3 boxes"
    assert lines[1] == "  images: 2 sizes from 20x10 to 40x10; 2 jpeg; 1 without boxes; at most 3 boxes in one"
    assert lines[2] == "  left out: 1 of 3 images, 0 of 3 boxes"
    assert [line.split() for line in lines[3:7]] == [
        ["id", "class", "images", "boxes", "small", "medium", "large"],
        ["1", "dog", "1", "3", "1", "1", "1"],
        ["2", "cat", "0", "0", "0", "0", "0"],
        ["all", "2", "3", "1", "1", "1"],
    ]
    assert lines[7] == "  nothing wrong was found"
    assert {row["name"]: row["boxes"] for row in report.to_dict()["classes"]} == {"dog": 3, "cat": 0}


def test_many_classes_are_cut_to_the_most_frequent():
    report = DataReport("train")
    report.declare({label: f"class {label}" for label in range(1, 101)})
    report.add(image(box(label=77, text="class 77")))
    lines = list(report.lines())
    assert (
        any(line.split()[:3] == ["77", "class", "77"] for line in lines)
        and "  (the 40 most frequent of 100 classes; 99 have no box)" in lines
    )


def test_faults_are_grouped_bad_ones_first_and_cut():
    report = DataReport("train")
    report.faults = [Fault("box_clipped", "a.xml", "object 1", "(1, 2, 3, 4)", "clipped")]
    report.faults += [Fault("box_inverted", f"{number}.xml", "object 1", "", "box left out") for number in range(7)]
    report.faults += [Fault("box_inverted", "b.xml", "object 2", "", "repaired: swapped")]
    lines = list(report.lines())
    start = lines.index(f"  wrong: {KINDS['box_inverted'].meaning}: 8")
    assert lines[start + 1] == "    0.xml: object 1 (box left out)" and lines[start + 6] == "    ... and 3 more"
    assert lines[start + 7 :] == [
        f"  note: {KINDS['box_clipped'].meaning}: 1",
        "    a.xml: object 1: (1, 2, 3, 4) (clipped)",
    ]
    assert len(report.bad) == 7


def test_json_holds_every_fault(tmp_path):
    report = DataReport("train")
    report.faults = [Fault("box_inverted", f"{number}.xml") for number in range(30)]
    report.add(image(box()))
    report.save(tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text())
    assert len(content["faults"]) == 30 and content["fault_counts"] == {"box_inverted": 30}
    assert content["classes"] == [
        {"id": 1, "name": "dog", "images": 1, "boxes": 1, "small": 1, "medium": 0, "large": 0}
    ]
    assert content["images"]["width"] == [20, 20] and content["boxes"]["small"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
