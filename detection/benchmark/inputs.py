"""Inputs of benchmarks: the user's images or noise, resized as in the survey, and given proposals.

Huang et al. 2017, section 3.4: images are resized so that the shorter side is k, then cropped to k x k, one at a time.
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
    """Settings of a benchmark; `max_proposals` and `overrides` apply to configs only, not to exported models."""

    images: tuple[str, ...] = ()  # files, folders, patterns; none: one image of noise
    image_size: tuple[int, int] = (480, 640)  # height and width of the noise
    shorter_side: int | None = None  # k: images become k x k; None keeps their size
    batch: int = 1
    warmup: int = 10
    runs: int = 100
    proposals: int = 300  # per image, for detectors with given proposals
    max_proposals: int | None = None  # of the first stage; None: as in the config
    overrides: tuple[str, ...] = ()  # path=value
    allow_unused: bool = False  # accept checkpoints of another network than the config's
    max_seconds: float = 0.0  # time limit of the rounds, even if fewer than `runs` are done; 0: none

    def check(self) -> None:
        """Raises ConfigError, naming the flag, if a number is out of range."""
        for name in ("batch", "runs", "proposals", "shorter_side", "max_proposals"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name}={value}: must be at least 1")
        if min(self.image_size) < 1:
            raise ConfigError(f"--image_size={','.join(map(str, self.image_size))}: both sides must be at least 1")

    @property
    def noise_size(self) -> tuple[int, int]:
        """Height and width of the noise."""
        return (self.shorter_side, self.shorter_side) if self.shorter_side else self.image_size


def parse_size(sizes: Sequence[str]) -> tuple[int, int]:
    """Parses the value of --image_size. Raises ConfigError unless it is two numbers."""
    try:
        height, width = (int(size) for size in sizes)
    except ValueError:
        raise ConfigError(f"--image_size={','.join(sizes)}: give height and width, e.g. 480,640") from None
    return height, width


def images(options: BenchmarkOptions) -> list[np.ndarray]:
    """Reads the images, at most as many as there are runs, or makes one of noise; each is uint8 [h, w, 3].

    Raises:
        DataError: an image cannot be used.
    """
    if not options.images:
        return [np.random.default_rng(0).integers(0, 256, (*options.noise_size, 3), dtype=np.uint8)]
    paths = itertools.islice(find(options.images), options.runs)
    return [square(read(path), options.shorter_side) if options.shorter_side else read(path) for path in paths]


def square(image: np.ndarray, side: int) -> np.ndarray:
    """Resizes an image uint8 [h, w, 3] so that its shorter side is `side`, and crops the centre [side, side, 3]."""
    height, width = image.shape[:2]
    scale = side / min(height, width)
    new_height, new_width = max(side, round(height * scale)), max(side, round(width * scale))
    resized = np.asarray(Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BILINEAR))
    top, left = (new_height - side) // 2, (new_width - side) // 2
    return np.ascontiguousarray(resized[top : top + side, left : left + side])


def to_input(image: np.ndarray, batch: int, spec: tf.TensorSpec) -> tf.Tensor:
    """Converts an image to a batch of copies of it in the form that a signature takes.

    Args:
        image: uint8 [h, w, 3].
        batch: number of copies; the images of a batch need the same size.
        spec: of the signature's input.

    Raises:
        DataError: the signature takes another shape.
    """
    stacked = np.repeat(image[np.newaxis], batch, axis=0)
    value = (
        tf.stack([tf.io.encode_jpeg(item) for item in stacked])
        if spec.dtype == tf.string
        else tf.cast(stacked, spec.dtype)
    )
    if not spec.shape.is_compatible_with(value.shape):
        raise DataError(
            f"images {list(value.shape)}: the model takes {spec.shape}; set --batch, and --image_size or"
            " --shorter_side, accordingly"
        )
    return value


def proposals(count: int, batch: int, spec: tf.TensorSpec) -> tf.Tensor:
    """Random proposals as fractions of the image, with sides between 0.1 and 0.9 of it; the same at every call.

    Args:
        count: per image.
        batch: number of images.
        spec: of the signature's input.

    Returns:
        float32 [batch, count, 4].

    Raises:
        DataError: the signature takes another number.
    """
    random = np.random.default_rng(1)
    sides = np.exp(random.uniform(np.log(0.1), np.log(0.9), (count, 2)))
    corners = random.uniform(0, 1, (count, 2)) * (1 - sides)
    value = np.repeat(np.concatenate([corners, corners + sides], axis=-1)[np.newaxis], batch, axis=0).astype(np.float32)
    if not spec.shape.is_compatible_with(value.shape):
        raise DataError(
            f"--proposals={count}: the model takes proposals of the shape {spec.shape}; set --proposals and --batch"
            " accordingly"
        )
    return tf.constant(value)
