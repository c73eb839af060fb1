"""Text protos -> messages, with errors that say where, what, and what to write instead:

    my.config:3:5: unknown field 'num_clases' in Ssd; did you mean 'num_classes'?

protobuf's parser decides what is right (`Parse`, which unlike `Merge` refuses a scalar given twice and a second member
of a oneof). Where it stops, the fields that cover the place are looked at again, to say the reason in the words of the
schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from absl import logging
from google.protobuf import text_format
from google.protobuf.message import Message

from detection.config import legacy
from detection.config.scan import Entry, Scan, scan
from detection.config.schema import bad_value, cut, is_message, is_string, message_name, takes, unknown_field
from detection.errors import ConfigError, together

AnyMessage = TypeVar("AnyMessage", bound=Message)
_MOST = 50  # faults of a text that are told


def parse(text: str, message: AnyMessage, source: str, positions: bool = True) -> AnyMessage:
    """Reads `text` into the empty `message` and returns it.

    Args:
        text: a text proto.
        message: what to fill.
        source: what errors begin with, for example the file.
        positions: whether errors go on with `:line:column` of `text`.

    Raises:
        ConfigError: one line, `source:line:column: what is wrong; what to write instead`.
    """

    def place(offset: int) -> str:
        if not positions:
            return source
        line = text.count("\n", 0, offset)
        return f"{source}:{line + 1}:{offset - (text.rfind(chr(10), 0, offset) + 1) + 1}"

    scanned = scan(text, message.DESCRIPTOR)
    current, moves, remarks = legacy.rewrite(text, scanned.entries)
    for offset, remark in remarks:
        logging.warning("%s: %s", place(offset), remark)
    try:
        text_format.Parse(current, message)
    except text_format.ParseError as error:
        offset = _offset(text, error.GetLine(), error.GetColumn())
        scanned = scanned if current == text else scan(current, message.DESCRIPTOR)
        found = [_explain(scanned, text, offset, error, message)]
        found += [fault for fault in _further(scanned, message) if fault not in found] if scanned.complete else []
        raise together([ConfigError(f"{place(at)}: {reason}") for at, reason in found]) from None
    except RecursionError:
        raise ConfigError(f"{source}: blocks lie too deep in each other; is it really a pipeline config?") from None
    except ValueError as error:  # A string that no message can hold; protobuf does not say where it stands.
        raise ConfigError(f"{source}: {' '.join(str(error).split())}") from None
    for move in moves:
        _apply(move, message, place)
    legacy.rename_metrics(message, lambda what: logging.warning("%s: %s", source, what))
    return message


def _offset(text: str, line: int | None, column: int | None) -> int:
    """Offset in `text` of a 1-based line and column; the start where protobuf names none."""
    start = 0
    for _ in range((line or 1) - 1):
        start = text.find("\n", start) + 1
    return start + (column or 1) - 1


def _apply(move: legacy.Move, message: Message, place: Callable[[int], str]) -> None:
    """Sets a field that has moved, unless its new home already says something."""
    home = message
    for part in move.path.split("."):
        name, _, index = part.rstrip("]").partition("[")
        home = getattr(home, name)[int(index)] if index else getattr(home, name)
    field = home.DESCRIPTOR.fields_by_name[move.name]
    fragment = type(home)()
    try:
        text_format.Parse(move.text, fragment)
    except text_format.ParseError:
        raise ConfigError(
            f"{place(move.entry.at)}: {move.name} in {message_name(home.DESCRIPTOR)} takes {takes(field)}, not this"
        ) from None
    is_set = len(getattr(home, move.name)) > 0 if field.is_repeated else home.HasField(move.name)
    if not is_set:
        home.MergeFrom(fragment)
    elif getattr(home, move.name) != getattr(fragment, move.name):
        raise ConfigError(
            f"{place(move.entry.at)}: {move.entry.name} contradicts {move.path}.{move.name}, its name today; keep only"
            " the latter"
        )


def _explain(scanned: Scan, text: str, offset: int, error: Exception, message: Message) -> tuple[int, str]:
    """Where and why the parser stopped at `offset`: the first fault among the fields that cover it, else the parser's
    own words."""
    seen: dict[tuple[str, str], Entry] = {}
    raw = re.sub(r"^\d+:\d+ : ('.*': )?", "", str(error).replace("\n", " ")).rstrip(".")
    if "missing ending quote" in raw:
        return offset, "a string is not closed on its line; add the missing quote"
    for entry in scanned.entries:
        if entry.container is None or entry.at > offset:
            continue
        fault = _fault(entry, seen, message)
        if fault is not None and offset <= (entry.end or len(text)):
            return fault
    expected = re.fullmatch(r'Expected (?:"(.)"|identifier or number, got .*)', raw)
    if expected is None:
        return offset, cut(raw[:1].lower() + raw[1:], 300)
    if expected[1] in ("}", ">") and scanned.open_blocks:
        name, at = scanned.open_blocks[-1]
        return at, f"{cut(name)} {{ is never closed; add the missing {expected[1]!r}"
    found = repr(text[offset]) if offset < len(text) else "the end"
    return offset, f"expected {repr(expected[1]) if expected[1] else 'a field name'}, found {found}"


def _further(scanned: Scan, message: Message) -> list[tuple[int, str]]:
    """What else is wrong, in a text whose blocks are all closed: the parser stops at the first fault."""
    seen: dict[tuple[str, str], Entry] = {}
    found = []
    for entry in scanned.entries:
        fault = _fault(entry, seen, message) if entry.container is not None else None
        if fault is not None:
            found.append(fault)
            if len(found) == _MOST:
                break
    return found


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
            return entry.at, f"{container} holds either {first.name} or {entry.name}, not both; keep one of the two"
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
