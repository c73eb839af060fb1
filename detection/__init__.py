"""Object detection in TensorFlow, from a pipeline config and annotated images to a served detector.

    import detection

    pipeline = detection.load_pipeline("configs/....config", ["train_config.num_steps=500"])
    metrics = detection.run_training(pipeline, "model_dir")      # goes on where a stopped run was
    metrics = detection.run_evaluation(pipeline, "model_dir")    # its newest checkpoint
    detection.export_saved_model("model_dir/pipeline.config", "model_dir", "exported")
    results = detection.load_model("exported").detect(["image.jpg"], min_score=0.5)

TensorFlow is imported at the first call, not here. (The functions are not called train or evaluate because the packages
are.)
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from detection.errors import ConfigError, DataError, DetectionError, DivergedError, ModelDirInUseError

if TYPE_CHECKING:
    from detection.export.exporter import Exported
    from detection.export.predictor import Predictor
    from detection.pipeline import Pipeline

__version__ = "0.1.0"
__all__ = [
    "ConfigError",
    "DataError",
    "DetectionError",
    "DivergedError",
    "ModelDirInUseError",
    "export_saved_model",
    "load_model",
    "load_pipeline",
    "run_evaluation",
    "run_training",
]


def load_pipeline(path: str | os.PathLike[str], overrides: Iterable[str] = (), check_paths: bool = True) -> Pipeline:
    """Loads, overrides (`"train_config.batch_size=8"`), checks and builds a pipeline config, text or binary.

    Without `check_paths` the records and checkpoints it names need not exist: to evaluate, say, where the training data
    is not.

    Raises:
        ConfigError, DataError: in one line, with file, field, value and what to write instead.
    """
    from detection.builders import pipeline

    return pipeline.load(path, overrides, check_paths=check_paths, training=check_paths)


def run_training(pipeline: Pipeline, model_dir: str | os.PathLike[str], **options: object) -> dict[str, float]:
    """Trains and evaluates; `options` as of `detection.train.loop.train`. Returns the metrics of the last evaluation by
    tag."""
    from detection.train import loop

    return loop.train(pipeline, model_dir, **options)


def run_evaluation(
    pipeline: Pipeline,
    checkpoint: str | os.PathLike[str],
    model_dir: str | os.PathLike[str] | None = None,
    *,
    allow_unused_checkpoint_variables: bool = False,
) -> dict[str, float]:
    """Evaluates a checkpoint, or the newest of a folder, on the config's evaluation input.

    Results also go to `<model_dir>/eval`; by default beside the checkpoint. Returns the metrics by tag. A checkpoint of
    another network is refused; with `allow_unused_checkpoint_variables` what the model has no place for is only warned
    of.
    """
    from detection.train import evaluation

    folder = checkpoint if os.path.isdir(checkpoint) else os.path.dirname(os.fspath(checkpoint))
    return evaluation.evaluate_checkpoints(
        pipeline, checkpoint, model_dir or folder, run_once=True, allow_unused=allow_unused_checkpoint_variables
    )


def export_saved_model(
    pipeline_config: str,
    checkpoint: str,
    output_directory: str,
    overrides: Sequence[str] = (),
    *,
    allow_unused_checkpoint_variables: bool = False,
) -> Exported:
    """Writes `<output_directory>/saved_model` and what belongs to it: batch norm folded, constants frozen, any batch
    size.

    A checkpoint of another network is refused; with `allow_unused_checkpoint_variables` what the model has no place for
    is only warned of.
    """
    from detection.export import exporter

    return exporter.export(
        pipeline_config,
        checkpoint,
        output_directory,
        overrides=overrides,
        allow_unused_checkpoint_variables=allow_unused_checkpoint_variables,
    )


def load_model(saved_model: str | os.PathLike[str]) -> Predictor:
    """An exported detector; see `detection.export.predictor.Predictor.detect`."""
    from detection.export.predictor import Predictor

    return Predictor.load(saved_model)
