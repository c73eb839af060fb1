"""Ways to propose regions of an image: pixels in, boxes and scores out.

    selective_search_fast, _quality   groups of similar segments (Uijlings et al. 2013), OpenCV contrib
    edge_boxes                        boxes that hold whole contours (Zitnick and Dollar 2014), OpenCV contrib and its
                                      model of edges
    grid                              sliding windows over place, size and shape: the dense set of Girshick 2015,
                                      section 5.5
    rpn                               the region proposal network of a trained detector: see `rpn`

Large images are shrunk first, as time grows with pixels, and boxes come back in pixels of the image as given. What a
method returns depends on the pixels, the settings and the seed alone.
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
GRID_SIZES = tuple(
    2.0 ** (-octave / 2) for octave in range(9)
)  # sqrt(area) of a box, in that of the image: 1 down to 1/16
_SIGMA = 0.8  # of the blur before segmentation, as in the paper
_EDGE_PATCH = 16  # pixels that the model of edges decides on at once: a smaller image holds none
_LARGEST_STRIDE = 4.0  # of a grid, in sides of a box


@dataclass(frozen=True, kw_only=True)
class ProposalSettings:
    """What decides which boxes are proposed."""

    method: str
    max_proposals: int = 0  # the best of each image; 0: all
    min_side: float = 10.0  # pixels of the image as searched: boxes with a shorter side are left out
    max_image_side: int = 500  # larger images are shrunk to this before they are searched, as R-CNN did; 0: never
    # of selective search: the smaller, the smaller the segments that it starts from, and the more boxes; OpenCV's own
    # is 150
    base_k: int = 50
    grid_boxes: int = 45_000  # of a grid, about
    edge_model: str = ""  # path of the model for edge_boxes
    seed: int = 0


class Found(NamedTuple):
    """Proposals of one image, by descending score."""

    boxes: np.ndarray  # float32 [n, 4], [ymin, xmin, ymax, xmax] in pixels of the image
    scores: np.ndarray  # float32 [n]


# uint8 [height, width, 3], RGB -> proposals. May be called from several threads at once.
Method = Callable[[np.ndarray], Found]


def build(settings: ProposalSettings, flag: str = "--method") -> Method:
    """The method by name, all but rpn.

    Raises ConfigError, naming `flag`, for unknown names and where what it needs is not installed or not there.
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

    def method(image: np.ndarray) -> Found:
        height, width = image.shape[:2]
        scale = min(settings.max_image_side / max(height, width), 1.0) if settings.max_image_side else 1.0
        small = image
        if scale < 1:
            small = cv2.resize(
                image, (max(round(width * scale), 1), max(round(height * scale), 1)), interpolation=cv2.INTER_AREA
            )
        try:
            boxes, scores = search(small)
        except cv2.error as error:
            raise DataError(
                f"OpenCV cannot search this image of {height} x {width}: {' '.join(str(error).split())}; leave it out"
            ) from error
        sides = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        keep = sides >= settings.min_side
        back = np.array([height / small.shape[0], width / small.shape[1]] * 2)
        return tidy(boxes[keep] * back, scores[keep], (height, width), settings.max_proposals)

    return method


def tidy(boxes: np.ndarray, scores: np.ndarray, size: tuple[int, int], most: int = 0) -> Found:
    """Clipped to the image (`size`: height and width), without empty ones, by descending score, of equal boxes the
    best, at most `most` (0: all).
    """
    limits = np.array([*size, *size], np.float32)
    boxes = np.clip(boxes.astype(np.float32), 0, limits)
    keep = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    boxes, scores = boxes[keep], scores.astype(np.float32)[keep]
    # Equal scores are put in the order of coordinates, so that nothing depends on the order in which they were found.
    order = np.lexsort((*boxes.T[::-1], -scores))
    boxes, scores = boxes[order], scores[order]
    _, first = np.unique(boxes, axis=0, return_index=True)
    rows = np.sort(first)[: most or None]
    return Found(boxes[rows], scores[rows])


def _selective_search(settings: ProposalSettings, flag: str) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """All regions of all hierarchies, large ones rather first.

    It begins with segmentations of k = 50, 100 and 150 (paper: 50 and 100 for fast, up to 300 for quality). OpenCV's
    default of 150, 300 and 450 gives half the boxes: on blood cells (BCCD, 16 images) they cover 0.75 of the cells with
    an IoU of 0.5 or more, against 0.90.

    OpenCV returns the same boxes each time, but in an order that it draws from a generator nobody can seed: a region's
    level in its hierarchy times a random number, as in the paper (section 3.3). Levels are not told, so the rank by
    area takes their place here, with random numbers that follow from the seed. That is about as good: of the cells of
    24 images the first 500 boxes cover 0.69 (OpenCV's order: 0.75), the first 1000 0.84 (0.83).
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
    """Scored by the contours that a box holds whole."""
    cv2 = _opencv(settings.method, flag)
    advice = (
        "get model.yml.gz from github.com/opencv/opencv_extra, folder testdata/cv/ximgproc, and pass --edge_model=FILE"
    )
    if not settings.edge_model:
        raise ConfigError(f"{flag}=edge_boxes needs OpenCV's model of edges, which is not shipped with it; {advice}")
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
        raise ConfigError(f"--edge_model={settings.edge_model}: is no model of edges; {advice}") from error

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
    """OpenCV's [x, y, width, height] -> float64 [n, 4], [ymin, xmin, ymax, xmax]."""
    x, y, width, height = np.asarray(boxes, np.float64).reshape(-1, 4).T
    return np.stack([y, x, y + height, x + width], axis=1)


def _grid(image: np.ndarray, settings: ProposalSettings) -> Found:
    """Boxes of all sizes and shapes that fit, neighbours a fixed part of their sides apart, such that there are
    `grid_boxes` or a little fewer.

    No box is better than another; their order is random, so that any number of the first is a fair sample.
    """
    size = image.shape[:2]
    low, high = 0.0, _LARGEST_STRIDE
    for _ in range(40):  # halving: the count falls as the stride grows
        stride = (low + high) / 2
        low, high = (stride, high) if _grid_count(size, stride) > settings.grid_boxes else (low, stride)
    boxes = np.concatenate([_grid_of(size, shape, high) for shape in _grid_shapes(size)])
    found = tidy(boxes, np.zeros(len(boxes)), size)
    order = np.random.default_rng(settings.seed).permutation(len(found.boxes))[
        : settings.max_proposals or settings.grid_boxes
    ]
    return Found(found.boxes[order], rank_scores(len(order)))


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
    """Places along the height and along the width."""
    return [int((whole - side) / (stride * side)) + 1 for whole, side in zip(size, shape, strict=True)]


def _grid_count(size: tuple[int, int], stride: float) -> int:
    return sum(int(np.prod(_grid_steps(size, shape, stride), dtype=np.float64)) for shape in _grid_shapes(size))


def _grid_of(size: tuple[int, int], shape: tuple[float, float], stride: float) -> np.ndarray:
    """float64 [n, 4]: one shape at all its places, spread evenly from edge to edge."""
    rows, columns = (
        np.linspace(0, whole - side, count) if count > 1 else np.array([(whole - side) / 2])
        for whole, side, count in zip(size, shape, _grid_steps(size, shape, stride), strict=True)
    )
    y, x = (axis.reshape(-1) for axis in np.meshgrid(rows, columns, indexing="ij"))
    return np.stack([y, x, y + shape[0], x + shape[1]], axis=1)


def _opencv(method: str, flag: str) -> ModuleType:
    """OpenCV with its contributed modules, told to leave threads to its caller."""
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
