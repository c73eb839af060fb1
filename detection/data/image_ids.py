"""Ids of images in COCO's files."""

from __future__ import annotations

import re

_LONGEST_NUMBER = 1000  # digits; Python refuses more than 4300


def coco_image_id(text: str) -> int | str:
    """Converts a decimal image id to a number, as in COCO; other ids and very long numbers stay strings."""
    return int(text) if text.isdecimal() and len(text) <= _LONGEST_NUMBER else text


def voc_image_name(source_id: str) -> str:
    """What VOC's image sets and result files call an image: its file name without folder and extension."""
    return re.sub(r"\.\w{3,4}$", "", source_id.replace("\\", "/").rsplit("/", 1)[-1])
