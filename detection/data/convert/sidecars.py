"""Finds annotations of images in other formats than VOC: a.json of LabelMe or Supervisely, a.txt of YOLO, a.xml.bak.

An image without a VOC annotation counts as an image without objects only if no such file has objects for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from detection.data.convert import encoding
from detection.data.convert.match import comparable
from detection.data.convert.source import IMAGE_EXTENSIONS, stem
from detection.data.folders import files_below

_EXTENSIONS = (".json", ".txt", ".bak", ".old", ".orig", ".tmp", ".xml~", ".xml_")
_XML_COPY = re.compile(r"\.xml(\.\w{1,5}|[~_])$", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_MAX_BYTES = 2**24


class Sidecars:
    """Such files below the folders of images and annotations, indexed by the part of their name shared with an image.

    Args:
        folders: to search.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._found: dict[str, list[Path]] = {}
        for folder in dict.fromkeys(folders):
            for name in files_below(folder, _EXTENSIONS):
                self._found.setdefault(_key(name), []).append(folder / name)

    def of(self, image: str) -> tuple[Path, str] | None:
        """A file that may have objects of an image (relative name), and its probable format; None if there is none."""
        for path in self._found.get(_key(image), ()):
            probable_format = _probable_format(path)
            if probable_format:
                return path, probable_format
        return None


def _key(name: str) -> str:
    """The common name of a.jpg, a.json, a.jpg.json and a.xml.bak in any folder: a."""
    name_ = _XML_COPY.sub("", comparable(name).rpartition("/")[2])
    name_ = stem(name_) if name_.endswith((*_EXTENSIONS, ".xml")) else name_
    return stem(name_) if name_.endswith(IMAGE_EXTENSIONS) else name_


def _probable_format(path: Path) -> str:
    """The probable format of a file that may have objects; empty if it has none."""
    try:
        with path.open("rb") as stream:
            text = encoding.decode_json(stream.read(_MAX_BYTES)).text
    except (OSError, encoding.WrongEncoding):
        return "cannot be read"
    if _XML_COPY.search(path.name):
        return "an annotation under another name" if "<object" in text else ""
    if path.suffix.lower() == ".txt":
        return "YOLO's or DOTA's format" if any(map(_is_row, text.splitlines()[:1000])) else ""
    if path.suffix.lower() != ".json":
        return ""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return "damaged JSON" if text.strip() else ""
    values = content.values() if isinstance(content, dict) else [content]
    return "JSON with a list of objects" if any(value and isinstance(value, list) for value in values) else ""


def _is_row(line: str) -> bool:
    """Whether a line may be an object in YOLO's format (class, then box or polygon) or DOTA's (polygon, class)."""
    numbers = [bool(_NUMBER.fullmatch(word[:40])) for word in line[:1000].split()[:9]]
    return len(numbers) >= 5 and (all(numbers[1:]) or (len(numbers) == 9 and all(numbers[:8])))
