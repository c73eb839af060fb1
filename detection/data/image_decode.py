"""The one way to decode an image that comes from outside: its header is looked at first, so that memory and time are bounded whatever the bytes.

    decode            in Python, for files
    decode_in_graph   inside a served model
    (training's decoder checks with the same `image_header.measure`, and names the record)

A JPEG whose end is missing is never handed to TensorFlow's own recovery (`try_recover_truncated`): where a restart marker is cut in half it does not
return. `recover` adds the missing end marker instead, and decodes as always.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detection.data import image_header
from detection.types import MAX_PIXELS

_GREY = 128  # libjpeg fills with it what is not there
_END = b"\xff\xd9"


class UndecodableImage(Exception):
    """Why an image is not decoded, without its name. `too_large`: it was not even tried."""

    def __init__(self, reason: str, too_large: bool = False) -> None:
        super().__init__(reason)
        self.too_large = too_large


def check_header(data: bytes, max_pixels: int = MAX_PIXELS) -> image_header.Header:
    """The header of an image that may be decoded. Raises UndecodableImage otherwise."""
    header = image_header.read(data)
    reason = image_header.refusal(header, max_pixels)
    if header is None:
        kind = image_header.kind_of(data)
        raise UndecodableImage(f"a damaged {kind}: {reason}" if kind in image_header.DECODABLE else kind)
    if reason is not None:
        raise UndecodableImage(reason, too_large=True)
    return header


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """uint8 [h, w, 3], RGB, as training sees it. Raises UndecodableImage."""
    header = check_header(data, max_pixels)
    try:
        return tf.io.decode_image(data, channels=3, expand_animations=False).numpy()
    except tf.errors.OpError as error:
        raise UndecodableImage(f"a damaged {header.kind}: {reason_of(error)}") from error


def recover(data: bytes, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, float] | None:
    """Of a JPEG whose end is missing the pixels, and the part of its lines that is there (the rest is grey); None if that is not what is wrong."""
    try:
        pixels = decode(data + _END, max_pixels)
    except UndecodableImage:
        return None
    filled = np.flatnonzero((pixels != _GREY).any((1, 2)))
    return pixels, (filled[-1] + 1) / len(pixels) if filled.size else 0.0


def decode_in_graph(encoded: tf.Tensor, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """uint8 [h, w, 3] of a string scalar; the graph fails with InvalidArgumentError, before it decodes, where `image_header` refuses."""
    pixels, effort = image_header.measure(encoded)
    known = tf.debugging.Assert(pixels > 0, ["the image's header does not say how large it is; first bytes:", tf.strings.substr(encoded, 0, 8)])
    fine = (pixels <= max_pixels) & (effort <= image_header.EFFORT * max(max_pixels, MAX_PIXELS))
    large = f"the image is too large (at most {max_pixels} pixels are decoded); pixels and work by its header:"
    small = tf.debugging.Assert(fine, [large, pixels, effort])
    with tf.control_dependencies([known, small]):
        image = tf.io.decode_image(tf.identity(encoded), channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return image


def reason_of(error: tf.errors.OpError) -> str:
    """TensorFlow's message without the names of its operations."""
    text = str(error.message).split("\n")[0].split(" [[{{node")[0].split("[Op:")[0]
    return text.rpartition("}} ")[2].strip().rstrip(".")
