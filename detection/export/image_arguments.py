"""Reads and checks images passed by a caller: one or many, in any common Python form.

    path        str or os.PathLike of a file
    bytes       an encoded file (bytes, bytearray, memoryview)
    array       uint8 [h, w, 3], RGB: NumPy, TensorFlow, or anything that NumPy converts to an array; uint8 [n, h, w, 3]
                for many images of one size
    picture     PIL.Image, of any mode

Many are a list, tuple, iterator or other sequence of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from detection.errors import DataError, number_of
from detection.export.image_files import decoded, read
from detection.types import MAX_PIXELS

ACCEPTED = (
    "a path, the bytes of an image file, uint8 [height, width, 3] (RGB) as an array or tensor, or a PIL image; or a"
    " list of them"
)
Encoded = bytes | bytearray | memoryview
ImageLike = np.ndarray | tf.Tensor | Image.Image | str | os.PathLike | Encoded


class Images(NamedTuple):
    """Decoded images and their names in error messages."""

    arrays: list[np.ndarray]  # uint8 [h, w, 3] each
    names: list[str]
    one: bool  # a single image was passed, not a list


def decode(images: object, names: Sequence[str] | None = None, channels: int = 3) -> Images:
    """Decodes all images of an argument.

    Args:
        images: see the module docstring.
        names: names of the images in error messages; None uses paths, or numbers for images without a path.
        channels: of the images; if not 3, only arrays are accepted.

    Raises:
        DataError: the message names the image, its type, and what is accepted.
    """
    one = _is_one(images)
    given = [images] if one else _listed(images)
    if names is None:
        names = [
            os.fsdecode(image) if isinstance(image, str | os.PathLike) else f"image {number}"
            for number, image in enumerate(given)
        ]
    elif isinstance(names, str) or not isinstance(names, Sequence):
        raise DataError(f"names ({names!r}) is not a list; pass a list with a name for each image, or leave it out")
    elif len(names) != len(given):
        raise DataError(
            f"names: {len(names)} for {number_of(len(given), 'image')}; pass a list with one for each, or"
            " leave them out"
        )
    names = [str(name) for name in names]
    return Images([_decoded(image, name, channels) for image, name in zip(given, names, strict=True)], names, one)


def _is_one(images: object) -> bool:
    """Returns whether an argument is a single image, valid or not."""
    if isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Image.Image):
        return True
    return _is_array(images) and not _is_array_of_many(images)


def _is_array(value: object) -> bool:
    return (
        hasattr(value, "shape")
        and hasattr(value, "dtype")
        and (hasattr(value, "__array__") or hasattr(value, "__array_interface__"))
    )


def _is_array_of_many(images: object) -> bool:
    """Returns whether an array is [n, h, w, 3], or [n] paths or encoded files."""
    return len(images.shape) == 4 or (
        len(images.shape) == 1 and not np.issubdtype(_numpy_type(images.dtype), np.number)
    )


def _numpy_type(dtype: object) -> np.dtype:
    try:
        return np.dtype(getattr(dtype, "as_numpy_dtype", dtype))
    except TypeError:  # A type of another library; reading the array will show whether NumPy can convert it.
        return np.dtype(object)


def _listed(images: object) -> list:
    """Returns the images of an argument that holds several."""
    if _is_array(images):
        return list(_array(images, "images"))
    if not isinstance(images, Iterable) or isinstance(images, Mapping | Set) or hasattr(images, "read"):
        raise DataError(f"images: {_kind(images)} is not an image; pass {ACCEPTED}")
    return list(images)


def _decoded(image: object, name: str, channels: int) -> np.ndarray:
    if channels != 3 and not _is_array(image):
        raise DataError(f"{name}: this model takes images of {channels} channels; give uint8 [h, w, {channels}] arrays")
    if isinstance(image, str | os.PathLike):
        return _read(image, name)
    if isinstance(image, bytes | bytearray | memoryview):
        if not len(image):
            raise DataError(f"{name}: is empty; pass the bytes of an image file")
        return decoded(bytes(image), name)
    if isinstance(image, Image.Image):
        return _picture(image, name)
    if not _is_array(image):
        raise DataError(f"{name}: {_kind(image)} is not an image; pass {ACCEPTED}")
    array = _array(image, name)
    if array.ndim == 0 and isinstance(array.item(), str | bytes):
        return _decoded(array.item(), name, channels)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != channels or 0 in array.shape:
        wanted = "uint8 [height, width, 3], RGB, or a path" if channels == 3 else f"uint8 [height, width, {channels}]"
        raise DataError(f"{name}: {array.dtype} {list(array.shape)}{_advice(array)}; pass {wanted}")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        pixels = array.shape[0] * array.shape[1]
        raise DataError(
            f"{name}: uint8 {list(array.shape)} has {pixels:,} pixels, more than the {MAX_PIXELS:,} allowed; scale it"
            " down"
        )
    return array


def _read(path: str | os.PathLike, name: str) -> np.ndarray:
    if not os.fspath(path):
        raise DataError(f"{name or 'image'}: the path is empty; pass the path of a file")
    if os.path.isdir(path):
        raise DataError(f"{os.fsdecode(path)}: is a folder; pass the paths of the images in it")
    return read(path)


def _picture(image: Image.Image, name: str) -> np.ndarray:
    """Converts a PIL image as files are decoded: without transparency, grey repeated, orientation ignored."""
    if image.mode in ("F", "I"):
        raise DataError(
            f"{name}: a PIL image of mode {image.mode} has no fixed range of values; scale it to 0 to 255 and convert"
            " it to RGB"
        )
    if image.width * image.height > MAX_PIXELS:
        raise DataError(
            f"{name}: the PIL image has {image.width * image.height:,} pixels, more than the {MAX_PIXELS:,} allowed;"
            " scale it down"
        )
    try:
        wide = image.mode.startswith("I;16")
        array = np.asarray(image) // 256 if wide else np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(
            f"{name}: the PIL image cannot be decoded: {' '.join(str(error).split())}; open it again"
        ) from error
    array = np.repeat(array[..., np.newaxis], 3, axis=2).astype(np.uint8) if wide else array
    if 0 in array.shape:
        raise DataError(f"{name}: the PIL image has {image.width} x {image.height} pixels; pass one that is not empty")
    return array


def _array(value: object, name: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except (
        TypeError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        tf.errors.OpError,
    ) as error:  # A symbolic tensor, a tensor on another device.
        raise DataError(
            f"{name}: {_kind(value)} cannot be read as an array ({' '.join(str(error).split())[:100]}); pass {ACCEPTED}"
        ) from error


def _advice(array: np.ndarray) -> str:
    """Returns what is probably wrong with an array that is not an image."""
    if array.ndim == 4:
        return " are many images"
    if array.ndim == 2:
        return " has no channels; repeat grey three times, np.repeat(image[..., None], 3, axis=2)"
    if array.ndim != 3 or 0 in array.shape:
        return ""
    if array.shape[-1] == 4:
        return " has four channels; remove the last, image[..., :3]"
    if array.shape[0] == 3 and array.shape[-1] != 3:
        return " has its channels first; move them to the end, image.transpose(1, 2, 0)"
    if array.dtype.kind == "f":
        fraction = float(np.nanmax(array)) <= 1.0
        return (
            " has values from 0 to 1; multiply by 255 and round, then convert to uint8"
            if fraction
            else " is not uint8; round and convert it"
        )
    return " is not uint8; convert it, image.astype(np.uint8)" if array.dtype != np.uint8 else ""


def _kind(value: object) -> str:
    if hasattr(value, "read"):
        return f"an open file ({type(value).__name__}; pass its bytes, .read(), or its path)"
    return "None" if value is None else f"a value of type {type(value).__name__}"
