"""Label maps: valid ones, invalid ones, and whether messages name the fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from detection.config import label_map
from detection.errors import ConfigError, DataError
from detection.protos import string_int_label_map_pb2
from detection.types import Category

SPARSE = """
# comment with item { in it
item {
  name: "/m/01g317"
  id: 1
  display_name: "person"
}
item { name: 'item { "x" }' id: 90 display_name: "odd # name" }
item {
  name: "plain"
  id: 7
}
"""


def write(folder: Path, text: str | bytes) -> str:
    path = folder / "label_map.pbtxt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_sparse_map_with_display_names(tmp_path):
    path = write(tmp_path, SPARSE)
    loaded = label_map.load(path)
    assert loaded.path == path
    assert loaded.categories == (
        Category(1, "/m/01g317", "person"),
        Category(7, "plain"),
        Category(90, 'item { "x" }', "odd # name"),
    )
    assert [category.shown for category in loaded.categories] == ["person", "plain", "odd # name"]
    assert loaded.max_id == 90
    assert loaded.ids_by_name == {"/m/01g317": 1, 'item { "x" }': 90, "plain": 7}
    assert loaded.ids_by_display_name == {"person": 1, "odd # name": 90}
    assert loaded.text_ids() == {"/m/01g317": 1, "person": 1, 'item { "x" }': 90, "odd # name": 90, "plain": 7}


def test_binary_form_and_byte_order_mark(tmp_path):
    message = string_int_label_map_pb2.StringIntLabelMap()
    message.item.add(name="dog", id=2)
    message.item.add(name="cat", id=1)
    assert label_map.load(write(tmp_path, message.SerializeToString())).categories == (
        Category(1, "cat"),
        Category(2, "dog"),
    )
    assert label_map.load(write(tmp_path, b"\xef\xbb\xbf" + b'item { name: "caf\xc3\xa9" id: 1 }')).ids_by_name == {
        "café": 1
    }


def test_background_is_accepted_and_left_out(tmp_path):
    loaded = label_map.load(write(tmp_path, 'item { name: "background" id: 0 } item { name: "dog" id: 1 }'))
    assert loaded.categories == (Category(1, "dog"),)
    assert loaded.ids_by_name == {"dog": 1}


def test_item_with_only_a_display_name(tmp_path):
    loaded = label_map.load(write(tmp_path, 'item { display_name: "dog" id: 1 }'))
    assert loaded.categories == (Category(1, "dog", "dog"),)
    assert loaded.ids_by_name == loaded.ids_by_display_name == {"dog": 1}


@pytest.mark.parametrize(
    "items", [SPARSE, 'item { name: "dog" id: 2 display_name: "dog" } item { display_name: "Katze ☃" id: 1 }']
)
def test_what_is_written_is_what_was_read(tmp_path, items):
    """Name and display_name survive writing, whether an item has one or both."""
    categories = label_map.load(write(tmp_path, items)).categories
    assert label_map.load(write(tmp_path, label_map.to_text(categories))).categories == categories


def test_all_faults_at_once_each_with_its_line(tmp_path):
    faulty = """item { name: "dog" id: 1 }
        item { name: "none_of_the_above" id: 0 }
        item { id: 3 }
        item { name: "cat" }
        item { name: "dog" id: 4 }
        item { name: "dog" id: 5 }
        item { name: "yak" id: -2 }
    """
    with pytest.raises(DataError) as error:
        label_map.load(write(tmp_path, faulty))
    said = "\n".join(error.value.lines())
    for line, reason in {
        2: "reserved for 'background'",
        3: "no name",
        4: "no id",
        5: "already has id 1",
        6: "already has id 1",
    }.items():
        assert f"label_map.pbtxt:{line}: item" in said and reason in said
    assert ":7: item 'yak' (id -2): negative id" in said and said.count("\n") == 5
    with pytest.raises(DataError, match="has no id.*20 more problems") as error:
        label_map.load(write(tmp_path, 'item { name: "x" } ' * 100))
    assert error.value.lines()[-1].endswith("80 more faults are not listed")


def test_two_classes_may_share_a_display_name(tmp_path, caplog):
    loaded = label_map.load(
        write(tmp_path, 'item { name: "a" id: 2 display_name: "cell" } item { name: "b" id: 1 display_name: "cell" }')
    )
    assert loaded.categories == (Category(1, "b", "cell"), Category(2, "a", "cell"))
    assert loaded.text_ids()["cell"] == 1 and "display_name 'cell' is also that of id 2" in caplog.text


def test_repeated_item_is_kept_once(tmp_path):
    assert label_map.load(write(tmp_path, 'item { name: "dog" id: 1 } item { name: "dog" id: 1 }')).categories == (
        Category(1, "dog"),
    )


def test_of_two_names_of_an_id_the_first_is_shown_and_both_are_read(tmp_path, caplog):
    """As in the TF Object Detection API, whose label map of AVA has such ids."""
    text = """item { name: "dog" id: 1 display_name: "Dog" }
        item { name: "hound" id: 1 }
        item { name: "cat" id: 2 }
        item { name: "dog" id: 2 }"""
    with pytest.raises(DataError, match="label_map.pbtxt:4: item 'dog' .id 2.: name 'dog' already has id 1"):
        label_map.load(write(tmp_path, text))
    loaded = label_map.load(write(tmp_path, text.rpartition("item")[0]))
    assert loaded.categories == (Category(1, "dog", "Dog"), Category(2, "cat"))
    assert loaded.text_ids() == {"Dog": 1, "dog": 1, "hound": 1, "cat": 2} and loaded.max_id == 2
    label_map.load(write(tmp_path, text.rpartition("item")[0]))
    assert caplog.text.count("label_map.pbtxt:2: item 'hound' (id 1): id 1 is also that of 'dog' at") == 1


def test_the_hierarchy_of_classes(tmp_path):
    text = """item { name: "dog" id: 1 ancestor_ids: 3 ancestor_ids: 2 }
        item { name: "pet" id: 2 ancestor_ids: 3 descendant_ids: 1 } item { name: "animal" id: 3 }"""
    loaded = label_map.load(write(tmp_path, text))
    assert (loaded.ancestors, loaded.descendants) == ({1: (3, 2), 2: (3,)}, {2: (1,)})


@pytest.mark.parametrize(
    ("text", "place", "parts"),
    [
        ('item {\n  label: "dog"\n  id: 1\n}', ":2:", ["unknown 'label' in an item", "did you mean 'name'"]),
        ('item {\n  nme: "dog"\n}', ":2:", ["unknown 'nme'", "did you mean 'name'"]),
        ('items { name: "dog" id: 1 }', ":1:1:", ["unknown 'items' in a label map", "did you mean 'item'"]),
        ("item {\n  colour: 3\n}", ":2:", ["allowed: name, id, display_name"]),
        ("item { name: dog id: 1 }", ":1:14:", ["straight quotes"]),
        ("item { name: “dog” id: 1 }", ":1:14:", ["straight quotes"]),
        ('item { name: "dog" id: "1" }', ":1:24:", ["whole number"]),
        ('item { name: "dog" id: 1\n', ":1:", ["an item reads"]),
        ('item { name: "dog" id: 1\n name: "cat" id: 2 }', ":2:", ["a field has one value"]),
        ('[{"name": "dog", "id": 1}]', ":1:", ["JSON"]),
        ('\n\nitem { name: "dog" id: 0 }', ":3:", ["'dog'", "id 0 is reserved for 'background'"]),
        ('item { name: "dog" id: -1 }', ":1:", ["negative id"]),
        ('item { name: "dog" }', ":1:", ["has no id"]),
        ("item { id: 3 }", ":1:", ["has no name"]),
        (
            'item { name: "dog" id: 1 }\nitem { name: "dog" id: 2 }',
            ":2:",
            ["'dog' already has id 1", "label_map.pbtxt:1"],
        ),
        ("", "", ["has no classes"]),
        ('item { name: "background" id: 0 }', "", ["has no classes"]),
        (b"\xff\xfe\x00\x01", "", ["not UTF-8"]),
        (b'item { name: "d\xf6g" id: 1 }', "", ["byte 15 is not UTF-8"]),
    ],
)
def test_refused_with_place_and_hint(tmp_path, text, place, parts):
    path = write(tmp_path, text)
    with pytest.raises(DataError) as caught:
        label_map.load(path)
    message = str(caught.value)
    assert message.startswith(path + place)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_binary_fault_names_the_item(tmp_path):
    message = string_int_label_map_pb2.StringIntLabelMap()
    message.item.add(name="dog", id=1)
    message.item.add(name="cat", id=-4)
    with pytest.raises(DataError, match="item 2.*'cat'.*negative id"):
        label_map.load(write(tmp_path, message.SerializeToString()))


def test_missing_file(tmp_path):
    """A wrong path has the exit code of a config or flag error, wrong content that of a data error."""
    with pytest.raises(ConfigError, match="absent.pbtxt: cannot read the label map"):
        label_map.load(tmp_path / "absent.pbtxt")
    with pytest.raises(ConfigError, match="cannot read the label map: Is a directory"):
        label_map.load(tmp_path)


def test_saved_map_loads_again(tmp_path):
    path = tmp_path / "new folder" / "map é.pbtxt"
    names = ["dog", 'quo"te', "naïve", "back\\slash"]
    label_map.save(path, names)
    assert [category.name for category in label_map.load(path).categories] == names
    assert "naïve" in path.read_text(encoding="utf-8")
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("names", [[], ["dog", "dog"], [""]])
def test_unusable_names_are_not_saved(tmp_path, names):
    with pytest.raises(DataError, match="all different"):
        label_map.save(tmp_path / "map.pbtxt", names)
    assert not list(tmp_path.iterdir())


def test_generated_names():
    assert label_map.generated(2) == (Category(1, "category_1"), Category(2, "category_2"))


def test_loads_without_tensorflow():
    code = "import sys; import detection.config.label_map; sys.exit('tensorflow' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).resolve().parents[2]).returncode
        == 0
    )


def test_existing_label_maps(shared):
    coco = label_map.load(shared / "odapi_configs" / "mscoco_label_map.pbtxt")
    assert (len(coco.categories), coco.max_id, coco.categories[0]) == (80, 90, Category(1, "/m/01g317", "person"))
    pascal = label_map.load(shared / "odapi_configs" / "pascal_label_map.pbtxt")
    assert (len(pascal.categories), pascal.max_id) == (20, 20)


def test_ids_of_a_mapping_are_kept(tmp_path):
    label_map.save(tmp_path / "map.pbtxt", {"toothbrush": 90, "person": 1})
    assert label_map.load(tmp_path / "map.pbtxt").categories == (Category(1, "person"), Category(90, "toothbrush"))


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write the label map"):
        label_map.save(tmp_path / "file" / "map.pbtxt", ["dog"])


def test_all_syntax_errors_are_reported(tmp_path):
    path = tmp_path / "map.pbtxt"
    path.write_text(
        'item {\n  nam: "cat"\n  id: 1\n}\nitem { name: dog id: 2 }\nitem {\n  name: "owl"\n  id: three\n}\n'
    )
    with pytest.raises(DataError) as raised:
        label_map.load(path)
    lines = raised.value.lines()
    assert [line.split(":")[1] for line in lines] == ["2", "5", "8"], lines
    assert "did you mean 'name'?" in lines[0] and "straight quotes" in lines[1] and "whole number" in lines[2]
    path.write_text(
        'item {\n  name: "cat"\n  id: 1\nitem {\n  nam: "dog"\n}\n'
    )  # what follows from a brace is not said
    with pytest.raises(DataError) as raised:
        label_map.load(path)
    assert len(raised.value.lines()) == 1


def test_warnings_are_logged_once(tmp_path, caplog):
    path = tmp_path / "map.pbtxt"
    path.write_text('item { name: "cat" id: 1 }\nitem { name: "cat" id: 1 }\n')
    with caplog.at_level("WARNING", logger="absl"):
        label_map.load(path)
        label_map.load(path)
    assert sum("repeats" in message for message in caplog.messages) == 1
