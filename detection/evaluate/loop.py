"""Runs one evaluation: detects objects in all images, computes metrics and writes results.

    batch -> predict -> postprocess -> original pixels -> evaluators -> table, files, TensorBoard

`predict`, `postprocess` and the losses run in one graph, which is traced once per input.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

import tensorflow as tf

from detection.errors import DataError, number_of
from detection.evaluate import results, stored, table, voc_results
from detection.evaluate.evaluator import Evaluator, category_names
from detection.evaluate.gallery import Gallery
from detection.evaluate.images import EvaluatedImage, ImageNames, images_of
from detection.pipeline import Detector
from detection.progress import Progress
from detection.settings import EvalSettings
from detection.types import Category, Detections, Example


class EvalStep:
    """The graph that evaluates one batch.

    Use one instance for many evaluations of a detector, since tracing takes longer than many batches.

    Args:
        detector: its current weights are used at every call.
        losses: whether to compute the losses.
        regularize: whether the losses include the regularisation loss, as in training.
    """

    def __init__(self, detector: Detector, losses: bool = True, regularize: bool = True) -> None:
        self._detector, self._losses, self._regularize = detector, losses, regularize
        self._graph = tf.function(self._run, autograph=False)

    def bound_to(self, spec: Example) -> Callable[[Example], tuple[tuple[tf.Tensor, ...], dict[str, tf.Tensor]]]:
        """Returns the graph for examples of a spec, traced at the first call only.

        Args:
            spec: the element_spec of the data set.

        Returns:
            A function example -> ((boxes, scores, classes, counts), losses by tag).
        """
        return self._graph.get_concrete_function(spec)

    def _run(self, example: Example) -> tuple[tuple[tf.Tensor, ...], dict[str, tf.Tensor]]:
        predictions = self._detector.predict(
            example.batch, example.groundtruth if self._losses else None, training=False
        )
        losses = {}
        if self._losses:
            losses = dict(self._detector.loss(predictions, example.groundtruth))
            if self._regularize:
                losses["Loss/regularization_loss"] = self._detector.regularization_loss()
            losses["Loss/total_loss"] = tf.add_n(list(losses.values()))
        detections = self._detector.postprocess(predictions, example.batch.true_shapes)
        # No metric uses the raw boxes and scores, and copying them would take the most time.
        return (detections.boxes, detections.scores, detections.classes, detections.counts), losses


def evaluate(
    detector: Detector,
    dataset: tf.data.Dataset,
    evaluators: Sequence[Evaluator],
    categories: Sequence[Category],
    *,
    settings: EvalSettings | None = None,
    step: int = 0,
    model_dir: str | Path | None = None,
    writer: tf.summary.SummaryWriter | None = None,
    total: int | None = None,
    eval_step: EvalStep | None = None,
    stream: TextIO | None = None,
    unwritten: list[str] | None = None,
) -> dict[str, float]:
    """Evaluates a detector with its current weights.

    Losses are means over batches, weighted by the number of images; a loss that a detector normalises by the matches in
    a batch depends on the batch size. Metrics depend neither on the batch size nor on the order of images. Results that
    cannot be written cause a warning.

    Args:
        detector: has its variables.
        dataset: batches of `types.Example`, one epoch.
        evaluators: cleared first; see `evaluate.metrics`.
        categories: the label map; boxes of other classes are ignored.
        settings: pictures, exports, losses; None uses the defaults.
        step: training step, under which results are stored.
        model_dir: results are written to its folder `eval`; None writes no files.
        writer: for TensorBoard; None writes no summaries.
        total: number of images, for the estimate of the remaining time; None if unknown.
        eval_step: a graph to reuse in several evaluations; None creates one.
        stream: for progress and tables; None uses standard output.
        unwritten: a message for each result file that could not be written is appended to it, so that a caller that
            only evaluates can report an error.

    Returns:
        Tag -> value of all metrics and losses.

    Raises:
        DataError: the data set has no images.
    """
    settings = EvalSettings() if settings is None else settings
    stream = sys.stdout if stream is None else stream
    with_losses = settings.losses and not settings.ignore_groundtruth
    graph = (eval_step or EvalStep(detector, with_losses)).bound_to(dataset.element_spec)
    seen = _Pass(settings, evaluators, categories, step)
    with Progress(total, "image", label="evaluate", stream=stream) as progress:
        for example in dataset:
            progress.update(seen.add(example, *graph(example)))
    metrics = seen.metrics()
    stream.write(seen.report(metrics))
    seen.write(metrics, model_dir, writer, unwritten)
    return metrics


class _Pass:
    """Collects metrics, losses, pictures and detections during one evaluation.

    Args:
        settings: as for `evaluate`, like all arguments.
        evaluators: cleared first.
        categories: the label map.
        step: training step.
    """

    def __init__(
        self, settings: EvalSettings, evaluators: Sequence[Evaluator], categories: Sequence[Category], step: int
    ) -> None:
        self._settings, self._evaluators, self._categories, self._step = settings, evaluators, categories, step
        self._names = category_names(categories)
        self._counts = dict.fromkeys(self._names.values(), 0)  # number of groundtruth boxes, by category
        self._ids, self._gallery, self._exported = ImageNames(), Gallery(settings, self._names, step), []
        self._loss_sums: dict[str, float] = defaultdict(float)
        self._images = 0
        for evaluator in evaluators:
            evaluator.clear()

    def add(self, example: Example, found: tuple[tf.Tensor, ...], losses: dict[str, tf.Tensor]) -> int:
        """Adds a batch with its detections and losses; returns its number of images."""
        number = 0
        for image in images_of(example, Detections(*found, raw_boxes=None, raw_scores=None)):
            number += 1
            self._add_image(example, image._replace(source_id=self._ids.unique(image.source_id)))
        for tag, value in losses.items():
            self._loss_sums[tag] += number * float(value)
        self._images += number
        return number

    def _add_image(self, example: Example, image: EvaluatedImage) -> None:
        for evaluator in self._evaluators:
            evaluator.add(image.source_id, image.groundtruth, image.detections)
        for class_ in image.groundtruth.classes[~image.groundtruth.is_crowd].tolist():
            if class_ in self._names:
                self._counts[self._names[class_]] += 1
        self._gallery.show(example, image)
        if self._settings.export_path:
            self._exported.append((image.source_id, image.shape, image.detections))

    def metrics(self) -> dict[str, float]:
        """Returns tag -> value of all metrics and of the mean losses.

        Raises:
            DataError: no image was added.
        """
        if not self._images:
            raise DataError(
                "evaluation input: no images; check eval_input_reader.tf_record_input_reader.input_path and its"
                " sampling"
            )
        self._ids.warn()
        metrics = {tag: value for evaluator in self._evaluators for tag, value in evaluator.result().items()}
        return metrics | {tag: value / self._images for tag, value in self._loss_sums.items()}

    def report(self, metrics: dict[str, float]) -> str:
        """Returns the table that is printed."""
        found = f"{number_of(self._images, 'image')}, {number_of(sum(self._counts.values()), 'box', 'boxes')}"
        heading = f"step {self._step}: {found}"
        return _report(heading, metrics, self._counts, self._evaluators)

    def write(
        self,
        metrics: dict[str, float],
        model_dir: str | Path | None,
        writer: tf.summary.SummaryWriter | None,
        unwritten: list[str] | None,
    ) -> None:
        """Writes files and summaries; arguments as for `evaluate`."""
        path, step = self._settings.export_path, self._step
        if path:
            with results.warn_on_write_error(path, step, unwritten):
                write = voc_results.write if voc_results.is_result_path(path) else stored.write
                write(path, stored.collect(self._exported, self._categories, {"step": step}))
        if model_dir is not None:
            with results.warn_on_write_error(f"the metrics in {Path(model_dir) / 'eval'}", step, unwritten):
                results.write_metrics(model_dir, step, metrics)
        if writer is not None:
            with results.warn_on_write_error("the summaries of the evaluation", step):
                results.write_summaries(writer, step, metrics, self._gallery.pictures)


def _report(heading: str, metrics: dict[str, float], counts: dict[str, int], evaluators: Sequence[Evaluator]) -> str:
    """Formats the overall metrics, then a line for each category."""
    columns = [column for evaluator in evaluators for column in evaluator.per_category()]
    general = {tag: value for tag, value in metrics.items() if "ByCategory" not in tag}
    parts = (
        [heading, table.overall(general), table.by_category(counts, columns)]
        if columns
        else [heading, table.overall(general)]
    )
    return "\n" + "\n\n".join(filter(None, parts)) + "\n\n"
