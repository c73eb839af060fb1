"""Image files as a served detector sees them: found by path, folder or pattern, and decoded as in training (no EXIF rotation, three channels)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from detection.errors import DataError
from detection.paths import expand, hint
from detection.types import MAX_PIXELS

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
_MAGIC = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG", "GIF": b"GIF8", "BMP": b"BM", "WebP": b"RIFF"}  # What TensorFlow decodes.


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
            paths = [path for path in expand(pattern) if os.path.isfile(path)]
            if not paths:
                raise DataError(f"{pattern}: no such image, folder or pattern; check the path: {hint(pattern)}")
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
    # The header is looked at first: a few kilobytes can decode to gigabytes.
    kind, pixels = _header(path)
    if pixels > max_pixels:
        raise DataError(f"{path}: has {pixels:,} pixels, more than the {max_pixels:,} allowed; scale it down or raise --max_image_pixels")
    try:
        return tf.io.decode_image(encoded, channels=3, expand_animations=False).numpy()
    except tf.errors.OpError as error:
        readable = next((name for name, magic in _MAGIC.items() if encoded.startswith(magic)), None)
        reason = f"is a damaged {readable} file; save it again" if readable else f"is {kind or 'no image'}; give JPEG, PNG, GIF, BMP or WebP"
        raise DataError(f"{path}: {reason}") from error


def _header(path: str) -> tuple[str, int]:
    """Format and number of pixels as the file's header tells; ("", 0) if it is no image that Pillow knows."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # Our own limit is the one that counts.
    try:
        with Image.open(path) as image:
            return image.format or "", image.width * image.height
    except (OSError, ValueError, SyntaxError):
        return "", 0
    finally:
        Image.MAX_IMAGE_PIXELS = limit
