"""The only exceptions a user sees: one clear line each, with a documented exit code.

| code | meaning |
|---|---|
| 0 | done |
| 1 | internal error (a bug: the traceback is shown) |
| 2 | usage or config; a file that is missing, or cannot be written |
| 3 | bad data |
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

# Kinds of characters that a terminal acts upon instead of showing them: control (escape sequences), format (text
# direction), half of a surrogate pair (which no encoding can write), and the separators that end a line.
_ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_PLAIN = re.compile(r"[\t\n\r -~]*")
_LONGEST = 10_000  # characters of a message


def printable(text: object) -> str:
    """Text that came from data, as it may stand in a message, a report or a table: one line, nothing in it that acts on
    a terminal.

    Line ends become blanks; other control, format and surrogate characters become their escapes, as in Python.
    """
    line = " ".join(str(text).splitlines())
    if line.isascii() and line.isprintable():
        return line
    escaped = (c.encode("unicode_escape").decode() if unicodedata.category(c) in _ACTING else c for c in line)
    return "".join(escaped)


def visible(text: str) -> str:
    """Text of any number of lines with nothing in it that acts on a terminal but tabs and the ends of its lines."""
    if _PLAIN.fullmatch(text):
        return text
    escaped = (
        c.encode("unicode_escape").decode() if unicodedata.category(c) in _ACTING and c not in "\t\n\r" else c
        for c in text
    )
    return "".join(escaped)


def first_line(error: BaseException) -> str:
    """What an error of Python or TensorFlow says first, without the names of TensorFlow's operations; its type where it
    says nothing."""
    text = str(getattr(error, "message", None) or error).strip()
    line = text.partition("\n")[0].partition(" [[{{node")[0].partition("[Op:")[0]
    return line.rpartition("}} ")[2].strip() or type(error).__name__


def _line(text: str) -> str:
    """A message that quotes a word of a thousand characters, or a line of a hundred thousand, is one that nobody finds
    the end of."""
    line = printable(text)
    line = re.sub(r"\S{1001,}", lambda run: f"{run[0][:400]}...[{len(run[0])} characters]...{run[0][-100:]}", line)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1000]} ...[{len(line)} characters]... {line[-900:]}"


def number_of(number: int, noun: str, plural: str = "") -> str:
    """A number and its noun, for messages: `1 image`, `2 images`; `plural` where an s does not make it."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


class DetectionError(Exception):
    """Base of every error that is the input's fault. The message is one line: where, what value, what to do."""

    exit_code = 1
    others: tuple[DetectionError, ...] = ()  # what else is wrong with the same thing, each as an error of its own

    def __str__(self) -> str:
        """One printable line of a length that can be read, whatever the message quotes."""
        more = f" (and {number_of(len(self.others), 'more problem')})" if self.others else ""
        return _line(super().__str__()) + more

    def lines(self) -> list[str]:
        """One printable line a problem: this one, then the others."""
        return [_line(super().__str__()), *(line for other in self.others for line in other.lines())]


def together(errors: Sequence[DetectionError]) -> DetectionError:
    """The first of several errors, which carries the others."""
    first = errors[0]
    first.others = (*first.others, *errors[1:])
    return first


def in_file(path: str, error: DetectionError) -> DetectionError:
    """The same problems, each with the file that it is in; as they are where `path` is ""."""
    if not path:
        return error
    return together([type(problem)(f"{path}: {problem.lines()[0]}") for problem in (error, *error.others)])


class ConfigError(DetectionError):
    """A config, flag or checkpoint that cannot be used."""

    exit_code = 2


class DataError(DetectionError):
    """An image, annotation, record or label map that cannot be used."""

    exit_code = 3


class PathError(ConfigError, DataError):
    """A place on the disk that is not there, or cannot be written: the same fault, and exit code, whether a config or
    data was to be there."""


class DivergedError(DetectionError):
    """The loss became NaN or infinite."""

    exit_code = 4


class ModelDirInUseError(DetectionError):
    """Another process holds the model_dir."""

    exit_code = 5
