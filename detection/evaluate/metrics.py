"""The metrics sets of `eval_config.metrics_set`, and the evaluators that they create."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from detection import registry
from detection.evaluate.coco import CocoEvaluator
from detection.evaluate.confusion import ConfusionEvaluator
from detection.evaluate.evaluator import Evaluator
from detection.evaluate.open_images import OpenImagesEvaluator
from detection.evaluate.precision_at_recall import PrecisionAtRecallEvaluator
from detection.evaluate.voc import PascalVocEvaluator
from detection.settings import EvalSettings
from detection.types import Category


def evaluators(settings: EvalSettings, categories: Sequence[Category]) -> tuple[Evaluator, ...]:
    """Creates the evaluators of all metrics sets in `settings`, in order; none if groundtruth is ignored."""
    if settings.ignore_groundtruth:
        return ()
    return tuple(
        METRICS_SETS[name](settings, categories)
        if name in METRICS_SETS
        else registry.metric.make(name, settings, categories, field="eval_config.metrics_set")
        for name in settings.metrics
    )


def _coco(settings: EvalSettings, categories: Sequence[Category]) -> Evaluator:
    return CocoEvaluator(
        categories,
        per_category_tags=settings.per_category_tags,
        all_per_category_tags=settings.all_per_category_tags,
        super_categories=dict(settings.super_categories),
        labelled_only=settings.labelled_only,
        unlabelled_is_checked=settings.unlabelled_is_checked,
    )


# eval_config.metrics_set -> factory of the evaluator.
METRICS_SETS: dict[str, Callable[[EvalSettings, Sequence[Category]], Evaluator]] = {
    "coco_detection_metrics": _coco,
    "pascal_voc_detection_metrics": lambda settings, categories: PascalVocEvaluator(categories),
    "weighted_pascal_voc_detection_metrics": lambda settings, categories: PascalVocEvaluator(categories, weighted=True),
    "precision_at_recall_detection_metrics": lambda settings, categories: PrecisionAtRecallEvaluator(
        categories, bounds=settings.recall_bounds
    ),
    "oid_V2_detection_metrics": lambda settings, categories: OpenImagesEvaluator(categories),
    "oid_challenge_detection_metrics": lambda settings, categories: OpenImagesEvaluator(
        categories, challenge=True, unlabelled_is_checked=settings.unlabelled_is_checked
    ),
    "confusion_detection_metrics": lambda settings, categories: ConfusionEvaluator(
        categories, score_threshold=settings.style.min_score
    ),
}
