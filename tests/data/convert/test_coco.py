"""The COCO reader: what it takes from JSON, and how it names what is wrong in it."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detection.config import label_map
from detection.data.convert import coco, coco_images, conversion
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
    path.write_text(
        json.dumps({"images": list(images), "annotations": list(annotations), "categories": list(categories)})
    )
    found = coco.read(Source(annotations=str(path), image_dir=str(folder)))
    return list(found.images), found.ids


def convert(folder, *args, label_map_path: str = "", on_bad: str = "skip", **lists):
    path = folder / "instances.json"
    read(folder, *args, **lists)
    settings = {"label_map_path": label_map_path, "on_bad": on_bad, "max_bad_percent": 100.0, "overwrite": True}
    options = conversion.ConversionOptions(output=str(folder / "out" / "x.record"), **settings)
    return conversion.convert(coco.read(Source(annotations=str(path), image_dir=str(folder))), options, io.StringIO())


def test_fields_and_ids_are_kept(folder):
    (image,), ids = read(folder, annotations=[BOX, {**BOX, "iscrowd": 1, "area": 0}])
    assert ids == {"person": 1, "toothbrush": 90}
    assert (image.source_id, image.filename, image.declared_size, image.found_boxes) == ("7", "a.jpg", (40, 60), 2)
    first, second = image.boxes
    assert (first.name, first.xmin, first.ymin, first.xmax, first.ymax, first.area, first.is_crowd) == (
        "toothbrush",
        4,
        6,
        20,
        60,
        500.5,
        False,
    )
    assert (second.area, second.is_crowd) == (None, True)
    assert not image.faults


def test_converts_with_a_sparse_label_map(folder):
    images, ids = read(folder)
    report = conversion.convert(
        coco.AnnotatedSet(images, ids),
        conversion.ConversionOptions(output=str(folder / "out" / "val.record")),
        io.StringIO(),
    )
    assert {row["name"]: row["boxes"] for row in report.to_dict()["classes"]} == {"person": 0, "toothbrush": 1}
    assert label_map.load(folder / "out" / "label_map.pbtxt").ids_by_name == ids


@pytest.mark.parametrize(
    ("categories", "ids"),
    [
        ([(0, "cat", None), (1, "dog", None)], {"cat": 1, "dog": 2}),
        ([(0, "things", "none"), (1, "dog", "things"), (2, "cat", "things")], {"dog": 1, "cat": 2}),
        (
            [(0, "things", ""), (1, "animal", "things"), (2, "dog", "animal")],
            {"animal": 1, "dog": 2},
        ),  # by way of another
        (
            [(0, "person", "person"), (1, "rider", "person")],
            {"person": 1, "rider": 2},
        ),  # a class in a group of its own name
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
    with pytest.raises(
        DataError, match=r"category 0 \('things'\) is the supercategory of all others.*--label_map_path"
    ):
        convert(folder, annotations=boxes, categories=categories)
    path = folder / "map.pbtxt"
    path.write_text('item { id: 1 name: "things" } item { id: 2 name: "dog" }')
    report = convert(folder, annotations=boxes, categories=categories, label_map_path=str(path))
    assert {row["name"]: row["boxes"] for row in report.to_dict()["classes"]} == {"things": 1, "dog": 1}


@pytest.mark.parametrize(
    ("images", "annotations", "kind", "parts"),
    [
        ([IMAGE, IMAGE], [], "image_repeated", ["images[1]", "id 7, 'a.jpg': is listed before"]),
        (
            [IMAGE],
            [BOX, {**BOX, "image_id": 8}],
            "annotation_orphan",
            ["annotations[1]", "image_id 8 is not in images"],
        ),
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


LISTED = [
    "a.jpg",
    "A.JPG",
    "a.png",
    r"x\a.jpg",
    "x/a.jpg",
    r"C:\x\a.jpg",
    "http://example.org/x/a.jpg?y",
    "%61.jpg",
    "/x/a.jpg",
]


@pytest.mark.parametrize("name", LISTED)
def test_files_are_found_however_they_are_listed(folder, name):
    (image,), _ = read(folder, [{**IMAGE, "file_name": name}])
    assert image.usable and image.image_path == folder / "a.jpg" and image.filename == "a.jpg"
    assert [fault.kind for fault in image.faults] == (["filename_differs"] if name != "a.jpg" else [])


@pytest.mark.parametrize(
    ("listed", "stored"), [("caf\u00e9.jpg", "cafe\u0301.jpg"), ("cafe\u0301.jpg", "caf\u00e9.jpg")]
)
def test_accents_match_however_they_are_composed(folder, encode, listed, stored):
    (folder / stored).write_bytes(encode())
    (image,), _ = read(folder, [{**IMAGE, "file_name": listed}])
    assert image.image_path == folder / stored and not image.faults


def test_a_name_that_may_mean_several_files_is_not_guessed(folder, encode):
    for name in ("x", "y"):
        (folder / name).mkdir()
        (folder / name / "b.jpg").write_bytes(encode())
    (image,), _ = read(folder, [{**IMAGE, "file_name": "b.jpg"}])
    assert (
        not image.usable
        and image.faults[0].kind == "annotation_ambiguous"
        and "x/b.jpg, y/b.jpg" in image.faults[0].value
    )
    (image,), _ = read(folder, [{**IMAGE, "file_name": "z/b.jpg"}])
    assert not image.image_path.exists()  # A file of another folder is another file.


@pytest.mark.parametrize(
    ("listed", "linked", "category"),
    [("7", 7, 90), (7.0, "7", "90"), ("007", 7, 90.0), (7, " 7 ", " 90 "), ("x7", "x7", 90)],
)
def test_ids_are_the_same_as_text_and_as_numbers(folder, listed, linked, category):
    (image,), ids = read(
        folder,
        [{**IMAGE, "id": listed}],
        [{**BOX, "image_id": linked, "category_id": category}],
        [{"id": str(CATEGORIES[1]["id"]), "name": "b"}],
    )
    assert len(image.boxes) == 1 and ids == {"b": 90} and not image.faults
    assert image.source_id == (str(int(listed)) if not isinstance(listed, str) else listed)


@pytest.mark.parametrize("box", [["4", "6", "16", "54"], "4, 6, 16, 54", "[4, 6, 16, 54]", [4.0, "6.0", 16, " 54 "]])
def test_boxes_as_text(folder, box):
    (image,), _ = read(folder, annotations=[{**BOX, "bbox": box}])
    assert image.boxes[0][2:6] == (4, 6, 20, 60) and not image.faults


@pytest.mark.parametrize(
    ("value", "crowd"),
    [
        (0, False),
        ("0", False),
        (False, False),
        (None, False),
        ("", False),
        ([], False),
        (1, True),
        ("1", True),
        (True, True),
        (1.0, True),
    ],
)
def test_crowds(folder, value, crowd):
    (image,), _ = read(folder, annotations=[{**BOX, "iscrowd": value}])
    assert image.boxes[0].is_crowd is crowd


@pytest.mark.parametrize("missing", [None, [], [0, 0, 0, 0], [1, 2, 3]])
@pytest.mark.parametrize(
    "segmentation", [[[4, 6, 20, 6, 20, 60]], {"size": [60, 40], "counts": [246, 54, 6, 54, 786, 54, 1200]}]
)
def test_an_object_without_a_box_gets_that_of_its_segmentation(folder, missing, segmentation):
    entry = {**BOX, "bbox": missing, "segmentation": segmentation}
    if missing is None:
        del entry["bbox"]
    (image,), _ = read(folder, annotations=[entry])
    assert image.boxes[0][2:6] == (4, 6, 20, 60)
    assert [(fault.kind, fault.bad) for fault in image.faults] == [("box_from_shape", False)]


def test_an_object_with_neither_says_why_and_names_its_class(folder):
    (image,), _ = read(
        folder,
        annotations=[{"id": 5, "image_id": 7, "category_id": 90, "segmentation": {"size": [8, 8], "counts": [64]}}],
    )
    (fault,) = image.faults
    assert str(fault).endswith(
        "annotations[0] (id 5) 'toothbrush': no bbox, and run lengths of a mask of 8x8, but the image has 40x60 (box"
        " left out)"
    )


@pytest.mark.parametrize(
    ("area", "kept", "noted"),
    [
        (None, None, False),
        (0, None, False),
        ("12", 12.0, False),
        (-1, None, True),
        (-(10**400), None, True),
        (float("nan"), None, True),
        ("x", None, True),
        (True, None, True),
    ],
)
def test_areas(folder, area, kept, noted):
    (image,), _ = read(folder, annotations=[{**BOX, "area": area}])
    assert image.boxes[0].area == kept and [fault.kind for fault in image.faults] == ["area_replaced"] * noted


def test_one_file_under_two_ids_is_one_image_with_all_boxes(folder):
    other = {**BOX, "id": 2, "image_id": 8, "bbox": [1, 2, 5, 9], "area": 40}
    report = convert(folder, [IMAGE, {**IMAGE, "id": 8}], [BOX, other, {**BOX, "id": 3, "image_id": 8}])
    assert (report.images, report.boxes, report.found_boxes) == (1, 2, 3) and not report.bad
    assert sorted(fault.kind for fault in report.faults) == ["box_repeated", "image_repeated"]
    assert "'a.jpg' is listed again under id '8'" in str(report.faults[0])


def test_one_file_of_two_sizes_is_not_guessed(folder):
    found, _ = read(folder, [IMAGE, {**IMAGE, "id": 8, "width": 60, "height": 40}], [BOX, {**BOX, "image_id": 8}])
    assert [image.faults[0].kind for image in found] == ["annotation_ambiguous"] * 2 and not any(
        image.usable for image in found
    )


def test_a_file_listed_by_its_own_name_is_no_other_entrys(folder):
    found, _ = read(folder, [IMAGE, {**IMAGE, "id": 8, "file_name": "x/a.jpg"}], [BOX, {**BOX, "image_id": 8}])
    assert [image.usable for image in found] == [True, False] and found[1].faults[0].kind == "image_missing"
    assert sum(image.found_boxes for image in found) == 2


def test_entries_repeated_word_by_word_cost_nothing(folder):
    report = convert(folder, [IMAGE] * 5)
    assert (report.found_images, report.images, report.boxes) == (1, 1, 1) and not report.bad


def test_an_object_of_no_listed_category_makes_no_image_one_without_objects(folder, encode):
    (folder / "b.jpg").write_bytes(encode())
    report = convert(
        folder, [IMAGE, {**IMAGE, "id": 8, "file_name": "b.jpg"}], [BOX, {**BOX, "image_id": 8, "category_id": 5}]
    )
    assert (report.images, report.boxes) == (1, 1)
    assert [fault.kind for fault in report.bad] == ["class_unknown", "no_usable_box"]


def test_a_root_of_the_name_of_a_class_is_no_class_unless_it_is_used(folder):
    categories = [{"id": 0, "name": "dog", "supercategory": "none"}, {"id": 1, "name": "dog", "supercategory": "dog"}]
    assert read(folder, annotations=[{**BOX, "category_id": 1}], categories=categories)[1] == {"dog": 1}
    assert read(folder, annotations=[], categories=categories)[1] == {"dog": 1}
    with pytest.raises(DataError, match=r"categories\[1\]: id 1 or name 'dog' exists already"):
        read(folder, annotations=[{**BOX, "category_id": 0}], categories=categories)


def test_two_files_of_one_id_are_not_guessed(folder, encode):
    (folder / "b.jpg").write_bytes(encode())
    found, _ = read(folder, [IMAGE, {**IMAGE, "file_name": "b.jpg"}])
    assert [image.faults[0].kind for image in found] == ["duplicate_id"] * 2 and not any(
        image.usable for image in found
    )
    assert sum(image.found_boxes for image in found) == 1


@pytest.mark.parametrize("meant", [8, "8", None, [7], {}, True, float("nan"), "\ud800", ""])
def test_annotations_of_no_image_make_no_image_one_without_objects(folder, encode, meant):
    (folder / "b.jpg").write_bytes(encode())
    images = [IMAGE, {**IMAGE, "id": 9, "file_name": "b.jpg"}]
    found, _ = read(folder, images, [BOX])
    assert [len(image.boxes) for image in found if image.usable] == [1, 0]
    found, _ = read(folder, images, [BOX, {**BOX, "id": 2, "image_id": meant}])
    assert [image.filename for image in found if image.usable] == ["a.jpg"]
    assert [fault.kind for image in found for fault in image.faults] == ["annotation_uncertain", "annotation_orphan"]
    assert sum(image.counts for image in found) == 2


@pytest.mark.parametrize(
    "name", ["x" * 300 + ".jpg", "x/" * 3000 + "b.jpg", "\ud800.jpg", "\udc80.jpg", "b\0.jpg", "\x1b[31m.jpg"]
)
def test_names_that_no_file_has(folder, name):
    report = convert(folder, [IMAGE, {**IMAGE, "id": 8, "file_name": name}], [BOX, {**BOX, "image_id": 8}])
    (fault,) = report.faults
    assert (report.images, report.boxes, fault.bad) == (1, 1, True)
    assert json.loads((folder / "out" / "x.record.report.json").read_text())["images"]["written"] == 1
    assert all(line.isprintable() and len(line) < 7000 for line in report.lines())


@pytest.mark.parametrize("identity", ["\ud800", "", " ", True, [], {}, 1.5, 1e400, "x" * 2000])
def test_ids_that_are_none(folder, identity):
    report = convert(folder, [IMAGE, {**IMAGE, "id": identity, "file_name": "b.jpg"}])
    (fault,) = report.faults
    assert (
        report.images == 1
        and fault.kind == "annotation_unreadable"
        and "images[1]" in str(fault)
        and len(str(fault)) < 500
    )


@pytest.mark.parametrize(
    ("encoding", "file_name"),
    [
        ("utf-8-sig", "a.jpg"),
        ("utf-16", "a.jpg"),
        ("utf-16-le", "a.jpg"),
        ("utf-32", "a.jpg"),
        ("latin-1", "caf\u00e9.jpg"),
    ],
)
def test_encodings(folder, encode, encoding, file_name):
    (folder / file_name).write_bytes(encode())
    path = folder / "instances.json"
    content = {"images": [{**IMAGE, "file_name": file_name}], "annotations": [BOX], "categories": CATEGORIES}
    path.write_bytes(json.dumps(content, ensure_ascii=False).encode(encoding))
    (image,) = coco.read(Source(annotations=str(path))).images
    assert image.image_path == folder / file_name and len(image.boxes) == 1
    assert [fault.kind for fault in image.faults] == (
        ["filename_differs", "encoding_wrong"] if encoding == "latin-1" else []
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "\\ud800"}]}',
            r"categories\[0\]: the name .* half of a surrogate pair",
        ),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "\xe8"}]}',
            r"categories\[0\]: the encoding of the name",
        ),
        (
            '{"images": [], "annotations": [1], "annotations": [], "categories": []}',
            "the key 'annotations' appears twice in one object",
        ),
        ('{"images": [null], "annotations": [], "categories": []}', r"images\[0\] is None"),
        ('{"version": "5.2.1", "shapes": [], "imagePath": "a.jpg"}', r"it has \['imagePath', 'shapes', 'version'\]"),
        ("version https://git-lfs.github.com/spec/v1", "not JSON: .*seems to be a Git LFS pointer"),
        ("\x1f\x8b\x08", "not JSON: .*seems to be gzip data"),
        ("{\n nonsense", r"instances.json:2:2: not JSON"),
        ("[]", "'images' is not a list"),
        ("", "1:1: not JSON: .*the file is empty"),
        ('{"images": [], "annotations": null, "categories": []}', "'annotations' is null, not a list"),
        ('{"shapes": [1], "imagePath": "a.jpg"}', "looks like LabelMe's format"),
        ('{"a.jpg1": {"filename": "a.jpg", "regions": []}}', "looks like VGG Image Annotator's format"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]', "looks like a file of detections"),
        ('[{"image": "a.jpg", "annotations": []}]', "looks like CreateML's format"),
        ('{"images": [], "annotations": 3, "categories": []}', "'annotations' is not a list"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
            r"categories\[1\]: id 1",
        ),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', r"categories\[0\].*name None"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 2147483648, "name": "a"}]}',
            r"categories\[0\]: id 2147483648",
        ),
        ("[" * 100_000, "cannot read"),
        ("9" * 5000, r"instances.json: cannot read: .*4300 digits"),
    ],
)
def test_what_is_not_coco(folder, content, says):
    path = folder / "instances.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=says):
        coco.read(Source(annotations=str(path)))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (Source(), "--annotation_file"),
        (Source(annotations="nowhere.json"), "nowhere.json: no such COCO file"),
        (Source(annotations=__file__, image_dir="nowhere"), "nowhere: no such folder of images"),
        (Source(annotations=__file__, subset="train"), "a COCO file has no named splits"),
    ],
)
def test_missing_files(source, says):
    with pytest.raises(ConfigError, match=says):
        coco.read(source)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 10)
    | st.sampled_from([10**400, -(10**400), "1", "1e400", "\ud800", [1, 2, 3, "4"], [[1, 2, 3, 4]]])
    | st.floats()
    | st.text(max_size=5)
    | st.just([1, 2, 3, 4]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "name", "bbox"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.fixed_dictionaries({}, optional=dict.fromkeys(["id", "file_name", "width", "height"], _JSON)), max_size=4
    ),
    st.lists(
        st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(["id", "image_id", "category_id", "bbox", "iscrowd", "area", "segmentation"], _JSON),
        ),
        max_size=4,
    ),
)
def test_only_our_error_escapes(folder, images, annotations):
    found, ids = read(folder, images, annotations)
    assert sum(image.found_boxes for image in found) == len(annotations)
    left_out = sum(
        fault.action in ("box left out", "used once") for image in found if image.usable for fault in image.faults
    )
    assert sum(len(image.boxes) for image in found) + left_out == sum(
        image.found_boxes for image in found if image.usable
    )


def test_corners_in_place_of_sides_are_refused(folder):
    corners = [
        {**BOX, "id": number, "bbox": [2, 3, 12 + number, 23], "area": (10 + number) * 20} for number in range(3)
    ]
    with pytest.raises(
        DataError, match=r"instances.json: bbox seems to be \[xmin, ymin, xmax, ymax\]: the area of 3 objects"
    ):
        read(folder, annotations=corners)
    assert len(read(folder, annotations=corners[:2])[0][0].boxes) == 2  # Two may be chance.
    sides = [
        {**BOX, "id": 9, "bbox": [0, 0, 10, 20], "area": 200},
        {**BOX, "id": 10, "bbox": [1, 1, 5, 5], "area": 25},
    ]
    assert (
        len(read(folder, annotations=[*sides, *corners])[0][0].boxes)
        == len(read(folder, annotations=[*corners, *sides])[0][0].boxes)
        == 5
    )
    outlines = [{**entry, "area": 17 * 20} for entry in corners]
    assert len(read(folder, annotations=outlines)[0][0].boxes) == 3


def test_one_path_written_in_two_ways_is_one_file(folder):
    found, _ = read(
        folder,
        [IMAGE, {**IMAGE, "id": 8, "file_name": "./a.jpg"}],
        [BOX, {**BOX, "image_id": 8, "bbox": [1, 2, 3, 4]}],
    )
    (image,) = found
    assert len(image.boxes) == 2 and "image_repeated" in [fault.kind for fault in image.faults]


def test_many_entries_of_one_file_or_id_take_no_quadratic_time(folder, monkeypatch):
    calls = []
    monkeypatch.setattr(coco_images, "comparable", lambda name: calls.append(name) or name)
    found, _ = read(folder, [{**IMAGE, "id": number, "width": 40 + number} for number in range(300)], [])
    assert (
        len(found) == 300
        and len(calls) < 3000
        and max(len(str(fault)) for image in found for fault in image.faults) < 800
    )
    found, _ = read(folder, [{**IMAGE, "file_name": f"{number}.jpg"} for number in range(300)], [])
    assert (
        len(found) == 300
        and len(calls) < 6000
        and max(len(str(fault)) for image in found for fault in image.faults) < 800
    )


def test_boxes_of_an_id_count_once(folder):
    for images in ([{"id": 7}, IMAGE], [IMAGE, {"id": 7}], [{"id": 7}, {"id": 7}], [IMAGE, IMAGE]):
        found, _ = read(folder, images)
        assert sum(image.found_boxes for image in found) == 1


MANY = tuple(
    {"id": number, "file_name": f"val/COCO_{number:03d}.jpg", "width": 40, "height": 60} for number in (7, 8, 9)
)


def part(folder, split: str = "", exclude: str = "", annotations=(BOX, {**BOX, "image_id": 9}), **more):
    path = folder / "instances.json"
    content = {"images": list(MANY), "annotations": list(annotations), "categories": CATEGORIES}
    path.write_text(json.dumps({key: value for key, value in content.items() if value}))
    files = {}
    for name, text in (("split", split), ("exclude", exclude)):
        if text:
            (folder / f"{name}.txt").write_text(text)
            files[f"{name}_file"] = str(folder / f"{name}.txt")
    (folder / "val").mkdir(exist_ok=True)
    for image in MANY:
        (folder / image["file_name"]).write_bytes((folder / "a.jpg").read_bytes())
    source = Source(annotations=str(path), image_dir=str(folder), **files, **more)
    return [(image.source_id, image.found_boxes) for image in coco.read(source).images]


@pytest.mark.parametrize("split", ["7\n8", "00000007\n0008\n", "COCO_007.jpg\nval/COCO_008.jpg", "COCO_007\nCOCO_008"])
def test_a_split_lists_ids_or_files(folder, split):
    """Annotations of the other images are those of another split, and no fault."""
    assert part(folder, split) == [("7", 1), ("8", 0)]
    assert part(folder, exclude=split) == [("9", 1)]
    assert part(folder, split, exclude="8") == [("7", 1)]


def test_lines_of_a_split_that_name_no_image_are_reported(folder):
    with pytest.raises(
        DataError, match=r"split.txt: 2 of 3 lines name no image of .*instances.json, such as '10', 'b.jpg'"
    ):
        part(folder, "10\n7\nb.jpg")
    with pytest.raises(DataError, match=r"exclude.txt: lists every image of .*instances.json"):
        part(folder, exclude="7\n8\n9")


def test_images_without_annotations_are_taken_where_asked_for(folder):
    """As in COCO's image_info_test-dev2017.json."""
    with pytest.raises(DataError, match=r"'annotations' is not a list of objects.*pass --images_only"):
        part(folder, annotations=())
    assert part(folder, annotations=(), images_only=True) == [("7", 0), ("8", 0), ("9", 0)]
