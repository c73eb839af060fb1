"""Reads one VOC annotation file.

    <annotation> <filename> <size> <width> <height>   <object> <name> <pose> <truncated> <difficult> <bndbox> <xmin>
    <ymin> <xmax> <ymax>

Tags may have any case, namespace and order. Objects with a <polygon> (LabelMe) or a <robndbox> (roLabelImg) get the box
around it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from detection.data.convert import encoding
from detection.data.convert.encoding import REPLACED, Text, WrongEncoding
from detection.data.convert.images import sniff
from detection.data.convert.source import AnnotatedBox
from detection.data.findings import Fault

# Enough for tens of thousands of objects; a parsed tag takes a hundred times the memory of its text.
_MAX_BYTES, _MAX_TAGS = 2**24, 1_000_000
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_COMMA = re.compile(r"[+-]?\d+,(\d{1,2}|\d{4,})", re.ASCII)  # With three digits after it, it may separate thousands.
_NAMED = re.compile(r"<(?:filename|path)>([^<>]{1,1000})</(?:filename|path)>", re.IGNORECASE)
_OBJECT = re.compile(r"<object[\s>]", re.IGNORECASE)
_SHAPES = ("polygon", "robndbox")
# expat's codes for "no element found" and "unclosed token": the text is valid, but truncated.
_TRUNCATED = (3, 5)
_LEFT_OUT = "box left out"
# Explanations of the root elements of other formats.
_OTHER_FORMATS = {
    "annotations": "this looks like CVAT's own format: export the task as Pascal VOC",
    "dataset": "this looks like dlib's format: convert it to a VOC annotation for each image",
    "plist": "this looks like a property list of macOS",
    "project": "this looks like a project file, not a label file",
    "kml": "this looks like KML",
    "document": "this looks like a document",
    "html": "this looks like a web page, perhaps an error page saved as a file",
}


class VocFile(NamedTuple):
    """The content of an annotation file."""

    problem: str  # why the file cannot be used; empty if it can
    names: tuple[str, ...]  # names of its image: <filename>, with <folder>, <path>
    size: tuple[int, int] | None = None  # declared width and height
    boxes: tuple[AnnotatedBox, ...] = ()
    found_boxes: int = 0  # number of objects, readable or not
    faults: tuple[Fault, ...] = ()

    @property
    def filename(self) -> str:
        """The <filename>, or else the first other name of the image."""
        return next(iter(self.names), "")


class _Unreadable(Exception):
    """The annotation file cannot be used."""


def read(path: str) -> VocFile:
    """Reads an annotation file; invalid content is returned as `problem` or faults, not raised."""
    text = Text("")
    try:
        text = _decode(path)
        root = _parse(text.text)
    except _Unreadable as error:
        names = dict.fromkeys(
            name.strip() for part in (text.text, text.other) for name in _NAMED.findall(part[:1_000_000])
        )
        return VocFile(str(error), tuple(names), found_boxes=sum(1 for _ in _OBJECT.finditer(text.text)))
    faults: list[Fault] = []
    if text.doubt:
        faults.append(Fault("encoding_wrong", path, "", text.doubt, "read the valid part"))
    elements = list(_objects(root))
    objects = [element for element in elements if element.tag == "object"]
    misplaced = (
        next((tag for tag in ("bndbox", "box", "xmin", *_SHAPES) if root.find(f".//{tag}") is not None), "")
        if not objects
        else ""
    )
    if misplaced:
        return VocFile(
            f"not a VOC annotation: it has no <object>, but <{misplaced}>",
            _names(root, text),
            found_boxes=len(root.findall(f".//{misplaced}")),
        )
    boxes = [
        box
        for number, element in enumerate(objects, start=1)
        if (box := _box(element, number, path, faults)) is not None
    ]
    for index in range(1, len(elements) - len(objects) + 1):
        value = "is outside of every <object>, so its class is unknown"
        faults.append(Fault("box_unreadable", path, f"<bndbox> {index} without <object>", value, _LEFT_OUT))
    return VocFile("", _names(root, text), _size(root, path, faults), tuple(boxes), len(elements), tuple(faults))


def _decode(path: str) -> Text:
    if not os.path.isfile(path):  # Opening a pipe may block forever.
        is_broken_link = os.path.islink(path) and not os.path.exists(path)
        raise _Unreadable(f"cannot be read: {'a broken link' if is_broken_link else 'no such file'}")
    try:
        with open(path, "rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _Unreadable(f"cannot be read: {getattr(error, 'strerror', '') or error}") from error
    if len(data) > _MAX_BYTES:
        raise _Unreadable(f"has more than {_MAX_BYTES} bytes, too many for the annotation of one image")
    try:
        text = encoding.decode_xml(data)
    except WrongEncoding as error:
        raise _Unreadable(str(error)) from error
    text = text._replace(text=text.text.lstrip())
    if text.text and not text.text.startswith("<"):
        raise _Unreadable(f"not well-formed XML; it seems to be {sniff(data)}")
    if text.text.count("<") > _MAX_TAGS:
        raise _Unreadable(f"has more than {_MAX_TAGS} tags, too many for the annotation of one image")
    return text


def _parse(text: str) -> Element:
    try:
        root = ElementTree.fromstring(text, forbid_dtd=False, forbid_entities=True, forbid_external=True)
    except ParseError as error:
        line, column = error.position
        empty = "" if text else "empty file; "
        reason = "the file is truncated" if text and error.code in _TRUNCATED else str(error).partition(":")[0]
        reason = "an invalid character, such as & for &amp;" if "invalid token" in reason else reason
        raise _Unreadable(f"{empty}line {line}, column {column}: not well-formed XML ({reason})") from error
    except DefusedXmlException as error:
        raise _Unreadable(
            f"declares entities, which annotations do not need and attacks use ({type(error).__name__})"
        ) from error
    except (ValueError, LookupError, RecursionError) as error:
        raise _Unreadable(f"not well-formed XML ({error})") from error
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2].lower()
    if root.tag != "annotation":
        hint = f"; {_OTHER_FORMATS[root.tag]}" if root.tag in _OTHER_FORMATS else ""
        raise _Unreadable(f"not a VOC annotation: the root element is <{_short(root.tag)}>, not <annotation>{hint}")
    return root


def _objects(root: Element) -> Iterator[Element]:
    """The objects, also if a tool nested them in a list, and boxes outside of all objects.

    Objects inside an object (its parts) are not returned.
    """
    stack = [iter(root)]
    while stack:
        element = next(stack[-1], None)
        if element is None:
            stack.pop()
        elif element.tag not in ("object", "bndbox"):
            stack.append(iter(element))
        elif (element.findtext("deleted") or "").strip() != "1":  # LabelMe keeps deleted objects.
            yield element


def _names(root: Element, text: Text) -> tuple[str, ...]:
    """The names of the image in the file; in both encodings if the encoding is in doubt."""
    name, folder, path = ((root.findtext(tag) or "").strip() for tag in ("filename", "folder", "path"))
    names = [name, f"{folder}/{name}" if folder and name else "", path]
    names += [match.strip() for match in _NAMED.findall(text.other[:1_000_000])]
    return tuple(dict.fromkeys(name for name in names if name))


def _size(root: Element, where: str, faults: list[Fault]) -> tuple[int, int] | None:
    """The declared width and height; None if they are missing (some tools write 0)."""
    texts = [
        (root.findtext(f"size/{tag}") or root.findtext(f"imagesize/{other_tag}") or "").strip()
        for tag, other_tag in (("width", "ncols"), ("height", "nrows"))
    ]
    width, height = (_number(text) for text in texts)
    if 1 <= width < 1e9 and 1 <= height < 1e9:
        return int(width), int(height)
    shown = [_short(text) or "absent" for text in texts]
    faults.append(Fault("size_absent", where, "<size>", f"width {shown[0]}, height {shown[1]}"))
    return None


def _box(element: Element, number: int, where: str, faults: list[Fault]) -> AnnotatedBox | None:
    """The box of an <object>; None, with a fault in `faults`, if it is not usable."""
    name = " ".join((element.findtext("name") or "").split())
    item = f"object {number} {_short(name)!r}"
    if not name:
        faults.append(Fault("class_missing", where, f"object {number}", "has no <name>", _LEFT_OUT))
        return None
    if REPLACED in name:
        faults.append(
            Fault(
                "class_missing", where, item, "the encoding of its <name> is wrong; save the file as UTF-8", _LEFT_OUT
            )
        )
        return None
    corners = element.findall("bndbox")
    try:
        if len(corners) > 1:
            raise _Unreadable(f"has {len(corners)} <bndbox>; an object has one")
        if corners:
            numbers = _corners(corners[0], item, where, faults)
        else:
            numbers = _box_around(element)
            faults.append(Fault("box_from_shape", where, item, "has no <bndbox>", "box around its outline used"))
    except _Unreadable as error:
        faults.append(Fault("box_unreadable", where, item, str(error), _LEFT_OUT))
        return None
    view = (element.findtext("pose") or "").strip()[:100]
    return AnnotatedBox(
        item, name, *numbers, difficult=_flag(element, "difficult"), truncated=_flag(element, "truncated"), view=view
    )


def _corners(element: Element, item: str, where: str, faults: list[Fault]) -> list[float]:
    """The xmin, ymin, xmax and ymax of a <bndbox>."""
    numbers = []
    for tag in ("xmin", "ymin", "xmax", "ymax"):
        text = (element.findtext(tag) or "").strip()
        if not text:
            raise _Unreadable(f"<bndbox> has no <{tag}>, or an empty one")
        if _COMMA.fullmatch(text):
            faults.append(
                Fault("number_comma", where, f"{item} <{tag}>", repr(_short(text)), "read as a decimal comma")
            )
            text = text.replace(",", ".")
        numbers.append(_finite(text, f"<{tag}> "))
    return numbers


def _box_around(element: Element) -> tuple[float, float, float, float]:
    """The box around a <polygon> or <robndbox>."""
    rotated = element.find("robndbox")
    if rotated is not None:
        x, y, width, height, angle = (
            _finite((rotated.findtext(tag) or "").strip(), f"<robndbox> <{tag}> ")
            for tag in ("cx", "cy", "w", "h", "angle")
        )
        half_width = (abs(width * math.cos(angle)) + abs(height * math.sin(angle))) / 2
        half_height = (abs(width * math.sin(angle)) + abs(height * math.cos(angle))) / 2
        return x - half_width, y - half_height, x + half_width, y + half_height
    points = [[], []]
    for polygon in element.findall("polygon"):
        for child in polygon.iter():
            match = re.fullmatch(r"([xy])\d*", child.tag) if isinstance(child.tag, str) else None
            if match:
                points["xy".index(match.group(1))].append(
                    _finite((child.text or "").strip(), f"<polygon> <{child.tag}> ")
                )
    x, y = points
    if len(x) < 2 or len(x) != len(y):
        other_tags = ", ".join(sorted({f"<{child.tag}>" for child in element if child.tag in (*_SHAPES, "point")}))
        raise _Unreadable(f"has no <bndbox>{f', but {other_tags} without usable points' if other_tags else ''}")
    return min(x), min(y), max(x), max(y)


def _finite(text: str, what: str) -> float:
    number = _number(text)
    if not math.isfinite(number):
        raise _Unreadable(f"{what}{_short(text)!r} is not a number")
    return number


def _number(text: str) -> float:
    """The number in a text; NaN if it is not one."""
    return float(text) if _NUMBER.fullmatch(text) else math.nan


def _flag(element: Element, tag: str) -> bool:
    """Reads a flag: VOC writes 0 and 1, some tools omit the tag or write words."""
    return (element.findtext(tag) or "").strip().lower() in ("1", "true", "yes")


def _short(text: str) -> str:
    """A text from a file, shortened for a message."""
    return text if len(text) <= 120 else f"{text[:100]}...{text[-10:]}"


def same_labels(first: VocFile, second: VocFile) -> bool:
    """Whether two files have the same labels for an image."""
    return (
        not first.problem
        and not second.problem
        and (first.size, first.boxes, first.found_boxes) == (second.size, second.boxes, second.found_boxes)
    )
