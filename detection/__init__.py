"""Object detection in TensorFlow, from a pipeline config and annotated images to a served detector.

    import detection

    pipeline = detection.load_pipeline("configs/....config", ["train_config.num_steps=500"])
    metrics = detection.run_training(pipeline, "model_dir", seed=1)   # resumes if the run exists
    metrics = detection.run_evaluation(pipeline, "model_dir")         # evaluates its newest checkpoint
    detection.export_saved_model(pipeline, "model_dir", "exported")
    results = detection.load_model("exported").detect(["image.jpg"], min_score=0.5)

For data from Python instead of record files see `pipeline.with_data(training=[(image, boxes, classes), ...])`, for
custom parts docs/your_own_parts.md. TensorFlow is imported at the first call, not here. (The functions are not named
train and evaluate because these are packages.)
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO, Unpack

from detection.errors import ConfigError, DataError, DetectionError, DivergedError, ModelDirInUseError

if TYPE_CHECKING:
    import tensorflow as tf

    from detection.data.reading.python_data import Annotated
    from detection.export.exporter import Exported
    from detection.export.predictor import Predictor, Result
    from detection.export.serving import ServingInput
    from detection.pipeline import Detector, Pipeline
    from detection.settings import EvalSettings, TrainSettings
    from detection.train.callbacks import Callbacks, CheckpointSaved, EvaluationDone, StepDone, StopTraining
    from detection.train.options import NamedOptions, RunOptions
    from detection.types import Category, Detections, Groundtruth, ImageBatch

__version__ = "0.1.0"
# The types of what is handed in and back, each with the module that is imported when it is asked for.
_TYPES = {
    "Annotated": "data.reading.python_data",
    "Callbacks": "train.callbacks",
    "Category": "types",
    "CheckpointSaved": "train.callbacks",
    "Detections": "types",
    "Detector": "pipeline",
    "EvalSettings": "settings",
    "EvaluationDone": "train.callbacks",
    "Exported": "export.exporter",
    "Groundtruth": "types",
    "ImageBatch": "types",
    "Pipeline": "pipeline",
    "Predictor": "export.predictor",
    "Result": "export.predictor",
    "RunOptions": "train.options",
    "ServingInput": "export.serving",
    "StepDone": "train.callbacks",
    "StopTraining": "train.callbacks",
    "TrainSettings": "settings",
}
__all__ = [
    "Annotated",
    "Callbacks",
    "Category",
    "CheckpointSaved",
    "ConfigError",
    "DataError",
    "DetectionError",
    "Detections",
    "Detector",
    "DivergedError",
    "EvalSettings",
    "EvaluationDone",
    "Exported",
    "Groundtruth",
    "ImageBatch",
    "ModelDirInUseError",
    "Pipeline",
    "Predictor",
    "Result",
    "RunOptions",
    "ServingInput",
    "StepDone",
    "StopTraining",
    "TrainSettings",
    "export_saved_model",
    "load_model",
    "load_pipeline",
    "run_evaluation",
    "run_training",
]


def __getattr__(name: str) -> object:
    """Imports a type of the public interface on first use, since most of them import TensorFlow."""
    if name not in _TYPES:
        raise AttributeError(f"module 'detection' has no attribute {name!r}")
    return getattr(importlib.import_module(f"detection.{_TYPES[name]}"), name)


def load_pipeline(path: str | os.PathLike[str], overrides: Iterable[str] = (), check_paths: bool = True) -> Pipeline:
    """Loads, overrides, checks and builds a pipeline config.

    Args:
        path: a text or binary config.
        overrides: fields to change, such as `"train_config.batch_size=8"`.
        check_paths: if False, the records and checkpoints that the config names need not exist, for example to evaluate
            on a machine without the training data.

    Returns:
        The pipeline.

    Raises:
        ConfigError, DataError: one line with file, field, value and fix.
    """
    from detection.builders import pipeline

    return pipeline.load(path, overrides, check_paths=check_paths, training=check_paths)


def run_training(
    pipeline: Pipeline,
    model_dir: str | os.PathLike[str],
    *,
    num_steps: int | None = None,
    options: RunOptions | None = None,
    callbacks: Callbacks | None = None,
    strategy: tf.distribute.Strategy | None = None,
    stream: TextIO | None = None,
    **named: Unpack[NamedOptions],
) -> dict[str, float]:
    """Trains and evaluates; resumes from the newest checkpoint if there is a run in `model_dir`.

    Args:
        pipeline: as `load_pipeline` returns it.
        model_dir: folder for checkpoints, events and metrics.
        num_steps: train until this step, counted from the start of `model_dir`; None uses the config's number.
        options: all options of the run in one object; then none may be given by name.
        callbacks: called after steps, checkpoints and evaluations.
        strategy: None uses all accelerators of this machine, or the CPU.
        stream: output for progress; None uses standard error.
        **named: options of the run by name:
            seed: makes data order, augmentation and initial weights reproducible, also across a resume.
            checkpoint_every: steps between checkpoints.
            evaluate_every: steps between evaluations; 0: at checkpoints, but not before eval_config.eval_interval_secs
                have passed. The last step is always evaluated.
            keep_checkpoints: number of newest checkpoints to keep.
            checkpoint_format: "name", or "object": checkpoints that the TF Object Detection API's TF2 code can restore.
            log_every: steps between summaries.
            progress_seconds: seconds between progress lines if the output is not a terminal.
            best_metric: tag of the metric whose best checkpoint is kept in `model_dir`/best; None: the first mAP.
            stop_after: stop after this many consecutive evaluations without a better metric; 0: never.
            max_nonfinite_steps: allowed number of consecutive steps with a non-finite loss or gradient.
            skip_bad_records: skip invalid records instead of stopping at the first.
            max_bad_records: maximum number of invalid records that are skipped per input.
            allow_config_change: resume although the config differs from the one that `model_dir` was started with.
            allow_unused_checkpoint_variables: also fine-tune from a checkpoint of another network.
            summaries: write events for TensorBoard.

    Returns:
        Metrics of the last evaluation by tag; the last losses if there is no evaluation input.

    Raises:
        ConfigError, DataError, DivergedError, ModelDirInUseError: the message is one line.
        TypeError: options are given both by `options` and by name.
    """
    from detection.train import loop
    from detection.train.options import RunOptions

    if options is not None and named:
        raise TypeError("run_training: give options, or what it holds by name, not both")
    return loop.train(
        pipeline,
        model_dir,
        num_steps=num_steps,
        options=options or RunOptions(**named),
        strategy=strategy,
        stream=stream,
        callbacks=callbacks,
    )


def run_evaluation(
    pipeline: Pipeline,
    checkpoint: str | os.PathLike[str],
    model_dir: str | os.PathLike[str] | None = None,
    *,
    allow_unused_checkpoint_variables: bool = False,
) -> dict[str, float]:
    """Evaluates a checkpoint, or the newest one of a folder, on the config's evaluation input.

    Args:
        pipeline: as `load_pipeline` returns it.
        checkpoint: a checkpoint or a folder of checkpoints.
        model_dir: results are also written to `<model_dir>/eval`; None uses the folder of the checkpoint.
        allow_unused_checkpoint_variables: only log a warning if the checkpoint has weights that the model does not use,
            instead of raising an error.

    Returns:
        Metrics by tag.

    Raises:
        ConfigError, DataError: the message is one line.
    """
    from detection.train import evaluation

    folder = checkpoint if os.path.isdir(checkpoint) else os.path.dirname(os.fspath(checkpoint))
    return evaluation.evaluate_checkpoints(
        pipeline, checkpoint, model_dir or folder, run_once=True, allow_unused=allow_unused_checkpoint_variables
    )


def export_saved_model(
    pipeline: Pipeline | str | os.PathLike[str],
    checkpoint: str | os.PathLike[str],
    output_directory: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    allow_unused_checkpoint_variables: bool = False,
) -> Exported:
    """Writes `<output_directory>/saved_model` and the files of an export.

    Batch norm is folded, variables become constants, and the model takes any batch size.

    Args:
        pipeline: a pipeline, or the path of its config.
        checkpoint: a checkpoint or a folder of checkpoints.
        output_directory: created if needed.
        overrides: changes of the config; only if `pipeline` is a path.
        allow_unused_checkpoint_variables: only log a warning if the checkpoint has weights that the model does not use,
            instead of raising an error.

    Raises:
        ConfigError: the message is one line.
    """
    from detection.export import exporter

    return exporter.export(
        pipeline,
        checkpoint,
        output_directory,
        overrides=overrides,
        allow_unused_checkpoint_variables=allow_unused_checkpoint_variables,
    )


def load_model(saved_model: str | os.PathLike[str]) -> Predictor:
    """Loads an exported detector; see `detection.export.predictor.Predictor.detect`."""
    from detection.export.predictor import Predictor

    return Predictor.load(saved_model)
