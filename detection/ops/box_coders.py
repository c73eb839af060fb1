"""Box coders: boxes as offsets from anchors, and back. All leading dimensions are free and broadcast.

With centre (y, x), height h, width w of a box and (ya, xa, ha, wa) of its anchor, the Faster R-CNN code is

    ty = sy (y - ya) / ha    tx = sx (x - xa) / wa    th = sh ln(h / ha)    tw = sw ln(w / wa)

Sizes are enlarged by 1e-8 when encoding, so that an empty box gives a finite code. When decoding, ln(h / ha) is capped
far above any useful value (a box 5e8 times its anchor), so that an extreme code gives a finite box and a finite
gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

_TINY_SIZE = 1e-8
_MAX_LOG_RATIO = 20.0


def _centre_size(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """(y centre, x centre, height, width), each [...], of boxes [..., 4]."""
    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
    height, width = ymax - ymin, xmax - xmin
    return ymin + height / 2.0, xmin + width / 2.0, height, width


def _corners(y: tf.Tensor, x: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """[..., 4] of four tensors [...]."""
    corners = [y - height / 2.0, x - width / 2.0, y + height / 2.0, x + width / 2.0]
    if y.shape.rank < 3:
        return tf.stack(corners, axis=-1)
    # With boxes for every class there are tens of thousands: on a CPU, transposing four rows takes half the time of
    # interleaving them number by number.
    rows = tf.reshape(tf.stack(corners), [4, -1])
    return tf.reshape(tf.transpose(rows), tf.concat([tf.shape(y), [4]], 0))


def _exp(log_ratio: tf.Tensor) -> tf.Tensor:
    return tf.exp(tf.minimum(log_ratio, _MAX_LOG_RATIO))


@dataclass(frozen=True)
class FasterRcnnBoxCoder:
    """Codes [ty, tx, th, tw] as above (Faster R-CNN, equation 2)."""

    y_scale: float = 10.0
    x_scale: float = 10.0
    height_scale: float = 5.0
    width_scale: float = 5.0

    @property
    def code_size(self) -> int:
        """Numbers in a code."""
        return 4

    def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Codes [..., 4] of boxes [..., 4] relative to anchors [..., 4]."""
        y, x, height, width = _centre_size(boxes)
        ya, xa, ha, wa = _centre_size(anchors)
        ha, wa, height, width = (size + _TINY_SIZE for size in (ha, wa, height, width))
        ty = (y - ya) / ha * self.y_scale
        tx = (x - xa) / wa * self.x_scale
        th = tf.math.log(height / ha) * self.height_scale
        tw = tf.math.log(width / wa) * self.width_scale
        return tf.stack([ty, tx, th, tw], axis=-1)

    def decode(self, codes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Boxes [..., 4] of codes [..., 4] relative to anchors [..., 4]."""
        ty, tx, th, tw = tf.unstack(codes, axis=-1)
        ya, xa, ha, wa = _centre_size(anchors)
        y = ty / self.y_scale * ha + ya
        x = tx / self.x_scale * wa + xa
        return _corners(y, x, _exp(th / self.height_scale) * ha, _exp(tw / self.width_scale) * wa)


@dataclass(frozen=True)
class MeanStddevBoxCoder:
    """Codes (side - anchor side) / stddev, one for each of ymin, xmin, ymax and xmax."""

    stddev: float = 0.01

    @property
    def code_size(self) -> int:
        """Numbers in a code."""
        return 4

    def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Codes [..., 4] of boxes [..., 4] relative to anchors [..., 4]."""
        return (boxes - anchors) / self.stddev

    def decode(self, codes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Boxes [..., 4] of codes [..., 4] relative to anchors [..., 4]."""
        return codes * self.stddev + anchors


@dataclass(frozen=True)
class SquareBoxCoder:
    """Codes [ty, tx, tl] for square boxes: l is the side of the square with the box's area."""

    y_scale: float = 10.0
    x_scale: float = 10.0
    length_scale: float = 5.0

    @property
    def code_size(self) -> int:
        """Numbers in a code."""
        return 3

    def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Codes [..., 3] of boxes [..., 4] relative to anchors [..., 4]."""
        y, x, height, width = _centre_size(boxes)
        ya, xa, ha, wa = _centre_size(anchors)
        length, la = tf.sqrt(height * width) + _TINY_SIZE, tf.sqrt(ha * wa) + _TINY_SIZE
        ty = (y - ya) / la * self.y_scale
        tx = (x - xa) / la * self.x_scale
        return tf.stack([ty, tx, tf.math.log(length / la) * self.length_scale], axis=-1)

    def decode(self, codes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Square boxes [..., 4] of codes [..., 3] relative to anchors [..., 4]."""
        ty, tx, tl = tf.unstack(codes, axis=-1)
        ya, xa, ha, wa = _centre_size(anchors)
        la = tf.sqrt(ha * wa)
        length = _exp(tl / self.length_scale) * la
        return _corners(ty / self.y_scale * la + ya, tx / self.x_scale * la + xa, length, length)


@dataclass(frozen=True)
class CornerBoxCoder:
    """Codes [y0, x0, y1, x1]: the box's own coordinates in units of `unit` pixels (survey, Table 1).

    Which anchor it is does not matter, unless `from_anchor`: then its coordinates are subtracted, as those of the
    priors in Erhan et al. 2014.
    """

    unit: float
    from_anchor: bool = False

    @property
    def code_size(self) -> int:
        """Numbers in a code."""
        return 4

    def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Codes [..., 4] of boxes [..., 4] relative to anchors [..., 4]."""
        return (boxes - self._origin(anchors)) / self.unit

    def decode(self, codes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Boxes [..., 4] of codes [..., 4] relative to anchors [..., 4]."""
        return codes * self.unit + self._origin(anchors)

    def _origin(self, anchors: tf.Tensor) -> tf.Tensor:
        return anchors if self.from_anchor else tf.zeros_like(anchors)


@dataclass(frozen=True)
class CenterSqrtBoxCoder:
    """Codes [ty, tx, sqrt(h / unit), sqrt(w / unit)] (Redmon et al. 2015, section 2.2).

    (ty, tx) is the centre as a fraction of the anchor from its top left corner, in [0, 1) where the centre lies in the
    anchor; `unit` is in pixels. Decoding squares, so a negative root is read as its absolute value.
    """

    unit: float

    @property
    def code_size(self) -> int:
        """Numbers in a code."""
        return 4

    def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Codes [..., 4] of boxes [..., 4] relative to anchors [..., 4]."""
        y, x, height, width = _centre_size(boxes)
        ya, xa, ha, wa = _centre_size(anchors)
        ty = (y - ya) / (ha + _TINY_SIZE) + 0.5
        tx = (x - xa) / (wa + _TINY_SIZE) + 0.5
        roots = (tf.sqrt(tf.maximum(side, 0.0) / self.unit) for side in (height, width))
        return tf.stack([ty, tx, *roots], axis=-1)

    def decode(self, codes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Boxes [..., 4] of codes [..., 4] relative to anchors [..., 4]."""
        ty, tx, root_h, root_w = tf.unstack(codes, axis=-1)
        ya, xa, ha, wa = _centre_size(anchors)
        y, x = (ty - 0.5) * ha + ya, (tx - 0.5) * wa + xa
        return _corners(y, x, tf.square(root_h) * self.unit, tf.square(root_w) * self.unit)


@dataclass(frozen=True)
class KeypointBoxCoder:
    """Faster R-CNN codes of the box, then (ky, kx) of each keypoint relative to the anchor's centre and size.

    A "box" is a row [ymin, xmin, ymax, xmax, y1, x1, y2, x2, ...] of 4 + 2 num_keypoints numbers.
    """

    num_keypoints: int
    y_scale: float = 10.0
    x_scale: float = 10.0
    height_scale: float = 5.0
    width_scale: float = 5.0

    @property
    def code_size(self) -> int:
        """Numbers in a code."""
        return 4 + 2 * self.num_keypoints

    def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Codes [..., 4 + 2n] of boxes with keypoints [..., 4 + 2n] relative to anchors [..., 4]."""
        ya, xa, ha, wa = _centre_size(anchors)
        centre = tf.stack([ya, xa] * self.num_keypoints, axis=-1)
        size = tf.stack([ha, wa] * self.num_keypoints, axis=-1) + _TINY_SIZE
        points = (boxes[..., 4:] - centre) / size * self._point_scales()
        return tf.concat([self._box_coder().encode(boxes[..., :4], anchors), points], axis=-1)

    def decode(self, codes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Boxes with keypoints [..., 4 + 2n] of codes [..., 4 + 2n] relative to anchors [..., 4]."""
        ya, xa, ha, wa = _centre_size(anchors)
        centre = tf.stack([ya, xa] * self.num_keypoints, axis=-1)
        size = tf.stack([ha, wa] * self.num_keypoints, axis=-1)
        points = codes[..., 4:] / self._point_scales() * size + centre
        return tf.concat([self._box_coder().decode(codes[..., :4], anchors), points], axis=-1)

    def _box_coder(self) -> FasterRcnnBoxCoder:
        return FasterRcnnBoxCoder(self.y_scale, self.x_scale, self.height_scale, self.width_scale)

    def _point_scales(self) -> tf.Tensor:
        return tf.constant([self.y_scale, self.x_scale] * self.num_keypoints, tf.float32)


BoxCoder = (
    FasterRcnnBoxCoder | MeanStddevBoxCoder | SquareBoxCoder | KeypointBoxCoder | CornerBoxCoder | CenterSqrtBoxCoder
)
