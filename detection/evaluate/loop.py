"""One pass over an evaluation input: detect, compare, report.

    batch -> predict -> postprocess -> original pixels -> evaluators -> table, files, TensorBoard

`predict`, `postprocess` and the losses run in one graph, traced once for an input whatever the size of its last batch.
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
    """What runs on one batch, as a graph. Keep one for many evaluations of a detector: tracing takes longer than many
    batches.

    Args:
        detector: its present weights are used at every call.
        losses: whether the losses are computed too.
        regularize: whether the regularisation loss is one of them, as in training.
    """

    def __init__(self, detector: Detector, losses: bool = True, regularize: bool = True) -> None:
        self._detector, self._losses, self._regularize = detector, losses, regularize
        self._graph = tf.function(self._run, autograph=False)

    def bound_to(self, spec: Example) -> Callable[[Example], tuple[tuple[tf.Tensor, ...], dict[str, tf.Tensor]]]:
        """The graph for examples of this spec: example -> (boxes, scores, classes, counts), losses by tag. Traced at
        the first time only."""
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
        # The raw boxes and scores are no metric's business, and by far the largest part of what would be copied.
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
    """Evaluates the detector as it is.

    Losses are means over batches, each weighed by its images; those that a detector divides by the matches of a batch
    depend on its size. Metrics do not, nor on the order of images. Results that cannot be written are told in a
    warning.

    Args:
        detector: with built variables.
        dataset: batches of `types.Example`, one pass.
        evaluators: cleared first; see `evaluate.metrics`.
        categories: the label map; boxes of other classes are ignored.
        settings: pictures, exports, losses; None takes the defaults.
        step: of training, under which results are filed.
        model_dir: results go to its folder `eval`; None writes no files.
        writer: for TensorBoard; None writes no summaries.
        total: number of images, for the ETA; None where it is not known.
        eval_step: made beforehand, to trace once for many evaluations; None makes one.
        stream: where progress and tables are shown; None takes standard output.
        unwritten: is given a line for each file of results that could not be written, which is an error where nothing
            else is made.

    Returns:
        Tag -> value of all metrics and losses.

    Raises:
        DataError: the dataset holds no image.
    """
    settings = EvalSettings() if settings is None else settings
    stream = sys.stdout if stream is None else stream
    losses_wanted = settings.losses and not settings.ignore_groundtruth
    graph = (eval_step or EvalStep(detector, losses_wanted)).bound_to(dataset.element_spec)
    seen = _Pass(settings, evaluators, categories, step)
    with Progress(total, "image", label="evaluate", stream=stream) as progress:
        for example in dataset:
            progress.update(seen.add(example, *graph(example)))
    metrics = seen.metrics()
    stream.write(seen.report(metrics))
    seen.write(metrics, model_dir, writer, unwritten)
    return metrics


class _Pass:
    """What is gathered while the images of one evaluation go by.

    Args:
        settings, evaluators, categories, step: as of `evaluate`.
    """

    def __init__(
        self, settings: EvalSettings, evaluators: Sequence[Evaluator], categories: Sequence[Category], step: int
    ) -> None:
        self._settings, self._evaluators, self._categories, self._step = settings, evaluators, categories, step
        self._names = category_names(categories)
        self._counts = dict.fromkeys(self._names.values(), 0)  # boxes to be found, by category
        self._ids, self._gallery, self._exported = ImageNames(), Gallery(settings, self._names, step), []
        self._loss_sums: dict[str, float] = defaultdict(float)
        self._images = 0
        for evaluator in evaluators:
            evaluator.clear()

    def add(self, example: Example, found: tuple[tf.Tensor, ...], losses: dict[str, tf.Tensor]) -> int:
        """Takes a batch and what was found in it; returns its images."""
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
        """Tag -> value of all metrics, and of the losses, means over the images. Raises DataError where there was no
        image."""
        if not self._images:
            raise DataError(
                "evaluation input: no images; check eval_input_reader.tf_record_input_reader.input_path and its"
                " sampling"
            )
        self._ids.warn()
        metrics = {tag: value for evaluator in self._evaluators for tag, value in evaluator.result().items()}
        return metrics | {tag: value / self._images for tag, value in self._loss_sums.items()}

    def report(self, metrics: dict[str, float]) -> str:
        """The table that is shown."""
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
        """Files and summaries; arguments as of `evaluate`."""
        path, step = self._settings.export_path, self._step
        if path:
            with results.spared(path, step, unwritten):
                write = voc_results.write if voc_results.is_result_path(path) else stored.write
                write(path, stored.collect(self._exported, self._categories, {"step": step}))
        if model_dir is not None:
            with results.spared(f"the metrics in {Path(model_dir) / 'eval'}", step, unwritten):
                results.write_metrics(model_dir, step, metrics)
        if writer is not None:
            with results.spared("the summaries of the evaluation", step):
                results.write_summaries(writer, step, metrics, self._gallery.pictures)


def _report(heading: str, metrics: dict[str, float], counts: dict[str, int], evaluators: Sequence[Evaluator]) -> str:
    """Overall numbers, then a line a category."""
    columns = [column for evaluator in evaluators for column in evaluator.per_category()]
    general = {tag: value for tag, value in metrics.items() if "ByCategory" not in tag}
    parts = (
        [heading, table.overall(general), table.by_category(counts, columns)]
        if columns
        else [heading, table.overall(general)]
    )
    return "\n" + "\n\n".join(filter(None, parts)) + "\n\n"
