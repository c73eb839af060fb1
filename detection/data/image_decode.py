"""Decodes images of users safely: the header is checked first, so that memory and time are bounded for any bytes.

    decode            in Python, for files
    decode_in_graph   inside a served model
    (the decoder of training uses the same `image_header.measure`, and names the record)

TensorFlow's own recovery of truncated JPEGs (`try_recover_truncated`) is not used: it does not return if a restart
marker is cut in half. `recover` appends the missing end marker instead and decodes normally.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from detection.data import image_header
from detection.errors import first_line
from detection.types import MAX_PIXELS

_END = b"\xff\xd9"
# Arbitrary bytes without 255, with different first bits (0001... and 1010...).
_FILLINGS = tuple(bytes(step * number % 251 for number in range(1, 400)) for step in (17, 170))


class UndecodableImage(Exception):
    """The image cannot be decoded; the message does not contain its name. `too_large`: decoding was not attempted."""

    def __init__(self, reason: str, too_large: bool = False) -> None:
        super().__init__(reason)
        self.too_large = too_large


def check_header(data: bytes, max_pixels: int = MAX_PIXELS) -> image_header.Header:
    """Reads the header of an image. Raises UndecodableImage if it must not be decoded."""
    header = image_header.read(data)
    reason = image_header.refusal(header, max_pixels)
    if header is None:
        kind = image_header.kind_of(data)
        raise UndecodableImage(f"a damaged {kind}: {reason}" if kind in image_header.DECODABLE else kind)
    if reason is not None:
        raise UndecodableImage(reason, too_large=True)
    return header


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decodes an image to uint8 [h, w, 3], RGB, as in training. Raises UndecodableImage."""
    header = check_header(data, max_pixels)
    try:
        return tf.io.decode_image(data, channels=3, expand_animations=False).numpy()
    except tf.errors.OpError as error:
        raise UndecodableImage(f"a damaged {header.kind}: {first_line(error).rstrip('.')}") from error


class Recovered(NamedTuple):
    """The pixels of a truncated JPEG."""

    pixels: np.ndarray  # uint8 [h, w, 3]
    part: float  # fraction of its lines, from the top, that come from its data; the lines below are made up
    lacks_scans: bool  # whole scans are missing: detail or colour is missing everywhere


def recover(data: bytes, max_pixels: int = MAX_PIXELS) -> Recovered | None:
    """Decodes a truncated JPEG; None if it is not one.

    To find the lines that come from its data, other data is appended: the first row of blocks that changes, and
    everything below it, is not determined by the data. With restart markers the decoder skips appended data unless it
    begins with the next marker.

    Args:
        data: the file's content.
        max_pixels: larger images are not decoded.
    """
    data = data.rstrip(b"\xff")  # Removes half a marker.
    try:
        if check_header(data, max_pixels).kind != "JPEG":
            return None
        pixels = decode(data + _END, max_pixels)
    except UndecodableImage:
        return None
    scan = data[data.rfind(b"\xff\xda") :]
    restart = bytes([0xFF, 0xD0 + sum(scan.count(bytes([0xFF, marker])) for marker in range(0xD0, 0xD8)) % 8])
    first = len(pixels)
    for tail in [start + filling for start in (b"", restart) for filling in _FILLINGS]:
        try:
            changed = np.flatnonzero((decode(data + tail + _END, max_pixels) != pixels).any((1, 2)))
        except UndecodableImage:  # The decoder read the appended data.
            changed = np.zeros(1, np.int64)
        first = int(min([first, *changed[:1]]))
    if first < len(pixels):
        # + 1, as colour is smoothed over the edge of a block by one line.
        first = (first + 1) // _block_rows(data) * _block_rows(data)
    return Recovered(pixels, first / len(pixels), _lacks_scans(data))


def _block_rows(data: bytes) -> int:
    """Number of lines that are coded together: 8, or more if colour has fewer lines than brightness."""
    frame = image_header.jpeg_frame(data)
    factors = data[frame + 9 :: 3][: data[frame + 7]]
    return 8 * max([factor % 16 for factor in factors if 1 <= factor % 16 <= 4], default=4)


def _lacks_scans(data: bytes) -> bool:
    """Whether coefficients of a component, or bits of them, are missing in the scans of a JPEG.

    A baseline JPEG has one scan of all coefficients, a progressive JPEG has many.
    """
    frame = image_header.jpeg_frame(data)
    components = set(data[frame + 8 :: 3][: data[frame + 7]])
    missing = {(component, coefficient) for component in components for coefficient in range(64)}
    position = data.find(b"\xff\xda", frame)
    while position >= 0:
        count = data[position + 4] if position + 4 < len(data) else 0
        end = position + 5 + 2 * count
        if end + 3 <= len(data):
            start, stop, bits = data[end : end + 3]
            if bits % 16 == 0:
                scan_components = {data[position + 5 + 2 * number] for number in range(count)}
                missing -= {
                    (component, coefficient)
                    for component in scan_components
                    for coefficient in range(start, min(stop, 63) + 1)
                }
        position = data.find(b"\xff\xda", position + 2)
    return bool(missing)


def decode_in_graph(encoded: tf.Tensor, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """Decodes a string scalar to uint8 [h, w, 3] inside a graph.

    The graph fails with InvalidArgumentError before decoding if the header is invalid or the image too large.

    Args:
        encoded: the file's content.
        max_pixels: larger images are not decoded.
    """
    pixels, effort = image_header.measure(encoded)
    has_size = tf.debugging.Assert(
        pixels > 0, ["the image's header does not say how large it is; its bytes:", tf.strings.length(encoded)]
    )
    is_small_enough = (pixels <= max_pixels) & (effort <= image_header.EFFORT * max(max_pixels, MAX_PIXELS))
    large = f"the image is too large (at most {max_pixels} pixels are decoded); pixels and work by its header:"
    is_allowed = tf.debugging.Assert(is_small_enough, [large, pixels, effort])
    with tf.control_dependencies([has_size, is_allowed]):
        image = tf.io.decode_image(tf.identity(encoded), channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return image
