"""What must hold between the fields of a step of augmentation."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message


def pad_image(message: Message, path: str) -> Iterator[str]:
    """A canvas has two sides."""
    for which in ("min", "max"):
        sides = [f"{which}_image_{side}" for side in ("height", "width")]
        given = [side for side in sides if message.HasField(side)]
        if len(given) == 1:
            (other,) = set(sides) - set(given)
            yield f"{path}.{given[0]} is set without {other}; set both, or neither"
