"""Parses text protos and reports all errors with place, reason and fix.

    my.config:3:5: unknown field 'num_clases' in Ssd; did you mean 'num_classes'?

protobuf's parser decides what is valid (`Parse`, which unlike `Merge` rejects a scalar given twice and a second member
of a oneof). If it stops, the fields around that place are examined again to give the reason in terms of the schema, and
all other fields are examined to report further errors. The valid fields can still be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from absl import logging
from google.protobuf import text_format
from google.protobuf.message import Message

from detection.config import legacy
from detection.config.places import Places
from detection.config.scan import Entry, Scan, scan
from detection.config.schema import bad_value, cut, is_message, is_string, message_name, takes, unknown_field
from detection.errors import ConfigError, combined

AnyMessage = TypeVar("AnyMessage", bound=Message)
_MAX_FAULTS = 50  # reported per text
# Syntax of other languages and quotes of word processors.
_FOREIGN = {
    "//": "comments begin with #",
    "/*": "comments begin with #",
    **dict.fromkeys("\u201c\u201d\u201e\u2018\u2019\u00ab", "put strings between straight quotes, \" or '"),
}


class Loaded(NamedTuple):
    """A config, as far as it can be read."""

    message: Message
    places: Places  # where its fields are written
    faults: tuple[ConfigError, ...] = ()  # syntax errors; `places.uncertain` then lists messages that were read in part


def parse(text: str, message: AnyMessage, source: str, positions: bool = True) -> AnyMessage:
    """Parses `text` into the empty `message` and returns it.

    Args:
        text: a text proto.
        message: filled by the parser.
        source: prefix of errors, for example the file.
        positions: whether to add `:line:column` of `text` to the prefix.

    Raises:
        ConfigError: one line, `source:line:column: problem; fix`; the error carries all others.
    """
    loaded = read(text, type(message), source, positions)
    if loaded.faults:
        raise combined(loaded.faults)
    message.CopyFrom(loaded.message)
    return message


def read(text: str, kind: type[Message], source: str, positions: bool = True) -> Loaded:
    """Parses as much of `text` as possible; see `parse` for the arguments."""
    message, places = kind(), Places(source)

    def fault(at: int, reason: str) -> ConfigError:
        return ConfigError(f"{place(text, source, at) if positions else source}: {reason}")

    def remark(at: int | None, sentence: str) -> None:
        where = source if at is None or not positions else place(text, source, at)
        logging.warning("%s: %s", where, sentence)

    try:
        places.write(text, legacy.read(text, message, remark))
        return Loaded(message, places)
    except text_format.ParseError as error:
        at = _offset(text, error.GetLine(), error.GetColumn())
        scanned = _current(text, message)
        stopped, faulty = _explain(scanned, text, at, error, message), []
        if scanned.complete:
            faulty = list(_faulty(scanned, message))
        further = [found for _, found in faulty if found != stopped]
        faults = tuple(fault(*each) for each in (stopped, *further[:_MAX_FAULTS]))
        entries = [entry for entry, _ in faulty]
        return Loaded(_without(text, entries, kind, places) if entries else kind(), places, faults)
    except RecursionError:
        reason = "blocks are nested too deeply; is it really a pipeline config?"
        return Loaded(kind(), places, (ConfigError(f"{source}: {reason}"),))
    except legacy.Fault as found:
        return Loaded(kind(), places, (fault(found.at, found.reason),))
    except ValueError as error:  # A string that no field can hold; protobuf does not say where it is.
        return Loaded(kind(), places, (ConfigError(f"{source}: {' '.join(str(error).split())}"),))


def place(text: str, source: str, offset: int) -> str:
    """`source:line:column`, both counted from 1."""
    line = text.count("\n", 0, offset)
    return f"{source}:{line + 1}:{offset - (text.rfind(chr(10), 0, offset) + 1) + 1}"


def _current(text: str, message: Message) -> Scan:
    """The fields of a text; renamed fields have their current names."""
    scanned = scan(text, message.DESCRIPTOR)
    current, _, _ = legacy.rewrite(text, scanned.entries)
    return scanned if current == text else scan(current, message.DESCRIPTOR)


def _without(text: str, faulty: list[Entry], kind: type[Message], places: Places) -> Message:
    """The message without the faulty fields, which are recorded in `places`; empty if it still cannot be parsed."""
    left = list(text)
    for entry in faulty:
        left[entry.at : entry.end] = [" " if character != "\n" else "\n" for character in left[entry.at : entry.end]]
    rest, message = "".join(left), kind()
    try:
        written = legacy.read(rest, message, lambda at, sentence: None)
    except (text_format.ParseError, legacy.Fault, ValueError, RecursionError):
        return kind()
    places.write(rest, written)
    places.uncertain |= {entry.path for entry in faulty}
    return message


def _offset(text: str, line: int | None, column: int | None) -> int:
    """Offset in `text` of a 1-based line and column; 0 if protobuf gives none."""
    start = 0
    for _ in range((line or 1) - 1):
        start = text.find("\n", start) + 1
    return start + (column or 1) - 1


def _explain(scanned: Scan, text: str, offset: int, error: Exception, message: Message) -> tuple[int, str]:
    """Place and reason of the error at which the parser stopped.

    It is the first fault of the fields around `offset`; without one it is the parser's own message.
    """
    raw = re.sub(r"^\d+:\d+ : ('.*': )?", "", str(error).replace("\n", " ")).rstrip(".")
    if "missing ending quote" in raw:
        return offset, "a string is not closed on its line; add the missing quote"
    if "truncated" in raw and "escape" in raw:
        return (
            offset,
            "a backslash in this string starts an escape sequence such as \\U; write / between folders, or \\\\",
        )
    for mark, advice in _FOREIGN.items():
        if text.startswith(mark, offset):
            return offset, f"{mark} is not valid here; {advice}"
    for entry, fault in _faulty(scanned, message):
        if entry.at <= offset <= (entry.end or len(text)):
            return fault
    expected = re.fullmatch(r'Expected (?:"(.)"|identifier or number, got .*)', raw)
    if expected is None:
        return offset, cut(raw[:1].lower() + raw[1:], 300)
    if expected[1] in ("}", ">") and scanned.open_blocks:
        name, at = scanned.open_blocks[-1]
        return at, f"{cut(name)} {{ is never closed; add the missing {expected[1]!r}"
    found = repr(text[offset]) if offset < len(text) else "the end"
    return offset, f"expected {repr(expected[1]) if expected[1] else 'a field name'}, found {found}"


def _faulty(scanned: Scan, message: Message) -> Iterator[tuple[Entry, tuple[int, str]]]:
    """Yields the fields that cannot be read with place and reason; the parser stops at the first."""
    seen: dict[tuple[str, str], Entry] = {}
    for entry in scanned.entries:
        fault = _fault(entry, seen, message) if entry.container is not None else None
        if fault is not None:
            yield entry, fault


def _fault(entry: Entry, seen: dict[tuple[str, str], Entry], message: Message) -> tuple[int, str] | None:
    """Place and reason if a field is faulty; None if it is valid.

    `seen` contains the first field of each name in each block so far.
    """
    assert entry.container is not None
    container = message_name(entry.container)
    field = entry.field
    if field is None:
        if entry.name == "[...]":
            return entry.at, f"{container} has no extensions here; remove what belongs to another project"
        gone = legacy.REMOVED.get((container, entry.name))
        known = unknown_field(entry.name, entry.container, message.DESCRIPTOR)
        return entry.at, f"unknown field {entry.name!r} in {container}; {gone}" if gone else known
    if not field.is_repeated:
        first = seen.setdefault((entry.path, field.name), entry)
        if first is not entry:
            return entry.at, f"{field.name} is given twice in {container}; keep one of the two"
    if field.containing_oneof is not None:
        first = seen.setdefault((entry.path, f"oneof {field.containing_oneof.name}"), entry)
        if first.name != entry.name:
            held = f"{container} holds either {first.name} or {entry.name}, not both"
            if container == "PreprocessingStep":
                return entry.at, f"{held}; give each its own data_augmentation_options {{ }}"
            return entry.at, f"{held}; keep one of the two"
    if is_message(field):
        return (
            (entry.values[0].at, f"{field.name} in {container} takes {takes(field)}, not {cut(entry.values[0].text)}")
            if entry.values
            else None
        )
    if entry.blocks:
        return (
            entry.blocks[0].at,
            f"{field.name} in {container} takes {takes(field)}, not a block; write {field.name}: ...",
        )
    if not entry.values and not field.is_repeated:
        return entry.at, f"{field.name} in {container} takes {takes(field)}, and has no value"
    if not entry.colon:
        return entry.at, f"':' is missing after {field.name} in {container}"
    if len(entry.values) > 1 and not field.is_repeated and not is_string(field):
        return entry.at, f"{field.name} in {container} takes one value, not a list"
    for token in entry.values:
        reason = bad_value(field, token.text)
        if reason is not None:
            return token.at, reason
    return None
