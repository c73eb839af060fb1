"""Finds the place of every field in a text proto, which protobuf's parser does not keep.

The scan is lenient: it skips what it cannot follow, and protobuf's parser decides whether the text is valid.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

_TOKEN = re.compile(
    r"""(?P<space>(?:\s|\#[^\n]*)+) | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*') |
    (?P<open>"(?:\\.|[^"\\\n])*|'(?:\\.|[^'\\\n])*) | (?P<word>[\w.+-]+) | (?P<mark>.)""",
    re.VERBOSE,
)
_CLOSING = {"{": "}", "<": ">"}
_MAX_DEPTH = 60  # The schema is far flatter; deeper blocks are inside a field that does not exist.


class Token(NamedTuple):
    """A word, string or punctuation mark of the text."""

    text: str
    at: int  # offset of its first character
    kind: str  # string, word or mark; open: a string without closing quote on its line


@dataclass
class Entry:
    """One field as written: `name: value`, `name { ... }` or `name: [...]`."""

    container: Descriptor | None  # None inside a field that does not exist
    path: str  # of the container, with indices: "train_config.data_augmentation_options[1]"; "" at the top
    name: str  # "[...]" for an extension
    at: int  # offset of the name
    field: FieldDescriptor | None
    colon: bool = False
    values: list[Token] = dataclasses.field(default_factory=list)  # scalars as written; a string may have several parts
    blocks: list[Token] = dataclasses.field(default_factory=list)  # the opening brackets of messages
    end: int = 0  # offset after the value; 0 if the scan stopped inside


class Scan(NamedTuple):
    """Result of a scan."""

    entries: list[Entry]  # in the order of the text, blocks before their content
    open_blocks: list[tuple[str, int]]  # name and offset of the blocks that are not closed
    complete: bool  # whether the scan reached the end


def scan(text: str, descriptor: Descriptor) -> Scan:
    """Scans `text` as a message of type `descriptor`, as far as possible."""
    scanner = _Scanner(text)
    try:
        scanner.block(descriptor, "", closing="")
    except _Unclear:
        # The result is what was found so far; the caller's parser reports the error after it.
        scanner.open_blocks.clear()
        return Scan(scanner.entries, [], complete=False)
    return Scan(scanner.entries, scanner.open_blocks, complete=not scanner.open_blocks)


class _Unclear(Exception):
    """The scan cannot continue."""


class _Scanner:
    def __init__(self, text: str) -> None:
        matches = (match for match in _TOKEN.finditer(text) if match.lastgroup != "space")
        self.tokens = [Token(match[0], match.start(), match.lastgroup or "") for match in matches]
        self.tokens.append(Token("", len(text), "end"))
        self.next = 0
        self.entries: list[Entry] = []
        self.open_blocks: list[tuple[str, int]] = []

    def take(self) -> Token:
        token = self.tokens[self.next]
        self.next = min(self.next + 1, len(self.tokens) - 1)
        return token

    def accept(self, *marks: str) -> Token | None:
        token = self.tokens[self.next]
        return self.take() if token.kind == "mark" and token.text in marks else None

    def block(self, container: Descriptor | None, path: str, closing: str) -> bool:
        """Reads fields until `closing` (True) or until the end of the text (False)."""
        counts: Counter[str] = Counter()
        while not self.accept(closing):
            token = self.take()
            if token.kind == "end":
                return False
            if token.text in (",", ";"):
                continue
            if token.text == "[":
                while not self.accept("]"):
                    if self.take().kind == "end":
                        raise _Unclear
            elif token.kind != "word":
                raise _Unclear
            name = "[...]" if token.text == "[" else token.text
            entry = Entry(container, path, name, token.at, container.fields_by_name.get(name) if container else None)
            self.entries.append(entry)
            self.value(entry, counts)
            last = self.tokens[self.next - 1]
            entry.end = last.at + len(last.text)
        return True

    def value(self, entry: Entry, counts: Counter[str]) -> None:
        entry.colon = bool(self.accept(":"))
        if not self.accept("["):
            self.element(entry, counts)
            return
        while not self.accept("]"):
            if self.tokens[self.next].kind == "end":
                raise _Unclear
            self.element(entry, counts)
            self.accept(",")

    def element(self, entry: Entry, counts: Counter[str]) -> None:
        opening = self.accept("{", "<")
        if opening is None:
            token = self.take()
            if token.kind not in ("word", "string"):
                raise _Unclear
            entry.values.append(token)
            while token.kind == "string" and self.tokens[self.next].kind == "string":  # Adjacent strings are one value.
                entry.values.append(self.take())
            return
        entry.blocks.append(opening)
        index = f"[{counts[entry.name]}]" if entry.field is None or entry.field.is_repeated else ""
        counts[entry.name] += 1
        inner = entry.field.message_type if entry.field is not None else None
        self.open_blocks.append((entry.name, entry.at))
        if len(self.open_blocks) > _MAX_DEPTH:
            raise _Unclear
        if self.block(inner, f"{entry.path}.{entry.name}{index}".lstrip("."), _CLOSING[opening.text]):
            self.open_blocks.pop()
