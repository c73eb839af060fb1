"""How an evaluation is done: which metrics, how many pictures, what is written where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from detection.evaluate.coco import CocoEvaluator
from detection.evaluate.confusion import ConfusionEvaluator
from detection.evaluate.evaluator import Evaluator
from detection.evaluate.visualize import Style
from detection.evaluate.voc import PascalVocEvaluator
from detection.types import Category

DEFAULT_METRICS = "coco_detection_metrics"


@dataclass(frozen=True)
class EvalSettings:
    """Settings of evaluations, the same for all of a run."""

    metrics: tuple[str, ...] = (DEFAULT_METRICS,)  # keys of METRICS_SETS
    batch_size: int = 1
    losses: bool = True  # whether the losses are computed on the evaluation input too
    ignore_groundtruth: bool = False  # only detect (and export): no metrics, no losses
    use_moving_averages: bool = (
        False  # whether averaged weights are evaluated; whoever holds the averages swaps them in
    )
    interval_seconds: int = 300  # least time between two evaluations while training goes on
    per_category_tags: bool = False
    all_per_category_tags: bool = False
    super_categories: tuple[tuple[str, tuple[str, ...]], ...] = ()  # name, names of its categories
    num_visualizations: int = 10  # pictures of the first images of each evaluation
    style: Style = field(default_factory=Style)
    visualization_export_dir: str = ""  # pictures go there as PNG files too; empty: nowhere
    name_visualizations_by_image: bool = False  # export-<source id>.png instead of export-<number>.png
    export_path: str = (
        ""  # all detections as a COCO results file, or compact where it ends in .npz (evaluate.stored); empty: nowhere
    )

    def evaluators(self, categories: Sequence[Category]) -> tuple[Evaluator, ...]:
        """New evaluators of all metrics sets, in order; none where groundtruth is ignored."""
        return () if self.ignore_groundtruth else tuple(METRICS_SETS[name](self, categories) for name in self.metrics)


def _coco(settings: EvalSettings, categories: Sequence[Category]) -> Evaluator:
    return CocoEvaluator(
        categories,
        per_category_tags=settings.per_category_tags,
        all_per_category_tags=settings.all_per_category_tags,
        super_categories=dict(settings.super_categories),
    )


# eval_config.metrics_set -> what makes the evaluator.
METRICS_SETS: dict[str, Callable[[EvalSettings, Sequence[Category]], Evaluator]] = {
    "coco_detection_metrics": _coco,
    "pascal_voc_detection_metrics": lambda settings, categories: PascalVocEvaluator(categories),
    "weighted_pascal_voc_detection_metrics": lambda settings, categories: PascalVocEvaluator(categories, weighted=True),
    "confusion_detection_metrics": lambda settings, categories: ConfusionEvaluator(
        categories, score_threshold=settings.style.min_score
    ),
}
