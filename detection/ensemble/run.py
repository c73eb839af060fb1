"""The experiment of the survey's section 4.2: choose models on one input, merge them, measure them on another.

detections of every model, selection input -> AP, AP by category -> the k most accurate; k that differ; how to merge
the same models, evaluation input          -> each alone; each set merged; both again with several crops an image
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from absl import logging

from detection import config
from detection.builders import pipeline as pipeline_builder
from detection.config import label_map
from detection.data.reading.options import InputOptions
from detection.ensemble import merge, models, report, select, views
from detection.ensemble.collect import Collector, Found
from detection.ensemble.evaluation_input import EvaluationInput
from detection.ensemble.models import Model
from detection.errors import ConfigError
from detection.evaluate import stored
from detection.evaluate.coco import CocoEvaluator
from detection.evaluate.voc import PascalVocEvaluator
from detection.files import write_text
from detection.progress import Progress

_AP = "DetectionBoxes_Precision/mAP"
_SELECTION, _EVALUATION = "selection", "evaluation"


@dataclass(frozen=True, kw_only=True)
class EnsembleOptions:
    """What is asked for. Names are those of the flags of `detection ensemble`."""

    models: Sequence[str] = ()
    stored: Sequence[str] = ()
    pipeline_config_path: str = ""
    overrides: Sequence[str] = ()
    label_map_path: str = ""
    select_input: Sequence[str] = ()
    input: Sequence[str] = ()
    output_dir: str = "ensemble"
    k: int = 5
    max_similarity: float | None = None  # None: the set that is best on the selection input
    hand_selected: Sequence[str] = ()
    multicrop: str = ""  # see `views`; empty: whole images only
    merging: Sequence[merge.MergeSettings] = (
        merge.MergeSettings(),
    )  # of several the one that is best on the selection input
    draws: int = 200
    batch_size: int = 8
    allow_unused_checkpoint_variables: bool = False


@dataclass
class _Work:
    """What several steps need."""

    options: EnsembleOptions
    models: list[Model]
    inputs: tuple[EvaluationInput, EvaluationInput]  # selection, evaluation; may be one and the same
    collector: Collector
    crops: tuple[views.View, ...]
    stream: TextIO | None

    def found(self, model: Model, which: int) -> Found:
        """What a model finds in whole images."""
        if model.stored:
            return self.collector.stored(model, self.inputs[which], which)
        return self.collector.found(model, self.inputs[which])[views.FULL]

    def cropped(self, model: Model, which: int, settings: merge.MergeSettings) -> Found:
        """What a model finds in all crops, merged."""
        return self._merge_crops(self.collector.found(model, self.inputs[which], self.crops), which, settings)

    def crop_merger(self, model: Model, which: int) -> Callable[[merge.MergeSettings], Found]:
        """The same for any settings, reading the detections once."""
        found = self.collector.found(model, self.inputs[which], self.crops)
        return lambda settings: self._merge_crops(found, which, settings)

    def _merge_crops(self, found, which: int, settings: merge.MergeSettings) -> Found:
        images = enumerate(self.inputs[which].sizes.values())
        return [
            merge.merge([merge.Source(found[view][row], view.sees(*size)) for view in self.crops], settings)
            for row, size in images
        ]

    def measure(self, found: Found, which: int) -> report.Measured:
        """COCO's and VOC's metrics, as for any model."""
        categories = self.inputs[which].categories
        coco = CocoEvaluator(categories, per_category_tags=True)
        metrics = self.inputs[which].measure(found, (coco, PascalVocEvaluator(categories)))
        return report.Measured(metrics, coco.per_category()[0].values)


def run(options: EnsembleOptions, stream: TextIO | None = None) -> report.EnsembleReport:
    """Does everything and writes ensemble.json, ensemble.md and the detections of every set into the output folder.

    Args:
        options: what is asked for.
        stream: where progress is shown; None takes standard error.

    Raises:
        ConfigError, DataError: in one line; models and flags are looked at before any model runs.
    """
    crops = views.parse(options.multicrop) if options.multicrop else ()
    found_models = models.find(options.models, options.stored)
    unknown = [name for name in options.hand_selected if name not in {model.name for model in found_models}]
    if unknown:
        raise ConfigError(
            f"--hand_selected={unknown[0]}: no model is called so; there are"
            f" {', '.join(model.name for model in found_models)}"
        )
    readers = _readers(options)
    collector = Collector(options.output_dir, options.batch_size, stream)
    collector.prepare(found_models, options.allow_unused_checkpoint_variables)
    work = _Work(options, found_models, _inputs(*readers), collector, crops, stream)
    chosen = _choose(work)
    finished = _evaluate(work, chosen)
    try:
        Path(options.output_dir).mkdir(parents=True, exist_ok=True)
        write_text(Path(options.output_dir) / "ensemble.json", finished.to_json())
        write_text(Path(options.output_dir) / "ensemble.md", finished.markdown())
    except OSError as error:
        raise ConfigError(
            f"--output_dir={options.output_dir}: cannot be written: {error.strerror or error}; check the path and the"
            " space"
        ) from error
    return finished


def merged(members: Sequence[Found], settings: merge.MergeSettings) -> Found:
    """Detections of several models as one, image by image. Of one model they stay as they are."""
    if len(members) == 1:
        return list(members[0])
    return [merge.merge([merge.Source(found) for found in image], settings) for image in zip(*members, strict=True)]


@dataclass
class _Chosen:
    """What the selection input decided."""

    found: list[Found]  # by model
    measured: list[report.Measured]  # by model
    similarity: np.ndarray
    sets: list[report.ModelSet]
    settings: merge.MergeSettings
    crop_settings: merge.MergeSettings
    tried: list[report.Tried]


def _choose(work: _Work) -> _Chosen:
    options, names = work.options, [model.name for model in work.models]
    found = [work.found(model, 0) for model in work.models]
    measured = [work.measure(one, 0) for one in found]
    precision = [one.metrics[_AP] for one in measured]
    similarity = select.cosine_similarity(np.array([list(one.by_category.values()) for one in measured]))
    k = min(options.k, len(names))
    best = select.most_accurate(precision, k)
    tried: list[report.Tried] = []
    settings = _best_settings(work, "ensemble", lambda some: merged([found[number] for number in best], some), tried)
    crop_settings = settings
    if work.crops and not work.models[best[0]].stored:
        crop_settings = (
            _best_settings(work, "crops", work.crop_merger(work.models[best[0]], 0), tried)
            if options.merging[1:]
            else settings
        )
    sets = [report.ModelSet(report.BEST, best[:1])]
    if k > 1:
        sets.append(report.ModelSet(report.MOST_ACCURATE, best))
        sets += _diverse(work, found, precision, similarity, k, settings, tried)
    if options.hand_selected:
        sets.append(report.ModelSet("hand selected", tuple(names.index(name) for name in options.hand_selected)))
    return _Chosen(found, measured, similarity, sets, settings, crop_settings, tried)


def _best_settings(
    work: _Work, what: str, merger: Callable[[merge.MergeSettings], Found], tried: list[report.Tried]
) -> merge.MergeSettings:
    """The way of merging that is best on the selection input; `tried` learns what all of them reached."""
    options = work.options.merging
    if len(options) == 1:
        return options[0]
    scores = []
    with Progress(len(options), "way", label=f"ways of merging, {what}", stream=work.stream) as progress:
        for settings in options:
            scores.append(work.measure(merger(settings), 0).metrics[_AP])
            tried.append(report.Tried(f"{what}: {settings}", scores[-1]))
            progress.update()
    return options[int(np.argmax(scores))]


def _diverse(
    work: _Work,
    found: list[Found],
    precision: list[float],
    similarity: np.ndarray,
    k: int,
    settings: merge.MergeSettings,
    tried: list[report.Tried],
) -> list[report.ModelSet]:
    """The diverse set, if there is one other than the most accurate."""
    threshold = work.options.max_similarity
    if threshold is not None:
        members = select.diverse(precision, similarity, k, threshold)
        if len(members) < k:
            logging.warning(
                "--max_similarity=%g leaves %d models that differ, not %d; raise it or lower --k",
                threshold,
                len(members),
                k,
            )
        if set(members) == set(select.most_accurate(precision, k)):
            logging.warning(
                "--max_similarity=%g leaves out none of the %d most accurate models; lower it to have them differ",
                threshold,
                k,
            )
            return []
        return [report.ModelSet(report.DIVERSE, members, threshold)]
    choices = select.diverse_sets(precision, similarity, k)
    if not choices:
        logging.warning(
            "no other %d of %d models differ more than the most accurate ones; give more models, or a smaller --k",
            k,
            len(precision),
        )
        return []
    scores = []
    with Progress(len(choices), "set", label="diverse sets", stream=work.stream) as progress:
        for choice in choices:
            scores.append(work.measure(merged([found[number] for number in choice.members], settings), 0).metrics[_AP])
            named = ", ".join(work.models[number].name for number in choice.members)
            tried.append(report.Tried(f"similarity below {choice.max_similarity:.6f}: {named}", scores[-1]))
            progress.update()
    best = choices[int(np.argmax(scores))]
    return [report.ModelSet(report.DIVERSE, best.members, best.max_similarity)]


def _evaluate(work: _Work, chosen: _Chosen) -> report.EnsembleReport:
    which = 0 if work.inputs[0] is work.inputs[1] else 1
    found = chosen.found if which == 0 else [work.found(model, 1) for model in work.models]
    measured = chosen.measured if which == 0 else [work.measure(one, 1) for one in found]
    rows = _rows(work, chosen, found, which)
    comparisons = report.compare(rows, work.options.draws, lambda row: _resampled(work, row.found, which))
    entries = [
        report.ModelEntry(model.name, model.path or ", ".join(model.stored), model.facts(), *both)
        for model, *both in zip(work.models, chosen.measured, measured, strict=True)
    ]
    inputs = [report.Input(one.name, list(one.paths), len(one.sizes)) for one in work.inputs]
    merging = {"ensemble": str(chosen.settings), "crops": str(chosen.crop_settings) if work.crops else ""}
    return report.EnsembleReport(
        inputs,
        entries,
        chosen.similarity,
        chosen.sets,
        merging,
        chosen.tried,
        rows,
        comparisons,
        work.options.multicrop,
    )


def _rows(work: _Work, chosen: _Chosen, found: list[Found], which: int) -> list[report.EnsembleRow]:
    """Every set, with whole images and with crops."""
    cropped: dict[int, Found] = {}
    rows = []
    for one in chosen.sets:
        rows.append(_row(work, one, 1, merged([found[number] for number in one.members], chosen.settings), which))
        if not work.crops:
            continue
        without = [work.models[number].name for number in one.members if work.models[number].stored]
        if without:
            logging.warning("%s: no crops, for %s is known by its detections only", one.name, ", ".join(without))
            continue
        for number in one.members:
            if number not in cropped:
                cropped[number] = work.cropped(work.models[number], which, chosen.crop_settings)
        rows.append(
            _row(
                work, one, len(work.crops), merged([cropped[number] for number in one.members], chosen.settings), which
            )
        )
    return rows


def _row(work: _Work, one: report.ModelSet, crops: int, found: Found, which: int) -> report.EnsembleRow:
    images = work.inputs[which]
    row = report.EnsembleRow(one.name, one.members, crops, work.measure(found, which), found)
    path = Path(work.options.output_dir) / "ensembles" / f"{row.title.replace(' ', '_').replace(',', '')}.npz"
    notes = {"members": [work.models[number].name for number in one.members], "crops": crops}
    try:
        stored.write(
            path, stored.collect(zip(images.sizes, images.sizes.values(), found, strict=True), images.categories, notes)
        )
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written: {error.strerror or error}; check the path and the free space"
        ) from error
    return row


def _resampled(work: _Work, found: Found, which: int) -> np.ndarray:
    evaluator = CocoEvaluator(work.inputs[which].categories)
    for id_, groundtruth, detections in zip(
        work.inputs[which].sizes, work.inputs[which].groundtruth, found, strict=True
    ):
        evaluator.add(id_, groundtruth, detections)
    return evaluator.resampled(work.options.draws)


def _inputs(first: InputOptions, last: InputOptions) -> tuple[EvaluationInput, EvaluationInput]:
    """For selection and for evaluation: one and the same where both read the same files."""
    if first.shards() == last.shards():
        logging.warning("models are chosen on the input that they are measured on, which flatters; give --select_input")
        both = EvaluationInput(_EVALUATION, last)
        return both, both
    return EvaluationInput(_SELECTION, first), EvaluationInput(_EVALUATION, last)


def _readers(options: EnsembleOptions) -> tuple[InputOptions, InputOptions]:
    """What to read for selection and for evaluation; the files are there."""
    if options.pipeline_config_path:
        message = config.prepare(options.pipeline_config_path, options.overrides, check_paths=False)
        readers = pipeline_builder.build(message).eval_inputs
        if not readers:
            raise ConfigError(
                f"{options.pipeline_config_path}: has no eval_input_reader; add one, or give --label_map_path and"
                " --input instead"
            )
        first, last = readers[0], readers[-1]
    elif options.label_map_path and options.input:
        labels = label_map.load(options.label_map_path)
        first = last = InputOptions(
            paths=(), categories=labels.categories, text_ids=tuple(labels.text_ids().items()), num_classes=labels.max_id
        )
        first = last = dataclasses.replace(first, max_number_of_boxes=1000, label_source=options.label_map_path)
    else:
        raise ConfigError(
            "what to measure on is not said; give --pipeline_config_path, or --label_map_path and --input"
        )
    last = _with_paths(last, options.input, "--input")
    first = _with_paths(first if options.pipeline_config_path else last, options.select_input, "--select_input")
    for reader in (first, last):
        reader.shards()
    return first, last


def _with_paths(options: InputOptions, paths: Sequence[str], flag: str) -> InputOptions:
    options = dataclasses.replace(options, proposals=None)  # Nothing here asks for proposals.
    return dataclasses.replace(options, paths=tuple(paths), field=flag) if paths else options
