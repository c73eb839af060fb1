"""Reads the header of an encoded image before it is decoded.

A few kilobytes can decode to gigabytes, or keep a decoder busy for minutes.

    JPEG   the first frame header (SOF) among the segments, found as libjpeg finds it
    PNG    the IHDR chunk, which must come first
    GIF    the canvas and every frame (giflib reads them all)
    BMP    the DIB header
    WebP   the first chunk (VP8, VP8L, VP8X)

Two numbers limit the cost of an image. `pixels`, the size of the largest buffer of a decoder, must not exceed the
caller's limit (`types.MAX_PIXELS`); `effort`, the number of pixels that it processes, must not exceed EFFORT times
that: a progressive JPEG may have hundreds of scans of the whole image, each of a few bytes, and a GIF thousands of
frames. An image whose header does not determine them is not decoded at all.

`read` is for bytes in Python, `measure` the same for a string inside a TensorFlow graph; a test compares them.
`measure` takes about 65 µs for a JPEG of 640x480, compared to 1.7 ms for decoding it (one thread of a busy machine).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from detection.types import MAX_PIXELS

# Limit of the pixels that a decoder processes, as a multiple of the limit of pixels. At 1 ns per pixel of a JPEG's scan
# that is 2 seconds.
EFFORT = 20
GIF_EFFORT = 7  # decoding a pixel of a GIF's frame takes as long as this many pixels of a JPEG's scan
DECODABLE = ("JPEG", "PNG", "GIF", "BMP", "WebP")  # the formats that TensorFlow decodes, in the order of `_branches`

_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"RIFF")
_OTHER_FORMATS = (
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\x1f\x8b", "gzip data"),
    (b"PK\x03\x04", "a zip archive"),
    (b"%PDF", "PDF"),
    (b"<", "XML or HTML text"),
)
UNKNOWN = "no known image format"
_SCAN = b"\xff\xda"
_LENGTH = 32  # bytes of header that are needed for PNG, BMP and WebP
_STANDALONE = {0x01, *range(0xD0, 0xD8)}  # JPEG markers without a length
# SOF markers that libjpeg decodes: baseline, extended, progressive; the same with arithmetic coding.
_FRAME_MARKERS = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_SKIPPED = {0xC4, 0xCC, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE}  # DHT, DAC, DQT, DNL, DRI, APPn, COM


class Header(NamedTuple):
    """The content of a header."""

    kind: str  # one of DECODABLE
    width: int  # of the image, as decoded
    height: int
    pixels: float  # of the largest buffer
    effort: float  # processed pixels, in equivalents of a JPEG's scan


def kind_of(data: bytes) -> str:
    """The format of a file according to its first bytes."""
    kind = next((name for start, name in zip(_STARTS, DECODABLE, strict=True) if data.startswith(start)), None)
    if kind == "WebP" and data[8:12] != b"WEBP":
        kind = None
    if data[4:8] == b"ftyp":
        return "AVIF, HEIF or video"
    return kind or next((name for start, name in _OTHER_FORMATS if data.startswith(start)), UNKNOWN)


def read(data: bytes) -> Header | None:
    """Reads the header; None if the format is not in DECODABLE or the header does not determine the size."""
    readers = (_jpeg, _png, _gif, _bmp, _webp)
    for start, reader in zip(_STARTS, readers, strict=True):
        if data.startswith(start):
            header = reader(data)
            return header if header is not None and header.width > 0 and header.height > 0 else None
    return None


def refusal(header: Header | None, max_pixels: int = MAX_PIXELS) -> str | None:
    """Why an image with this header must not be decoded; None if it may be decoded.

    Args:
        header: None if it could not be read.
        max_pixels: limit of `Header.pixels`.
    """
    if header is None:
        return "its header does not say how large it is, or is damaged"
    if header.pixels > max_pixels:
        return f"{header.width}x{header.height}: {int(header.pixels):,} pixels, more than the {max_pixels:,} allowed"
    if header.effort > EFFORT * max(max_pixels, MAX_PIXELS):
        parts = "frames" if header.kind == "GIF" else "scans"
        return f"so many {parts} of {header.width}x{header.height} pixels that decoding them would take minutes"
    return None


def jpeg_frame(data: bytes) -> int | None:
    """Offset of a JPEG's frame header (length, precision, height, width, components); None if there is none.

    Follows libjpeg, which skips anything between segments and treats lengths below 2 as 2. Markers at which libjpeg
    stops give None.
    """
    position = 2
    while True:
        position = data.find(b"\xff", position)
        if position < 0:
            return None
        while position < len(data) and data[position] == 0xFF:
            position += 1
        marker = data[position] if position < len(data) else 0xD9
        position += 1
        if marker == 0 or marker in _STANDALONE:
            continue
        if marker in _FRAME_MARKERS:
            return position if position + 8 <= len(data) else None
        if marker not in _SKIPPED or position + 2 > len(data):
            return None
        position += max(struct.unpack_from(">H", data, position)[0], 2)


def _jpeg(data: bytes) -> Header | None:
    position = jpeg_frame(data)
    if position is None:
        return None
    length, _, height, width, components = struct.unpack_from(">HBHHB", data, position)
    if length != 8 + 3 * components:
        return None
    return Header("JPEG", width, height, float(width * height), float(width * height * max(data.count(_SCAN), 1)))


def _png(data: bytes) -> Header | None:
    if data[8:16] != b"\0\0\0\rIHDR" or len(data) < 24:
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return Header("PNG", width, height, float(width * height), float(width * height))


def _bmp(data: bytes) -> Header | None:
    if len(data) < 26:
        return None
    width, height = struct.unpack_from("<ii", data, 18)  # A BMP stored from the top has a negative height.
    pixels = float(max(width, 0) * abs(height))
    return Header("BMP", width, abs(height), pixels, pixels)


def _webp(data: bytes) -> Header | None:
    if len(data) < 30 or data[8:12] != b"WEBP":
        return None
    chunk = data[12:16]
    if chunk == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif chunk == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 26))
    else:
        return None
    return Header("WebP", width, height, float(width * height), float(width * height))


def _gif(data: bytes) -> Header | None:
    """The header of a GIF.

    TensorFlow returns the first frame in the size of the largest; giflib allocates all frames at once, one byte per
    pixel; Pillow allocates the canvas.
    """
    if len(data) < 10:
        return None
    canvas = struct.unpack_from("<HH", data, 6)
    position = 13 + _palette(data[10]) if len(data) > 10 else 13
    width, height, total = 0, 0, 0
    while position + 10 <= len(data) and data[position] in b"\x2c\x21":
        if data[position] == 0x2C:
            sides = struct.unpack_from("<HH", data, position + 5)
            width, height, total = max(width, sides[0]), max(height, sides[1]), total + sides[0] * sides[1]
            position += 11 + _palette(data[position + 9])
        else:
            position += 2
        while position < len(data) and data[position]:
            position += 1 + data[position]
        position += 1
    pixels = max(canvas[0] * canvas[1], width * height, total / 3)
    return Header("GIF", width or canvas[0], height or canvas[1], float(pixels), float(GIF_EFFORT * total))


def _palette(flags: int) -> int:
    """Size of a colour table in bytes."""
    return 3 << (flags % 8 + 1) if flags & 0x80 else 0


def measure(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`pixels` and `effort` (float64 scalars) of an encoded image (string scalar) inside a graph.

    0 pixels where `read` returns None. Fails with InvalidArgumentError if the header of a JPEG is damaged.
    """
    is_jpeg = tf.strings.substr(encoded, 0, len(_STARTS[0])) == _STARTS[0]
    numbers = tf.cond(
        is_jpeg, lambda: _jpeg_in_graph(encoded), lambda: _call_without_inlining(_others_in_graph, encoded)
    )
    numbers = tf.ensure_shape(numbers, [2])
    return numbers[0], numbers[1]


def _call_without_inlining(function, encoded: tf.Tensor) -> tf.Tensor:
    """Calls `function(encoded)` without inlining it into the surrounding graph.

    The operations of an inlined branch take time even if the branch is not taken.
    """
    if tf.executing_eagerly():  # There is no surrounding graph, and with one thread `If` would deadlock.
        return function(encoded)
    branch = function.get_concrete_function()
    branch.add_to_graph()
    # A constant condition would be optimised away, and the call with it.
    return tf.raw_ops.If(
        cond=tf.strings.length(encoded) > 0, input=[encoded], Tout=[tf.float64], then_branch=branch, else_branch=branch
    )[0]


def _jpeg_in_graph(encoded: tf.Tensor) -> tf.Tensor:
    """float64 [pixels, effort] of a JPEG, with libjpeg reading the header."""
    shape = tf.cast(tf.image.extract_jpeg_shape(encoded), tf.float64)
    scans = tf.shape(tf.raw_ops.StringSplitV2(input=encoded[tf.newaxis], sep=_SCAN).values)[0] - 1
    pixels = shape[0] * shape[1]
    return tf.stack([pixels, pixels * tf.cast(tf.maximum(scans, 1), tf.float64)])


@tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.string)])
def _others_in_graph(encoded: tf.Tensor) -> tf.Tensor:
    """float64 [pixels, effort] of formats other than JPEG; zeros for an unknown format."""
    head = tf.cast(tf.io.decode_raw(encoded, tf.uint8, fixed_length=_LENGTH), tf.int32)
    kinds = _branches(encoded, head)
    starts = np.zeros([len(kinds), 8], np.int32)
    is_given = np.zeros([len(kinds), 8], bool)
    for row, start in enumerate(_STARTS[1:]):
        starts[row, : len(start)], is_given[row, : len(start)] = list(start), True
    matches = tf.reduce_all((head[:8] == tf.constant(starts)) | tf.constant(~is_given), axis=1)
    kind = tf.where(tf.reduce_any(matches), tf.argmax(tf.cast(matches, tf.int32), output_type=tf.int32), len(kinds))
    return tf.switch_case(kind, kinds, default=lambda: tf.zeros([2], tf.float64))


def _branches(encoded: tf.Tensor, head: tf.Tensor) -> list:
    """Functions that return float64 [pixels, effort], one for each format other than JPEG."""

    def area(width: tf.Tensor, height: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        return tf.where(valid & (width > 0) & (height > 0), tf.fill([2], width * height), tf.zeros([2], tf.float64))

    def number(position: int, size: int, order: int = 1) -> tf.Tensor:
        values = tf.constant([256.0**power for power in range(size)][::order], tf.float64)
        return tf.reduce_sum(tf.cast(head[position : position + size], tf.float64) * values)

    def png() -> tf.Tensor:
        valid = tf.reduce_all(head[8:16] == tf.constant(list(b"\0\0\0\rIHDR"))) & (tf.strings.length(encoded) >= 24)
        return area(number(16, 4, -1), number(20, 4, -1), valid)

    def bmp() -> tf.Tensor:
        width, height = number(18, 4), number(22, 4)
        valid = (tf.strings.length(encoded) >= 26) & (width < 2.0**31)
        return area(width, tf.minimum(height, 2.0**32 - height), valid)

    def webp() -> tf.Tensor:
        bits = tf.bitwise.bitwise_and
        lossless = head[21] + 256 * head[22] + 65536 * head[23], head[24]
        widths = [
            1.0 + number(24, 3),
            tf.cast(1 + bits(lossless[0], 0x3FFF), tf.float64),
            tf.cast(head[26] + 256 * bits(head[27], 0x3F), tf.float64),
        ]
        heights = [
            1.0 + number(27, 3),
            tf.cast(1 + lossless[0] // 16384 + 1024 * bits(lossless[1], 0xF), tf.float64),
            tf.cast(head[28] + 256 * bits(head[29], 0x3F), tf.float64),
        ]
        is_webp = tf.reduce_all(head[8:12] == tf.constant(list(b"WEBP"))) & (tf.strings.length(encoded) >= 30)
        chunk = tf.reduce_all(head[12:16] == tf.constant([list(b"VP8X"), list(b"VP8L"), list(b"VP8 ")]), axis=1)
        signed = tf.stack(
            [tf.constant(True), head[20] == 0x2F, tf.reduce_all(head[23:26] == tf.constant([0x9D, 0x01, 0x2A]))]
        )
        fits = tf.cast(chunk & signed, tf.float64)
        return area(tf.reduce_sum(fits * tf.stack(widths)), tf.reduce_sum(fits * tf.stack(heights)), is_webp)

    return [png, lambda: _gif_in_graph(encoded), bmp, webp]


def _gif_in_graph(encoded: tf.Tensor) -> tf.Tensor:
    """As `_gif`, with a loop over blocks and their data."""
    length = tf.strings.length(encoded)
    data = tf.concat([tf.io.decode_raw(encoded, tf.uint8), tf.zeros([16], tf.uint8)], axis=0)

    def palette(flags: tf.Tensor) -> tf.Tensor:
        return tf.where(flags >= 128, tf.bitwise.left_shift(3, flags % 8 + 1), 0)

    def side(block: tf.Tensor, position: int) -> tf.Tensor:
        return tf.cast(block[position] + 256 * block[position + 1], tf.float64)

    def step(position, inside, continues, width, height, total):
        block = tf.cast(data[position : position + 11], tf.int32)
        starts = ~inside & (position + 10 <= length)
        is_frame, is_extension = starts & (block[0] == 0x2C), starts & (block[0] == 0x21)
        sides = tf.where(is_frame, tf.stack([side(block, 5), side(block, 7)]), tf.zeros([2], tf.float64))
        return (
            position + tf.where(inside, 1 + block[0], tf.where(is_frame, 11 + palette(block[9]), 2)),
            tf.where(inside, block[0] > 0, is_frame | is_extension),
            inside | is_frame | is_extension,
            tf.maximum(width, sides[0]),
            tf.maximum(height, sides[1]),
            total + sides[0] * sides[1],
        )

    head = tf.cast(data[:13], tf.int32)
    zero = tf.constant(0.0, tf.float64)
    start = (13 + palette(head[10]), tf.constant(False), length >= 10, zero, zero, zero)
    *_, width, height, total = tf.while_loop(
        lambda position, inside, continues, *_: continues & (position < length), step, start
    )
    canvas = side(head, 6), side(head, 8)
    pixels = tf.maximum(tf.maximum(width * height, canvas[0] * canvas[1]), total / 3)
    sized = ((width > 0) | (canvas[0] > 0)) & ((height > 0) | (canvas[1] > 0)) & (length >= 10)
    return tf.stack([tf.where(sized, pixels, zero), GIF_EFFORT * total])


def kind_in_graph(encoded: tf.Tensor) -> tf.Tensor:
    """As `kind_of`, for a string scalar in a graph; for messages."""
    starts = [*zip(_STARTS, DECODABLE, strict=True), *_OTHER_FORMATS]
    fits = tf.stack([tf.strings.substr(encoded, 0, len(start)) == start for start, _ in starts])
    names = tf.boolean_mask(tf.constant([name for _, name in starts]), fits)
    return tf.concat([names, tf.constant([UNKNOWN])], axis=0)[0]
