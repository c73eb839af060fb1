"""Conversion from end to end: what lands in the records, what is told, and what happens with bad data under each
policy."""

from __future__ import annotations

import hashlib
import io
import json

import pytest
import tensorflow as tf
from PIL import Image

from detection.config import label_map
from detection.data.convert import conversion, voc
from detection.data.convert.source import Source
from detection.data.findings import DataReport
from detection.errors import DataError


def records(folder, prefix: str = "all.record") -> list[tf.train.Example]:
    shards = sorted(str(path) for path in (folder.root / "out").glob(f"{prefix}-*"))
    return [
        tf.train.Example.FromString(data)
        for shard in shards
        for data in tf.data.TFRecordDataset(shard).as_numpy_iterator()
    ]


def values(example: tf.train.Example, key: str) -> list:
    feature = example.features.feature[key]
    return list(getattr(feature, feature.WhichOneof("kind")).value)


def outputs(folder) -> list[str]:
    return sorted(path.name for path in (folder.root / "out").iterdir())


def boxes_per_class(report: DataReport) -> dict[str, int]:
    return {row["name"]: row["boxes"] for row in report.to_dict()["classes"]}


def test_every_standard_key(voc_folder, encode):
    voc_folder.add(
        "a b é", [("dog", 4, 6, 20, 60, {"difficult": 1, "truncated": 1, "pose": "Left"}), ("cat", 0, 0, 40, 60)]
    )
    report, told = voc_folder.convert()
    (example,) = records(voc_folder)
    expected = {
        "image/encoded": [encode()],
        "image/format": [b"jpeg"],
        "image/key/sha256": [hashlib.sha256(encode()).hexdigest().encode()],
        "image/filename": ["a b é.jpg".encode()],
        "image/source_id": ["a b é.jpg".encode()],
        "image/height": [60],
        "image/width": [40],
        "image/object/bbox/ymin": pytest.approx([0.1, 0.0]),
        "image/object/bbox/xmin": pytest.approx([0.1, 0.0]),
        "image/object/bbox/ymax": [1.0, 1.0],
        "image/object/bbox/xmax": [0.5, 1.0],
        "image/object/class/label": [2, 1],
        "image/object/class/text": [b"dog", b"cat"],
        "image/object/area": [864.0, 2400.0],
        "image/object/difficult": [1, 0],
        "image/object/is_crowd": [0, 0],
        "image/object/group_of": [0, 0],
        "image/object/truncated": [1, 0],
        "image/object/view": [b"Left", b""],
        "image/object/weight": [1.0, 1.0],
    }
    assert {key: values(example, key) for key in example.features.feature} == expected
    assert (report.images, report.boxes, boxes_per_class(report)) == (1, 2, {"cat": 1, "dog": 1})
    assert "1 image, 2 boxes" in told and "nothing wrong" in told
    assert label_map.load(voc_folder.root / "out" / "label_map.pbtxt").ids_by_name == {"cat": 1, "dog": 2}


def test_existing_label_map_is_obeyed_and_unchanged(voc_folder):
    path = voc_folder.root / "map.pbtxt"
    voc_folder.add("a", [("dog", 1, 2, 3, 4), ("wolf", 1, 2, 3, 4), ("Katze", 1, 2, 3, 4)])
    path.write_text('item { name: "/m/1" display_name: "Katze" id: 7 } item { name: "dog" id: 90 }')
    before = path.read_bytes()
    report, told = voc_folder.convert(label_map_path=str(path))
    (example,) = records(voc_folder)
    assert values(example, "image/object/class/label") == [90, 7]
    assert values(example, "image/object/class/text") == [b"dog", b"Katze"]
    assert path.read_bytes() == before
    assert "object 2 'wolf'" in told and str(path) in told and boxes_per_class(report) == {"Katze": 1, "dog": 1}


def test_images_without_objects_are_kept_as_negatives(voc_folder):
    voc_folder.add("a")
    voc_folder.add("b", [])
    voc_folder.image("c.jpg")
    report, told = voc_folder.convert()
    assert (report.images, report.images_without_boxes) == (3, 2) and "2 without boxes" in told
    assert [fault.kind for fault in report.faults] == ["no_annotation"]
    assert values(records(voc_folder)[1], "image/object/bbox/ymin") == []


def test_difficult_objects_can_be_ignored(voc_folder):
    voc_folder.add("a", [("dog", 1, 2, 3, 4, {"difficult": 1}), ("cat", 1, 2, 3, 4)])
    report, told = voc_folder.convert(ignore_difficult=True)
    assert (
        boxes_per_class(report) == {"cat": 1} and report.ignored_difficult_boxes == 1 and "1 of them difficult" in told
    )


def bad_folder(folder, encode) -> None:
    folder.add("good")
    folder.add("inverted", [("dog", 20, 2, 1, 30), ("dog", 1, 2, 20, 30)])
    folder.add("zero", [("dog", 5, 5, 5, 5)])
    folder.add("clipped", [("dog", 5, 5, 41, 9)])
    folder.add("resized", size=(80, 120))
    folder.add("cut", data=encode(width=40, height=60)[:-2])
    folder.add("text", data=b"no image at all")
    folder.add("empty", data=b"")
    folder.annotate("lost", filename="lost.jpg")
    folder.annotate("broken").write_text("<annotation>")


def test_skip_leaves_out_and_tells(voc_folder, encode):
    bad_folder(voc_folder, encode)
    report, told = voc_folder.convert()
    assert [values(example, "image/filename")[0] for example in records(voc_folder)] == [
        b"clipped.jpg",
        b"good.jpg",
        b"inverted.jpg",
    ]
    kinds = sorted(fault.kind for fault in report.faults)
    assert kinds == [
        "annotation_unreadable",
        "box_clipped",
        "box_inverted",
        "box_zero_area",
        "image_missing",
        "image_truncated",
        "image_unreadable",
        "image_unreadable",
        "no_usable_box",
        "size_mismatch",
    ]
    for part in (
        "left out: 7 of 10 images",
        "inverted.xml: object 1 'dog'",
        "text.jpg: not an image of a known type, but text",
        "empty.jpg: empty file",
        "lost.jpg",
        "broken.xml",
        "wrong: images that cannot be decoded: 2",
        "note: boxes without area; left out: 1",
    ):
        assert part in told
    saved = json.loads((voc_folder.root / "out" / "all.record.report.json").read_text())
    assert saved["fault_counts"]["image_unreadable"] == 2 and len(saved["faults"]) == 10
    assert saved["images"]["found"] == 10 and saved["images"]["written"] == 3


def test_fix_repairs_what_can_be(voc_folder, encode):
    bad_folder(voc_folder, encode)
    report, _ = voc_folder.convert(on_bad="fix")
    examples = {values(example, "image/filename")[0]: example for example in records(voc_folder)}
    assert sorted(examples) == [b"clipped.jpg", b"cut.jpg", b"good.jpg", b"inverted.jpg", b"resized.jpg"]
    assert values(examples[b"inverted.jpg"], "image/object/bbox/xmin")[0] == pytest.approx(1 / 40)
    assert values(examples[b"resized.jpg"], "image/object/bbox/xmax")[0] == pytest.approx(20 / 80)
    assert values(examples[b"cut.jpg"], "image/format") == [b"png"]
    assert sorted(fault.kind for fault in report.bad) == [
        "annotation_unreadable",
        "image_missing",
        "image_unreadable",
        "image_unreadable",
        "no_usable_box",
    ]


def test_fail_checks_everything_and_writes_only_the_report(voc_folder, encode):
    bad_folder(voc_folder, encode)
    with pytest.raises(
        DataError, match="8 faults, first: .*--on_bad=skip.*no records were written; all faults: .*report.json"
    ) as caught:
        voc_folder.convert(on_bad="fail")
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value)
    assert outputs(voc_folder) == ["all.record.report.json"]


def test_fail_accepts_what_is_only_noted(voc_folder):
    voc_folder.add("a", [("dog", 5, 5, 5, 5), ("dog", 1, 1, 9, 9)])
    voc_folder.convert(on_bad="fail")
    assert len(records(voc_folder)) == 1


@pytest.mark.parametrize(
    ("objects", "says"),
    [
        ([("dog", 9, 1, 1, 9), ("dog", 1, 1, 9, 9), ("dog", 9, 2, 1, 9)], "2 of 3 boxes are bad"),
        ([("dog", 1, 1, 99, 9), ("dog", 1, 1, 9, 99), ("dog", 1, 1, 9, 9)], "2 of 3 boxes are partly outside"),
    ],
)
def test_one_mistake_everywhere_is_refused(voc_folder, objects, says):
    voc_folder.add("a", objects)
    with pytest.raises(DataError, match=f"{says}.*--max_bad_percent=50, first: .*a.xml: object 1"):
        voc_folder.convert(max_bad_percent=50.0)
    assert outputs(voc_folder) == ["all.record.report.json"]


@pytest.mark.parametrize("damage", ["annotation", "image", "size"])
def test_boxes_of_images_left_out_count_as_lost(voc_folder, damage):
    for name in "abcd":
        voc_folder.add(name)
    voc_folder.add(
        "e", [("dog", 1, 1, 9 + number, 9) for number in range(6)], size=(9, 90) if damage == "size" else (40, 60)
    )
    if damage == "annotation":
        path = voc_folder.root / "Annotations" / "e.xml"
        path.write_text(path.read_text().replace("</annotation>", ""))
    elif damage == "image":
        (voc_folder.root / "JPEGImages" / "e.jpg").write_bytes(b"")
    with pytest.raises(
        DataError,
        match=(
            r"6 of 10 boxes are bad \(or in skipped images: 6\), more than --max_bad_percent=50, first: .*e\.(xml|jpg)"
        ),
    ):
        voc_folder.convert(max_bad_percent=50.0)
    assert voc_folder.convert(max_bad_percent=60.0)[0].images == 4


def test_an_image_that_lost_all_its_boxes_is_not_one_without_objects(voc_folder):
    voc_folder.add("a")
    voc_folder.add("b", [("dog", 50, 1, 60, 9)])  # outside
    voc_folder.add("c", [("dog", 5, 5, 5, 5)])  # a slip of the mouse, or the only object there is
    voc_folder.add("d", "<object><name>dog</name></object>")
    report, told = voc_folder.convert()
    assert [values(example, "image/filename")[0] for example in records(voc_folder)] == [b"a.jpg"]
    assert [fault.kind for fault in report.bad] == [
        "box_outside",
        "no_usable_box",
        "no_usable_box",
        "box_unreadable",
        "no_usable_box",
    ]
    assert "none of 1 box of b.jpg is usable, first: object 1 'dog' (image left out)" in told


@pytest.mark.parametrize(("beyond", "refused"), [(0.5, False), (1, False), (1.5, True)])
def test_boxes_that_all_reach_a_pixel_outside_are_one_slip_of_counting(voc_folder, beyond, refused):
    for name in "abc":
        voc_folder.add(name, [("dog", -beyond, 2, 20, 60 + beyond)])
    if refused:
        with pytest.raises(DataError, match="3 of 3 boxes are partly outside"):
            voc_folder.convert(max_bad_percent=50.0)
    else:
        report, told = voc_folder.convert(max_bad_percent=50.0)
        assert report.boxes == 3 and "clipped by a pixel or less" in told


def test_objects_of_classes_that_the_map_does_not_have_are_background(voc_folder):
    path = voc_folder.root / "map.pbtxt"
    voc_folder.add("a", [("dog", 1, 2, 20, 30)])
    voc_folder.add("b", [("car", 1, 2, 20, 30)])
    voc_folder.add("c", [("Dog", 1, 2, 20, 30)])  # not this one: it may be what the map calls dog
    path.write_text('item { name: "dog" id: 1 }')
    report, told = voc_folder.convert(label_map_path=str(path))
    assert (
        (report.images, report.images_without_boxes) == (2, 1) and "'Dog' is not in" in told and "but 'dog' is" in told
    )


def test_classes_that_differ_by_case_or_blanks_are_reported(voc_folder):
    voc_folder.add(
        "a",
        [
            ("traffic light", 1, 2, 20, 30),
            ("Traffic  Light", 1, 2, 20, 30),
            ("trafficlight", 1, 2, 20, 30),
            ("dog", 1, 2, 20, 30),
        ],
    )
    report, told = voc_folder.convert()
    assert (
        report.boxes == 4 and "'Traffic Light' (1 boxes), 'traffic light' (1 boxes), 'trafficlight' (1 boxes)" in told
    )
    assert [fault.kind for fault in report.faults] == ["class_names_alike"]


def test_the_number_of_images_without_annotation_is_said(voc_folder):
    voc_folder.add("a")
    for name in ("b.jpg", "c.jpg"):
        voc_folder.image(name)
    assert "  without annotation: 2 of 3 images, kept as images without objects\n" in voc_folder.convert()[1]


@pytest.mark.parametrize("on_bad", ["skip", "fix"])
def test_an_image_that_exif_turns_and_its_boxes_agree(voc_folder, encode, on_bad):
    exif = Image.Exif()
    exif[0x0112] = 6
    voc_folder.add("a")
    voc_folder.add("b", [("dog", 10, 20, 30, 38)], encode(width=40, height=60, exif=exif), size=(60, 40))
    report, told = voc_folder.convert(on_bad=on_bad)
    assert report.images == (2 if on_bad == "fix" else 1) and "EXIF orientation 6 turns it" in told
    if on_bad == "fix":
        example = records(voc_folder)[1]
        box = [values(example, f"image/object/bbox/{side}")[0] for side in ("xmin", "ymin", "xmax", "ymax")]
        assert box == pytest.approx([20 / 40, 30 / 60, 38 / 40, 50 / 60])


def test_a_data_set_in_fractions_is_refused_or_converted(voc_folder):
    voc_folder.add("a", [("dog", 0.1, 0.2, 0.5, 0.6)])
    voc_folder.add("b", [("dog", 0, 0, 1, 1)])
    with pytest.raises(
        DataError,
        match="none of 2 images is usable, first: .*a.xml: object 1 'dog'.*fractions of the image.*--on_bad=fix",
    ):
        voc_folder.convert()
    report, _ = voc_folder.convert(on_bad="fix")
    assert report.boxes == 2 and values(records(voc_folder)[1], "image/object/bbox/xmax") == [1.0]


def test_no_class_gives_the_first_reason(voc_folder):
    voc_folder.image("a.jpg")
    voc_folder.annotate("a").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>')
    with pytest.raises(
        DataError, match="no object in any of 1 annotations.*first: .*a.xml: of a.jpg: declares entities"
    ):
        voc_folder.convert()


def test_nothing_usable_is_an_error(voc_folder):
    voc_folder.add("a", data=b"")
    with pytest.raises(DataError, match="none of 1 image is usable, first: .*a.jpg: empty file"):
        voc_folder.convert()


def test_no_objects_and_no_map_is_an_error(voc_folder):
    voc_folder.add("a", [])
    with pytest.raises(DataError, match="no object in any of 1 annotations"):
        voc_folder.convert()


def test_same_bytes_whatever_the_number_of_threads(voc_folder):
    for number in range(23):
        voc_folder.add(f"{number:02}", [("dog", 1, 2, 20, 30 + number)])
    digests = []
    for workers in (1, 5):
        voc_folder.convert(num_shards=3, workers=workers, overwrite=True)
        digests.append(
            [
                hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted((voc_folder.root / "out").glob("all.record-*"))
            ]
        )
    assert digests[0] == digests[1] and len(digests[0]) == 3
    manifest = json.loads((voc_folder.root / "out" / "all.record.manifest.json").read_text())
    assert [shard["sha256"] for shard in manifest["shards"]] == digests[0]
    assert [shard["records"] for shard in manifest["shards"]] == [8, 8, 7]


def test_existing_records_are_not_overwritten_unasked(voc_folder):
    voc_folder.add("a")
    voc_folder.convert(num_shards=2)
    with pytest.raises(DataError, match="all.record-00000-of-00002: exists already.*--overwrite"):
        voc_folder.convert()
    voc_folder.convert(overwrite=True)
    assert outputs(voc_folder) == [
        "all.record-00000-of-00001",
        "all.record.manifest.json",
        "all.record.report.json",
        "label_map.pbtxt",
    ]


def test_same_id_twice_is_told(voc_folder):
    voc_folder.add("a")
    sets = voc.read(Source(roots=(str(voc_folder.root),)))
    images = list(sets.images)
    report = conversion.convert(
        sets._replace(images=images + images),
        conversion.ConversionOptions(output=str(voc_folder.root / "x")),
        io.StringIO(),
    )
    assert [fault.kind for fault in report.faults] == ["duplicate_id"] and report.images == 1


def test_images_above_the_limit(voc_folder, encode):
    voc_folder.add("small")
    voc_folder.add("large", data=encode(width=80, height=60), size=(80, 60))
    report, told = voc_folder.convert(max_image_pixels=3000)
    assert report.images == 1 and "large.jpg: 80x60 pixels, more than 3000" in told


def test_real_data(shared, tmp_path):
    told = io.StringIO()
    source = Source(roots=(str(shared / "data" / "bccd"),), subset="val")
    report: DataReport = conversion.convert(
        voc.read(source), conversion.ConversionOptions(output=str(tmp_path / "val.record"), on_bad="fail"), told
    )
    assert boxes_per_class(report) == {"Platelets": 83, "RBC": 967, "WBC": 87}
    (fault,) = report.faults
    assert fault.kind == "box_zero_area" and "BloodImage_00338.xml: object 13 'RBC': (504, 337, 504, 337)" in str(fault)
