"""Remembers where the fields of a config are written, so that later messages can name the line."""

from __future__ import annotations

import bisect
import contextlib
import re
from collections import Counter
from collections.abc import Iterator

from google.protobuf.message import Message

from detection.config.legacy import Written
from detection.config.schema import is_map, is_message
from detection.config.walk import join
from detection.errors import ConfigError, combined

_PATH = re.compile(r"[A-Za-z_]\w*(\[\d+\])?(\.\w+(\[\d+\])?)*")


class Places:
    """Maps fields to their lines in a file, or to the flags that set them.

    Args:
        source: prefix of messages: the file.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._lines: dict[str, int] = {}  # path -> line number, from 1
        self._flags: dict[str, str] = {}  # path -> the flag that set it, as written
        self.uncertain: set[str] = set()  # paths of messages that could be read only in part

    def write(self, text: str, written: Written) -> None:
        """Records where each field of a text begins."""
        ends = [match.start() for match in re.finditer("\n", text)]
        counts: Counter[str] = Counter()
        for entry in written.entries:
            path = join(entry.path, entry.name)
            self._lines.setdefault(path, bisect.bisect_left(ends, entry.at) + 1)
            if entry.field is not None and entry.field.is_repeated:
                tokens = (*entry.values, *entry.blocks)
                for token in tokens:
                    at = entry.at if len(tokens) == 1 else token.at
                    self._lines[f"{path}[{counts[path]}]"] = bisect.bisect_left(ends, at) + 1
                    counts[path] += 1
        for entry, path in written.moved:
            self._lines.setdefault(path, bisect.bisect_left(ends, entry.at) + 1)

    def set_by(self, flag: str, before: Message, after: Message) -> None:
        """Records which fields a flag changed."""
        for path in _changed(before, after, ""):
            self._flags[path] = flag

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Prefixes ConfigErrors raised in the block with file and line, since builders know only fields."""
        try:
            yield
        except ConfigError as error:
            lines = error.lines()
            raise combined([ConfigError(f"{self.of(line)}: {line}") for line in lines]) from error

    def is_certain(self, sentence: str) -> bool:
        """Whether the value of the field that a sentence is about is known.

        It is if the field is set, in the file or by a flag, or if every other field of its message could be read.
        """
        path = path_of(sentence)
        if path in self._lines or any(place in self._flags for place in _outwards(path)):
            return True
        holder = path.rpartition(".")[0]
        return holder in self._lines and _without_indices(holder) not in map(_without_indices, self.uncertain)

    def of(self, sentence: str) -> str:
        """The prefix of a message: `my.config:12`, or `my.config, --set path=value`.

        The line of a field that is not written is that of its message; without any line it is the file alone.
        """
        for path in _outwards(path_of(sentence)):
            if path in self._flags:
                return f"{self.source}, {self._flags[path]}"
            if path in self._lines:
                return f"{self.source}:{self._lines[path]}"
        return self.source


def _without_indices(path: str) -> str:
    return re.sub(r"\[\d+\]", "", path)


def path_of(sentence: str) -> str:
    """The field path at the beginning of a sentence; "" if there is none."""
    match = _PATH.match(sentence)
    return match[0] if match else ""


def _outwards(path: str) -> Iterator[str]:
    """Yields a path and its parents: `a.b[1].c`, `a.b[1]`, `a.b`, `a`."""
    while path:
        yield path
        if path.endswith("]"):
            path = path[: path.rindex("[")]
        else:
            path = path.rpartition(".")[0]


def _changed(before: Message, after: Message, path: str) -> Iterator[str]:
    """Paths of the fields that differ, as deep as both messages have them.

    A list that has grown yields its new elements too, and a oneof that was emptied its message, which then lacks the
    choice.
    """
    for field in after.DESCRIPTOR.fields:
        old, new, here = getattr(before, field.name), getattr(after, field.name), join(path, field.name)
        if old == new and (field.is_repeated or before.HasField(field.name) == after.HasField(field.name)):
            continue
        added = range(len(old), len(new)) if field.is_repeated and not is_map(field) else ()
        if added and list(new[: len(old)]) == list(old):
            yield from (here, *(f"{here}[{index}]" for index in added))
        elif not is_message(field) or is_map(field):
            yield here
        elif not field.is_repeated:
            both = before.HasField(field.name) and after.HasField(field.name)
            yield from _changed(old, new, here) if both else [here]
            emptied = field.containing_oneof is not None and after.WhichOneof(field.containing_oneof.name) is None
            yield from [path] if emptied and path else []
        elif len(old) == len(new):
            for index, (one, other) in enumerate(zip(old, new, strict=True)):
                yield from _changed(one, other, f"{here}[{index}]")
        else:
            yield here
