"""COCO detection metrics (Lin et al., 2014; definitions on cocodataset.org), computed by pycocotools.

    AP   = interpolated precision, averaged over IoU thresholds 0.50, 0.55, ..., 0.95, 101 recall points and categories
    AR@n = recall with the n best detections per image and category, averaged over the same thresholds and categories

pycocotools fills two arrays, precision [T, R, K, A, M] and recall [T, K, A, M] (T thresholds, R recall points, K
categories, A size classes all, small < 32² <= medium < 96² <= large pixels², M limits 1, 10, 100 of detections). Every
metric, overall or per category, is the mean of a slice of these arrays without its -1 entries, so that pycocotools need
not be patched.

If hotcoco is installed (the extra `hotcoco`) it fills the arrays instead, with equal results in a fraction of the time.

Detections of equal score are ranked by image id (`evaluator.image_rank`). Within an image they keep their order, as in
pycocotools, so that a results file gives the same metrics in both.

Rules of COCO that are easy to overlook: the `difficult` flag has no effect; crowd regions are ignored and may match any
number of detections; -1 means that there is no groundtruth of that size; only the best 100 detections per image and
category count.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Mapping, Sequence

import numpy as np

from detection.evaluate.evaluator import ImageDetections, ImageGroundtruth, PerCategory, category_names, image_rank
from detection.types import Category

_SIZES = {"all": 0, "small": 1, "medium": 2, "large": 3}
_LIMITS = {1: 0, 10: 1, 100: 2}
_THRESHOLDS = {0.5: 0, 0.75: 5}

# Tags in COCO's order: tag -> (IoU threshold, or None for all ten; size class) for precisions, and
# tag -> (limit of detections, size class) for recalls.
_PRECISIONS: dict[str, tuple[float | None, str]] = {
    "mAP": (None, "all"),
    "mAP@.50IOU": (0.5, "all"),
    "mAP@.75IOU": (0.75, "all"),
    "mAP (small)": (None, "small"),
    "mAP (medium)": (None, "medium"),
    "mAP (large)": (None, "large"),
}
_RECALLS: dict[str, tuple[int, str]] = {
    "AR@1": (1, "all"),
    "AR@10": (10, "all"),
    "AR@100": (100, "all"),
    "AR@100 (small)": (100, "small"),
    "AR@100 (medium)": (100, "medium"),
    "AR@100 (large)": (100, "large"),
}


class CocoEvaluator:
    """The twelve COCO metrics, overall and per category.

    Args:
        categories: the classes to evaluate.
        per_category_tags: adds `DetectionBoxes_PerformanceByCategory/mAP/<name>` and `.../mAP@.50IOU/<name>` to the
            result.
        all_per_category_tags: adds all twelve metrics for each category, e.g. `DetectionBoxes_Precision mAP@.50IOU
            ByCategory/<name>`.
        super_categories: name -> names of categories; adds their mean AP,
            `DetectionBoxes_PerformanceBySuperCategory/<name>`.
        labelled_only: whether to ignore detections of classes that the image-level labels do not name.
        unlabelled_is_checked: with labelled_only, whether an image without such labels counts for all classes.
        fast: whether to use hotcoco; None uses it if it is installed.
    """

    def __init__(
        self,
        categories: Sequence[Category],
        *,
        per_category_tags: bool = False,
        all_per_category_tags: bool = False,
        super_categories: Mapping[str, Sequence[str]] | None = None,
        labelled_only: bool = False,
        unlabelled_is_checked: bool = True,
        fast: bool | None = None,
    ) -> None:
        self._names = {class_ + 1: name for class_, name in sorted(category_names(categories).items())}
        self._classes = np.array(list(self._names), np.int64) - 1
        self._per_category_tags = per_category_tags
        self._all_per_category_tags = all_per_category_tags
        self._super_categories = _members(super_categories or {}, categories)
        self._labelled_only, self._unlabelled_is_checked = labelled_only, unlabelled_is_checked
        self._fast = importlib.util.find_spec("hotcoco") is not None if fast is None else fast
        self.clear()

    def clear(self) -> None:
        """Removes all images."""
        self._images: list[tuple[str, ImageGroundtruth, ImageDetections]] = []
        self._arrays: tuple[np.ndarray, np.ndarray] | None = None

    def add(self, image_id: str, groundtruth: ImageGroundtruth, detections: ImageDetections) -> None:
        """Adds one image; see `Evaluator.add`."""
        # Stored as arrays, which take a tenth of the memory of COCO's dicts.
        objects = groundtruth.rows(np.isin(groundtruth.classes, self._classes))
        counted = np.isin(detections.classes, self._evaluated(groundtruth))
        found = ImageDetections(*(field[counted] for field in detections))
        self._images.append((image_id, objects, found))
        self._arrays = None

    def _evaluated(self, groundtruth: ImageGroundtruth) -> np.ndarray:
        """Returns the classes whose detections in this image count, int [e]."""
        checked = groundtruth.checked
        if not self._labelled_only or checked is None or (not len(checked) and self._unlabelled_is_checked):
            return self._classes
        return np.intersect1d(self._classes, checked)

    def result(self) -> dict[str, float]:
        """Returns tag -> value over all images added."""
        every = slice(None)
        tags = {f"DetectionBoxes_Precision/{tag}": self._precision(every, *of) for tag, of in _PRECISIONS.items()}
        tags |= {f"DetectionBoxes_Recall/{tag}": self._recall(every, *of) for tag, of in _RECALLS.items()}
        present = self._present()
        average = {name: self._precision(column, None, "all") for column, name in present.items()}
        if self._per_category_tags or self._all_per_category_tags:
            for column, name in present.items():
                tags[f"DetectionBoxes_PerformanceByCategory/mAP/{name}"] = average[name]
                tags[f"DetectionBoxes_PerformanceByCategory/mAP@.50IOU/{name}"] = self._precision(column, 0.5, "all")
        if self._all_per_category_tags:
            for column, name in present.items():
                tags |= {
                    f"DetectionBoxes_Precision {tag} ByCategory/{name}": self._precision(column, *of)
                    for tag, of in _PRECISIONS.items()
                }
                tags |= {
                    f"DetectionBoxes_Recall {tag} ByCategory/{name}": self._recall(column, *of)
                    for tag, of in _RECALLS.items()
                }
        for name, members in self._super_categories.items():
            values = [average[member] for member in members if member in average]
            tags[f"DetectionBoxes_PerformanceBySuperCategory/{name}"] = float(np.mean(values)) if values else -1.0
        return tags

    def per_category(self) -> list[PerCategory]:
        """Returns AP and AP50 by category."""
        present = self._present()
        return [
            PerCategory("AP", {name: self._precision(column, None, "all") for column, name in present.items()}),
            PerCategory("AP50", {name: self._precision(column, 0.5, "all") for column, name in present.items()}),
        ]

    def resampled(self, draws: int, seed: int = 0) -> np.ndarray:
        """Returns bootstrap samples of the mAP over all ten IoU thresholds.

        Each draw is a sample with replacement of as many images as were added; the spread of the values shows how much
        the mAP depends on the choice of images. Evaluators with the same images draw the same samples for the same
        seed, so that two sets of detections can be compared draw by draw.

        Args:
            draws: number of samples.
            seed: of the random generator.

        Returns:
            float64 [draws]; -1 for a draw without groundtruth.
        """
        if not any(len(objects.classes) for _, objects, _ in self._images):
            return -np.ones(draws)
        from pycocotools.cocoeval import COCOeval

        random, size = np.random.default_rng(seed), len(self._images)
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(*self._as_coco(fast=False), "bbox")
            evaluation.params.areaRng, evaluation.params.areaRngLbl = evaluation.params.areaRng[:1], ["all"]
            evaluation.params.maxDets = [100]
            evaluation.evaluate()
            by_category = np.array(evaluation.evalImgs, object).reshape(
                -1, size
            )  # pycocotools' matches by category and image.
            means = []
            for _ in range(draws):
                evaluation.evalImgs = by_category[:, random.integers(0, size, size)].ravel().tolist()
                evaluation.accumulate()
                means.append(_mean(evaluation.eval["precision"]))
        return np.array(means)

    def _present(self) -> dict[int, str]:
        """Returns index in K -> name, for the categories that have groundtruth other than crowd regions."""
        classes = {class_ for _, objects, _ in self._images for class_ in objects.classes[~objects.is_crowd].tolist()}
        return {column: name for column, (id_, name) in enumerate(self._names.items()) if id_ - 1 in classes}

    def _precision(self, column: int | slice, threshold: float | None, size: str) -> float:
        precision = self._accumulated()[0][..., column, _SIZES[size], _LIMITS[100]]
        return _mean(precision if threshold is None else precision[_THRESHOLDS[threshold]])

    def _recall(self, column: int | slice, limit: int, size: str) -> float:
        return _mean(self._accumulated()[1][:, column, _SIZES[size], _LIMITS[limit]])

    def _accumulated(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns precision [T, R, K, A, M] and recall [T, K, A, M]."""
        if self._arrays is None:
            self._arrays = self._accumulate()
        return self._arrays

    def _accumulate(self) -> tuple[np.ndarray, np.ndarray]:
        if not any(len(objects.classes) for _, objects, _ in self._images):
            return -np.ones((10, 101, len(self._names), 4, 3)), -np.ones((10, len(self._names), 4, 3))
        if self._fast:
            from hotcoco import COCOeval
        else:
            from pycocotools.cocoeval import COCOeval
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools always prints its progress on stdout.
            evaluation = COCOeval(*self._as_coco(self._fast), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
        return np.asarray(evaluation.eval["precision"]), np.asarray(evaluation.eval["recall"])

    def _as_coco(self, fast: bool) -> tuple[object, object]:
        """Returns groundtruth and detections as COCO objects of the library in use, without writing a file."""
        # Equal scores are ranked by image number, so numbers follow the image ids and not the order of arrival.
        ordered = sorted(self._images, key=lambda image: image_rank(image[0]))
        objects = [entry for number, (_, part, _) in enumerate(ordered, start=1) for entry in _objects(number, part)]
        found = [entry for number, (_, _, part) in enumerate(ordered, start=1) for entry in _found(number, part)]
        images = [{"id": number} for number in range(1, len(ordered) + 1)]
        categories = [{"id": id_, "name": name} for id_, name in self._names.items()]
        for entries in (objects, found):
            for number, entry in enumerate(
                entries, start=1
            ):  # Starts at 1, since pycocotools treats a match with id 0 as no match.
                entry["id"] = number
        return tuple(
            _coco({"images": images, "categories": categories, "annotations": entries}, fast)
            for entries in (objects, found)
        )


def _members(super_categories: Mapping[str, Sequence[str]], categories: Sequence[Category]) -> dict[str, list[str]]:
    """Returns the members of each super-category as named in tags; a config may use name or display_name."""
    tags = category_names(categories)
    return {
        name: [tags[category.id - 1] for category in categories if members & {category.name, category.shown}]
        for name, members in ((name, set(members)) for name, members in super_categories.items())
    }


def _coco(dataset: dict, fast: bool) -> object:
    if fast:
        from hotcoco import COCO

        return COCO(dataset)
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _objects(image: int, groundtruth: ImageGroundtruth) -> list[dict]:
    columns = (
        _to_xywh(groundtruth.boxes),
        groundtruth.classes.tolist(),
        groundtruth.areas.tolist(),
        groundtruth.is_crowd.tolist(),
    )
    return [
        {"image_id": image, "category_id": class_ + 1, "bbox": box, "area": area, "iscrowd": int(crowd)}
        for box, class_, area, crowd in zip(*columns, strict=True)
    ]


def _found(image: int, detections: ImageDetections) -> list[dict]:
    columns = (_to_xywh(detections.boxes), detections.classes.tolist(), detections.scores.tolist())
    return [
        {
            "image_id": image,
            "category_id": class_ + 1,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
            "score": score,
        }
        for box, class_, score in zip(*columns, strict=True)
    ]


def _to_xywh(boxes: np.ndarray) -> list[list[float]]:
    """Converts boxes [n, 4] from ymin, xmin, ymax, xmax to COCO's x, y, width, height."""
    ymin, xmin, ymax, xmax = np.asarray(boxes, np.float64).reshape(-1, 4).T
    return np.stack([xmin, ymin, xmax - xmin, ymax - ymin], axis=1).tolist()


def _mean(values: np.ndarray) -> float:
    known = values[values > -1]
    return float(np.mean(known)) if known.size else -1.0
