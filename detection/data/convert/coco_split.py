"""Part of the images of a COCO file, by a list of them: the survey's minival, for example (Huang et al. 2017, 3.4).

The lists that are in use name an image a line, by its id (`42`), its file (`COCO_val2014_000000000042.jpg`), the file
without folder or extension, or with leading zeros (`000000000042`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from detection.data.convert.coco_values import identity
from detection.data.convert.source import normal, stem
from detection.data.convert.split import split_lines
from detection.errors import DataError

_REPORTED = 5


def chosen(lists: dict[str, list[dict]], file: str, split: str = "", exclude: str = "") -> dict[str, list[dict]]:
    """The lists of a COCO file with the chosen images only, and without the annotations of the others.

    Args:
        lists: images, annotations, categories.
        file: where they are from, for messages.
        split: a file of the images to take; empty: all.
        exclude: a file of the images to leave out.

    Raises:
        DataError: a list cannot be read, or names images that are not in the file.
    """
    if not split and not exclude:
        return lists
    numbers = _numbers(lists["images"])
    kept = set(_listed(split, numbers, file) if split else range(len(lists["images"])))
    if exclude:
        kept -= set(_listed(exclude, numbers, file))
    if not kept:
        raise DataError(f"{exclude}: lists every image of {file}; take the list of the images to leave out")
    left = {identity(entry.get("id")) for number, entry in enumerate(lists["images"]) if number not in kept}
    left -= {identity(lists["images"][number].get("id")) for number in kept}
    return {
        **lists,
        "images": [entry for number, entry in enumerate(lists["images"]) if number in kept],
        "annotations": [entry for entry in lists["annotations"] if identity(entry.get("image_id")) not in left],
    }


def _numbers(entries: Iterable[dict]) -> dict[str, list[int]]:
    """Each name that a list may call an image by -> the numbers of the entries."""
    numbers: dict[str, list[int]] = {}
    for number, entry in enumerate(entries):
        name = entry.get("file_name")
        names = {identity(entry.get("id"))}
        if isinstance(name, str):
            bare = normal(name).rsplit("/", 1)[-1]
            names |= {name, bare, stem(bare)}
        for each in names - {None, ""}:
            numbers.setdefault(str(each), []).append(number)
    return numbers


def _listed(path: str, numbers: dict[str, list[int]], file: str) -> list[int]:
    lines = split_lines(Path(path))
    found, unknown = [], []
    for line in lines:
        bare = line.lstrip("0") or "0" if line.isdecimal() else line
        hits = numbers.get(line) or numbers.get(bare) or numbers.get(stem(normal(line).rsplit("/", 1)[-1]))
        if hits is None:
            unknown.append(line)
        found += hits or []
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} of {len(lines)} lines name no image of {file}, such as"
            f" {', '.join(map(repr, unknown[:_REPORTED]))}; a line is an id or a file name"
        )
    return found
