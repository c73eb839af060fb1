"""The experiment of the survey's section 4.2: select models on one input, merge them, and measure them on another.

detections of every model, selection input -> AP, AP by category -> the k most accurate; k diverse ones; how to merge
the same models, evaluation input          -> each alone; each set merged; both again with several crops per image
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
from detection.ensemble.collect import Collector, InputDetections
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
    """Settings of the experiment, with the names of the flags of `detection ensemble`."""

    models: Sequence[str] = ()
    stored: Sequence[str] = ()
    pipeline_config_path: str = ""
    overrides: Sequence[str] = ()
    label_map_path: str = ""
    select_input: Sequence[str] = ()
    input: Sequence[str] = ()
    output_dir: str = "ensemble"
    k: int = 5
    max_similarity: float | None = None  # None: use the set that is best on the selection input
    hand_selected: Sequence[str] = ()
    multicrop: str = ""  # see `views`; empty: whole images only
    # Of several, the one that is best on the selection input is used.
    merging: Sequence[merge.MergeSettings] = (merge.MergeSettings(),)
    draws: int = 200
    batch_size: int = 8
    allow_unused_checkpoint_variables: bool = False


@dataclass
class _Work:
    """The models, inputs and settings that all steps need."""

    options: EnsembleOptions
    models: list[Model]
    inputs: tuple[EvaluationInput, EvaluationInput]  # selection, evaluation; may be the same object
    collector: Collector
    crops: tuple[views.View, ...]
    stream: TextIO | None

    def detections(self, model: Model, which: int) -> InputDetections:
        """The detections of a model in whole images; `which` is the number of the input."""
        if model.stored:
            return self.collector.stored(model, self.inputs[which], which)
        return self.collector.detections(model, self.inputs[which])[views.FULL]

    def cropped(self, model: Model, which: int, settings: merge.MergeSettings) -> InputDetections:
        """The merged detections of a model in all crops."""
        return self._merge_crops(self.collector.detections(model, self.inputs[which], self.crops), which, settings)

    def crop_merger(self, model: Model, which: int) -> Callable[[merge.MergeSettings], InputDetections]:
        """A function from settings to `cropped`, which reads the detections only once."""
        by_view = self.collector.detections(model, self.inputs[which], self.crops)
        return lambda settings: self._merge_crops(by_view, which, settings)

    def _merge_crops(self, by_view, which: int, settings: merge.MergeSettings) -> InputDetections:
        images = enumerate(self.inputs[which].sizes.values())
        return [
            merge.merge([merge.Source(by_view[view][row], view.uncut_window(*size)) for view in self.crops], settings)
            for row, size in images
        ]

    def measure(self, detections: InputDetections, which: int) -> report.Measured:
        """COCO and VOC metrics of detections."""
        categories = self.inputs[which].categories
        coco = CocoEvaluator(categories, per_category_tags=True)
        metrics = self.inputs[which].measure(detections, (coco, PascalVocEvaluator(categories)))
        return report.Measured(metrics, coco.per_category()[0].values)


def run(options: EnsembleOptions, stream: TextIO | None = None) -> report.EnsembleReport:
    """Runs the experiment; writes ensemble.json, ensemble.md and the detections of every set into the output folder.

    Args:
        options: the settings.
        stream: receives progress lines; None takes standard error.

    Raises:
        ConfigError, DataError: in one line; models and flags are checked before any model runs.
    """
    crops = views.parse(options.multicrop) if options.multicrop else ()
    all_models = models.find(options.models, options.stored)
    unknown = [name for name in options.hand_selected if name not in {model.name for model in all_models}]
    if unknown:
        raise ConfigError(
            f"--hand_selected={unknown[0]}: no model has this name; the models are"
            f" {', '.join(model.name for model in all_models)}"
        )
    readers = _readers(options)
    collector = Collector(options.output_dir, options.batch_size, stream)
    collector.prepare(all_models, options.allow_unused_checkpoint_variables)
    work = _Work(options, all_models, _inputs(*readers), collector, crops, stream)
    selection = _choose(work)
    results = _evaluate(work, selection)
    try:
        Path(options.output_dir).mkdir(parents=True, exist_ok=True)
        write_text(Path(options.output_dir) / "ensemble.json", results.to_json())
        write_text(Path(options.output_dir) / "ensemble.md", results.markdown())
    except OSError as error:
        raise ConfigError(
            f"--output_dir={options.output_dir}: cannot be written: {error.strerror or error}; check the path and the"
            " free space"
        ) from error
    return results


def merged(members: Sequence[InputDetections], settings: merge.MergeSettings) -> InputDetections:
    """Merges the detections of several models, image by image; those of a single model are not changed."""
    if len(members) == 1:
        return list(members[0])
    return [
        merge.merge([merge.Source(model_detections) for model_detections in image], settings)
        for image in zip(*members, strict=True)
    ]


@dataclass
class _Selection:
    """The results on the selection input."""

    detections: list[InputDetections]  # by model
    measured: list[report.Measured]  # by model
    similarity: np.ndarray
    sets: list[report.ModelSet]
    settings: merge.MergeSettings
    crop_settings: merge.MergeSettings
    tried: list[report.Candidate]


def _choose(work: _Work) -> _Selection:
    options, names = work.options, [model.name for model in work.models]
    detections = [work.detections(model, 0) for model in work.models]
    measured = [work.measure(item, 0) for item in detections]
    precision = [item.metrics[_AP] for item in measured]
    similarity = select.cosine_similarity(np.array([list(item.by_category.values()) for item in measured]))
    k = min(options.k, len(names))
    best = select.most_accurate(precision, k)
    tried: list[report.Candidate] = []
    settings = _best_settings(
        work, "ensemble", lambda candidate: merged([detections[number] for number in best], candidate), tried
    )
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
        sets += _diverse(work, detections, precision, similarity, k, settings, tried)
    if options.hand_selected:
        sets.append(report.ModelSet("hand selected", tuple(names.index(name) for name in options.hand_selected)))
    return _Selection(detections, measured, similarity, sets, settings, crop_settings, tried)


def _best_settings(
    work: _Work, label: str, merger: Callable[[merge.MergeSettings], InputDetections], tried: list[report.Candidate]
) -> merge.MergeSettings:
    """The settings for merging that are best on the selection input; all results are appended to `tried`."""
    options = work.options.merging
    if len(options) == 1:
        return options[0]
    scores = []
    with Progress(len(options), "way", label=f"ways of merging, {label}", stream=work.stream) as progress:
        for settings in options:
            scores.append(work.measure(merger(settings), 0).metrics[_AP])
            tried.append(report.Candidate(f"{label}: {settings}", scores[-1]))
            progress.update()
    return options[int(np.argmax(scores))]


def _diverse(
    work: _Work,
    detections: list[InputDetections],
    precision: list[float],
    similarity: np.ndarray,
    k: int,
    settings: merge.MergeSettings,
    tried: list[report.Candidate],
) -> list[report.ModelSet]:
    """The diverse set, if it differs from the most accurate one."""
    threshold = work.options.max_similarity
    if threshold is not None:
        members = select.diverse(precision, similarity, k, threshold)
        if len(members) < k:
            logging.warning(
                "--max_similarity=%g allows only %d models, not %d; raise it or lower --k",
                threshold,
                len(members),
                k,
            )
        if set(members) == set(select.most_accurate(precision, k)):
            logging.warning(
                "--max_similarity=%g excludes none of the %d most accurate models; lower it to get a diverse set",
                threshold,
                k,
            )
            return []
        return [report.ModelSet(report.DIVERSE, members, threshold)]
    choices = select.diverse_sets(precision, similarity, k)
    if not choices:
        logging.warning(
            "no other %d of %d models are more diverse than the most accurate ones; give more models, or a smaller --k",
            k,
            len(precision),
        )
        return []
    scores = []
    with Progress(len(choices), "set", label="diverse sets", stream=work.stream) as progress:
        for choice in choices:
            scores.append(
                work.measure(merged([detections[number] for number in choice.members], settings), 0).metrics[_AP]
            )
            names = ", ".join(work.models[number].name for number in choice.members)
            tried.append(report.Candidate(f"similarity below {choice.max_similarity:.6f}: {names}", scores[-1]))
            progress.update()
    best = choices[int(np.argmax(scores))]
    return [report.ModelSet(report.DIVERSE, best.members, best.max_similarity)]


def _evaluate(work: _Work, selection: _Selection) -> report.EnsembleReport:
    which = 0 if work.inputs[0] is work.inputs[1] else 1
    detections = selection.detections if which == 0 else [work.detections(model, 1) for model in work.models]
    measured = selection.measured if which == 0 else [work.measure(item, 1) for item in detections]
    rows = _rows(work, selection, detections, which)
    comparisons = report.compare(rows, work.options.draws, lambda row: _resampled(work, row.detections, which))
    entries = [
        report.ModelEntry(model.name, model.path or ", ".join(model.stored), model.facts(), *results)
        for model, *results in zip(work.models, selection.measured, measured, strict=True)
    ]
    inputs = [report.Input(item.name, list(item.paths), len(item.sizes)) for item in work.inputs]
    merging = {"ensemble": str(selection.settings), "crops": str(selection.crop_settings) if work.crops else ""}
    return report.EnsembleReport(
        inputs,
        entries,
        selection.similarity,
        selection.sets,
        merging,
        selection.tried,
        rows,
        comparisons,
        work.options.multicrop,
    )


def _rows(
    work: _Work, selection: _Selection, detections: list[InputDetections], which: int
) -> list[report.EnsembleRow]:
    """The rows of every set, with whole images and with crops."""
    cropped: dict[int, InputDetections] = {}
    rows = []
    for model_set in selection.sets:
        rows.append(
            _row(
                work,
                model_set,
                1,
                merged([detections[number] for number in model_set.members], selection.settings),
                which,
            )
        )
        if not work.crops:
            continue
        without = [work.models[number].name for number in model_set.members if work.models[number].stored]
        if without:
            logging.warning("%s: no crops, as only detections are given for %s", model_set.name, ", ".join(without))
            continue
        for number in model_set.members:
            if number not in cropped:
                cropped[number] = work.cropped(work.models[number], which, selection.crop_settings)
        rows.append(
            _row(
                work,
                model_set,
                len(work.crops),
                merged([cropped[number] for number in model_set.members], selection.settings),
                which,
            )
        )
    return rows


def _row(
    work: _Work, model_set: report.ModelSet, crops: int, detections: InputDetections, which: int
) -> report.EnsembleRow:
    images = work.inputs[which]
    row = report.EnsembleRow(model_set.name, model_set.members, crops, work.measure(detections, which), detections)
    path = Path(work.options.output_dir) / "ensembles" / f"{row.title.replace(' ', '_').replace(',', '')}.npz"
    notes = {"members": [work.models[number].name for number in model_set.members], "crops": crops}
    try:
        stored.write(
            path,
            stored.collect(zip(images.sizes, images.sizes.values(), detections, strict=True), images.categories, notes),
        )
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written: {error.strerror or error}; check the path and the free space"
        ) from error
    return row


def _resampled(work: _Work, input_detections: InputDetections, which: int) -> np.ndarray:
    evaluator = CocoEvaluator(work.inputs[which].categories)
    for id_, groundtruth, detections in zip(
        work.inputs[which].sizes, work.inputs[which].groundtruth, input_detections, strict=True
    ):
        evaluator.add(id_, groundtruth, detections)
    return evaluator.resampled(work.options.draws)


def _inputs(selection: InputOptions, evaluation: InputOptions) -> tuple[EvaluationInput, EvaluationInput]:
    """The selection and the evaluation input: the same object if both read the same files."""
    if selection.shards() == evaluation.shards():
        logging.warning(
            "models are selected on the input that they are measured on, so results are too good; give --select_input"
        )
        shared = EvaluationInput(_EVALUATION, evaluation)
        return shared, shared
    return EvaluationInput(_SELECTION, selection), EvaluationInput(_EVALUATION, evaluation)


def _readers(options: EnsembleOptions) -> tuple[InputOptions, InputOptions]:
    """The options of the selection and the evaluation input; checks that their files exist."""
    if options.pipeline_config_path:
        message = config.prepare(options.pipeline_config_path, options.overrides, check_paths=False)
        readers = pipeline_builder.build(message).eval_inputs
        if not readers:
            raise ConfigError(
                f"{options.pipeline_config_path}: has no eval_input_reader; add one, or give --label_map_path and"
                " --input instead"
            )
        selection, evaluation = readers[0], readers[-1]
    elif options.label_map_path and options.input:
        labels = label_map.load(options.label_map_path)
        selection = evaluation = InputOptions(
            paths=(), categories=labels.categories, text_ids=tuple(labels.text_ids().items()), num_classes=labels.max_id
        )
        selection = evaluation = dataclasses.replace(
            selection, max_number_of_boxes=1000, label_source=options.label_map_path
        )
    else:
        raise ConfigError("no evaluation input is given; give --pipeline_config_path, or --label_map_path and --input")
    evaluation = _with_paths(evaluation, options.input, "--input")
    selection = _with_paths(
        selection if options.pipeline_config_path else evaluation, options.select_input, "--select_input"
    )
    for reader in (selection, evaluation):
        reader.shards()
    return selection, evaluation


def _with_paths(options: InputOptions, paths: Sequence[str], flag: str) -> InputOptions:
    options = dataclasses.replace(options, proposals=None)  # Ensembles do not use proposals.
    return dataclasses.replace(options, paths=tuple(paths), field=flag) if paths else options
