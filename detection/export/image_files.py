"""Image files as a served detector sees them: found by path, folder or pattern, and decoded as in training (no EXIF
rotation, three channels)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from detection.data.folders import files_below
from detection.data.image_decode import UndecodableImage, decode
from detection.data.image_header import DECODABLE, UNKNOWN, kind_of
from detection.errors import DataError, PathError
from detection.files import is_special
from detection.paths import expand, hint
from detection.types import MAX_PIXELS

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp")


def find(patterns: Iterable[str]) -> list[str]:
    """Paths of images, each once, in the order given; folders and patterns are sorted, folders are searched below too.

    Raises:
        PathError: naming the argument that is not there. DataError: naming the folder that holds no image.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        if os.path.isdir(pattern):
            paths = [os.path.join(pattern, name) for name in files_below(pattern, SUFFIXES)]
            if not paths:
                raise DataError(f"{pattern}: holds no image ({', '.join(SUFFIXES)}); name a folder with images")
        elif os.path.exists(pattern):  # A file may be called like a pattern.
            paths = [pattern]
        else:
            paths = [path for path in expand(pattern) if os.path.isfile(path)]
            if not paths:
                raise PathError(f"{pattern}: no such image, folder or pattern; check the path: {hint(pattern)}")
        found.update(dict.fromkeys(paths))
    return list(found)


def read(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decodes one image to uint8 [h, w, 3], RGB.

    Raises:
        DataError: naming the file and what is wrong with it.
    """
    path = os.fsdecode(path)
    if is_special(path):
        raise DataError(f"{path}: is a device or pipe, not a file; give its bytes, or the path of a file")
    try:
        encoded = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # A null character in the name.
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read: {reason}; check the path") from error
    if not encoded:
        raise DataError(f"{path}: is an empty file; replace it")
    return decoded(encoded, path, max_pixels)


def decoded(encoded: bytes, path: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """An encoded image as uint8 [h, w, 3], RGB; `path` is what errors call it.

    Raises:
        DataError: naming it and what is wrong with it.
    """
    try:
        return decode(encoded, max_pixels)
    except UndecodableImage as error:
        if error.too_large:
            raise DataError(f"{path}: {error}; scale it down or raise --max_image_pixels") from error
        kind = kind_of(encoded)
        if kind in DECODABLE:
            raise DataError(f"{path}: is a damaged {kind} file ({error}); save it again") from error
        raise DataError(
            f"{path}: is {'no image' if kind == UNKNOWN else kind}; give JPEG, PNG, GIF, BMP or WebP"
        ) from error
