"""Draws boxes on images, with the arguments of `object_detection.utils.visualization_utils`.

Pictures look like those that other parts of this package draw.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageColor

from detection.errors import ConfigError
from detection.evaluate.drawing import draw_boxes
from detection.evaluate.visualize import color_of


def visualize_boxes_and_labels_on_image_array(
    image: np.ndarray,
    boxes: np.ndarray,
    classes: np.ndarray,
    scores: np.ndarray | None,
    category_index: Mapping[int, Mapping[str, Any]],
    instance_masks: None = None,
    instance_boundaries: None = None,
    keypoints: None = None,
    keypoint_scores: None = None,
    keypoint_edges: None = None,
    track_ids: None = None,
    use_normalized_coordinates: bool = False,
    max_boxes_to_draw: int | None = 20,
    min_score_thresh: float = 0.5,
    agnostic_mode: bool = False,
    line_thickness: int = 4,
    mask_alpha: float = 0.4,
    groundtruth_box_visualization_color: str = "black",
    skip_boxes: bool = False,
    skip_scores: bool = False,
    skip_labels: bool = False,
    skip_track_ids: bool = False,
) -> np.ndarray:
    """Draws labelled boxes on `image` in place.

    Args:
        image: uint8 [h, w, 3]; modified.
        boxes: [N, 4], ymin, xmin, ymax, xmax.
        classes: int [N], label ids.
        scores: [N]; None for groundtruth, which is drawn completely, in one colour and without labels.
        category_index: id -> {"name": ...}.
        instance_masks: not supported; must be None.
        instance_boundaries: not supported; must be None.
        keypoints: not supported; must be None.
        keypoint_scores: not supported; must be None.
        keypoint_edges: not supported; must be None.
        track_ids: not supported; must be None.
        use_normalized_coordinates: whether boxes are normalised; otherwise they are in pixels.
        max_boxes_to_draw: maximum number of boxes; None for all.
        min_score_thresh: only boxes with higher scores are drawn.
        agnostic_mode: draw all boxes in one colour, without class names.
        line_thickness: not used, since lines scale with the image.
        mask_alpha: not used.
        groundtruth_box_visualization_color: colour of boxes without scores, and in agnostic mode.
        skip_boxes: draw nothing.
        skip_scores: labels without scores.
        skip_labels: labels without class names.
        skip_track_ids: not used.

    Returns:
        `image`.

    Raises:
        ConfigError: masks, keypoints or tracks are given.
    """
    refused = {"instance_masks": instance_masks, "instance_boundaries": instance_boundaries, "keypoints": keypoints}
    refused |= {"keypoint_scores": keypoint_scores, "keypoint_edges": keypoint_edges, "track_ids": track_ids}
    for name, value in refused.items():
        if value is not None:
            raise ConfigError(f"{name}: not supported; detectors here predict boxes only, so leave it out")
    boxes, classes = np.asarray(boxes).reshape(-1, 4), np.asarray(classes)
    rows = [row for row in range(len(boxes)) if scores is None or scores[row] > min_score_thresh]
    rows = rows[:max_boxes_to_draw]
    truth = ImageColor.getrgb(groundtruth_box_visualization_color)[:3]
    single = scores is None or agnostic_mode
    colors = [truth if single else color_of(int(classes[row]) - 1) for row in rows]
    labels = [
        ""
        if scores is None
        else _label(category_index, classes[row], scores[row], agnostic_mode, skip_labels, skip_scores)
        for row in rows
    ]
    if not skip_boxes:
        scale = np.tile(image.shape[:2], 2) if use_normalized_coordinates else 1.0
        np.copyto(image, draw_boxes(image, boxes[rows] * scale, colors, labels))
    return image


def _label(
    names: Mapping[int, Mapping[str, Any]], class_: int, score: float, agnostic: bool, no_name: bool, no_score: bool
) -> str:
    name = "" if agnostic or no_name else str(names.get(int(class_), {"name": "N/A"})["name"])
    percent = "" if no_score else f"{round(100 * float(score))}%"
    return f"{name}: {percent}" if name and percent else name or percent


def draw_bounding_box_on_image_array(
    image: np.ndarray,
    ymin: float,
    xmin: float,
    ymax: float,
    xmax: float,
    color: str = "red",
    thickness: int = 4,
    display_str_list: Sequence[str] = (),
    use_normalized_coordinates: bool = True,
) -> None:
    """Draws one box, with its texts on one line, on `image`, uint8 [h, w, 3], in place; `thickness` is not used."""
    scale = np.tile(image.shape[:2], 2) if use_normalized_coordinates else 1.0
    box = np.array([[ymin, xmin, ymax, xmax]], np.float64) * scale
    drawn = draw_boxes(image, box, [ImageColor.getrgb(color)[:3]], [", ".join(display_str_list)])
    np.copyto(image, drawn)


def draw_bounding_boxes_on_image_array(
    image: np.ndarray,
    boxes: np.ndarray,
    color: str = "red",
    thickness: int = 4,
    display_str_list_list: Sequence[Sequence[str]] = (),
) -> None:
    """Draws normalised boxes [N, 4] on `image`, uint8 [h, w, 3], in place; `thickness` is not used."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4) * np.tile(image.shape[:2], 2)
    labels = [", ".join(texts) for texts in display_str_list_list] or [""] * len(boxes)
    np.copyto(image, draw_boxes(image, boxes, [ImageColor.getrgb(color)[:3]] * len(boxes), labels))


def encode_image_array_as_png_str(image: np.ndarray) -> bytes:
    """Encodes an image, uint8 [h, w, 3], as PNG."""
    stream = io.BytesIO()
    Image.fromarray(np.uint8(image)).save(stream, format="PNG")
    return stream.getvalue()


def save_image_array_as_png(image: np.ndarray, output_path: str | os.PathLike[str]) -> None:
    """Writes an image, uint8 [h, w, 3], as a PNG file."""
    with open(output_path, "wb") as stream:
        stream.write(encode_image_array_as_png_str(image))
