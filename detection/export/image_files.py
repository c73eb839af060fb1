"""Image files as a served detector sees them: found by path, folder or pattern, and decoded as in training (no EXIF rotation, three channels)."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from detection.data.image_decode import UndecodableImage, decode
from detection.data.image_header import DECODABLE, UNKNOWN, kind_of
from detection.errors import DataError
from detection.types import MAX_PIXELS

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


def find(patterns: Iterable[str]) -> list[str]:
    """Paths of images, each once, in the order given; folders and patterns are sorted, folders are searched below too.

    Raises:
        DataError: naming the argument that is not there, or holds no image.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        if os.path.isdir(pattern):
            paths = sorted(str(path) for path in Path(pattern).rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
            if not paths:
                raise DataError(f"{pattern}: holds no image ({', '.join(SUFFIXES)}); name a folder with images")
        elif os.path.exists(pattern):  # A file may be called like a pattern.
            paths = [pattern]
        else:
            paths = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
            if not paths:
                raise DataError(f"{pattern}: no such image, folder or pattern; check the path")
        found.update(dict.fromkeys(paths))
    return list(found)


def read(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decodes one image to uint8 [h, w, 3], RGB.

    Raises:
        DataError: naming the file and what is wrong with it.
    """
    path = os.fspath(path)
    try:
        encoded = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}; check the path") from error
    if not encoded:
        raise DataError(f"{path}: is an empty file; replace it")
    try:
        return decode(encoded, max_pixels)
    except UndecodableImage as error:
        if error.too_large:
            raise DataError(f"{path}: {error}; scale it down or raise --max_image_pixels") from error
        kind = kind_of(encoded)
        if kind in DECODABLE:
            raise DataError(f"{path}: is a damaged {kind} file ({error}); save it again") from error
        raise DataError(f"{path}: is {'no image' if kind == UNKNOWN else kind}; give JPEG, PNG, GIF, BMP or WebP") from error
