"""Files beside an image that may annotate it, in formats other than VOC's: LabelMe's or Supervisely's a.json, YOLO's
a.txt, a renamed a.xml.bak.

An image without a VOC annotation is one without objects only where none of these says that it has some.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from detection.data.convert import encoding
from detection.data.convert.match import alike
from detection.data.convert.source import IMAGE_EXTENSIONS, stem
from detection.data.folders import files_below

_EXTENSIONS = (".json", ".txt", ".bak", ".old", ".orig", ".tmp", ".xml~", ".xml_")
_OF_XML = re.compile(r"\.xml(\.\w{1,5}|[~_])$", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_MAX_BYTES = 2**24


class Sidecars:
    """Such files below the folders of images and annotations, by what their name has in common with that of an image.

    Args:
        folders: to look in.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._found: dict[str, list[Path]] = {}
        for folder in dict.fromkeys(folders):
            for name in files_below(folder, _EXTENSIONS):
                self._found.setdefault(_key(name), []).append(folder / name)

    def of(self, image: str) -> tuple[Path, str] | None:
        """A file that may hold objects of an image (a relative name), and what it seems to be; None where there is
        none.
        """
        for path in self._found.get(_key(image), ()):
            what = _what(path)
            if what:
                return path, what
        return None


def _key(name: str) -> str:
    """Of a.jpg, a.json, a.jpg.json and a.xml.bak in whatever folder: a."""
    last = _OF_XML.sub("", alike(name).rpartition("/")[2])
    last = stem(last) if last.endswith((*_EXTENSIONS, ".xml")) else last
    return stem(last) if last.endswith(IMAGE_EXTENSIONS) else last


def _what(path: Path) -> str:
    """What a file that may hold objects seems to be; "" for one that holds none."""
    try:
        with path.open("rb") as stream:
            text = encoding.decode_json(stream.read(_MAX_BYTES)).text
    except (OSError, encoding.WrongEncoding):
        return "cannot be read"
    if _OF_XML.search(path.name):
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
    """Whether a line may be an object: in YOLO's format a class, then a box or a polygon; in DOTA's a polygon, then the
    class.
    """
    numbers = [bool(_NUMBER.fullmatch(word[:40])) for word in line[:1000].split()[:9]]
    return len(numbers) >= 5 and (all(numbers[1:]) or (len(numbers) == 9 and all(numbers[:8])))
