"""Cells of tutorials about label maps."""

from __future__ import annotations

import pytest

import detection.odapi  # noqa: F401
from detection.errors import PathError

from object_detection.utils import label_map_util  # isort: skip

TEXT = """
item { id: 0 name: "background" }
item { id: 3 name: "/m/01g317" display_name: "person" }
item { id: 1 name: "dog" }
"""


@pytest.fixture
def path_to_labels(tmp_path) -> str:
    (tmp_path / "label_map.pbtxt").write_text(TEXT)
    return str(tmp_path / "label_map.pbtxt")


def test_category_index(path_to_labels):
    category_index = label_map_util.create_category_index_from_labelmap(path_to_labels, use_display_name=True)
    assert category_index == {1: {"id": 1, "name": "dog"}, 3: {"id": 3, "name": "person"}}
    assert label_map_util.create_category_index_from_labelmap(path_to_labels, False)[3]["name"] == "/m/01g317"


def test_category_index_in_three_steps(path_to_labels):
    label_map = label_map_util.load_labelmap(path_to_labels)
    most = label_map_util.get_max_label_map_index(label_map)
    categories = label_map_util.convert_label_map_to_categories(label_map, max_num_classes=most, use_display_name=True)
    category_index = label_map_util.create_category_index(categories)
    assert category_index == label_map_util.create_category_index_from_labelmap(path_to_labels)
    assert label_map_util.convert_label_map_to_categories(label_map, 2) == [{"id": 1, "name": "dog"}]


def test_without_a_label_map():
    assert label_map_util.convert_label_map_to_categories(None, 2) == [
        {"id": 1, "name": "category_1"},
        {"id": 2, "name": "category_2"},
    ]
    assert label_map_util.create_class_agnostic_category_index() == {1: {"id": 1, "name": "object"}}


def test_label_map_dict(path_to_labels):
    """As the scripts that make records, and `label_map_path` in configs of notebooks."""
    label_map_dict = label_map_util.get_label_map_dict(path_to_labels)
    assert label_map_dict == {"dog": 1, "/m/01g317": 3}
    loaded = label_map_util.load_labelmap(path_to_labels)
    filled = label_map_util.get_label_map_dict(loaded, fill_in_gaps_and_background=True)
    assert filled == {"background": 0, "dog": 1, "2": 2, "/m/01g317": 3}


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(PathError, match="absent.pbtxt: cannot read the label map"):
        label_map_util.load_labelmap(tmp_path / "absent.pbtxt")
