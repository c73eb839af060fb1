"""Writes the results of an evaluation: files in model_dir/eval, TensorBoard summaries, a COCO results file.

    metrics.json     {"step": 2000, "metrics": {tag: value}}, the latest evaluation
    metrics.jsonl    one such line per step, ordered by step; evaluating a step again replaces its line

Files are replaced atomically, even if two processes write to the same folder. NaN and infinity, which JSON does not
have and which only losses can be, are written as null.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import logging

from detection import files, json_text
from detection.data.image_ids import coco_image_id
from detection.errors import DataError
from detection.evaluate.evaluator import ImageDetections
from detection.files import write_text


def write_metrics(model_dir: str | Path, step: int, metrics: Mapping[str, float]) -> Path:
    """Writes metrics.json, and the line of this step in metrics.jsonl, to model_dir/eval.

    Returns:
        The path of metrics.json.
    """
    folder = Path(model_dir) / "eval"
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "step": int(step),
        "metrics": {tag: value if math.isfinite(value) else None for tag, value in metrics.items()},
    }
    history = read_history(model_dir)
    _keep_damaged(folder / "metrics.jsonl", len(history))
    lines = {kept["step"]: kept for kept in history} | {record["step"]: record}
    write_text(
        folder / "metrics.jsonl", "".join(json.dumps(lines[key], allow_nan=False) + "\n" for key in sorted(lines))
    )
    write_text(folder / "metrics.json", json.dumps(record, indent=2, allow_nan=False) + "\n")
    return folder / "metrics.json"


def _keep_damaged(path: Path, readable: int) -> None:
    """Copies a file that has unreadable lines before it is rewritten without them."""
    data = path.read_bytes() if path.exists() else b""
    if len(data.splitlines()) > readable:
        copy = next(
            name
            for number in itertools.count()
            if not (name := path.with_name(f"{path.name}.damaged{number or ''}")).exists()
        )
        copy.write_bytes(data)
        logging.warning("%s: has lines that cannot be read; the original file is kept as %s", path, copy)


def read_history(model_dir: str | Path) -> list[dict]:
    """Reads model_dir/eval/metrics.jsonl; unreadable lines are skipped with a warning.

    Returns:
        One dict with `step` and `metrics` per line; empty if there is no file.
    """
    path = Path(model_dir) / "eval" / "metrics.jsonl"
    records = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else (), start=1):
        try:
            records.append(_evaluation(json_text.parse(line, allow_nan=True)))
        except ValueError as error:
            logging.warning("%s:%d: not an evaluation, skipped (%s)", path, number, error)
    return records


def _evaluation(record: object) -> dict:
    """Returns a valid record, as `write_metrics` writes it; raises ValueError if it is not one."""
    if not isinstance(record, dict) or type(record.get("step")) is not int or not 0 <= record["step"] < 1 << 63:
        raise ValueError(f"{json_text.shown(record)} has no step")
    metrics = record.get("metrics")
    if not isinstance(metrics, dict) or not all(json_text.is_text(tag) for tag in metrics):
        raise ValueError(f"metrics are {json_text.shown(metrics)}; expected an object of numbers")
    metrics = {
        tag: None if isinstance(value, float) and not math.isfinite(value) else value for tag, value in metrics.items()
    }
    if not all(value is None or json_text.is_number(value) for value in metrics.values()):
        raise ValueError(f"metrics are {json_text.shown(metrics)}; expected an object of numbers")
    return {"step": record["step"], "metrics": metrics}


def write_summaries(
    writer: tf.summary.SummaryWriter, step: int, metrics: Mapping[str, float], pictures: Sequence[np.ndarray] = ()
) -> None:
    """Writes summaries for TensorBoard.

    Args:
        writer: the summary writer.
        step: training step.
        metrics: written as scalars.
        pictures: uint8 [h, w, 3], written under `Detections_Left_Groundtruth_Right/<number>`.
    """
    with writer.as_default(step=step):
        for tag, value in metrics.items():
            tf.summary.scalar(tag, value)
        for number, picture in enumerate(pictures):
            tf.summary.image(f"Detections_Left_Groundtruth_Right/{number}", picture[np.newaxis])
    writer.flush()


def coco_results(image_id: str, detections: ImageDetections) -> list[dict]:
    """Returns the detections of one image as COCO results: label ids, and x, y, width, height in pixels."""
    columns = (detections.boxes.tolist(), detections.scores.tolist(), detections.classes.tolist())
    id_ = coco_image_id(image_id)
    return [
        {"image_id": id_, "category_id": class_ + 1, **coco_box(box, score)}
        for box, score, class_ in zip(*columns, strict=True)
    ]


def coco_box(box: Sequence[float], score: float) -> dict[str, object]:
    """Returns `bbox` and `score` of an entry in a COCO results file.

    Args:
        box: ymin, xmin, ymax, xmax in pixels; the result has x, y, width, height, rounded to 0.01.
        score: rounded to six digits.
    """
    ymin, xmin, ymax, xmax = box
    return {"bbox": [round(value, 2) for value in (xmin, ymin, xmax - xmin, ymax - ymin)], "score": round(score, 6)}


def write_detections(path: str | Path, results: Sequence[dict]) -> None:
    """Writes a COCO results file; its folders are created."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "[\n" + ",\n".join(json.dumps(entry) for entry in results) + "\n]\n")


@contextlib.contextmanager
def warn_on_write_error(what: object, step: int, unwritten: list[str] | None = None) -> Iterator[None]:
    """Context manager that turns a failed write (a full disk, say) into a warning, so that training continues.

    Args:
        what: what is written, for the message.
        step: training step, for the message.
        unwritten: the message is appended to it.
    """
    try:
        yield
    except (OSError, tf.errors.OpError, DataError) as error:
        message = f"step {step}: {what} cannot be written ({files.reason(error)})"
        logging.warning("%s; continuing without it", message)
        if unwritten is not None:
            unwritten.append(message)
