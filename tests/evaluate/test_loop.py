"""The loop, with a small detector that really detects: the bounding box of what is bright in each colour channel."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from detection import files
from detection.errors import DataError
from detection.evaluate import stored
from detection.evaluate.loop import EvalStep, evaluate
from detection.evaluate.metrics import evaluators as make_evaluators
from detection.settings import EvalSettings, Style
from detection.types import Category, Detections, Example, Groundtruth, ImageBatch, ImageInfo

CATEGORIES = (Category(1, "red"), Category(2, "green"), Category(3, "blue"))
SIDE = 64


class Predictions(NamedTuple):
    boxes: tf.Tensor  # [B, 3, 4], pixels
    brightness: tf.Tensor  # [B, 3]


class ChannelDetector:
    """One box for each channel that is bright anywhere. `threshold` is its only weight."""

    def __init__(self, threshold: float = 128.0) -> None:
        self.threshold = tf.Variable(threshold)
        self.traces = 0

    def predict(self, batch: ImageBatch, groundtruth: Groundtruth | None = None, training: bool = False) -> Predictions:
        self.traces += 1
        bright = tf.cast(batch.images > self.threshold, tf.float32)  # [B, H, W, 3]
        edges = []
        for axis in (1, 2):
            lit = tf.reduce_max(bright, axis=3 - axis)  # [B, side, 3]
            edges.append(tf.cast(tf.argmax(lit, axis=1), tf.float32))
            edges.append(
                tf.cast(tf.shape(lit)[1], tf.float32) - tf.cast(tf.argmax(tf.reverse(lit, [1]), axis=1), tf.float32)
            )
        ymin, ymax, xmin, xmax = edges
        return Predictions(tf.stack([ymin, xmin, ymax, xmax], axis=-1), tf.reduce_max(batch.images, axis=[1, 2]))

    def loss(self, predictions: Predictions, groundtruth: Groundtruth) -> dict[str, tf.Tensor]:
        boxes = tf.reduce_sum(groundtruth.weights)
        return {"Loss/localization_loss": boxes, "Loss/classification_loss": 2.0 * boxes}

    def regularization_loss(self) -> tf.Tensor:
        return 0.0 * self.threshold + 0.5

    def postprocess(self, predictions: Predictions, true_shapes: tf.Tensor) -> Detections:
        scores = predictions.brightness / 255.0
        order = tf.argsort(scores, direction="DESCENDING")
        sides = tf.cast(true_shapes, tf.float32)
        boxes = predictions.boxes / tf.concat([sides, sides], axis=1)[:, tf.newaxis]
        sorted_scores = tf.gather(scores, order, batch_dims=1)
        counts = tf.reduce_sum(tf.cast(sorted_scores > 0.5, tf.int32), axis=1)
        raw = tf.zeros([tf.shape(boxes)[0], 3, 4]), tf.zeros([tf.shape(boxes)[0], 3, 4])
        return Detections(tf.gather(boxes, order, batch_dims=1), sorted_scores, order, counts, *raw)


def draw(boxes: list[tuple[int, list[int], int]]) -> np.ndarray:
    image = np.zeros((SIDE, SIDE, 3), np.float32)
    for channel, (top, left, bottom, right), brightness in boxes:
        image[top:bottom, left:right, channel] = brightness
    return image


def example(image, classes, boxes, source_id, true_shape=(SIDE, SIDE), original=(128, 256), crowd=None) -> Example:
    rows = 4

    def padded(values, shape, kind):
        return np.concatenate(
            [np.asarray(values, kind).reshape(-1, *shape), np.zeros((rows - len(classes), *shape), kind)]
        )

    crowd = padded([False] * len(classes) if crowd is None else crowd, (), bool)
    groundtruth = Groundtruth(
        boxes=padded(boxes, (4,), np.float32),
        classes=padded(classes, (), np.int32),
        weights=padded([1.0] * len(classes), (), np.float32) * ~crowd,
        counts=np.int32(len(classes)),
        is_crowd=crowd,
        difficult=np.zeros(rows, bool),
        areas=padded([np.prod(np.subtract(box[2:], box[:2])) * 8 for box in boxes], (), np.float32),
    )
    info = ImageInfo(np.bytes_(source_id), np.array(original, np.int32))
    return Example(ImageBatch(image, np.array(true_shape, np.int32)), groundtruth, info)


def dataset(examples: list[Example], batch_size: int = 2) -> tf.data.Dataset:
    fields = tf.nest.map_structure(lambda *values: np.stack(values), *examples)
    return tf.data.Dataset.from_tensor_slices(fields).batch(batch_size)


RED, GREEN = [8, 8, 32, 24], [40, 16, 56, 60]


def three_images() -> list[Example]:
    """Both squares found; one missed for being dim; nothing there and nothing found."""
    return [
        example(draw([(0, RED, 255), (1, GREEN, 200)]), [0, 1], [RED, GREEN], "1"),
        example(draw([(0, RED, 100)]), [0], [RED], "2"),
        example(draw([]), [], [], "3"),
    ]


def run(examples, detector=None, batch_size=2, settings=None, **options):
    settings = settings or EvalSettings(
        metrics=("coco_detection_metrics", "pascal_voc_detection_metrics"), per_category_tags=True
    )
    stream = io.StringIO()
    evaluators = make_evaluators(settings, CATEGORIES)
    values = evaluate(
        detector or ChannelDetector(),
        dataset(examples, batch_size),
        evaluators,
        CATEGORIES,
        settings=settings,
        stream=stream,
        **options,
    )
    return values, stream.getvalue()


def test_metrics_losses_and_tables():
    metrics, shown = run(three_images(), step=7)
    assert metrics["DetectionBoxes_PerformanceByCategory/mAP/green"] == pytest.approx(1.0)
    assert metrics["DetectionBoxes_PerformanceByCategory/mAP/red"] == pytest.approx(51 / 101)
    assert metrics["PascalBoxes_PerformanceByCategory/AP@0.5IOU/red"] == pytest.approx(0.5)
    # Batches of two images with 3 boxes and of one with none: (2 * 3 + 1 * 0) / 3.
    assert metrics["Loss/localization_loss"] == pytest.approx(2.0)
    assert metrics["Loss/classification_loss"] == pytest.approx(4.0)
    assert metrics["Loss/regularization_loss"] == pytest.approx(0.5)
    assert metrics["Loss/total_loss"] == pytest.approx(6.5)
    assert "evaluate  3/3" in run(three_images(), total=3)[1]
    assert (
        "step 7: 3 images, 3 boxes" in shown
        and "VOC AP50" in shown
        and "(1 category without groundtruth left out)" in shown
    )
    red = next(line for line in shown.splitlines() if line.split()[:1] == ["red"])
    assert red.split()[:2] == ["red", "2"]
    assert "PerformanceByCategory" not in shown


def test_one_trace_whatever_the_size_of_the_last_batch_and_the_number_of_evaluations():
    detector = ChannelDetector()
    step = EvalStep(detector)
    assert run(three_images(), detector, eval_step=step)[0][
        "DetectionBoxes_PerformanceByCategory/mAP/green"
    ] == pytest.approx(1.0)
    detector.threshold.assign(
        220.0
    )  # The green square, 200 bright, has no box any more; a graph with old weights would not know.
    assert run(three_images(), detector, eval_step=step)[0]["DetectionBoxes_PerformanceByCategory/mAP/green"] == 0.0
    assert detector.traces == 1


def test_boxes_are_compared_in_pixels_of_the_original_image():
    # 24 x 16 pixels of 64 x 64 are 48 x 64 = 3072 pixels² of 128 x 256: medium for COCO.
    metrics, _ = run([example(draw([(0, RED, 255)]), [0], [RED], "1")])
    assert metrics["DetectionBoxes_Precision/mAP (medium)"] == pytest.approx(1.0)
    assert metrics["DetectionBoxes_Precision/mAP (small)"] == -1.0


def test_padding_is_no_part_of_the_image():
    # The true image is the upper half; what is lit in the lower half is found on padding only.
    image = draw([(0, [8, 8, 24, 24], 255), (1, [40, 16, 56, 60], 255)])
    metrics, _ = run([example(image, [0], [[8, 8, 24, 24]], "1", true_shape=(32, 64))])
    assert metrics["DetectionBoxes_Precision/mAP"] == pytest.approx(1.0)
    assert metrics["DetectionBoxes_Precision/mAP@.75IOU"] == pytest.approx(1.0)


def test_losses_can_be_left_out_and_groundtruth_ignored(tmp_path):
    assert not any("Loss" in tag for tag in run(three_images(), settings=EvalSettings(losses=False))[0])
    path = tmp_path / "found.json"
    metrics, _ = run(three_images(), settings=EvalSettings(ignore_groundtruth=True, export_path=str(path)))
    assert metrics == {}
    assert len(json.loads(path.read_text())) == 2


def test_detections_are_exported_in_pixels_with_label_ids(tmp_path):
    path = tmp_path / "found.json"
    run(
        [*three_images()[:1], example(draw([(1, GREEN, 200)]), [], [], "no number")],
        settings=EvalSettings(export_path=str(path)),
    )
    entries = json.loads(path.read_text())
    assert [(entry["image_id"], entry["category_id"]) for entry in entries] == [(1, 1), (1, 2), ("no number", 2)]
    assert entries[0]["bbox"] == [32.0, 16.0, 64.0, 48.0] and entries[0]["score"] == pytest.approx(1.0)


def test_detections_are_exported_compactly_with_the_sizes_of_all_images(tmp_path):
    path = tmp_path / "found.npz"
    run([*three_images()[:1], example(draw([]), [], [], "no number")], settings=EvalSettings(export_path=str(path)))
    found = stored.read(path)
    assert (found.ids, found.sizes.tolist(), found.categories) == (("1", "no number"), [[128, 256]] * 2, CATEGORIES)
    assert found.of(0).boxes[0].tolist() == [16.0, 32.0, 64.0, 96.0] and found.of(0).classes.tolist() == [0, 1]
    assert len(found.of(1).scores) == 0


def test_files_summaries_and_pictures(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path / "eval"))
    settings = EvalSettings(
        num_visualizations=2,
        visualization_export_dir=str(tmp_path / "pictures"),
        name_visualizations_by_image=True,
        style=Style(min_score=0.9),
    )
    examples = three_images()
    examples[1] = examples[1]._replace(info=examples[1].info._replace(source_ids=np.bytes_("../../b c")))
    metrics, _ = run(examples, step=30, model_dir=tmp_path, writer=writer, settings=settings)
    assert json.loads((tmp_path / "eval" / "metrics.json").read_text()) == {"step": 30, "metrics": metrics}
    events = EventAccumulator(str(tmp_path / "eval")).Reload()
    assert set(events.Tags()["tensors"]) == set(metrics) | {
        f"Detections_Left_Groundtruth_Right/{number}" for number in (0, 1)
    }
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["export-.._.._b_c.png", "export-1.png"]
    width, height = Image.open(tmp_path / "pictures" / "export-1.png").size
    assert width > 2 * 320 and height > 160, "two images of the proportions of the original, 128 x 256, enlarged"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_costs_warnings_only(tmp_path, caplog):
    evaluation, pictures = tmp_path / "eval", tmp_path / "pictures"
    evaluation.mkdir()
    pictures.mkdir()
    writer = tf.summary.create_file_writer(str(tmp_path / "events"))
    shutil.rmtree(tmp_path / "events")
    (tmp_path / "events").write_text("no folder any more")
    full = [files.partial(evaluation / "metrics.jsonl"), pictures / "export-1.png", pictures / "export-2.png"]
    full.append(files.partial(tmp_path / "found.json"))
    for path in full:
        path.symlink_to("/dev/full")
    settings = EvalSettings(
        num_visualizations=2, visualization_export_dir=str(pictures), export_path=str(tmp_path / "found.json")
    )
    metrics, shown = run(three_images(), step=30, model_dir=tmp_path, writer=writer, settings=settings)
    assert metrics["DetectionBoxes_Precision/mAP"] > 0 and "step 30: 3 images" in shown
    warnings = [record.getMessage() for record in caplog.records if "cannot be written" in record.getMessage()]
    for what in (f"pictures in {pictures}", str(tmp_path / "found.json"), f"the metrics in {evaluation}"):
        assert (
            sum(
                f"step 30: {what} cannot be written (no space left on device); continuing without it" in warning
                for warning in warnings
            )
            == 1
        ), warnings
    assert not (evaluation / "metrics.json").exists() and not (tmp_path / "found.json").exists()


def test_repeated_ids_count_as_different_images():
    examples = [image._replace(info=image.info._replace(source_ids=np.bytes_(""))) for image in three_images()[:1] * 3]
    assert run(examples)[0]["DetectionBoxes_Precision/mAP"] == pytest.approx(1.0)


def test_crowds_and_classes_outside_the_categories():
    crowd = example(draw([(0, RED, 255), (1, GREEN, 250)]), [0, 1], [RED, GREEN], "1", crowd=[False, True])
    metrics, shown = run([crowd])
    assert metrics["DetectionBoxes_Precision/mAP"] == pytest.approx(1.0)
    assert not any("green" in tag for tag in metrics) and "1 image, 1 box" in shown
    settings = EvalSettings()
    stream = io.StringIO()
    few = CATEGORIES[:1]
    values = evaluate(
        ChannelDetector(),
        dataset(three_images()[:1]),
        make_evaluators(settings, few),
        few,
        settings=settings,
        stream=stream,
    )
    assert values["DetectionBoxes_Precision/mAP"] == pytest.approx(1.0)


def test_an_empty_input_is_an_error_that_names_the_field():
    empty = dataset(three_images()).take(0)
    with pytest.raises(DataError, match="eval_input_reader.tf_record_input_reader.input_path"):
        evaluate(ChannelDetector(), empty, (), CATEGORIES, stream=io.StringIO())


def test_a_diverged_detector_scores_zero():
    metrics, _ = run(three_images(), ChannelDetector(float("nan")))
    assert metrics["DetectionBoxes_Precision/mAP"] == 0.0
