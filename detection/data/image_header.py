"""The size of an encoded image by its header: a few kilobytes can decode to gigabytes, so the size is looked at first.

    JPEG: found by libjpeg among the segments   PNG: bytes 16 to 24, big endian   GIF: bytes 6 to 10, BMP: bytes 18 to 26, little endian
"""

from __future__ import annotations

import tensorflow as tf

MAX_PIXELS = 100_000_000  # 300 MB decoded

_LENGTH = 26
_JPEG, _PNG, _GIF, _BMP = ((len(start), tuple(start)) for start in (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM"))


def pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Height times width (float64 scalar) that the header of `encoded` (string scalar) states; 0 for what is none of the four types.

    Fails with InvalidArgumentError where the header of a JPEG is damaged.
    """
    head = tf.io.decode_raw(encoded, tf.uint8, fixed_length=_LENGTH)
    numbers = tf.cast(head, tf.float64)

    def starts(kind: tuple[int, tuple[int, ...]]) -> tf.Tensor:
        length, start = kind
        return tf.reduce_all(head[:length] == tf.constant(start, tf.uint8))

    def number(first: int, length: int, big_endian: bool = False) -> tf.Tensor:
        powers = [256.0**power for power in range(length)]
        return tf.reduce_sum(numbers[first : first + length] * tf.constant(powers[::-1] if big_endian else powers, tf.float64))

    def bmp() -> tf.Tensor:
        height = number(22, 4)
        return number(18, 4) * tf.minimum(height, 2.0**32 - height)  # Lines stored from the top have a negative height.

    def others() -> tf.Tensor:
        return tf.case(
            [
                (starts(_PNG), lambda: number(16, 4, big_endian=True) * number(20, 4, big_endian=True)),
                (starts(_GIF), lambda: number(6, 2) * number(8, 2)),
                (starts(_BMP), bmp),
            ],
            default=lambda: tf.constant(0.0, tf.float64),
        )

    def jpeg() -> tf.Tensor:
        shape = tf.cast(tf.image.extract_jpeg_shape(encoded), tf.float64)
        return shape[0] * shape[1]

    return tf.cond(starts(_JPEG), jpeg, others)
