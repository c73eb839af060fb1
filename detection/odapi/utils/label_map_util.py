"""Label maps as dicts of `id` and `name`, like `object_detection.utils.label_map_util`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from google.protobuf import text_format

from detection.config import label_map as ours
from detection.protos.string_int_label_map_pb2 import StringIntLabelMap

Category = dict[str, Any]  # "id": int, "name": str


def load_labelmap(path: str | os.PathLike[str]) -> StringIntLabelMap:
    """Reads a label map, without a background item.

    Raises:
        PathError, DataError: as `config.label_map.load`.
    """
    return text_format.Parse(ours.to_text(ours.load(path).categories), StringIntLabelMap())


def get_max_label_map_index(label_map: StringIntLabelMap) -> int:
    """Returns the highest id."""
    return max(item.id for item in label_map.item)


def convert_label_map_to_categories(
    label_map: StringIntLabelMap | None, max_num_classes: int, use_display_name: bool = True
) -> list[Category]:
    """Returns categories with ids up to `max_num_classes`; `category_1` and so on if there is no label map."""
    if not label_map:
        return [{"id": each.id, "name": each.name} for each in ours.generated(max_num_classes)]
    categories: dict[int, Category] = {}
    for item in label_map.item:
        if 0 < item.id <= max_num_classes and item.id not in categories:
            shown = item.display_name if use_display_name and item.HasField("display_name") else item.name
            categories[item.id] = {"id": item.id, "name": shown}
    return list(categories.values())


def create_categories_from_labelmap(
    label_map_path: str | os.PathLike[str], use_display_name: bool = True
) -> list[Category]:
    """Returns all categories of a label map file."""
    label_map = load_labelmap(label_map_path)
    return convert_label_map_to_categories(label_map, get_max_label_map_index(label_map), use_display_name)


def create_category_index(categories: Iterable[Category]) -> dict[int, Category]:
    """Returns categories by id."""
    return {category["id"]: category for category in categories}


def create_category_index_from_labelmap(
    label_map_path: str | os.PathLike[str], use_display_name: bool = True
) -> dict[int, Category]:
    """Returns all categories of a label map file, by id."""
    return create_category_index(create_categories_from_labelmap(label_map_path, use_display_name))


def create_class_agnostic_category_index() -> dict[int, Category]:
    """Returns the category index of class-agnostic detectors: one class named `object`."""
    return {1: {"id": 1, "name": "object"}}


def get_label_map_dict(
    label_map_path_or_proto: str | os.PathLike[str] | StringIntLabelMap,
    use_display_name: bool = False,
    fill_in_gaps_and_background: bool = False,
) -> dict[str, int]:
    """Returns ids by name.

    Args:
        label_map_path_or_proto: a file, or the result of `load_labelmap`.
        use_display_name: use display names as keys instead.
        fill_in_gaps_and_background: add `background` with id 0, and unused ids with their number as name.
    """
    given = label_map_path_or_proto
    label_map = given if isinstance(given, StringIntLabelMap) else load_labelmap(given)
    ids = {item.display_name if use_display_name else item.name: item.id for item in label_map.item}
    if fill_in_gaps_and_background:
        known = set(ids.values())
        ids |= {str(number): number for number in range(1, max(known) + 1) if number not in known}
        ids["background"] = 0
    return ids
