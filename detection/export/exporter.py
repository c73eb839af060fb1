"""A config and a checkpoint -> a folder that serves."""

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
    """What was written."""

    folder: Path  # holds saved_model, checkpoint, pipeline.config, label_map.pbtxt
    step: int  # of the checkpoint
    file_mib: float  # the SavedModel

    def summary(self) -> str:
        """One line."""
        return f"step {self.step} -> {self.folder / 'saved_model'} ({self.file_mib:.1f} MiB)"


def _label_maps_are_there(paths: Sequence[str]) -> bool:
    """A model can be exported where its data is not; its classes are numbered then."""
    missing = [path for path in paths if not os.path.exists(path)]
    for path in missing:
        logging.warning("label_map_path %s: no such file; the exported classes are called category_1 and so on", path)
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
    """Builds the detector, fills it from a checkpoint, folds, freezes and writes it.

    Args:
        pipeline: what the checkpoint was trained with, or the path of its config.
        checkpoint: a prefix, a file of a checkpoint, or a folder (its latest checkpoint).
        output_directory: see `export.saved_model`; an export that is there already is replaced once this one is
            complete.
        serving_input: what the model is to take.
        overrides: `model.ssd.num_classes=3`, as the trainer's --set; of a config that is given by its path.
        override_text: part of a config in text form, merged over the file's; likewise.
        allow_unused_checkpoint_variables: only warn of weights that the config's model has no place for.
        layout: where the weights go, see `export.layouts`.

    Raises:
        ConfigError: naming file and field, variable, or flag. Nothing is written then.
    """
    prefix = checkpoint_files.locate(checkpoint)
    if not isinstance(pipeline, Pipeline):
        pipeline = _load(pipeline, overrides, override_text)
    elif overrides or override_text:
        raise ConfigError("overrides are of a config file; give them to load_pipeline")
    # A wrong flag should not wait for the model to be built.
    serving_input = serving_input._replace(channels=pipeline.channels)
    serving_input.spec()
    detector = pipeline.detector()
    step = pipeline.restore(detector, prefix, allow_unused=allow_unused_checkpoint_variables)
    frozen = serving_graph(detector, pipeline.resizer, serving_input)
    # The graphs on the way to it are cycles, and hold every weight several times: of CaffeNet's 218 MB, 1.9 GB.
    gc.collect()
    if left := variables(frozen.graph) + batch_norms(frozen.graph):
        raise ConfigError(
            f"{pipeline.source}: {len(left)} nodes could not be frozen and folded, e.g. {left[0]}; this model cannot be"
            " exported"
        )
    # Averaged weights are exported under the plain names.
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
