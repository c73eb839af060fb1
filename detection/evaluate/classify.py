"""The most likely classes of images by an ImageNet classifier, and how often the true one is among them.

Each image is cut to its central square, whose side is 87.5 % of the shorter one (`Options.crop`), and resized to what
the network was trained on: as tf-slim evaluates, except that proportions are kept. Sampling is bilinear without
smoothing, as in TensorFlow 1 (`data.resize`).
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from detection.data.resize import resize
from detection.errors import ConfigError, DataError, number_of
from detection.networks.classifier import Classifier, ClassifierSpec

BACKGROUND = "background"


class ClassificationOptions(NamedTuple):
    """How images are looked at, and what is told of each."""

    top: int = 5  # classes an image
    crop: float = 0.875  # side of the central square, as a share of the shorter side
    size: int = 0  # side of the network's input, pixels; 0: what it was trained on
    batch_size: int = 8


class Classes(NamedTuple):
    """What the logits stand for. Class numbers start at 0 and leave the background out."""

    num_logits: int
    background: bool  # logit 0 is "none of them", class i is logit i + 1
    labels: tuple[str, ...] = ()  # by class number; empty: classes have numbers only

    def number(self, logit: int) -> int:
        """Of the class that a logit stands for; -1 for the background."""
        return logit - self.background

    def name(self, logit: int) -> str:
        """`285 Egyptian cat`; without labels `285`."""
        number = self.number(logit)
        label = BACKGROUND if number < 0 else self.labels[number] if self.labels else ""
        return f"{number:d} {label}".strip() if number >= 0 else label


class Result(NamedTuple):
    """One image."""

    path: str
    probabilities: np.ndarray  # float32 [logits]

    def ranking(self) -> np.ndarray:
        """Logits, the most likely first."""
        return np.argsort(-self.probabilities, kind="stable")


class Accuracy(NamedTuple):
    """How many of the images whose class is known have it among their first."""

    images: int
    first: int
    among_five: int

    def summary(self) -> str:
        """One line."""
        if not self.images:
            return "no image has its class in the truth file"
        return (
            f"top-1 accuracy {self.first / self.images:.4f}, top-5 accuracy {self.among_five / self.images:.4f}"
            f" ({number_of(self.images, 'image')})"
        )


def central_square(image: np.ndarray, fraction: float, size: int) -> tf.Tensor:
    """uint8 [h, w, 3] -> float32 [size, size, 3], 0 ... 255: the central square of side `fraction` * min(h, w),
    resized."""
    height, width, _ = image.shape
    side = max(round(min(height, width) * fraction), 1)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(image[np.newaxis, top : top + side, left : left + side], (size, size))[0]


def classify(
    classifier: Classifier,
    spec: ClassifierSpec,
    paths: Sequence[str],
    read: Callable[[str], np.ndarray],
    options: ClassificationOptions,
    report: Callable[[DataError], None],
) -> Iterator[Result]:
    """The probabilities of every image that can be read, in order.

    Args:
        classifier: with its weights.
        spec: of that classifier.
        paths: image files.
        read: one path -> uint8 [h, w, 3]; raises DataError for what is no image.
        options: crop, size and batch.
        report: is given the error of every image that is left out.
    """
    size = options.size or spec.image_size

    @tf.function(input_signature=[tf.TensorSpec([None, size, size, 3])], autograph=False)
    def probabilities(images: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(classifier(spec.scale(images))[0])

    for start in range(0, len(paths), options.batch_size):
        chunk, squares = [], []
        for path in paths[start : start + options.batch_size]:
            try:
                squares.append(central_square(read(path), options.crop, size))
                chunk.append(path)
            except DataError as error:
                report(error)
        if chunk:
            yield from map(Result, chunk, probabilities(tf.stack(squares)).numpy())


def lines(result: Result, classes: Classes, top: int) -> list[str]:
    """The file, then the most likely classes with their probabilities."""
    return [
        result.path,
        *(f"  {result.probabilities[logit]:6.1%}  {classes.name(logit)}" for logit in result.ranking()[:top]),
    ]


def classes_of(spec: ClassifierSpec, num_logits: int, labels_path: str = "") -> Classes:
    """What `num_logits` logits of a network stand for.

    Args:
        spec: of the network; its published checkpoint tells whether there is a background.
        num_logits: of this checkpoint.
        labels_path: a text file of one class a line, with or without a line for the background, which then is the
            first; "": no labels.

    Raises:
        ConfigError: the file cannot be read. DataError: it has another number of lines.
    """
    background = spec.background and num_logits == spec.num_logits
    if not labels_path:
        return Classes(num_logits, background)
    try:
        labels = Path(labels_path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--labels {labels_path}: cannot be read as text ({error})") from error
    if len(labels) == num_logits - 1:
        return Classes(num_logits, True, tuple(labels))
    if len(labels) == num_logits + 1 or (len(labels) == num_logits and background):
        return Classes(num_logits, background, tuple(labels[1:]))
    if len(labels) != num_logits:
        raise DataError(
            f"{labels_path}: {len(labels)} lines, but the checkpoint has {num_logits} logits; give one line a class"
        )
    return Classes(num_logits, False, tuple(labels))


def read_truth(path: str, classes: Classes) -> dict[str, int]:
    """Class numbers by file, from lines `file,class`; the class is a number or a label, a first line that names the
    columns is skipped.

    Raises:
        ConfigError: the file cannot be read. DataError: a line without two columns, or with an unknown class.
    """
    numbers = {label: number for number, label in enumerate(classes.labels)}
    truth: dict[str, int] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), start=1) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"--truth {path}: cannot be read as csv ({error})") from error
    for line, row in rows:
        if len(row) != 2:
            raise DataError(f"{path}:{line}: {len(row)} columns; write file,class")
        file, name = row[0].strip(), row[1].strip()
        known = int(name) if name.isdecimal() else numbers.get(name)
        if known is None and line == rows[0][0] and name.lower() in ("class", "label"):
            continue
        if known is None or known >= classes.num_logits - classes.background:
            raise DataError(
                f"{path}:{line}: class {name!r} is no number below {classes.num_logits - classes.background} and no"
                " label"
            )
        truth[file] = known
    return truth


def accuracy(results: Sequence[Result], truth: dict[str, int], classes: Classes) -> Accuracy:
    """Over the images whose path, or else whose file name, is in `truth`."""
    ranks = []
    for result in results:
        known = truth.get(result.path, truth.get(os.path.basename(result.path)))
        if known is not None:
            ranks.append(int(np.flatnonzero(result.ranking() == known + classes.background)[0]))
    return Accuracy(len(ranks), sum(rank == 0 for rank in ranks), sum(rank < 5 for rank in ranks))
