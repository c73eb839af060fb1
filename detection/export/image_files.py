"""Finds image files by path, folder or glob pattern, and decodes them as in training.

Images have three channels; EXIF rotation is ignored.
"""

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
    """Returns the paths of images, each once, in the order of the arguments.

    Args:
        patterns: files, folders (searched recursively) or glob patterns; the files of each are sorted.

    Raises:
        PathError: an argument does not exist.
        DataError: a folder has no images.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        if os.path.isdir(pattern):
            paths = [os.path.join(pattern, name) for name in files_below(pattern, SUFFIXES)]
            if not paths:
                raise DataError(f"{pattern}: has no image files ({', '.join(SUFFIXES)}); name a folder with images")
        elif os.path.exists(pattern):  # A file name may contain characters of glob patterns.
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
        DataError: the message names the file and what is wrong with it.
    """
    path = os.fsdecode(path)
    if is_special(path):
        raise DataError(f"{path}: is a device or pipe, not a file; pass its bytes, or the path of a file")
    try:
        encoded = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # A null character in the name.
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read: {reason}; check the path") from error
    if not encoded:
        raise DataError(f"{path}: is an empty file; replace it")
    return decoded(encoded, path, max_pixels)


def decoded(encoded: bytes, path: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decodes an encoded image to uint8 [h, w, 3], RGB.

    Args:
        encoded: bytes of an image file.
        path: name of the image in error messages.
        max_pixels: larger images are refused.

    Raises:
        DataError: the message names the image and what is wrong with it.
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
            f"{path}: is {'not an image' if kind == UNKNOWN else kind}; use JPEG, PNG, GIF, BMP or WebP"
        ) from error
