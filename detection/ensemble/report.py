"""The results of an ensemble experiment: the survey's Tables 3 and 4 for these models, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detection.evaluate.evaluator import ImageDetections
from detection.evaluate.table import number
from detection.tools.tables import padded_markdown

BEST, MOST_ACCURATE, DIVERSE = "best single model", "most accurate", "diverse"
_AP = "DetectionBoxes_Precision/mAP"
_COLUMNS = {
    "AP": _AP,
    "AP@.50": "DetectionBoxes_Precision/mAP@.50IOU",
    "AP@.75": "DetectionBoxes_Precision/mAP@.75IOU",
    "AP small": "DetectionBoxes_Precision/mAP (small)",
    "AP med.": "DetectionBoxes_Precision/mAP (medium)",
    "AP large": "DetectionBoxes_Precision/mAP (large)",
    "AR@100": "DetectionBoxes_Recall/AR@100",
    "VOC mAP@.5": "PascalBoxes_Precision/mAP@0.5IOU",
}
_FACTS = ("meta_architecture", "feature_extractor", "resolution", "output_stride", "loss_ratio", "location_loss")
_INTERVAL = (2.5, 97.5)  # per cent of the draws
# Comparisons of two rows of the table: is the first set, with multi-crop or without, better than the second?
_QUESTIONS = (
    ("Does ensembling help", (MOST_ACCURATE, False), (BEST, False)),
    ("Does diversity help", (DIVERSE, False), (MOST_ACCURATE, False)),
    ("Does multi-crop help a single model", (BEST, True), (BEST, False)),
    ("Does multi-crop help the most accurate", (MOST_ACCURATE, True), (MOST_ACCURATE, False)),
    ("Does multi-crop help the diverse", (DIVERSE, True), (DIVERSE, False)),
    ("Does diversity help with multi-crop", (DIVERSE, True), (MOST_ACCURATE, True)),
    ("Do all three help", (DIVERSE, True), (BEST, False)),
)


class Measured(NamedTuple):
    """Metrics of one set of detections."""

    metrics: Mapping[str, float]  # by tag
    by_category: Mapping[str, float]  # AP by category name


class Input(NamedTuple):
    """One evaluation input."""

    name: str
    paths: list[str]
    images: int


class ModelEntry(NamedTuple):
    """One model alone."""

    name: str
    path: str
    facts: Mapping[str, str]
    selection: Measured
    evaluation: Measured


class ModelSet(NamedTuple):
    """The models of an ensemble, best first."""

    name: str
    members: tuple[int, ...]
    max_similarity: float | None = None  # the threshold with which they were selected, if there was one


class Candidate(NamedTuple):
    """A candidate that was measured on the selection input."""

    what: str
    precision: float


class EnsembleRow(NamedTuple):
    """One line of Table 4."""

    name: str
    members: tuple[int, ...]
    views: int  # of each image by each model
    measured: Measured
    detections: list[ImageDetections]

    @property
    def title(self) -> str:
        """The name in the table."""
        return self.name if self.views == 1 else f"{self.name}, multi-crop"


class Comparison(NamedTuple):
    """Whether one row is better than another; differences are of AP between 0 and 1."""

    question: str
    better: str
    than: str
    difference: float
    low: float | None = None  # lower bound of the interval that contains 95 % of the draws
    high: float | None = None
    wins: float | None = None  # fraction of the draws in which it is better

    def sentence(self) -> str:
        """The question and its answer, with the difference in points of AP (of 100)."""
        measured = f"{self.better} against {self.than}: {100 * self.difference:+.2f} points of AP"
        if self.low is None or self.high is None:
            return f"{self.question}? {measured}."
        verdict = "yes" if self.low > 0 else "no" if self.high < 0 else "undecided with these images"
        return (
            f"{self.question}? {verdict}: {measured} (95 % of resamplings {100 * self.low:+.2f} to"
            f" {100 * self.high:+.2f})."
        )


def compare(rows: Sequence[EnsembleRow], draws: int, resample: Callable[[EnsembleRow], np.ndarray]) -> list[Comparison]:
    """Makes the comparisons for which both rows exist.

    Args:
        rows: the table.
        draws: number of bootstrap draws of the images; 0: no intervals.
        resample: returns AP [draws] of a row over images drawn with replacement, the same images for every row.
    """
    by_key = {(row.name, row.views > 1): row for row in rows}
    pairs = [
        (question, by_key[first], by_key[second])
        for question, first, second in _QUESTIONS
        if first in by_key and second in by_key
    ]
    draws_by_title: dict[str, np.ndarray] = {}
    comparisons = []
    for question, first, second in pairs:
        difference = first.measured.metrics[_AP] - second.measured.metrics[_AP]
        comparison = Comparison(question, first.title, second.title, difference)
        if draws:
            for row in (first, second):
                if row.title not in draws_by_title:
                    draws_by_title[row.title] = resample(row)
            spread = draws_by_title[first.title] - draws_by_title[second.title]
            low, high = np.percentile(spread, _INTERVAL).tolist()
            comparison = comparison._replace(low=low, high=high, wins=float(np.mean(spread > 0)))
        comparisons.append(comparison)
    return comparisons


@dataclass(frozen=True)
class EnsembleReport:
    """All results of the experiment."""

    inputs: Sequence[Input]  # selection, evaluation
    models: Sequence[ModelEntry]
    similarity: np.ndarray  # [models, models]
    sets: Sequence[ModelSet]
    merging: Mapping[str, str]
    tried: Sequence[Candidate]
    rows: Sequence[EnsembleRow]
    comparisons: Sequence[Comparison]
    multicrop: str

    def to_json(self) -> str:
        """All numbers as JSON, with full precision."""
        names = [model.name for model in self.models]
        content = {
            "inputs": [entry._asdict() for entry in self.inputs],
            "models": [
                {**model._asdict(), "selection": model.selection._asdict(), "evaluation": model.evaluation._asdict()}
                for model in self.models
            ],
            "similarity": {"names": names, "matrix": np.round(self.similarity, 6).tolist()},
            "sets": [
                {**entry._asdict(), "members": [names[member] for member in entry.members]} for entry in self.sets
            ],
            "merging": {**self.merging, "multicrop": self.multicrop},
            "tried": [entry._asdict() for entry in self.tried],
            "rows": [
                {
                    "name": row.title,
                    "members": [names[member] for member in row.members],
                    "evaluations_per_image": row.views * len(row.members),
                    **row.measured._asdict(),
                }
                for row in self.rows
            ],
            "comparisons": [entry._asdict() for entry in self.comparisons],
        }
        return json.dumps(content, indent=1) + "\n"

    def markdown(self) -> str:
        """The tables and comparisons as Markdown."""
        chosen, measured = self.inputs
        where = (
            f"chosen on {', '.join(chosen.paths)} ({chosen.images} images), measured on {', '.join(measured.paths)}"
            f" ({measured.images} images)"
        )
        parts = ["# Ensembles", f"{len(self.models)} models, {where}. Merged by {self.merging['ensemble']}."]
        if self.multicrop:
            parts.append(f"Multi-crop: {self.multicrop}, merged by {self.merging['crops']}.")
        parts += ["## Effects of ensembling and multi-crop inference (the survey's Table 4)", self._effects()]
        parts += (
            ["\n".join(f"- {comparison.sentence()}" for comparison in self.comparisons)] if self.comparisons else []
        )
        parts += [
            "## The models alone (the survey's Table 3)",
            self._alone(),
            "## AP by category on the selection input",
            self._categories(),
        ]
        parts += ["## Cosine similarity of AP by category", self._similarity()]
        if self.tried:
            body = [[candidate.what, number(candidate.precision)] for candidate in self.tried]
            parts += ["## Tried on the selection input", padded_markdown(["what", "AP"], body)]
        return "\n\n".join(parts) + "\n"

    def _effects(self) -> str:
        names = [model.name for model in self.models]
        body = [
            [
                row.title,
                str(row.views * len(row.members)),
                *_numbers(row.measured.metrics),
                ", ".join(names[member] for member in row.members),
            ]
            for row in self.rows
        ]
        return padded_markdown(["", "runs an image", *_COLUMNS, "models"], body)

    def _alone(self) -> str:
        """The table of single models, by AP on the selection input; an x marks the sets that a model is in."""
        sets = [model_set for model_set in self.sets if model_set.name != BEST]
        facts = [fact for fact in _FACTS if any(fact in model.facts for model in self.models)]
        order = sorted(range(len(self.models)), key=lambda index: -self.models[index].selection.metrics[_AP])
        body = []
        for index in order:
            model = self.models[index]
            marks = ["x" if index in model_set.members else "" for model_set in sets]
            fact_cells = [model.facts.get(fact, "") for fact in facts]
            body.append(
                [
                    model.name,
                    number(model.selection.metrics[_AP]),
                    *_numbers(model.evaluation.metrics),
                    *fact_cells,
                    *marks,
                ]
            )
        titles = [fact.replace("_", " ") for fact in facts]
        return padded_markdown(
            ["model", "AP, selection", *_COLUMNS, *titles, *(model_set.name for model_set in sets)], body
        )

    def _categories(self) -> str:
        names = list(self.models[0].selection.by_category)
        body = [[model.name, *(number(model.selection.by_category[name]) for name in names)] for model in self.models]
        return padded_markdown(["model", *names], body)

    def _similarity(self) -> str:
        body = [
            [model.name, *(f"{value:.4f}" for value in row)]
            for model, row in zip(self.models, self.similarity, strict=True)
        ]
        return padded_markdown(["", *(model.name for model in self.models)], body)


def _numbers(metrics: Mapping[str, float]) -> list[str]:
    return [number(metrics[tag]) for tag in _COLUMNS.values()]
