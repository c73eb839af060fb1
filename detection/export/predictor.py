"""Runs an exported detector from Python.

    predictor = Predictor.load("exported/saved_model")
    for result in predictor.detect(["street.jpg", "park.png"], min_score=0.5):
        for box, score, name in zip(result.boxes, result.scores, result.class_names):
            ...

    # Fast R-CNN takes proposals, float32 [n, 4]: ymin, xmin, ymax, xmax in pixels of the image.
    predictor.detect(["street.jpg"], proposals=[boxes])

No config and no checkpoint is needed.
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
    """The detections of one image, best score first."""

    boxes: np.ndarray  # float32 [n, 4], ymin, xmin, ymax, xmax in pixels of the image as passed
    scores: np.ndarray  # float32 [n]
    class_ids: np.ndarray  # int64 [n], label ids as in the label map
    class_names: tuple[str, ...]  # n


class Predictor:
    """A SavedModel with the detection signature, exported by this project or by the TF Object Detection API.

    Attributes:
        categories: the label map, from the SavedModel or its folder; empty if there is none.
        names: label id -> display name (or name, if the class has no display name); empty without a label map.
    """

    def __init__(self, loaded: object, categories: Sequence[Category]) -> None:
        self._loaded = loaded  # The signature does not keep the tensors that it reads alive.
        self._signature = loaded.signatures[SIGNATURE]
        self.categories = tuple(categories)
        self.names: Mapping[int, str] = {category.id: category.shown for category in categories}
        inputs = dict(self._signature.structured_input_signature[1])
        self._proposals_spec: tf.TensorSpec | None = inputs.pop(PROPOSALS, None)
        ((self._key, self._spec),) = inputs.items()
        self._channels: int = (self._spec.shape[-1] if self._spec.shape.rank == 4 else None) or 3

    @property
    def takes_proposals(self) -> bool:
        """Whether the model takes region proposals as input (Fast R-CNN)."""
        return self._proposals_spec is not None

    @classmethod
    def load(cls, saved_model: str | os.PathLike[str]) -> Predictor:
        """Loads a SavedModel.

        Args:
            saved_model: folder of the SavedModel, or the export folder that contains it.

        Raises:
            ConfigError: the message names the folder and what it lacks.
        """
        folder = saved_model_folder(saved_model)
        loaded = load_graph(folder)
        if SIGNATURE not in loaded.signatures:
            raise ConfigError(
                f"{folder}: has no signature {SIGNATURE}, only {sorted(loaded.signatures)}; name the SavedModel of a"
                " detector"
            )
        signature = loaded.signatures[SIGNATURE]
        missing = {"detection_boxes", "detection_scores", "detection_classes", "num_detections"} - set(
            signature.structured_outputs
        )
        if missing or len(set(signature.structured_input_signature[1]) - {PROPOSALS}) != 1:
            raise ConfigError(
                f"{folder}: is not a detector: its signature lacks"
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
        """Detects objects in images.

        Args:
            images: one or many, of any sizes: paths, the bytes of image files, uint8 [h, w, 3] RGB arrays or tensors,
                PIL images; or an array uint8 [n, h, w, 3].
            min_score: detections with lower scores are omitted; 0 to 1.
            max_boxes: maximum number of detections per image; None for all.
            batch_size: maximum number of images, all of one size, to run at once.
            names: names of the images in error messages; None uses paths, or numbers for images without a path.
            proposals: for models that take proposals: for each image (or for the single one) float32 [n, 4], ymin,
                xmin, ymax, xmax in its pixels, best first, any n. Boxes without area are ignored; a model with a fixed
                number of proposals uses the first ones.

        Returns:
            One result per image, in the order of the images.

        Raises:
            DataError: the message names the image, argument or proposals that cannot be used.
            ConfigError: there is too little memory, or proposals are missing or not accepted by the model.
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
        """Returns the batch size of the signature if it is fixed (1 for the TF2 exporter), otherwise `batch_size`."""
        return (self._spec.shape[0] if self._spec.shape.rank else None) or batch_size

    def _regions(
        self, proposals: Sequence[ArrayLike] | None, images: Sequence[np.ndarray], names: Sequence[str]
    ) -> list[np.ndarray] | None:
        """Returns the normalised proposals of each image, or None if the model does not take any."""
        if not self.takes_proposals:
            if proposals is not None:
                raise ConfigError("proposals: this model does not take proposals; leave them out")
            return None
        if proposals is None:
            raise ConfigError(
                "this model needs region proposals; pass proposals, one array [n, 4] per image, in pixels"
            )
        proposals = list(proposals)
        if len(proposals) != len(images):
            raise DataError(
                f"proposals: {len(proposals)} arrays for {len(images)} images; pass one array [n, 4] per image, empty"
                " if it has none"
            )
        return [checked(boxes, image.shape, name) for boxes, image, name in zip(proposals, images, names, strict=True)]

    def _run(self, images: np.ndarray, names: str, regions: Sequence[np.ndarray] | None) -> dict[str, np.ndarray]:
        """Runs the signature on one batch.

        Args:
            images: uint8 [B, h, w, 3].
            names: names of the images, for error messages.
            regions: normalised proposals of each image; None if the model does not take any.
        """
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
            # TensorFlow's message quotes the bytes that it cannot parse (a PNG file), so it may not be valid UTF-8.
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
    """Returns the SavedModel folder at `path`: the path itself, or `saved_model` in it.

    Raises:
        ConfigError: neither is a SavedModel, or the export was killed while it replaced an older one.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(
            f"--saved_model={path!r}: is not a path; name the saved_model folder that `detection export` wrote"
        )
    folder = Path(path)
    for candidate in (folder, folder / "saved_model"):
        if (candidate / "saved_model.pb").is_file():
            if (unusable := files.interrupted_export(candidate.absolute().parent)) is not None:
                raise ConfigError(unusable)
            return candidate
    if (unusable := files.interrupted_export(folder)) is not None:
        raise ConfigError(unusable)
    reason = "holds no saved_model.pb" if folder.is_dir() else "no such folder"
    raise ConfigError(f"--saved_model={path}: {reason}; name the saved_model folder that `detection export` wrote")


def load_graph(folder: Path) -> Any:  # what tf.saved_model.load gives, whose type has no public name
    """Loads a SavedModel folder. Raises ConfigError if it is damaged."""
    try:
        index_check.check(os.fspath(folder / "variables" / "variables"))
        return tf.saved_model.load(os.fspath(folder))
    except Exception as error:  # Damaged graphs make TensorFlow raise RuntimeError, TypeError and others.
        raise ConfigError(f"{folder}: cannot be loaded: {first_line(error)}; export it again") from error


def _categories(folder: Path) -> tuple[Category, ...]:
    for path in (folder / EXTRA / LABEL_MAP, folder / "assets" / LABEL_MAP, folder.parent / LABEL_MAP):
        if path.is_file():
            return label_map.load(path).categories
    return ()


def _of_one(proposals: ArrayLike | Sequence[ArrayLike] | None) -> Sequence[ArrayLike] | None:
    """Returns the proposals of a single image as a list with one entry."""
    if proposals is None:
        return None
    try:
        return proposals if np.ndim(proposals) == 3 else [proposals]
    except ValueError:  # Rows of unequal lengths, which `checked` reports with the name of the image.
        return [proposals]


def _check_numbers(min_score: object, max_boxes: object, batch_size: object) -> None:
    if isinstance(min_score, bool) or not isinstance(min_score, numbers.Real) or not min_score == min_score:
        raise DataError(f"min_score ({min_score!r}) must be a number such as 0.5")
    for name, value, least in (("max_boxes", max_boxes, 0), ("batch_size", batch_size, 1)):
        if value is None and name == "max_boxes":
            continue
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
            raise DataError(
                f"{name} ({value!r}) must be a whole number of at least"
                f" {least}{', or None for all' * (name == 'max_boxes')}"
            )


def _same_size(arrays: Sequence[np.ndarray], limit: int) -> list[list[int]]:
    """Groups the indices of images of equal size into batches of at most `limit`."""
    groups: list[list[int]] = []
    open_groups: dict[tuple[int, ...], list[int]] = {}
    for index, array in enumerate(arrays):
        group = open_groups.get(array.shape)
        if group is None or len(group) == limit:
            group = open_groups[array.shape] = []
            groups.append(group)
        group.append(index)
    return groups
