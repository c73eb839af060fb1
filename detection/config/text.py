"""Text protos -> messages, with errors that say where, what, and what to write instead:

    my.config:3:5: unknown field 'num_clases' in Ssd; did you mean 'num_classes'?

protobuf's parser decides what is right (`Parse`, which unlike `Merge` refuses a scalar given twice and a second member
of a oneof). Where it stops, the fields that cover the place are looked at again, to say the reason in the words of the
schema; and all other fields, to say what else is wrong. What is right can still be read then.
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
_MOST = 50  # faults of a text that are told
# What other languages and word processors write.
_FOREIGN = {
    "//": "comments begin with #",
    "/*": "comments begin with #",
    **dict.fromkeys("\u201c\u201d\u201e\u2018\u2019\u00ab", "put strings between straight quotes, \" or '"),
}


class Loaded(NamedTuple):
    """What a config says, as far as it can be read."""

    message: Message
    places: Places  # where its fields are written
    faults: tuple[ConfigError, ...] = ()  # what could not be read; then `places.uncertain` says what is known in part


def parse(text: str, message: AnyMessage, source: str, positions: bool = True) -> AnyMessage:
    """Reads `text` into the empty `message` and returns it.

    Args:
        text: a text proto.
        message: what to fill.
        source: what errors begin with, for example the file.
        positions: whether errors go on with `:line:column` of `text`.

    Raises:
        ConfigError: one line, `source:line:column: what is wrong; what to write instead`; it carries the others.
    """
    loaded = read(text, type(message), source, positions)
    if loaded.faults:
        raise combined(loaded.faults)
    message.CopyFrom(loaded.message)
    return message


def read(text: str, kind: type[Message], source: str, positions: bool = True) -> Loaded:
    """Reads as much of `text` as can be read; arguments as of `parse`."""
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
        faults = tuple(fault(*each) for each in (stopped, *further[:_MOST]))
        entries = [entry for entry, _ in faulty]
        return Loaded(_without(text, entries, kind, places) if entries else kind(), places, faults)
    except RecursionError:
        reason = "blocks lie too deep in each other; is it really a pipeline config?"
        return Loaded(kind(), places, (ConfigError(f"{source}: {reason}"),))
    except legacy.Fault as found:
        return Loaded(kind(), places, (fault(found.at, found.reason),))
    except ValueError as error:  # A string that no message can hold; protobuf does not say where it stands.
        return Loaded(kind(), places, (ConfigError(f"{source}: {' '.join(str(error).split())}"),))


def place(text: str, source: str, offset: int) -> str:
    """`source:line:column`, both from 1."""
    line = text.count("\n", 0, offset)
    return f"{source}:{line + 1}:{offset - (text.rfind(chr(10), 0, offset) + 1) + 1}"


def _current(text: str, message: Message) -> Scan:
    """The fields of a text, those that were renamed under their names of today."""
    scanned = scan(text, message.DESCRIPTOR)
    current, _, _ = legacy.rewrite(text, scanned.entries)
    return scanned if current == text else scan(current, message.DESCRIPTOR)


def _without(text: str, faulty: list[Entry], kind: type[Message], places: Places) -> Message:
    """The message without the fields that cannot be read, which are noted; empty where that is not enough."""
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
    """Offset in `text` of a 1-based line and column; the start where protobuf names none."""
    start = 0
    for _ in range((line or 1) - 1):
        start = text.find("\n", start) + 1
    return start + (column or 1) - 1


def _explain(scanned: Scan, text: str, offset: int, error: Exception, message: Message) -> tuple[int, str]:
    """Where and why the parser stopped at `offset`: the first fault among the fields that cover it, else the parser's
    own words."""
    raw = re.sub(r"^\d+:\d+ : ('.*': )?", "", str(error).replace("\n", " ")).rstrip(".")
    if "missing ending quote" in raw:
        return offset, "a string is not closed on its line; add the missing quote"
    if "truncated" in raw and "escape" in raw:
        return offset, "a backslash in this string begins a code such as \\U; write / between folders, or \\\\"
    for mark, advice in _FOREIGN.items():
        if text.startswith(mark, offset):
            return offset, f"{mark} means nothing here; {advice}"
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
    """The fields that cannot be read, each with the place and the reason: the parser stops at the first."""
    seen: dict[tuple[str, str], Entry] = {}
    for entry in scanned.entries:
        fault = _fault(entry, seen, message) if entry.container is not None else None
        if fault is not None:
            yield entry, fault


def _fault(entry: Entry, seen: dict[tuple[str, str], Entry], message: Message) -> tuple[int, str] | None:
    """What is wrong with one field, and where; None if nothing is. `seen` holds the first field of each name of each
    block so far."""
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
        return entry.at, f"':' is missing behind {field.name} in {container}"
    if len(entry.values) > 1 and not field.is_repeated and not is_string(field):
        return entry.at, f"{field.name} in {container} takes one value, not a list"
    for token in entry.values:
        reason = bad_value(field, token.text)
        if reason is not None:
            return token.at, reason
    return None
