"""Checks image files and converts them to JPEG or PNG bytes for a record.

JPEG and PNG are kept byte for byte. The header is read first (`image_header`, or Pillow, which opens lazily, for
formats that TensorFlow does not support), so that no huge image is decoded; then TensorFlow decodes the image, as in
training. Other formats are stored as PNG. EXIF rotation is ignored, as in TensorFlow and COCO. Pillow's global settings
are not changed, since other threads may be using it.
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

# Only formats that are plausible in a data set: every additional parser is additional attack surface.
Image.init()
PILLOW_FORMATS = tuple(
    name
    for name in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM", "MPO")
    if name in Image.OPEN
)
PILLOW_LIMIT = 2 * Image.MAX_IMAGE_PIXELS  # Pillow does not open larger images.
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
# Pillow applies the EXIF rotation when it loads a TIFF (only for TIFF); this undoes it.
_UNDO_ROTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_PNG_BIT_DEPTH_AT = 24
_MIN_PART = 0.95  # fraction of the lines of a truncated JPEG that must be present to repair it
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
    """A checked image for a record."""

    encoded: bytes
    format: str  # "jpeg" or "png"; for an image in a record any format, in lower case
    width: int
    height: int
    faults: tuple[Fault, ...]
    orientation: int = 1  # EXIF orientation, with which viewers rotate the stored pixels


class BadImage(Exception):
    """The image cannot be used, because of `fault`."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def load(path: Path, max_pixels: int = MAX_PIXELS, repair: bool = False) -> LoadedImage:
    """Reads and checks an image file; arguments and errors as in `check`."""
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
    """Checks an encoded image and converts formats other than JPEG and PNG to PNG.

    Args:
        data: the bytes of the file.
        name: the name in faults.
        extension: of its file name, with the dot; empty to skip the comparison with the format.
        max_pixels: larger images are rejected before they are decoded.
        repair: complete truncated JPEGs (the missing part is grey) and store them as PNG.
        in_record: the bytes are in a record already and training must decode them as they are, so they are not
            converted.

    Raises:
        BadImage: the image cannot be used.
    """

    def bad(kind: str, value: str) -> BadImage:
        return BadImage(Fault(kind, name, "", value, _LEFT_OUT))

    if not data:
        raise bad("image_unreadable", "empty file")
    kind = image_header.kind_of(data)
    header = _header(data, max_pixels, bad) if kind in image_header.DECODABLE else None
    if kind in ("JPEG", "PNG") or (in_record and header is not None):
        encoded, width, height, kind = data, header.width, header.height, kind.lower()
        notes, orientation = _safe_notes(name, extension, data)
    elif in_record:
        recovered = kind if kind != image_header.UNKNOWN else sniff(data)
        raise bad("image_unreadable", f"{recovered}; training decodes {', '.join(image_header.DECODABLE)}")
    else:
        encoded, width, height, notes, orientation = _transcoded(data, name, extension, max_pixels, bad)
        kind = "png"
    try:
        shape = tf.io.decode_image(encoded, channels=3, expand_animations=False).shape
    except tf.errors.OpError as error:
        recovered = image_decode.recover(encoded, max_pixels) if kind == "jpeg" else None
        if recovered is None:
            raise bad(
                "image_unreadable", f"TensorFlow cannot decode this {kind.upper()}: {first_line(error).rstrip('.')}"
            ) from error
        value, fix = _truncation(recovered, repair, in_record)
        if fix:
            raise bad("image_truncated", f"{value}; {fix}") from error
        notes.append(Fault("image_truncated", name, "", value, "repaired: kept the existing part, as PNG"))
        encoded, kind, shape = tf.io.encode_png(recovered.pixels).numpy(), "png", recovered.pixels.shape
    if kind == "gif":  # Its first frame may be smaller than the canvas.
        height, width = shape[:2]
    if tuple(shape) != (height, width, 3):
        raise bad(
            "image_unreadable",
            f"decodes to {tuple(shape)[1]}x{tuple(shape)[0]} pixels, but its header says {width}x{height}",
        )
    return LoadedImage(encoded, kind, width, height, tuple(notes), orientation)


def _header(data: bytes, max_pixels: int, bad: Callable[[str, str], BadImage]) -> image_header.Header:
    """Reads the header of an image in a format of TensorFlow; raises `bad` if it is damaged or the image too large."""
    try:
        return image_decode.check_header(data, max_pixels)
    except UndecodableImage as error:
        if not error.too_large:
            raise bad("image_unreadable", str(error)) from error
        header = image_header.read(data)
        is_too_large = header.width * header.height > max_pixels
        value = f"{header.width}x{header.height} pixels, more than {max_pixels}" if is_too_large else str(error)
        raise bad("image_too_large", f"{value}; shrink it or raise --max_image_pixels") from error


def _truncation(recovered: image_decode.Recovered, repair: bool, in_record: bool) -> tuple[str, str]:
    """Describes the missing part of a truncated JPEG, and the fix; the fix is empty if the image is repaired."""
    value = f"the JPEG is truncated after {int(100 * recovered.part)} % of its lines"
    if recovered.lacks_scans:
        value = "the JPEG is truncated before its last scan, so it is blurred or without colour"
    elif recovered.part == 1:
        value = "the JPEG's end marker is missing, but none of its lines"
    is_repairable = recovered.part >= _MIN_PART and not recovered.lacks_scans
    if is_repairable and repair:
        return value, ""
    if in_record:
        return value, "create the records again"
    return value, "--on_bad=fix keeps the existing part" if is_repairable else "get the image again"


def _transcoded(
    data: bytes, name: str, extension: str, max_pixels: int, bad: Callable[[str, str], BadImage]
) -> tuple[bytes, int, int, list[Fault], int]:
    """Converts an image to PNG: its bytes, width, height, notes and orientation."""
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
    except Exception as error:  # Pillow's parsers raise various errors on damaged files.
        raise bad("image_unreadable", str(error) or type(error).__name__) from error


def _safe_notes(name: str, extension: str, data: bytes) -> tuple[list[Fault], int]:
    """Notes and orientation of an image in a format of TensorFlow; empty and 1 if Pillow cannot read its metadata."""
    try:
        with Image.open(io.BytesIO(data), formats=PILLOW_FORMATS) as image:
            return _notes(name, extension, image, data), _orientation(image)
    except Exception:  # As above; whether the image is usable is decided by TensorFlow, not by Pillow.
        return [], 1


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if it is missing or invalid."""
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


def sniff(data: bytes) -> str:
    """Guesses the content of bytes that Pillow does not recognise."""
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
    """Notes about an image that are not reasons to reject it."""
    notes = []
    if extension and extension not in _EXTENSIONS.get(image.format, (f".{image.format.lower()}", ".pgm")):
        notes.append(Fault("image_extension", name, "", f"contains {image.format}"))
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
    # Further frames of an MPO are previews of the first.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        notes.append(Fault("image_animated", name, "", f"{image.n_frames} frames", "first one used"))
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    if orientation not in (0, 1):
        notes.append(Fault("image_exif_rotated", name, "", f"orientation {orientation}", "used as stored"))
    return notes


def _to_png(image: Image.Image) -> tuple[bytes, tuple[int, int]]:
    """Encodes the first frame as PNG (RGB or grey, 8 bits per channel, no metadata); with its width and height."""
    transpose = _UNDO_ROTATION.get(image.getexif().get(_EXIF_ORIENTATION)) if image.format == "TIFF" else None
    if transpose is not None:
        image.load()
        image = image.transpose(transpose)
    if image.mode.startswith("I;16"):
        # As TensorFlow reads a PNG of 16 bits.
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(
            f"pixels are {'32-bit integers' if image.mode == 'I' else 'floating point'} of unknown range; convert to"
            " 8 bits"
        )
    elif image.mode != "L":
        image = image.convert("RGB")
    stream = io.BytesIO()
    Image.frombytes(image.mode, image.size, image.tobytes()).save(stream, "PNG")
    return stream.getvalue(), image.size
