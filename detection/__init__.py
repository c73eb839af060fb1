"""Object detection in TensorFlow, from a pipeline config and annotated images to a served detector.

    import detection

    pipeline = detection.load_pipeline("configs/....config", ["train_config.num_steps=500"])
    metrics = detection.run_training(pipeline, "model_dir", seed=1)   # resumes a run that was stopped
    metrics = detection.run_evaluation(pipeline, "model_dir")         # evaluates its newest checkpoint
    detection.export_saved_model(pipeline, "model_dir", "exported")
    results = detection.load_model("exported").detect(["image.jpg"], min_score=0.5)

`pipeline.with_data(training=[(image, boxes, classes), ...])` trains on data from Python instead of record files. Custom
components: docs/your_own_parts.md. TensorFlow is imported at the first call, not by `import detection`. (The functions
are not named train and evaluate because packages have these names.)
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
# Types of arguments and results, and the modules from which they are imported on first use.
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
    """Imports a public type on first use, since most of their modules import TensorFlow."""
    if name not in _TYPES:
        raise AttributeError(f"module 'detection' has no attribute {name!r}")
    return getattr(importlib.import_module(f"detection.{_TYPES[name]}"), name)


def load_pipeline(path: str | os.PathLike[str], overrides: Iterable[str] = (), check_paths: bool = True) -> Pipeline:
    """Loads, checks and builds a pipeline config.

    Args:
        path: config file, text or binary.
        overrides: changes to fields, such as `"train_config.batch_size=8"`.
        check_paths: whether the records and checkpoints named in the config must exist. False allows, for example, to
            evaluate on a machine without the training data.

    Raises:
        ConfigError, DataError: a message with file, field, value and how to fix it.
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
    """Trains and evaluates; resumes from the newest checkpoint in `model_dir` if there is one.

    Args:
        pipeline: as `load_pipeline` returns it.
        model_dir: folder for checkpoints, events and metrics.
        num_steps: train until this step, counted from the first step of `model_dir`; None uses that of the config.
        options: all options of the run in one object, instead of single options by name.
        callbacks: functions to call after steps, checkpoints and evaluations.
        strategy: None uses all accelerators of this machine, or the CPU.
        stream: for progress messages; None uses standard error.
        **named: single options of the run:
            seed: makes data order, augmentation and initial weights reproducible, also after resuming.
            checkpoint_every: steps between checkpoints.
            evaluate_every: steps between evaluations; 0: at checkpoints, no sooner than eval_config.eval_interval_secs.
                The last step is always evaluated.
            keep_checkpoints: number of newest checkpoints to keep.
            checkpoint_format: "name", or "object": checkpoints that the TF Object Detection API's TF2 code restores.
            log_every: steps between summaries.
            progress_seconds: seconds between progress lines if the output is not a terminal.
            best_metric: tag of the metric whose best checkpoint is kept in `model_dir`/best; None uses the first mAP.
            stop_after: stop after this many consecutive evaluations without a better metric; 0: never.
            max_nonfinite_steps: number of consecutive steps whose loss or gradient may be non-finite.
            skip_bad_records: skip records that cannot be used, instead of stopping at the first.
            max_bad_records: maximum number of skipped records per input.
            allow_config_change: resume even if the config differs from the one that `model_dir` was started with.
            allow_unused_checkpoint_variables: allow fine-tuning from a checkpoint of a different network.
            summaries: write events for TensorBoard.

    Returns:
        Tag -> value of the last evaluation, or of the last losses if there is no evaluation input.

    Raises:
        ConfigError, DataError: the config or the data cannot be used.
        DivergedError: the loss or the gradient was non-finite in too many consecutive steps.
        ModelDirInUseError: another process trains in `model_dir`.
    """
    from detection.train import loop
    from detection.train.options import RunOptions

    if options is not None and named:
        raise TypeError("run_training: pass either options or single options by name, not both")
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
    """Evaluates a checkpoint on the evaluation input of the config.

    Args:
        pipeline: as `load_pipeline` returns it.
        checkpoint: a prefix, or a folder (its newest checkpoint).
        model_dir: results are also written to its folder `eval`; None uses the folder of the checkpoint.
        allow_unused_checkpoint_variables: only warn about weights in the checkpoint that the model does not have.

    Returns:
        Metrics by tag.

    Raises:
        ConfigError, DataError: the checkpoint, which may be from a different network, or the data cannot be used.
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
    """Exports a SavedModel with folded batch norm, frozen variables and any batch size.

    Args:
        pipeline: as `load_pipeline` returns it, or the path of a config.
        checkpoint: a prefix, or a folder (its newest checkpoint).
        output_directory: the SavedModel is written to its folder `saved_model`, with other files beside it.
        overrides: changes to fields of a config that is given by path.
        allow_unused_checkpoint_variables: only warn about weights in the checkpoint that the model does not have.

    Raises:
        ConfigError: the config or the checkpoint, which may be from a different network, cannot be used.
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
