"""Region proposal methods: functions from pixels to boxes and scores.

    selective_search_fast, _quality   groups of similar segments (Uijlings et al. 2013), OpenCV contrib
    edge_boxes                        boxes that contain whole contours (Zitnick and Dollar 2014), OpenCV contrib and
                                      its edge model
    grid                              sliding windows of several positions, sizes and shapes: the dense set of Girshick
                                      2015, section 5.5
    rpn                               the region proposal network of a trained detector: see `rpn`

Large images are shrunk first, as the time grows with the number of pixels; boxes are returned in pixels of the given
image. The result of a method depends only on the pixels, the settings and the seed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

import numpy as np

from detection.errors import ConfigError, DataError
from detection.proposals.proposal_files import rank_scores

SELECTIVE_SEARCH = {"selective_search_fast": "Fast", "selective_search_quality": "Quality"}
METHODS = (*SELECTIVE_SEARCH, "edge_boxes", "grid", "rpn")
GRID_RATIOS = (1 / 3, 1 / 2, 1.0, 2.0, 3.0)  # width / height
# sqrt(area of the box / area of the image): 1 down to 1/16
GRID_SIZES = tuple(2.0 ** (-octave / 2) for octave in range(9))
_SIGMA = 0.8  # of the blur before segmentation, as in the paper
_EDGE_PATCH = 16  # side of the patches that the edge model works on, pixels: a smaller image contains none
_LARGEST_STRIDE = 4.0  # of a grid, as a multiple of the box's side


@dataclass(frozen=True, kw_only=True)
class ProposalSettings:
    """Settings that determine which boxes are proposed."""

    method: str
    max_proposals: int = 0  # keep the best of each image; 0: all
    min_side: float = 10.0  # pixels of the searched image: boxes with a shorter side are dropped
    max_image_side: int = 500  # larger images are shrunk to this before the search, as in R-CNN; 0: never
    # Of selective search: a smaller value gives smaller initial segments and more boxes; OpenCV's default is 150.
    base_k: int = 50
    grid_boxes: int = 45_000  # approximate number of boxes of a grid
    edge_model: str = ""  # path of the edge model for edge_boxes
    seed: int = 0


class ScoredBoxes(NamedTuple):
    """Proposals of one image, by descending score."""

    boxes: np.ndarray  # float32 [n, 4], [ymin, xmin, ymax, xmax] in pixels of the image
    scores: np.ndarray  # float32 [n]


# uint8 [height, width, 3], RGB -> proposals. May be called from several threads at once.
Method = Callable[[np.ndarray], ScoredBoxes]


def build(settings: ProposalSettings, flag: str = "--method") -> Method:
    """Builds a method by name (all but rpn).

    Args:
        settings: the name and settings of the method.
        flag: the flag to name in errors.

    Raises:
        ConfigError: the name is unknown, or OpenCV contrib or the edge model is missing.
    """
    if settings.method in SELECTIVE_SEARCH:
        search = _selective_search(settings, flag)
    elif settings.method == "edge_boxes":
        search = _edge_boxes(settings, flag)
    elif settings.method == "grid":
        return lambda image: _grid(image, settings)
    else:
        raise ConfigError(f"{flag}={settings.method} is unknown; use one of: {', '.join(METHODS)}")
    cv2 = _opencv(settings.method, flag)

    def method(image: np.ndarray) -> ScoredBoxes:
        height, width = image.shape[:2]
        scale = min(settings.max_image_side / max(height, width), 1.0) if settings.max_image_side else 1.0
        resized = image
        if scale < 1:
            resized = cv2.resize(
                image, (max(round(width * scale), 1), max(round(height * scale), 1)), interpolation=cv2.INTER_AREA
            )
        try:
            boxes, scores = search(resized)
        except cv2.error as error:
            raise DataError(
                f"OpenCV cannot search this image of {height} x {width}: {' '.join(str(error).split())}; remove it"
            ) from error
        sides = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        keep = sides >= settings.min_side
        scale_back = np.array([height / resized.shape[0], width / resized.shape[1]] * 2)
        return tidy(boxes[keep] * scale_back, scores[keep], (height, width), settings.max_proposals)

    return method


def tidy(boxes: np.ndarray, scores: np.ndarray, size: tuple[int, int], limit: int = 0) -> ScoredBoxes:
    """Clips boxes to the image, drops empty ones, sorts by descending score and removes duplicates.

    Args:
        boxes: [n, 4], [ymin, xmin, ymax, xmax] in pixels.
        scores: [n].
        size: height and width of the image.
        limit: at most this many boxes are kept; 0: all.
    """
    limits = np.array([*size, *size], np.float32)
    boxes = np.clip(boxes.astype(np.float32), 0, limits)
    keep = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    boxes, scores = boxes[keep], scores.astype(np.float32)[keep]
    # Ties are sorted by coordinates, so that the result does not depend on the order of the input.
    order = np.lexsort((*boxes.T[::-1], -scores))
    boxes, scores = boxes[order], scores[order]
    _, first = np.unique(boxes, axis=0, return_index=True)
    rows = np.sort(first)[: limit or None]
    return ScoredBoxes(boxes[rows], scores[rows])


def _selective_search(settings: ProposalSettings, flag: str) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """All regions of all hierarchies, with large ones tending to come first.

    The initial segmentations have k = 50, 100 and 150 (paper: 50 and 100 for fast, up to 300 for quality). OpenCV's
    default of 150, 300 and 450 gives half the boxes: on blood cells (BCCD, 16 images) they cover 0.75 of the cells with
    an IoU of 0.5 or more, against 0.90.

    OpenCV always returns the same boxes, but in a random order that cannot be seeded: by a region's level in its
    hierarchy times a random number, as in the paper (section 3.3). It does not return the levels, so the rank by area
    is used in their place, with random numbers from the seed. That is about as good: of the cells of 24 images the
    first 500 boxes cover 0.69 (in OpenCV's order 0.75), the first 1000 0.84 (0.83).
    """
    cv2 = _opencv(settings.method, flag)
    mode = f"switchToSelectiveSearch{SELECTIVE_SEARCH[settings.method]}"

    def search(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if min(image.shape[:2]) < 3:  # OpenCV's segmentation needs neighbours.
            return np.zeros([0, 4]), np.zeros([0])
        searcher = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
        searcher.setBaseImage(np.ascontiguousarray(image[..., ::-1]))
        getattr(searcher, mode)(settings.base_k, settings.base_k, _SIGMA)
        boxes = _corners(searcher.process())
        boxes = np.unique(boxes, axis=0)
        largest_first = np.argsort(-np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), kind="stable")
        rank = np.empty(len(boxes))
        rank[largest_first] = np.arange(1, len(boxes) + 1)
        order = np.argsort(rank * np.random.default_rng(settings.seed).random(len(boxes)), kind="stable")
        return boxes[order], rank_scores(len(boxes))

    return search


def _edge_boxes(settings: ProposalSettings, flag: str) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Boxes scored by the contours that lie wholly inside them."""
    cv2 = _opencv(settings.method, flag)
    advice = (
        "get model.yml.gz from github.com/opencv/opencv_extra, folder testdata/cv/ximgproc, and pass --edge_model=FILE"
    )
    if not settings.edge_model:
        raise ConfigError(f"{flag}=edge_boxes needs OpenCV's edge model, which is not shipped with it; {advice}")
    if not os.path.isfile(settings.edge_model):
        raise ConfigError(f"--edge_model={settings.edge_model}: no such file; {advice}")
    local = threading.local()

    def detector():
        if not hasattr(local, "detector"):
            local.detector = cv2.ximgproc.createStructuredEdgeDetection(settings.edge_model)
        return local.detector

    try:
        detector()
    except (cv2.error, SystemError) as error:
        raise ConfigError(f"--edge_model={settings.edge_model}: is not an edge model; {advice}") from error

    def search(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if min(image.shape[:2]) < _EDGE_PATCH:
            return np.zeros([0, 4]), np.zeros([0])
        edges = detector().detectEdges(np.ascontiguousarray(image, np.float32) / 255.0)
        orientation = detector().computeOrientation(edges)
        edges = detector().edgesNms(edges, orientation)
        finder = cv2.ximgproc.createEdgeBoxes()
        finder.setMaxBoxes(settings.max_proposals or 10_000)
        boxes, scores = finder.getBoundingBoxes(edges, orientation)
        return _corners(boxes), np.zeros([0]) if scores is None else np.asarray(scores, np.float64).reshape(-1)

    return search


def _corners(boxes: np.ndarray) -> np.ndarray:
    """Converts OpenCV's [x, y, width, height] to float64 [n, 4], [ymin, xmin, ymax, xmax]."""
    x, y, width, height = np.asarray(boxes, np.float64).reshape(-1, 4).T
    return np.stack([y, x, y + height, x + width], axis=1)


def _grid(image: np.ndarray, settings: ProposalSettings) -> ScoredBoxes:
    """Boxes of all sizes and shapes that fit into the image, at most about `grid_boxes`.

    The distance of neighbours is a fixed fraction of their sides. All boxes rank equally; their order is random, so
    that the first n are an unbiased sample.
    """
    size = image.shape[:2]
    low, high = 0.0, _LARGEST_STRIDE
    for _ in range(40):  # halving: the count falls as the stride grows
        stride = (low + high) / 2
        low, high = (stride, high) if _grid_count(size, stride) > settings.grid_boxes else (low, stride)
    boxes = np.concatenate([_grid_of(size, shape, high) for shape in _grid_shapes(size)])
    clipped = tidy(boxes, np.zeros(len(boxes)), size)
    order = np.random.default_rng(settings.seed).permutation(len(clipped.boxes))[
        : settings.max_proposals or settings.grid_boxes
    ]
    return ScoredBoxes(clipped.boxes[order], rank_scores(len(order)))


def _grid_shapes(size: tuple[int, int]) -> list[tuple[float, float]]:
    """Heights and widths of boxes, in pixels; the whole image is one of them."""
    root = np.sqrt(size[0] * size[1])
    shapes = [
        (root * part / np.sqrt(ratio), root * part * np.sqrt(ratio)) for part in GRID_SIZES for ratio in GRID_RATIOS
    ]
    return [
        (float(size[0]), float(size[1])),
        *((h, w) for h, w in shapes if h <= size[0] and w <= size[1] and min(h, w) >= 1),
    ]


def _grid_steps(size: tuple[int, int], shape: tuple[float, float], stride: float) -> list[int]:
    """Number of positions along the height and along the width."""
    return [int((extent - side) / (stride * side)) + 1 for extent, side in zip(size, shape, strict=True)]


def _grid_count(size: tuple[int, int], stride: float) -> int:
    return sum(int(np.prod(_grid_steps(size, shape, stride), dtype=np.float64)) for shape in _grid_shapes(size))


def _grid_of(size: tuple[int, int], shape: tuple[float, float], stride: float) -> np.ndarray:
    """Boxes float64 [n, 4] of one shape at all its positions, evenly spaced from edge to edge."""
    rows, columns = (
        np.linspace(0, extent - side, count) if count > 1 else np.array([(extent - side) / 2])
        for extent, side, count in zip(size, shape, _grid_steps(size, shape, stride), strict=True)
    )
    y, x = (axis.reshape(-1) for axis in np.meshgrid(rows, columns, indexing="ij"))
    return np.stack([y, x, y + shape[0], x + shape[1]], axis=1)


def _opencv(method: str, flag: str) -> ModuleType:
    """Imports OpenCV with its contributed modules and sets it to one thread, as its callers use threads themselves."""
    try:
        import cv2

        cv2.ximgproc.segmentation  # noqa: B018 (the main package has the module's name, but nothing in it)
    except (ImportError, AttributeError) as error:
        why = "is not installed" if isinstance(error, ImportError) else "was installed without its contributed modules"
        raise ConfigError(
            f"{flag}={method} needs OpenCV contrib, which {why}; install it with: pip install 'detection[proposals]'"
        ) from error
    cv2.setNumThreads(1)
    return cv2
