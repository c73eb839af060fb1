"""Exceptions for invalid input, each shown to the user as one line, and the exit codes of all commands.

| code | meaning |
|---|---|
| 0 | success |
| 1 | internal error (a bug: the traceback is shown) |
| 2 | usage or config error; a file that is missing or cannot be written |
| 3 | invalid data |
| 4 | training diverged (non-finite loss) |
| 5 | model_dir is in use by another process |
| 129 | stopped by SIGHUP (the terminal was closed), as by SIGTERM |
| 130 | interrupted by Ctrl-C |
| 143 | stopped by SIGTERM; training has saved a checkpoint |
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# Unicode categories of characters that a terminal interprets instead of showing them: control (escape sequences),
# format (text direction), surrogates (which no encoding can write), and line and paragraph separators.
_UNPRINTABLE_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_PLAIN = re.compile(r"[\t\n\r -~]*")
_MAX_LENGTH = 10_000  # characters of a message


def printable(text: object) -> str:
    """Text from data made safe for a message, report or table: one line without control characters.

    Line breaks become spaces; other control, format and surrogate characters become Python escapes.
    """
    line = " ".join(str(text).splitlines())
    if line.isascii() and line.isprintable():
        return line
    escaped = (
        c.encode("unicode_escape").decode() if unicodedata.category(c) in _UNPRINTABLE_CATEGORIES else c for c in line
    )
    return "".join(escaped)


def visible(text: str) -> str:
    """Text of any number of lines, in which control characters except tabs and line breaks are escaped."""
    if _PLAIN.fullmatch(text):
        return text
    escaped = (
        c.encode("unicode_escape").decode()
        if unicodedata.category(c) in _UNPRINTABLE_CATEGORIES and c not in "\t\n\r"
        else c
        for c in text
    )
    return "".join(escaped)


def first_line(error: BaseException) -> str:
    """First line of the message of a Python or TensorFlow error, without the names of TensorFlow ops.

    An error without a message gives its type.
    """
    text = str(getattr(error, "message", None) or error).strip()
    line = text.partition("\n")[0].partition(" [[{{node")[0].partition("[Op:")[0]
    return line.rpartition("}} ")[2].strip() or type(error).__name__


def _line(text: str) -> str:
    """A message as one line, with very long words and very long lines shortened in the middle."""
    line = printable(text)
    line = re.sub(r"\S{1001,}", lambda run: f"{run[0][:400]}...[{len(run[0])} characters]...{run[0][-100:]}", line)
    if len(line) <= _MAX_LENGTH:
        return line
    return f"{line[: _MAX_LENGTH - 1000]} ...[{len(line)} characters]... {line[-900:]}"


def number_of(number: int, noun: str, plural: str = "") -> str:
    """A number and its noun, for messages: `1 image`, `2 images`; `plural` if it is not the noun with an s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


class DetectionError(Exception):
    """Base class of errors caused by the input. The message is one line: place, value, fix."""

    exit_code = 1
    others: tuple[DetectionError, ...] = ()  # further problems of the same input, each as an error of its own

    def __str__(self) -> str:
        """One printable line of limited length."""
        more = f" (and {number_of(len(self.others), 'more problem')})" if self.others else ""
        return _line(super().__str__()) + more

    def lines(self) -> list[str]:
        """One printable line per problem: this one, then the others."""
        return [_line(super().__str__()), *(line for other in self.others for line in other.lines())]


def combined(errors: Sequence[DetectionError]) -> DetectionError:
    """The first of several errors, with the others attached to it."""
    first = errors[0]
    first.others = (*first.others, *errors[1:])
    return first


def in_file(path: str, error: DetectionError) -> DetectionError:
    """The same problems, each prefixed with `path`; unchanged if `path` is empty."""
    if not path:
        return error
    return combined([type(problem)(f"{path}: {problem.lines()[0]}") for problem in (error, *error.others)])


class ConfigError(DetectionError):
    """A config, flag or checkpoint that cannot be used."""

    exit_code = 2


class DataError(DetectionError):
    """An image, annotation, record or label map that cannot be used."""

    exit_code = 3


class PathError(ConfigError, DataError):
    """A path that does not exist or cannot be written, whether for a config or for data."""


class DivergedError(DetectionError):
    """The loss became NaN or infinite."""

    exit_code = 4


class ModelDirInUseError(DetectionError):
    """Another process holds the model_dir."""

    exit_code = 5
