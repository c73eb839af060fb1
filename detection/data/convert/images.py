"""From an image file to bytes that a record may hold: JPEG or PNG that TensorFlow decodes.

JPEG and PNG are kept byte for byte. The header is read first (`image_header`; of types that TensorFlow lacks by Pillow,
which opens lazily), so that nothing huge is ever decoded; then TensorFlow decodes the image, because what counts is
what training will see. Other types are stored as PNG. EXIF rotation is ignored, as TensorFlow and COCO do. No setting
of Pillow is touched: they are the process's, and others may be using it in other threads.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from detection.data import image_decode, image_header
from detection.data.findings import Fault
from detection.data.image_decode import UndecodableImage
from detection.errors import first_line
from detection.files import is_special
from detection.types import MAX_PIXELS

# Only parsers that can meet an image of a data set: each one more is one more to attack.
Image.init()
PILLOW_FORMATS = tuple(
    name
    for name in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM", "MPO")
    if name in Image.OPEN
)
PILLOW_LIMIT = 2 * Image.MAX_IMAGE_PIXELS  # Above this Pillow opens nothing.
_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
_EXTENSIONS = {
    "JPEG": _JPEG,
    "MPO": (*_JPEG, ".mpo"),
    "PNG": (".png",),
    "TIFF": (".tif", ".tiff"),
    "JPEG2000": (".jp2",),
}
_LEFT_OUT = "image left out"
_EXIF_ORIENTATION = 0x0112
# Pillow turns TIFF, and TIFF alone, upright while it loads; this turns it back.
_TIFF_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_PNG_BIT_DEPTH_AT = 24
_ENOUGH = 0.95  # of a JPEG whose end is missing: the part of its lines that must be there to repair it
_SIGNATURES = {
    b"\x1f\x8b": "gzip data",
    b"PK": "a zip archive",
    b"%PDF": "a PDF",
    b"<?xml": "XML",
    b"<svg": "SVG",
    b"<!": "HTML",
    b"<html": "HTML",
    b"II*\0": "a damaged TIFF",
    b"\xff\xd8": "a damaged JPEG",
    b"\x89PNG": "a damaged PNG",
    b"GIF8": "a damaged GIF",
    b"version https://git-lfs": "a Git LFS pointer; run git lfs pull",
}


class LoadedImage(NamedTuple):
    """An image fit for a record."""

    encoded: bytes
    format: str  # "jpeg" or "png"; of a record's image whatever it is, in lower case
    width: int
    height: int
    faults: tuple[Fault, ...]
    orientation: int = 1  # EXIF's: how viewers turn the stored pixels


class BadImage(Exception):
    """An image that cannot be used."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def load(path: Path, max_pixels: int = MAX_PIXELS, repair: bool = False) -> LoadedImage:
    """Reads and checks an image file; otherwise as `check`."""
    if is_special(path):
        raise BadImage(Fault("image_unreadable", str(path), "", "is a device or pipe, not a file", _LEFT_OUT))
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise BadImage(Fault("image_missing", str(path), "", "no such file", _LEFT_OUT)) from error
    except (OSError, ValueError) as error:
        raise BadImage(
            Fault("image_unreadable", str(path), "", getattr(error, "strerror", "") or str(error), _LEFT_OUT)
        ) from error
    return check(data, str(path), path.suffix.lower(), max_pixels, repair)


def check(
    data: bytes,
    name: str,
    extension: str = "",
    max_pixels: int = MAX_PIXELS,
    repair: bool = False,
    in_record: bool = False,
) -> LoadedImage:
    """Checks an encoded image, and stores as PNG what is neither JPEG nor PNG.

    Args:
        data: the bytes of the file.
        name: what to call it in faults.
        extension: of its file name, with the point; "" where it has none to compare with.
        max_pixels: larger images are refused, before they are decoded.
        repair: JPEGs whose end is missing are completed (the missing part grey) and stored as PNG.
        in_record: the bytes lie in a record already, where training must decode them as they are: nothing is stored as
            PNG.

    Raises:
        BadImage: with the fault.
    """

    def bad(kind: str, value: str) -> BadImage:
        return BadImage(Fault(kind, name, "", value, _LEFT_OUT))

    if not data:
        raise bad("image_unreadable", "empty file")
    kind = image_header.kind_of(data)
    header = _header(data, max_pixels, bad) if kind in image_header.DECODABLE else None
    if kind in ("JPEG", "PNG") or (in_record and header is not None):
        encoded, width, height, kind = data, header.width, header.height, kind.lower()
        notes, orientation = _notes_if_any(name, extension, data)
    elif in_record:
        found = kind if kind != image_header.UNKNOWN else sniff(data)
        raise bad("image_unreadable", f"{found}; training decodes {', '.join(image_header.DECODABLE)}")
    else:
        encoded, width, height, notes, orientation = _transcoded(data, name, extension, max_pixels, bad)
        kind = "png"
    try:
        shape = tf.io.decode_image(encoded, channels=3, expand_animations=False).shape
    except tf.errors.OpError as error:
        found = image_decode.recover(encoded, max_pixels) if kind == "jpeg" else None
        if found is None:
            raise bad(
                "image_unreadable", f"TensorFlow cannot decode this {kind.upper()}: {first_line(error).rstrip('.')}"
            ) from error
        value, fix = _truncation(found, repair, in_record)
        if fix:
            raise bad("image_truncated", f"{value}; {fix}") from error
        notes.append(Fault("image_truncated", name, "", value, "repaired: kept what is there, as PNG"))
        encoded, kind, shape = tf.io.encode_png(found.pixels).numpy(), "png", found.pixels.shape
    if kind == "gif":  # Its first frame may be smaller than what the others need.
        height, width = shape[:2]
    if tuple(shape) != (height, width, 3):
        raise bad(
            "image_unreadable",
            f"decodes to {tuple(shape)[1]}x{tuple(shape)[0]} pixels, while its header says {width}x{height}",
        )
    return LoadedImage(encoded, kind, width, height, tuple(notes), orientation)


def _header(data: bytes, max_pixels: int, bad: Callable[[str, str], BadImage]) -> image_header.Header:
    """The header of an image that TensorFlow decodes itself, which is neither damaged nor of too large an image."""
    try:
        return image_decode.check_header(data, max_pixels)
    except UndecodableImage as error:
        if not error.too_large:
            raise bad("image_unreadable", str(error)) from error
        found = image_header.read(data)
        plain = found.width * found.height > max_pixels
        value = f"{found.width}x{found.height} pixels, more than {max_pixels}" if plain else str(error)
        raise bad("image_too_large", f"{value}; shrink it or raise --max_image_pixels") from error


def _truncation(found: image_decode.Recovered, repair: bool, in_record: bool) -> tuple[str, str]:
    """What is missing of a JPEG, and what to do about it; nothing where what is there is to be kept."""
    value = f"the JPEG breaks off after {int(100 * found.part)} % of its lines"
    if found.lacks_scans:
        value = "the JPEG breaks off before its last scan, which leaves it blurred or without colour"
    elif found.part == 1:
        value = "the JPEG's end marker is missing, but none of its lines"
    enough = found.part >= _ENOUGH and not found.lacks_scans
    if enough and repair:
        return value, ""
    if in_record:
        return value, "its records must be made again"
    return value, "--on_bad=fix keeps what is there" if enough else "get it anew"


def _transcoded(
    data: bytes, name: str, extension: str, max_pixels: int, bad: Callable[[str, str], BadImage]
) -> tuple[bytes, int, int, list[Fault], int]:
    """What is neither JPEG nor PNG as PNG: its bytes, width and height, what is peculiar about it, and its orientation."""
    try:
        with Image.open(io.BytesIO(data), formats=PILLOW_FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise bad(
                    "image_too_large",
                    f"{width}x{height} pixels, more than {max_pixels}; shrink it or raise --max_image_pixels",
                )
            notes = [
                *_notes(name, extension, image, data),
                Fault("image_transcoded", name, "", image.format, "stored as PNG"),
            ]
            orientation = _orientation(image)
            encoded, (width, height) = _to_png(image)
            return encoded, width, height, notes, orientation
    except Image.DecompressionBombError as error:
        raise bad("image_too_large", f"more than {PILLOW_LIMIT} pixels by its header; shrink it") from error
    except UnidentifiedImageError as error:
        raise bad("image_unreadable", f"not an image of a known type, but {sniff(data)}") from error
    except BadImage:
        raise
    except Exception as error:  # On damaged files Pillow's parsers raise whatever their arithmetic runs into.
        raise bad("image_unreadable", str(error) or type(error).__name__) from error


def _notes_if_any(name: str, extension: str, data: bytes) -> tuple[list[Fault], int]:
    """What is peculiar about an image that TensorFlow decodes itself, and its orientation; nothing and 1 where Pillow
    trips over its metadata.
    """
    try:
        with Image.open(io.BytesIO(data), formats=PILLOW_FORMATS) as image:
            return _notes(name, extension, image, data), _orientation(image)
    except Exception:  # As above; whether the image is usable is for TensorFlow to say, not for Pillow.
        return [], 1


def _orientation(image: Image.Image) -> int:
    """1 to 8, as EXIF counts; 1 where it says nothing, or nothing that has a meaning."""
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


def sniff(data: bytes) -> str:
    """What bytes seem to be that Pillow does not know."""
    head = data[:60].lstrip()
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            return name
    if data[4:8] == b"ftyp":
        return "HEIF or video; convert it to JPEG"
    text = head.decode("utf-8", "ignore")
    if len(text.encode()) > len(head) - 4 and all(character.isprintable() or character.isspace() for character in text):
        return f"text: {text[:30]!r}"
    return f"unknown data: {data[:8].hex(' ')}"


def _notes(name: str, extension: str, image: Image.Image, data: bytes) -> list[Fault]:
    """What is peculiar about an image, yet no reason to refuse it."""
    notes = []
    if extension and extension not in _EXTENSIONS.get(image.format, (f".{image.format.lower()}", ".pgm")):
        notes.append(Fault("image_extension", name, "", f"holds {image.format}"))
    sixteen_bit = (
        data[_PNG_BIT_DEPTH_AT : _PNG_BIT_DEPTH_AT + 1] == b"\x10"
        if image.format == "PNG"
        else image.mode.startswith("I;16")
    )
    if sixteen_bit:
        notes.append(Fault("image_16_bit", name))
    if image.mode == "CMYK":
        notes.append(Fault("image_cmyk", name))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        notes.append(Fault("image_alpha", name))
    if (
        getattr(image, "n_frames", 1) > 1 and image.format != "MPO"
    ):  # An MPO's further frames are previews of the first.
        notes.append(Fault("image_animated", name, "", f"{image.n_frames} frames", "first one used"))
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    if orientation not in (0, 1):
        notes.append(Fault("image_exif_rotated", name, "", f"orientation {orientation}", "taken as stored"))
    return notes


def _to_png(image: Image.Image) -> tuple[bytes, tuple[int, int]]:
    """The first frame, RGB or grey, 8 bits a channel, without metadata; and its width and height."""
    back = _TIFF_BACK.get(image.getexif().get(_EXIF_ORIENTATION)) if image.format == "TIFF" else None
    if back is not None:
        image.load()
        image = image.transpose(back)
    if image.mode.startswith("I;16"):
        image = Image.fromarray(
            (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        )  # As TensorFlow reads PNG of 16 bits.
    elif image.mode in ("I", "F"):
        raise ValueError(
            f"pixels are {'32-bit integers' if image.mode == 'I' else 'floating point'}, whose range nobody knows;"
            " convert to 8 bits"
        )
    elif image.mode != "L":
        image = image.convert("RGB")
    stream = io.BytesIO()
    Image.frombytes(image.mode, image.size, image.tobytes()).save(stream, "PNG")
    return stream.getvalue(), image.size
