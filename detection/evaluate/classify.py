"""Classifies images with an ImageNet classifier, and measures top-1 and top-5 accuracy.

Each image is cropped to its central square, whose side is 87.5 % of the shorter side (`ClassificationOptions.crop`),
and resized to the size that the network was trained on. This is how tf-slim evaluates, except that the aspect ratio is
kept. Sampling is bilinear without antialiasing, as in TensorFlow 1 (`data.resize`).
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
    """How images are preprocessed, and how many classes are shown."""

    top: int = 5  # number of classes shown per image
    crop: float = 0.875  # side of the central square as a fraction of the shorter side
    size: int = 0  # side of the network's input in pixels; 0 for the size that it was trained on
    batch_size: int = 8


class Classes(NamedTuple):
    """The classes of a network. Class numbers start at 0 and do not include the background."""

    num_logits: int
    background: bool  # whether logit 0 is the background and class i is logit i + 1
    labels: tuple[str, ...] = ()  # by class number; empty if classes have numbers only

    def number(self, logit: int) -> int:
        """Returns the class number of a logit; -1 for the background."""
        return logit - self.background

    def name(self, logit: int) -> str:
        """Returns number and label of a logit, such as `285 Egyptian cat`; without labels `285`."""
        number = self.number(logit)
        label = BACKGROUND if number < 0 else self.labels[number] if self.labels else ""
        return f"{number:d} {label}".strip() if number >= 0 else label


class Result(NamedTuple):
    """The classification of one image."""

    path: str
    probabilities: np.ndarray  # float32 [logits]

    def ranking(self) -> np.ndarray:
        """Returns the indices of all logits, the most likely first."""
        return np.argsort(-self.probabilities, kind="stable")


class Accuracy(NamedTuple):
    """Accuracy over the images whose true class is known."""

    images: int  # number of images with a known class
    first: int  # images whose true class is the most likely one
    among_five: int  # images whose true class is among the five most likely ones

    def summary(self) -> str:
        """Returns one line with top-1 and top-5 accuracy."""
        if not self.images:
            return "no image has its class in the truth file"
        return (
            f"top-1 accuracy {self.first / self.images:.4f}, top-5 accuracy {self.among_five / self.images:.4f}"
            f" ({number_of(self.images, 'image')})"
        )


def central_square(image: np.ndarray, fraction: float, size: int) -> tf.Tensor:
    """Crops the central square of an image and resizes it.

    Args:
        image: uint8 [h, w, 3].
        fraction: side of the square divided by min(h, w).
        size: side of the result in pixels.

    Returns:
        float32 [size, size, 3], 0 to 255.
    """
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
    """Yields the probabilities of every readable image, in order.

    Args:
        classifier: has its weights.
        spec: the specification of the classifier.
        paths: image files.
        read: reads a path as uint8 [h, w, 3]; raises DataError if it is not an image.
        options: crop, size and batch size.
        report: called with the error of every image that is skipped.
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
    """Formats a result: a line with the path, then one for each of the `top` most likely classes."""
    return [
        result.path,
        *(f"  {result.probabilities[logit]:6.1%}  {classes.name(logit)}" for logit in result.ranking()[:top]),
    ]


def classes_of(spec: ClassifierSpec, num_logits: int, labels_path: str = "") -> Classes:
    """Returns the classes of a network.

    Args:
        spec: the specification of the network, which says whether its published checkpoint has a background class.
        num_logits: number of logits in the checkpoint.
        labels_path: a text file with one class per line; a line for the background, if there is one, is the first. ""
            for no labels.

    Raises:
        ConfigError: the file cannot be read.
        DataError: the number of lines is wrong.
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
            f"{labels_path}: {len(labels)} lines, but the checkpoint has {num_logits} logits; write one line per class"
        )
    return Classes(num_logits, False, tuple(labels))


def read_truth(path: str, classes: Classes) -> dict[str, int]:
    """Reads the true classes from a CSV file with lines `file,class`.

    The class is a number or a label; a header line is skipped.

    Returns:
        Class numbers by file.

    Raises:
        ConfigError: the file cannot be read.
        DataError: a line does not have two columns, or its class is unknown.
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
                f"{path}:{line}: class {name!r} is neither a number below {classes.num_logits - classes.background} nor"
                " a label"
            )
        truth[file] = known
    return truth


def accuracy(results: Sequence[Result], truth: dict[str, int], classes: Classes) -> Accuracy:
    """Measures accuracy over the images whose path or file name is in `truth`."""
    ranks = []
    for result in results:
        known = truth.get(result.path, truth.get(os.path.basename(result.path)))
        if known is not None:
            ranks.append(int(np.flatnonzero(result.ranking() == known + classes.background)[0]))
    return Accuracy(len(ranks), sum(rank == 0 for rank in ranks), sum(rank < 5 for rank in ranks))
