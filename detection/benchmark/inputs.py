"""What detectors are measured on: pictures of one's own or noise, brought to a size as in the survey; and proposals,
where they are given.

Huang et al. 2017, section 3.4: images resized so that the shorter side is k, then cropped to k x k, one at a time.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from detection.errors import ConfigError, DataError
from detection.export.image_files import find, read


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions:
    """What is run, and how often; `max_proposals` and `overrides` are for configs, not for what was exported."""

    images: tuple[str, ...] = ()  # files, folders, patterns; none: one image of noise
    image_size: tuple[int, int] = (480, 640)  # height, width of that
    shorter_side: int | None = None  # k: images become k x k; None leaves their size
    batch: int = 1
    warmup: int = 10
    runs: int = 100
    proposals: int = 300  # an image, for detectors that are given them
    max_proposals: int | None = None  # of the first stage, instead of what the config says
    overrides: tuple[str, ...] = ()  # path=value
    allow_unused: bool = False  # checkpoints of another network than the config's
    max_seconds: float = 0.0  # rounds end after so long, whatever is left of `runs`; 0: never

    def check(self) -> None:
        """Raises ConfigError naming the flag whose number makes no sense."""
        for name in ("batch", "runs", "proposals", "shorter_side", "max_proposals"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name}={value}: must be at least 1")
        if min(self.image_size) < 1:
            raise ConfigError(f"--image_size={','.join(map(str, self.image_size))}: both sides must be at least 1")

    @property
    def noise_size(self) -> tuple[int, int]:
        """Height and width."""
        return (self.shorter_side, self.shorter_side) if self.shorter_side else self.image_size


def parse_size(sizes: Sequence[str]) -> tuple[int, int]:
    """Value of --image_size. Raises ConfigError unless it is two numbers."""
    try:
        height, width = (int(size) for size in sizes)
    except ValueError:
        raise ConfigError(f"--image_size={','.join(sizes)}: give height and width, e.g. 480,640") from None
    return height, width


def images(options: BenchmarkOptions) -> list[np.ndarray]:
    """uint8 [h, w, 3] each: the files, no more of them than there are runs; or one of noise.

    Raises:
        DataError: naming an image that cannot be used.
    """
    if not options.images:
        return [np.random.default_rng(0).integers(0, 256, (*options.noise_size, 3), dtype=np.uint8)]
    paths = itertools.islice(find(options.images), options.runs)
    return [square(read(path), options.shorter_side) if options.shorter_side else read(path) for path in paths]


def square(image: np.ndarray, side: int) -> np.ndarray:
    """uint8 [side, side, 3], the middle of uint8 [h, w, 3] once that is scaled to have `side` as its shorter side."""
    height, width = image.shape[:2]
    scale = side / min(height, width)
    tall, wide = max(side, round(height * scale)), max(side, round(width * scale))
    resized = np.asarray(Image.fromarray(image).resize((wide, tall), Image.Resampling.BILINEAR))
    top, left = (tall - side) // 2, (wide - side) // 2
    return np.ascontiguousarray(resized[top : top + side, left : left + side])


def to_input(image: np.ndarray, batch: int, spec: tf.TensorSpec) -> tf.Tensor:
    """An image, repeated within a batch since the images of one have one size, in the form that a signature takes.

    Raises:
        DataError: the signature takes another shape.
    """
    stacked = np.repeat(image[np.newaxis], batch, axis=0)
    value = (
        tf.stack([tf.io.encode_jpeg(one) for one in stacked])
        if spec.dtype == tf.string
        else tf.cast(stacked, spec.dtype)
    )
    if not spec.shape.is_compatible_with(value.shape):
        raise DataError(
            f"images {list(value.shape)}: the model takes {spec.shape}; set --batch, and --image_size or"
            " --shorter_side, to that"
        )
    return value


def proposals(count: int, batch: int, spec: tf.TensorSpec) -> tf.Tensor:
    """float32 [batch, count, 4], normalised, of all sizes between a tenth of the image and nearly all of it; always the
    same.

    Raises:
        DataError: the signature takes another number.
    """
    random = np.random.default_rng(1)
    sides = np.exp(random.uniform(np.log(0.1), np.log(0.9), (count, 2)))
    corners = random.uniform(0, 1, (count, 2)) * (1 - sides)
    value = np.repeat(np.concatenate([corners, corners + sides], axis=-1)[np.newaxis], batch, axis=0).astype(np.float32)
    if not spec.shape.is_compatible_with(value.shape):
        raise DataError(
            f"--proposals={count}: the model takes proposals of the shape {spec.shape}; set --proposals and --batch to"
            " that"
        )
    return tf.constant(value)
