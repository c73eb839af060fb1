"""Conditions on the fields of evaluation."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message
from PIL import ImageColor

from detection.config.schema import cut
from detection.tools.suggest import did_you_mean


def pictures(message: Message, path: str) -> Iterator[str]:
    """EvalConfig: colours must be names such as LightGreen (in any case) or values such as #00ff80."""
    field, color = "groundtruth_box_visualization_color", message.groundtruth_box_visualization_color
    try:
        ImageColor.getrgb(color)
    except ValueError:
        hint = did_you_mean(color, ImageColor.colormap)
        yield (
            f"{path}.{field} ({cut(repr(color))}) is not a colour; use a name such as 'black' or a value such as"
            f" '#00ff80'{hint}"
        )
