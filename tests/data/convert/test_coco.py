"""The COCO reader: what it takes from JSON, and how it names what is wrong in it."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detection.config import label_map
from detection.data.convert import coco, run
from detection.data.convert.source import Source
from detection.errors import ConfigError, DataError

IMAGE = {"id": 7, "file_name": "a.jpg", "width": 40, "height": 60}
BOX = {"id": 1, "image_id": 7, "category_id": 90, "bbox": [4, 6, 16, 54], "iscrowd": 0, "area": 500.5}
CATEGORIES = [{"id": 1, "name": "person"}, {"id": 90, "name": "toothbrush"}]


@pytest.fixture
def folder(tmp_path, encode):
    (tmp_path / "a.jpg").write_bytes(encode())
    return tmp_path


def read(folder, images=(IMAGE,), annotations=(BOX,), categories=CATEGORIES):
    path = folder / "instances.json"
    path.write_text(json.dumps({"images": list(images), "annotations": list(annotations), "categories": list(categories)}))
    found = coco.read(Source(annotations=str(path), image_dir=str(folder)))
    return list(found.images), found.ids


def convert(folder, *args, label_map_path: str = "", on_bad: str = "skip", **lists):
    path = folder / "instances.json"
    read(folder, *args, **lists)
    settings = {"label_map_path": label_map_path, "on_bad": on_bad, "max_bad_percent": 100.0, "overwrite": True}
    options = run.Options(output=str(folder / "out" / "x.record"), **settings)
    return run.convert(coco.read(Source(annotations=str(path), image_dir=str(folder))), options, io.StringIO())


def test_fields_and_ids_are_kept(folder):
    (image,), ids = read(folder, annotations=[BOX, {**BOX, "iscrowd": 1, "area": 0}])
    assert ids == {"person": 1, "toothbrush": 90}
    assert (image.source_id, image.filename, image.declared_size, image.found_boxes) == ("7", "a.jpg", (40, 60), 2)
    first, second = image.boxes
    assert (first.name, first.xmin, first.ymin, first.xmax, first.ymax, first.area, first.is_crowd) == ("toothbrush", 4, 6, 20, 60, 500.5, False)
    assert (second.area, second.is_crowd) == (None, True)
    assert not image.faults


def test_converts_with_a_sparse_label_map(folder):
    images, ids = read(folder)
    report = run.convert(coco.AnnotatedSet(images, ids), run.Options(output=str(folder / "out" / "val.record")), io.StringIO())
    assert {row["name"]: row["boxes"] for row in report.to_dict()["classes"]} == {"person": 0, "toothbrush": 1}
    assert label_map.load(folder / "out" / "label_map.pbtxt").ids_by_name == ids


@pytest.mark.parametrize(
    ("categories", "ids"),
    [
        ([(0, "cat", None), (1, "dog", None)], {"cat": 1, "dog": 2}),
        ([(0, "things", "none"), (1, "dog", "things"), (2, "cat", "things")], {"dog": 1, "cat": 2}),
        ([(0, "things", ""), (1, "animal", "things"), (2, "dog", "animal")], {"animal": 1, "dog": 2}),  # by way of another
        ([(0, "person", "person"), (1, "rider", "person")], {"person": 1, "rider": 2}),  # a class in a group of its own name
        ([(0, "person", ""), (1, "rider", "person"), (2, "car", "vehicle")], {"person": 1, "rider": 2, "car": 3}),
        ([(0, "cat", "animal"), (1, "dog", "animal")], {"cat": 1, "dog": 2}),
        ([(0, "__background__", None), (1, "dog", None)], {"dog": 1}),
        ([(1, "cat", None), (3, "dog", "cat")], {"cat": 1, "dog": 3}),
        ([(0, "cat", None)], {"cat": 1}),
        ([(0, "a", "b"), (1, "b", "a")], {"a": 1, "b": 2}),  # supercategories in a circle
    ],
)
def test_the_list_of_categories_decides_the_labels_of_every_split(folder, categories, ids):
    entries = [{"id": number, "name": name, "supercategory": parent} for number, name, parent in categories]
    last = entries[-1]["id"]
    assert read(folder, annotations=[{**BOX, "category_id": last}], categories=entries)[1] == ids
    assert read(folder, annotations=[], categories=entries)[1] == ids
    if len(ids) == len(entries):
        assert read(folder, annotations=[{**BOX, "category_id": entries[0]["id"]}], categories=entries)[1] == ids


def test_a_root_with_boxes_makes_no_label_map_but_obeys_one(folder):
    categories = [{"id": 0, "name": "things"}, {"id": 1, "name": "dog", "supercategory": "things"}]
    boxes = [{**BOX, "category_id": 0}, {**BOX, "category_id": 1, "bbox": [1, 2, 30, 40]}]
    with pytest.raises(DataError, match=r"category 0 \('things'\) is the supercategory of all others.*--label_map_path"):
        convert(folder, annotations=boxes, categories=categories)
    path = folder / "map.pbtxt"
    path.write_text('item { id: 1 name: "things" } item { id: 2 name: "dog" }')
    report = convert(folder, annotations=boxes, categories=categories, label_map_path=str(path))
    assert {row["name"]: row["boxes"] for row in report.to_dict()["classes"]} == {"things": 1, "dog": 1}


@pytest.mark.parametrize(
    ("images", "annotations", "kind", "parts"),
    [
        ([IMAGE, IMAGE], [], "duplicate_id", ["images[1]", "id 7 was there before"]),
        ([IMAGE], [BOX, {**BOX, "image_id": 8}], "annotation_orphan", ["annotations[1]", "image_id 8 is not in images"]),
        ([IMAGE], [{**BOX, "category_id": 5}], "class_unknown", ["annotations[0] (id 1)", "category_id 5"]),
        ([IMAGE], [{**BOX, "category_id": "ninety"}], "class_unknown", ["category_id 'ninety'"]),
        ([IMAGE], [{**BOX, "bbox": [1, 2, 3]}], "box_unreadable", ["[1, 2, 3] is not [x, y, width, height]"]),
        ([IMAGE], [{**BOX, "bbox": [1, 2, 3, None]}], "box_unreadable", ["annotations[0]"]),
        ([IMAGE], [{**BOX, "bbox": [1, 2, 3, float("nan")]}], "box_unreadable", ["nan"]),
        ([IMAGE], [{**BOX, "bbox": [1, 2, 3, 10**400]}], "box_unreadable", ["annotations[0]", "000] is not"]),
        ([{**IMAGE, "width": 10**400}], [{**BOX, "area": 10**400}], "size_absent", ["images[0]", "width 1000"]),
        ([{**IMAGE, "file_name": "../a.jpg"}], [], "unsafe_path", ["images[0]", "'../a.jpg'"]),
        ([{"id": 7}], [], "annotation_unreadable", ["images[0]", "file_name None"]),
        ([{**IMAGE, "width": None}], [], "size_absent", ["images[0]", "width None"]),
    ],
)
def test_faults_name_file_entry_and_value(folder, images, annotations, kind, parts):
    found, _ = read(folder, images, annotations)
    (fault,) = [fault for image in found for fault in image.faults]
    assert fault.kind == kind
    for part in ("instances.json", *parts):
        assert part in str(fault)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{\n nonsense", r"instances.json:2:2: not JSON"),
        ("[]", "'images' is not a list"),
        ('{"images": [], "annotations": 3, "categories": []}', "'annotations' is not a list"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}', r"categories\[1\]: id 1"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', r"categories\[0\].*name None"),
        ('{"images": [], "annotations": [], "categories": [{"id": 2147483648, "name": "a"}]}', r"categories\[0\]: id 2147483648"),
        ("[" * 100_000, "cannot read"),
        ("9" * 5000, r"instances.json: cannot read: .*4300 digits"),
    ],
)
def test_what_is_not_coco(folder, content, says):
    path = folder / "instances.json"
    path.write_text(content)
    with pytest.raises(DataError, match=says):
        coco.read(Source(annotations=str(path)))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (Source(), "--annotation_file"),
        (Source(annotations="nowhere.json"), "nowhere.json: no such COCO file"),
        (Source(annotations=__file__, image_dir="nowhere"), "nowhere: no such folder of images"),
        (Source(annotations=__file__, subset="train"), "its own split"),
    ],
)
def test_missing_files(source, says):
    with pytest.raises(ConfigError, match=says):
        coco.read(source)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10) | st.just(10**400) | st.floats() | st.text(max_size=5) | st.just([1, 2, 3, 4]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "name", "bbox"]), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(["id", "file_name", "width", "height"], _JSON)), max_size=4),
    st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(["id", "image_id", "category_id", "bbox", "iscrowd", "area"], _JSON)), max_size=4),
)
def test_only_our_error_escapes(folder, images, annotations):
    found, _ = read(folder, images, annotations)
    assert sum(image.found_boxes for image in found) == len(annotations)
