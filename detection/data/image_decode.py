"""The one way to decode an image that comes from outside: its header is looked at first, so that memory and time are
bounded whatever the bytes.

    decode            in Python, for files
    decode_in_graph   inside a served model
    (training's decoder checks with the same `image_header.measure`, and names the record)

A JPEG whose end is missing is never handed to TensorFlow's own recovery (`try_recover_truncated`): where a restart
marker is cut in half it does not return. `recover` adds the missing end marker instead, and decodes as always.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from detection.data import image_header
from detection.errors import first_line
from detection.types import MAX_PIXELS

_END = b"\xff\xd9"
_FILLINGS = tuple(
    bytes(step * number % 251 for number in range(1, 400)) for step in (17, 170)
)  # any bytes but 255; bits 0001... and 1010...


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
        raise UndecodableImage(f"a damaged {header.kind}: {first_line(error).rstrip('.')}") from error


class Recovered(NamedTuple):
    """What is left of a JPEG whose end is missing."""

    pixels: np.ndarray  # uint8 [h, w, 3]
    part: float  # of its lines, from the top, that its data decide; what is below is invented
    lacks_scans: bool  # whole passes over the image are missing: detail or colour everywhere


def recover(data: bytes, max_pixels: int = MAX_PIXELS) -> Recovered | None:
    """The pixels of a JPEG whose end is missing; None if that is not what is wrong with it.

    Which lines its data decide shows when other data follow: the row of blocks in which the first line then changes is
    not decided, nor what lies below. With restart markers the decoder skips what follows unless it begins with the next
    of them.
    """
    data = data.rstrip(b"\xff")  # Half a marker.
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
        except UndecodableImage:  # The decoder came to read them.
            changed = np.zeros(1, np.int64)
        first = int(min([first, *changed[:1]]))
    if first < len(pixels):
        first = (
            (first + 1) // _block_rows(data) * _block_rows(data)
        )  # Colour is smoothed over the edge of a block by one line.
    return Recovered(pixels, first / len(pixels), _lacks_scans(data))


def _block_rows(data: bytes) -> int:
    """Lines that are coded together: 8, or more where colour has fewer lines than brightness."""
    frame = image_header.jpeg_frame(data)
    factors = data[frame + 9 :: 3][: data[frame + 7]]
    return 8 * max([factor % 16 for factor in factors if 1 <= factor % 16 <= 4], default=4)


def _lacks_scans(data: bytes) -> bool:
    """Whether the scans of a JPEG leave out coefficients of a component, or bits of them (one scan of all in a baseline
    JPEG, many otherwise).
    """
    frame = image_header.jpeg_frame(data)
    components = set(data[frame + 8 :: 3][: data[frame + 7]])
    missing = {(component, coefficient) for component in components for coefficient in range(64)}
    place = data.find(b"\xff\xda", frame)
    while place >= 0:
        count = data[place + 4] if place + 4 < len(data) else 0
        end = place + 5 + 2 * count
        if end + 3 <= len(data):
            start, stop, bits = data[end : end + 3]
            if bits % 16 == 0:
                chosen = {data[place + 5 + 2 * number] for number in range(count)}
                missing -= {
                    (component, coefficient) for component in chosen for coefficient in range(start, min(stop, 63) + 1)
                }
        place = data.find(b"\xff\xda", place + 2)
    return bool(missing)


def decode_in_graph(encoded: tf.Tensor, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """uint8 [h, w, 3] of a string scalar; the graph fails with InvalidArgumentError, before it decodes, where
    `image_header` refuses.
    """
    pixels, effort = image_header.measure(encoded)
    known = tf.debugging.Assert(
        pixels > 0, ["the image's header does not say how large it is; its bytes:", tf.strings.length(encoded)]
    )
    fine = (pixels <= max_pixels) & (effort <= image_header.EFFORT * max(max_pixels, MAX_PIXELS))
    large = f"the image is too large (at most {max_pixels} pixels are decoded); pixels and work by its header:"
    small = tf.debugging.Assert(fine, [large, pixels, effort])
    with tf.control_dependencies([known, small]):
        image = tf.io.decode_image(tf.identity(encoded), channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return image
