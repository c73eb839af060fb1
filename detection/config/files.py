"""Reads and writes config files in text and binary form."""

from __future__ import annotations

import os
import select
import stat
from pathlib import Path

from absl import logging
from google.protobuf import text_format, unknown_fields
from google.protobuf.message import DecodeError, Message

from detection.config import builtin, legacy, text
from detection.config.places import Places
from detection.config.schema import is_message, message_name
from detection.errors import ConfigError, combined
from detection.files import write_text
from detection.protos import pipeline_pb2

# Tab, newline, carriage return. Every binary config starts with a field whose inner tags are other control characters.
_CONTROLS = bytes(set(range(32)) - {9, 10, 13})
_MAX_BYTES = 1 << 20  # A config that lists ten thousand shards has half of this.
_PIPE_SECONDS = 10  # seconds to wait for a writer of a pipe
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def load(path: str | os.PathLike[str]) -> pipeline_pb2.TrainEvalPipelineConfig:
    """Reads a pipeline config.

    Args:
        path: a file in text form (UTF-8, with or without byte order mark) or binary form, or `builtin:NAME` for a
            config that comes with the package.

    Raises:
        ConfigError: `file:line:column: ...` for a syntax error, `file: ...` if the file cannot be read. Values are not
            checked; see `check`.
    """
    loaded = read(path)
    if loaded.faults:
        raise combined(loaded.faults)
    return loaded.message


def read(path: str | os.PathLike[str]) -> text.Loaded:
    """As `load`, but returns the places of fields, and syntax errors as faults with the rest of the config.

    Raises:
        ConfigError: the file cannot be read at all.
    """
    path = builtin.locate(path)
    try:
        data = _read(path)
    except OSError as error:
        near = builtin.meant_by(path) or _one_of(_configs_in(os.path.dirname(path)))
        raise ConfigError(f"{path}: cannot read the config: {error.strerror or error}{near}") from None
    except ValueError as error:  # The name has a null character.
        raise ConfigError(f"{path!r}: not a file name: {error}") from None
    if not data.strip():
        raise ConfigError(f"{path}: the config is empty; expected at least model {{ ... }}")
    message = None if _looks_like_text(data) else _binary(path, data)
    if message is not None:
        return text.Loaded(message, Places(path))
    return text.read(_decode(path, data), pipeline_pb2.TrainEvalPipelineConfig, path)


def _read(path: str) -> bytes:
    """The bytes of a file or pipe.

    Raises ConfigError for a device, which may be endless, a pipe without a writer, and a file that is too large.
    """
    kind = os.stat(path).st_mode
    if stat.S_ISDIR(kind):
        raise ConfigError(f"{path}: cannot read the config: Is a directory{_one_of(_configs_in(path))}")
    if not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind)):
        raise ConfigError(f"{path}: is a device or socket, not a config file")
    # O_NONBLOCK exists on Unix only, O_BINARY on Windows only.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    parts: list[bytes] = []
    with open(descriptor, "rb", buffering=0) as stream:
        while sum(map(len, parts)) <= _MAX_BYTES:
            if stat.S_ISFIFO(kind) and not select.select([stream], [], [], _PIPE_SECONDS)[0]:
                raise ConfigError(
                    f"{path}: is a pipe to which nothing was written for {_PIPE_SECONDS} seconds; name a file"
                )
            part = stream.read(_MAX_BYTES + 1)
            if not part:
                return b"".join(parts)
            parts.append(part)
    size = os.path.getsize(path) if stat.S_ISREG(kind) else 0
    raise ConfigError(
        f"{path}: {max(size, _MAX_BYTES + 1):,} bytes; a pipeline config has a few thousand, so this is another file"
    )


def to_text(config: Message) -> str:
    """The text form of a message, which `load` and every other program with the schema can read."""
    return text_format.MessageToString(config, as_utf8=True)


def from_text(content: str, name: str = "config") -> pipeline_pb2.TrainEvalPipelineConfig:
    """Parses the text form of a config; `name` is the prefix of errors."""
    return text.parse(content, pipeline_pb2.TrainEvalPipelineConfig(), name)


def save(config: Message, path: str | os.PathLike[str]) -> None:
    """Writes the text form atomically."""
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, to_text(config))
    except OSError as error:
        raise ConfigError(f"{target}: cannot write the config: {error.strerror or error}") from None


def _controls(data: bytes) -> int:
    """Number of control characters that do not occur in text; 0 for UTF-16, which `_decode` rejects."""
    return 0 if data.startswith(_UTF16) else len(data) - len(data.translate(None, _CONTROLS))


def _looks_like_text(data: bytes) -> bool:
    """Whether the bytes have no control characters and are UTF-8, as binary messages hardly ever are."""
    if _controls(data):
        return False
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.startswith(_UTF16)
    return True


def _decode(path: str, data: bytes) -> str:
    if data.startswith(_UTF16):
        raise ConfigError(f"{path}: the config is UTF-16 text; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise ConfigError(
            f"{path}:{line}:{column}: byte 0x{data[error.start]:02x} is not UTF-8; save the config as UTF-8 text"
        ) from None


def _binary(path: str, data: bytes) -> pipeline_pb2.TrainEvalPipelineConfig | None:
    """The binary message, or None if `data` looks like text with a stray control character.

    The text parser can name the place of such a character.
    """
    try:
        message = pipeline_pb2.TrainEvalPipelineConfig()
        legacy.read(data, message, lambda _, what: logging.warning("%s: %s", path, what))
        _refuse_unknown(path, message, "")
        return message
    except DecodeError:
        error = ConfigError(
            f"{path}: neither a text nor a binary TrainEvalPipelineConfig; is it really a pipeline config?"
        )
    except ConfigError as unknown:
        error = unknown
    if _controls(data) * 20 < len(data):
        return None
    raise error


def _refuse_unknown(path: str, message: Message, where: str) -> None:
    """Raises ConfigError for field numbers that are not in the schema: another kind of file, or a newer schema."""
    for unknown in unknown_fields.UnknownFieldSet(message):
        name, number = message_name(message.DESCRIPTOR), unknown.field_number
        if old := legacy.gone(name, number):
            logging.warning("%s: %s.%s", path, where, old)
            continue
        place = where or "the top level"
        raise ConfigError(
            f"{path}: {place} holds field number {number}, which {name} does not have; is it really a pipeline config?"
        )
    for field, value in message.ListFields():
        if not is_message(field) or field.message_type.GetOptions().map_entry:
            continue
        here = f"{where}.{field.name}".lstrip(".")
        for index, item in enumerate(value if field.is_repeated else [value]):
            _refuse_unknown(path, item, f"{here}[{index}]" if field.is_repeated else here)


def _configs_in(folder: str) -> list[str]:
    """Some configs in a folder, to suggest for a mistyped file name."""
    try:
        return sorted(os.path.join(folder, name) for name in os.listdir(folder or ".") if name.endswith(".config"))[:4]
    except (OSError, ValueError):
        return []


def _one_of(near: list[str]) -> str:
    return f"; did you mean one of {', '.join(near)}?" if near else ""
