"""Exports a config and a checkpoint as a SavedModel with the files that belong to it."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from absl import logging

from detection import config
from detection.builders import pipeline as pipeline_builder
from detection.checkpoints import checkpoint_files
from detection.config import label_map
from detection.errors import ConfigError
from detection.export import layouts
from detection.export.freeze import batch_norms, variables
from detection.export.layouts import Layout
from detection.export.saved_model import LABEL_MAP, write_atomically, write_saved_model
from detection.export.serving import ServingInput, serving_graph
from detection.pipeline import Pipeline

_ANY_IMAGES = ServingInput()


class Exported(NamedTuple):
    """The result of an export."""

    folder: Path  # contains saved_model, checkpoint, pipeline.config, label_map.pbtxt
    step: int  # training step of the checkpoint
    file_mib: float  # size of the SavedModel in MiB

    def summary(self) -> str:
        """Returns one line: step, path and size of the SavedModel."""
        return f"step {self.step} -> {self.folder / 'saved_model'} ({self.file_mib:.1f} MiB)"


def _label_maps_are_there(paths: Sequence[str]) -> bool:
    """Returns whether all label maps exist; warns if not, since a model can be exported without its label map."""
    missing = [path for path in paths if not os.path.exists(path)]
    for path in missing:
        logging.warning("label_map_path %s: no such file; the exported classes are named category_1 and so on", path)
    return not missing


def _load(path: str | os.PathLike[str], overrides: Sequence[str], override_text: str) -> Pipeline:
    message = config.prepare(path, overrides, override_text=override_text, check_paths=False)
    return pipeline_builder.build(
        message,
        read_label_maps=_label_maps_are_there(pipeline_builder.label_map_paths(message)),
        source=os.fspath(path),
    )


def export(
    pipeline: Pipeline | str | os.PathLike[str],
    checkpoint: str | os.PathLike[str],
    output_directory: str | os.PathLike[str],
    serving_input: ServingInput = _ANY_IMAGES,
    overrides: Sequence[str] = (),
    override_text: str = "",
    *,
    allow_unused_checkpoint_variables: bool = False,
    layout: Layout = layouts.OWN,
) -> Exported:
    """Builds the detector, loads a checkpoint, folds batch norm, freezes variables and writes the export.

    Args:
        pipeline: the pipeline that the checkpoint was trained with, or the path of its config.
        checkpoint: a prefix, a file of a checkpoint, or a folder (its latest checkpoint).
        output_directory: see `export.saved_model` for its contents. An existing export is replaced once the new one is
            complete.
        serving_input: the input of the exported model.
        overrides: changes to a config given by path, such as `model.ssd.num_classes=3` (the trainer's --set).
        override_text: part of a config in text format, merged into a config given by path.
        allow_unused_checkpoint_variables: only warn about weights that the model of the config does not have.
        layout: where the weights are written, see `export.layouts`.

    Raises:
        ConfigError: the message names file and field, variable, or flag. Nothing is written then.
    """
    prefix = checkpoint_files.locate(checkpoint)
    if not isinstance(pipeline, Pipeline):
        pipeline = _load(pipeline, overrides, override_text)
    elif overrides or override_text:
        raise ConfigError("overrides apply to a config file; pass them to load_pipeline")
    # Report a wrong flag before building the model.
    serving_input = serving_input._replace(channels=pipeline.channels)
    serving_input.spec()
    detector = pipeline.detector()
    step = pipeline.restore(detector, prefix, allow_unused=allow_unused_checkpoint_variables)
    frozen = serving_graph(detector, pipeline.resizer, serving_input)
    # Intermediate graphs are reference cycles that hold every weight several times: 1.9 GB for CaffeNet's 218 MB.
    gc.collect()
    if left := variables(frozen.graph) + batch_norms(frozen.graph):
        raise ConfigError(
            f"{pipeline.source}: {len(left)} nodes could not be frozen and folded, e.g. {left[0]}; this model cannot be"
            " exported"
        )
    # The exported checkpoint has the averaged weights under the plain names.
    averaged = pipeline.evaluate.use_moving_averages
    message = config.from_text(pipeline.text)
    as_exported = config.override(message, ["eval_config.use_moving_averages=false"]) if averaged else message

    def write(folder: Path) -> None:
        write_saved_model(frozen, serving_input.keys(detector), pipeline.categories, folder / "saved_model")
        layouts.write_checkpoint(layout, folder, detector, step)
        if layout.frozen_graph:
            layouts.write_frozen_graph(folder / layout.frozen_graph, frozen, serving_input.kind)
        config.save(as_exported, folder / "pipeline.config")
        (folder / LABEL_MAP).write_text(label_map.to_text(pipeline.categories), encoding="utf-8")

    target = Path(output_directory)
    write_atomically(target, write)
    size = sum(path.stat().st_size for path in (target / "saved_model").rglob("*") if path.is_file())
    return Exported(target, step, size / 2**20)
