"""Ids of images in COCO's files."""

from __future__ import annotations

_LONGEST_NUMBER = 1000  # digits; Python refuses more than 4300


def coco_image_id(text: str) -> int | str:
    """A decimal image id becomes a number, as COCO's own are; any other stays a string, and so does one too long to be
    read as a number.
    """
    return int(text) if text.isdecimal() and len(text) <= _LONGEST_NUMBER else text
