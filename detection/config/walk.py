"""Iterates over the messages in a config."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from detection.config.schema import is_map, is_message


def messages(
    message: Message, path: str = "", enter: Callable[[FieldDescriptor], bool] | None = None
) -> Iterator[tuple[str, Message]]:
    """Yields (path, message) of a message and all messages in it, outer messages first.

    Args:
        message: where to start.
        path: its path; paths have indices, such as `eval_input_reader[0].tf_record_input_reader`.
        enter: fields for which this returns False are skipped.
    """
    yield path, message
    for field, value in message.ListFields():
        if not is_message(field) or field.is_extension or (enter is not None and not enter(field)):
            continue
        here = join(path, field.name)
        if is_map(field):
            if is_message(field.message_type.fields_by_name["value"]):
                for key in sorted(value):
                    yield from messages(value[key], f"{here}[{key}]", enter)
        elif field.is_repeated:
            for index, item in enumerate(value):
                yield from messages(item, f"{here}[{index}]", enter)
        else:
            yield from messages(value, here, enter)


def join(path: str, name: str) -> str:
    """The path of a field: `path.name`, or `name` at the top level."""
    return f"{path}.{name}" if path else name
