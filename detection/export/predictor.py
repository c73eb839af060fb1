"""An exported detector in Python:

    predictor = Predictor.load("exported/saved_model")
    for result in predictor.detect(["street.jpg", "park.png"], min_score=0.5):
        for box, score, name in zip(result.boxes, result.scores, result.class_names):
            ...

    predictor.detect(["street.jpg"], proposals=[boxes])      # a Fast R-CNN: float32 [n, 4], ymin, xmin, ymax, xmax in
        pixels of the image

Loading needs TensorFlow and this file's few helpers; no config, no checkpoint.
"""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from detection import files
from detection.checkpoints import index_check
from detection.config import label_map
from detection.errors import ConfigError, DataError, first_line
from detection.export import image_arguments
from detection.export.image_arguments import ImageLike
from detection.export.saved_model import EXTRA, LABEL_MAP
from detection.proposals.serving_input import KEY as PROPOSALS
from detection.proposals.serving_input import checked, packed
from detection.types import Category

ArrayLike = np.ndarray | Sequence[Sequence[float]]
SIGNATURE = "serving_default"


class Result(NamedTuple):
    """What was found in one image, best first."""

    boxes: np.ndarray  # float32 [n, 4], ymin, xmin, ymax, xmax in pixels of the image given
    scores: np.ndarray  # float32 [n]
    class_ids: np.ndarray  # int64 [n], label ids as in the label map
    class_names: tuple[str, ...]  # n


class Predictor:
    """A SavedModel with the detection signature, of this project or of the TF Object Detection API's exporters.

    `categories` (with all that the label map says) and `names` (label id -> display name, or name) come from the label
    map that it carries, or that lies beside it; else they are empty.
    """

    def __init__(self, loaded: object, categories: Sequence[Category]) -> None:
        self._loaded = loaded  # The signature alone does not keep what it reads alive.
        self._signature = loaded.signatures[SIGNATURE]
        self.categories = tuple(categories)
        self.names: Mapping[int, str] = {category.id: category.shown for category in categories}
        inputs = dict(self._signature.structured_input_signature[1])
        self._proposals_spec: tf.TensorSpec | None = inputs.pop(PROPOSALS, None)
        ((self._key, self._spec),) = inputs.items()
        self._channels: int = (self._spec.shape[-1] if self._spec.shape.rank == 4 else None) or 3

    @property
    def takes_proposals(self) -> bool:
        """Whether the model classifies regions that it is given (Fast R-CNN), and does not find them itself."""
        return self._proposals_spec is not None

    @classmethod
    def load(cls, saved_model: str | os.PathLike[str]) -> Predictor:
        """Loads a SavedModel folder, or the export folder around it.

        Raises:
            ConfigError: naming the folder and what it lacks.
        """
        folder = saved_model_folder(saved_model)
        loaded = load_graph(folder)
        if SIGNATURE not in loaded.signatures:
            raise ConfigError(
                f"{folder}: has no signature {SIGNATURE}, only {sorted(loaded.signatures)}; give the SavedModel of a"
                " detector"
            )
        signature = loaded.signatures[SIGNATURE]
        missing = {"detection_boxes", "detection_scores", "detection_classes", "num_detections"} - set(
            signature.structured_outputs
        )
        if missing or len(set(signature.structured_input_signature[1]) - {PROPOSALS}) != 1:
            raise ConfigError(
                f"{folder}: is no detector: its signature lacks"
                f" {', '.join(sorted(missing)) or 'a single input of images'}"
            )
        return cls(loaded, _categories(folder))

    def detect(
        self,
        images: ImageLike | Iterable[ImageLike],
        min_score: float = 0.0,
        max_boxes: int | None = None,
        batch_size: int = 8,
        names: Sequence[str] | None = None,
        proposals: ArrayLike | Sequence[ArrayLike] | None = None,
    ) -> list[Result]:
        """Finds objects in images.

        Args:
            images: one or many, of any sizes: paths, the bytes of image files, uint8 [h, w, 3] RGB arrays or tensors,
                PIL images; or an array uint8 [n, h, w, 3].
            min_score: detections below are left out; 0 to 1.
            max_boxes: at most so many an image; None: all.
            batch_size: images of one size that go through the network together.
            names: what errors call the images, one each; None takes their paths, or their numbers.
            proposals: for a model that takes them: for each image (or for the one) float32 [n, 4], ymin, xmin, ymax,
                xmax in its pixels, best first; any n. Boxes without area are left out, a model with a fixed number
                takes the best.

        Returns:
            One result an image, in order.

        Raises:
            DataError: naming the image, argument or proposals that cannot be used. ConfigError: too little memory;
                proposals missing, or not wanted.
        """
        _check_numbers(min_score, max_boxes, batch_size)
        arrays, names, one = image_arguments.decode(images, names, self._channels)
        proposals = _of_one(proposals) if one else proposals
        regions = self._regions(proposals, arrays, names)
        results: dict[int, Result] = {}
        for indices in _same_size(arrays, self._batch_limit(batch_size)):
            given = [regions[index] for index in indices] if regions is not None else None
            outputs = self._run(
                np.stack([arrays[index] for index in indices]), ", ".join(names[index] for index in indices), given
            )
            for row, index in enumerate(indices):
                results[index] = self._result(outputs, row, arrays[index].shape, min_score, max_boxes)
        return [results[index] for index in range(len(arrays))]

    def _batch_limit(self, batch_size: int) -> int:
        """A signature with a fixed batch (as the TF2 exporter's, of 1) takes no other."""
        return (self._spec.shape[0] if self._spec.shape.rank else None) or batch_size

    def _regions(
        self, proposals: Sequence[ArrayLike] | None, images: Sequence[np.ndarray], names: Sequence[str]
    ) -> list[np.ndarray] | None:
        """Normalised boxes of each image; None where the model finds its own."""
        if not self.takes_proposals:
            if proposals is not None:
                raise ConfigError("proposals: this model finds its regions itself; leave them out")
            return None
        if proposals is None:
            raise ConfigError(
                "this model classifies regions that it is given; pass proposals, one array [n, 4] an image, in pixels"
            )
        proposals = list(proposals)
        if len(proposals) != len(images):
            raise DataError(
                f"proposals: {len(proposals)} arrays for {len(images)} images; give one array [n, 4] an image, empty"
                " where it has none"
            )
        return [checked(boxes, image.shape, name) for boxes, image, name in zip(proposals, images, names, strict=True)]

    def _run(self, images: np.ndarray, names: str, regions: Sequence[np.ndarray] | None) -> dict[str, np.ndarray]:
        """images uint8 [B, h, w, 3], and their normalised proposals, in the form that the signature takes; `names` for
        errors."""
        count, fixed = len(images), self._spec.shape[0] if self._spec.shape.rank else None
        if fixed and count < fixed:
            images = np.concatenate([images, np.repeat(images[-1:], fixed - count, axis=0)])
            regions = None if regions is None else [*regions, *regions[-1:] * (fixed - count)]
        if self._spec.dtype == tf.string:
            value = tf.stack([tf.io.encode_png(image, compression=1) for image in images])
        else:
            value = tf.cast(images, self._spec.dtype)
        inputs = {self._key: value}
        if regions is not None:
            inputs[PROPOSALS] = tf.constant(packed(regions, self._proposals_spec.shape[1]))
        try:
            outputs = self._signature(**inputs)
        except (tf.errors.InvalidArgumentError, TypeError, ValueError) as error:
            # TensorFlow quotes what is no tf.Example, a PNG file say, and its text is no UTF-8 then.
            if isinstance(error, UnicodeDecodeError) or "Could not parse example" in str(error):
                raise ConfigError(
                    "this model takes serialized tf.Examples (it was exported with --input_type=tf_example); export it"
                    " with --input_type=image_tensor"
                ) from error
            height, width = images.shape[1:3]
            reason = (
                f"the model takes {self._spec.dtype.name} {self._spec.shape} ({' '.join(str(error).split())[:150]})"
            )
            raise DataError(
                f"{names}: {height} x {width} pixels, {reason}; resize or export without --input_shape"
            ) from error
        except tf.errors.ResourceExhaustedError as error:
            height, width = images.shape[1:3]
            reason = f"out of memory with {count} images of {height} x {width} pixels"
            more = "" if regions is None else f" and {inputs[PROPOSALS].shape[1]} proposals each"
            raise ConfigError(
                f"{names}: {reason}{more}; lower --batch_size{more and ' or --max_proposals'} or scale them down"
            ) from error
        return {key: value.numpy()[:count] for key, value in outputs.items()}

    def _result(
        self, outputs: dict[str, np.ndarray], row: int, shape: tuple[int, ...], min_score: float, max_boxes: int | None
    ) -> Result:
        scores = outputs["detection_scores"][row][: int(outputs["num_detections"][row])]
        keep = np.flatnonzero(scores >= min_score)[:max_boxes]
        ids = outputs["detection_classes"][row][keep].astype(np.int64)
        pixels = np.array([shape[0], shape[1], shape[0], shape[1]], np.float32)
        names = tuple(self.names.get(label, f"class {label}") for label in ids.tolist())
        return Result(outputs["detection_boxes"][row][keep] * pixels, scores[keep], ids, names)


def saved_model_folder(path: str | os.PathLike[str]) -> Path:
    """`path` itself, or the saved_model in it. Raises ConfigError where neither is a SavedModel, or its export was
    stopped among its renames."""
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(
            f"--saved_model={path!r}: is no path; give the saved_model folder that `detection export` wrote"
        )
    folder = Path(path)
    for candidate in (folder, folder / "saved_model"):
        if (candidate / "saved_model.pb").is_file():
            if (unusable := files.unpublished(candidate.absolute().parent)) is not None:
                raise ConfigError(unusable)
            return candidate
    if (unusable := files.unpublished(folder)) is not None:
        raise ConfigError(unusable)
    reason = "holds no saved_model.pb" if folder.is_dir() else "no such folder"
    raise ConfigError(f"--saved_model={path}: {reason}; give the saved_model folder that `detection export` wrote")


def load_graph(folder: Path) -> Any:  # what tf.saved_model.load gives, whose type has no public name
    """Loads a SavedModel folder. Raises ConfigError where it is damaged."""
    try:
        index_check.check(os.fspath(folder / "variables" / "variables"))
        return tf.saved_model.load(os.fspath(folder))
    except Exception as error:  # Whatever a damaged graph makes TensorFlow raise: RuntimeError, TypeError, its own.
        raise ConfigError(f"{folder}: cannot be loaded: {first_line(error)}; export it again") from error


def _categories(folder: Path) -> tuple[Category, ...]:
    for path in (folder / EXTRA / LABEL_MAP, folder / "assets" / LABEL_MAP, folder.parent / LABEL_MAP):
        if path.is_file():
            return label_map.load(path).categories
    return ()


def _of_one(proposals: ArrayLike | Sequence[ArrayLike] | None) -> Sequence[ArrayLike] | None:
    """Those of a single image, given with or without a list around them."""
    if proposals is None:
        return None
    try:
        return proposals if np.ndim(proposals) == 3 else [proposals]
    except ValueError:  # Rows of unequal lengths; what is wrong with them is told with the image's name.
        return [proposals]


def _check_numbers(min_score: object, max_boxes: object, batch_size: object) -> None:
    if isinstance(min_score, bool) or not isinstance(min_score, numbers.Real) or not min_score == min_score:
        raise DataError(f"min_score ({min_score!r}) must be a number, as 0.5")
    for name, value, least in (("max_boxes", max_boxes, 0), ("batch_size", batch_size, 1)):
        if value is None and name == "max_boxes":
            continue
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
            raise DataError(
                f"{name} ({value!r}) must be a whole number of at least"
                f" {least}{', or None for all' * (name == 'max_boxes')}"
            )


def _same_size(arrays: Sequence[np.ndarray], limit: int) -> list[list[int]]:
    """Indices of images that can go together, at most `limit` at a time."""
    groups: list[list[int]] = []
    open_groups: dict[tuple[int, ...], list[int]] = {}
    for index, array in enumerate(arrays):
        group = open_groups.get(array.shape)
        if group is None or len(group) == limit:
            group = open_groups[array.shape] = []
            groups.append(group)
        group.append(index)
    return groups
