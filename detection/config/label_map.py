"""Label maps: the class of a label id or class text in records.

    item { name: "/m/01g317"  id: 1  display_name: "person" }

Ids start at 1 and may have gaps (COCO: 80 items, ids up to 90). Id 0 is the background: such an item is accepted only
under that name and is left out of all results. An item without a name uses its display_name. If several items have the
same id, the first names the class, and records may use the names of all, as in the TF Object Detection API. Records may
use either text of a class; results show the display_name if there is one (`Category.shown`). The text form is tried
first, then the binary form.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from absl import logging
from google.protobuf import message as protobuf_message
from google.protobuf import text_format

from detection.errors import DataError, PathError, combined, printable
from detection.files import read_bytes, write_text
from detection.protos import string_int_label_map_pb2
from detection.tools.suggest import closest
from detection.types import Category

_BACKGROUND = "background"
_MAX_FAULTS = 20  # listed per file
_WARNED: set[str] = set()  # warnings that have been logged
_ITEM_FIELDS = tuple(string_int_label_map_pb2.StringIntLabelMapItem.DESCRIPTOR.fields_by_name)
# Common wrong field names that are not found by spelling distance.
_MISREMEMBERED = {
    **dict.fromkeys(("label", "class", "text", "class_name"), "name"),
    **dict.fromkeys(("label_id", "class_id", "value"), "id"),
}
# One alternative per kind of token of the text form; comments and strings come first so that their content is skipped.
_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[{}<>]|[A-Za-z_]\w*|\n""")


class LabelMap(NamedTuple):
    """A label map with look-ups in both directions."""

    path: str
    categories: tuple[Category, ...]  # by ascending id, without background
    ids_by_name: dict[str, int]
    ids_by_display_name: dict[
        str, int
    ]  # items without one are left out; of several with the same one, the last in the file counts
    max_id: int  # the smallest num_classes that fits
    ancestors: dict[int, tuple[int, ...]]  # ids of a class's superclasses, for items that list them
    descendants: dict[int, tuple[int, ...]]  # the inverse of `ancestors`

    def text_ids(self) -> dict[str, int]:
        """Id of each class text; if a text is one class's name and another's display_name, the larger id counts."""
        ids = dict(self.ids_by_display_name)
        for name, label in self.ids_by_name.items():
            ids[name] = max(label, ids.get(name, label))
        return ids


def load(path: str | os.PathLike[str]) -> LabelMap:
    """Reads and checks a label map.

    Args:
        path: a text or binary StringIntLabelMap.

    Raises:
        PathError: the file does not exist or cannot be read.
        DataError: the label map is invalid; the error carries all faults, each with file, line (in text form) and item.
    """
    path = os.fspath(path)
    try:
        data = read_bytes(path)
    except OSError as error:
        raise PathError(
            f"{path}: cannot read the label map: {error.strerror or error}; check label_map_path"
        ) from error
    message, lines = _parse(path, data)
    items = [_Item(f"{path}:{line}", item) for item, line in zip(message.item, lines, strict=True)]
    kept, aliases = _check(path, items)
    by_id = sorted(kept, key=lambda item: item.id)
    return LabelMap(
        path=path,
        categories=tuple(Category(item.id, item.name, item.display_name) for item in by_id),
        ids_by_name={item.name: item.id for item in [*kept, *aliases]},
        ids_by_display_name={item.display_name: item.id for item in [*kept, *aliases] if item.display_name},
        max_id=by_id[-1].id,
        ancestors={item.id: item.ancestors for item in by_id if item.ancestors},
        descendants={item.id: item.descendants for item in by_id if item.descendants},
    )


def save(path: str | os.PathLike[str], names: Iterable[str] | Mapping[str, int]) -> None:
    """Writes a text label map atomically.

    Args:
        path: the file; its folder is created if needed.
        names: class names, which get the ids 1, 2, ... in this order; or a mapping from name to id.

    Raises:
        DataError: names or ids are missing or not unique.
        PathError: the file cannot be written.
    """
    if isinstance(names, Mapping):
        classes = list(names.items())
    else:
        classes = [(name, label) for label, name in enumerate(names, start=1)]
    distinct: tuple[set[object], ...] = ({name for name, _ in classes if name}, {id for _, id in classes if id > 0})
    if not classes or any(len(values) != len(classes) for values in distinct):
        raise DataError(
            f"{os.fspath(path)}: a label map needs one or more names, all different, none empty, with different ids"
            f" from 1; got {classes}"
        )
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, to_text(Category(label, name) for name, label in sorted(classes, key=lambda pair: pair[1])))
    except OSError as error:
        raise PathError(
            f"{target}: cannot write the label map: {error.strerror or error}; check the folder and the space left"
            " in it"
        ) from error


def to_text(categories: Iterable[Category]) -> str:
    """The text form, in the order given; `load` returns the same categories."""
    message = string_int_label_map_pb2.StringIntLabelMap()
    for category in categories:
        message.item.add(name=category.name, id=category.id, display_name=category.display_name or None)
    return text_format.MessageToString(message, as_utf8=True)


def generated(num_classes: int) -> tuple[Category, ...]:
    """Categories `category_1`, ..., for use without a label map."""
    return tuple(Category(label, f"category_{label}") for label in range(1, num_classes + 1))


class _Item:
    """One item and its place in the file."""

    def __init__(self, where: str, message: string_int_label_map_pb2.StringIntLabelMapItem) -> None:
        self.where = where
        self.has_id = message.HasField("id")
        self.id = message.id
        self.display_name = message.display_name
        self.name = message.name or message.display_name
        self.ancestors, self.descendants = tuple(message.ancestor_ids), tuple(message.descendant_ids)

    def __str__(self) -> str:
        return printable(f"{self.where}: item {self.name!r} (id {self.id if self.has_id else 'missing'})")

    def fault(self) -> str:
        """Message if the item alone is invalid; "" if it is valid."""
        if not self.name:
            return 'has no name; add name: "..."'
        if not self.has_id:
            return "has no id; add id: 1 or higher"
        if self.id < 0:
            return "negative id; ids start at 1"
        if self.id == 0 and _BACKGROUND not in (self.name, self.display_name):
            return (
                f"id 0 is reserved for {_BACKGROUND!r}; number the classes from 1, and leave out an item that stands"
                " for no object"
            )
        return ""


def _check(path: str, items: list[_Item]) -> tuple[list[_Item], list[_Item]]:
    """The items that define classes, and the items that are other names of one of them, in file order.

    Raises a DataError with all faults.
    """
    faults: list[str] = []
    aliases: list[_Item] = []
    by_id: dict[int, _Item] = {}
    by_name: dict[str, _Item] = {}
    by_display_name: dict[str, _Item] = {}
    for item in items:
        if fault := item.fault():
            faults.append(f"{item}: {fault}")
            continue
        if item.id == 0:
            continue
        known = by_id.setdefault(item.id, item)
        if known is not item:
            if (known.name, known.display_name) == (item.name, item.display_name):
                _warn(f"{item}: repeats {printable(known.where)}; kept once")
                continue
            same = f"id {item.id} is also that of {known.name!r} at {known.where}"
            _warn(f"{item}: {printable(same)}; the class is named after the first, and records may use both names")
            aliases.append(item)
        known = by_name.setdefault(item.name, item)
        if known.id != item.id:
            taken = f"name {item.name!r} already has id {known.id} at {known.where}"
            faults.append(f"{item}: {taken}; give each class its own name")
            continue
        if item.display_name and (known := by_display_name.setdefault(item.display_name, item)).id != item.id:
            _warn_of_same_display_name(item, known)
    if faults:
        more = [f"{path}: {len(faults) - _MAX_FAULTS} more faults are not listed"] if len(faults) > _MAX_FAULTS else []
        raise combined([DataError(fault) for fault in faults[:_MAX_FAULTS] + more])
    if not by_id:
        raise DataError(f'{path}: has no classes; expected items like: item {{ name: "dog" id: 1 }}')
    return list(by_id.values()), aliases


def _warn_of_same_display_name(item: _Item, known: _Item) -> None:
    both = f"display_name {item.display_name!r} is also that of id {known.id} at {known.where}"
    _warn(f"{item}: {printable(both)}; looked up by text it means id {item.id}")


def _warn(line: str) -> None:
    """Logs a warning once per process, since a run reads a label map several times."""
    if line not in _WARNED:
        _WARNED.add(line)
        logging.warning("%s", line)


def _parse(path: str, data: bytes) -> tuple[string_int_label_map_pb2.StringIntLabelMap, list[str]]:
    """The message and the place of each item: a line number, or `item N` in the binary form."""
    try:
        text = data.decode("utf-8-sig")
        message = text_format.Parse(text, string_int_label_map_pb2.StringIntLabelMap())
        return message, [str(line) for line in _item_lines(text)]
    except UnicodeDecodeError as error:
        text_errors = [
            f"{path}: byte {error.start} is not UTF-8, and the file is not a binary label map either; save it as UTF-8"
            " text"
        ]
    except text_format.ParseError as error:
        text_errors = _syntax_errors(path, text, error)
    try:
        message = string_int_label_map_pb2.StringIntLabelMap.FromString(data)
    except protobuf_message.DecodeError:
        raise combined([DataError(line) for line in text_errors]) from None
    message.DiscardUnknownFields()
    if message.ByteSize() != len(data):  # Another file that happens to parse as a protocol buffer.
        raise combined([DataError(line) for line in text_errors])
    return message, [f"item {number}" for number in range(1, len(message.item) + 1)]


def _item_lines(text: str) -> list[int]:
    """Line of each top-level `item`, in order, since text_format does not give lines for later errors."""
    lines, line, depth = [], 1, 0
    for token in _TOKEN.findall(text):
        if token == "\n":
            line += 1
        elif token in "{<":
            depth += 1
        elif token in "}>":
            depth -= 1
        elif token == "item" and depth == 0:
            lines.append(line)
    return lines


def _syntax_errors(path: str, text: str, error: text_format.ParseError) -> list[str]:
    """All syntax errors that can be found.

    After each error its line is removed and the text parsed again, as long as its braces stay balanced.
    """
    found: list[str] = []
    lines, last = text.split("\n"), 0
    while len(found) < _MAX_FAULTS and (error.GetLine() or 1) > last:
        found.append(_explain(path, text, error))
        last = error.GetLine() or 1
        wrong = lines[last - 1] if last <= len(lines) else "{"
        if wrong.count("{") != wrong.count("}") or wrong.count("<") != wrong.count(">"):
            break
        lines[last - 1] = ""
        try:
            text_format.Parse("\n".join(lines), string_int_label_map_pb2.StringIntLabelMap())
        except text_format.ParseError as following:
            error = following
        else:
            break
    return found


def _explain(path: str, text: str, error: text_format.ParseError) -> str:
    """`file:line:column: problem; fix`, on one line."""
    line, column = error.GetLine() or 1, error.GetColumn() or 1
    reason = re.sub(r"^\d+:\d+ : ('.*': )?", "", str(error).replace("\n", " ")).rstrip(".")
    source = text.split("\n")[line - 1].strip() if line <= text.count("\n") + 1 else ""
    unknown = re.search(r'has no field named "([^"]+)"', reason)
    if unknown:
        name = unknown.group(1)
        inside = "StringIntLabelMapItem" in reason
        fields = _ITEM_FIELDS if inside else ("item",)
        guess = closest(name, fields) or [_MISREMEMBERED.get(name, "")]
        reason = f"unknown {name!r} in {'an item' if inside else 'a label map'}"
        hint = f"did you mean {guess[0]!r}?" if guess[0] in fields else f"allowed: {', '.join(fields)}"
    elif "Expected string" in reason:
        hint = f'put the name in straight quotes, as in name: "dog" (the line reads: {source})'
    elif "parse integer" in reason:
        hint = "an id is a whole number without quotes, as in id: 1"
    elif "multiple" in reason:
        hint = "a field has one value; is a closing brace missing between two items?"
    elif text.lstrip().startswith(("[", '{"')):
        hint = 'this looks like JSON; a label map reads: item { name: "dog" id: 1 }'
    else:
        hint = f'an item reads: item {{ name: "dog" id: 1 }} (the line reads: {source})'
    return f"{path}:{line}:{column}: {reason}; {hint}"
