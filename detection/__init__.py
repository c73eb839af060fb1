"""Object detection in TensorFlow, from a pipeline config and annotated images to a served detector.

    import detection

    pipeline = detection.load_pipeline("configs/....config", ["train_config.num_steps=500"])
    metrics = detection.run_training(pipeline, "model_dir", seed=1)   # goes on where a stopped run was
    metrics = detection.run_evaluation(pipeline, "model_dir")         # its newest checkpoint
    detection.export_saved_model(pipeline, "model_dir", "exported")
    results = detection.load_model("exported").detect(["image.jpg"], min_score=0.5)

Data from Python instead of record files: `pipeline.with_data(training=[(image, boxes, classes), ...])`. Parts of one's
own: docs/your_own_parts.md. TensorFlow is imported at the first call, not here. (The functions are not called train or
evaluate because the packages are.)
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
    """A type of the face: imported when it is first asked for, since most of them import TensorFlow."""
    if name not in _TYPES:
        raise AttributeError(f"module 'detection' has no attribute {name!r}")
    return getattr(importlib.import_module(f"detection.{_TYPES[name]}"), name)


def load_pipeline(path: str | os.PathLike[str], overrides: Iterable[str] = (), check_paths: bool = True) -> Pipeline:
    """Loads, overrides (`"train_config.batch_size=8"`), checks and builds a pipeline config, text or binary.

    Without `check_paths` the records and checkpoints it names need not exist: to evaluate, say, where the training data
    is not.

    Raises:
        ConfigError, DataError: in one line, with file, field, value and what to write instead.
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
    """Trains and evaluates; a run that is in `model_dir` already goes on from its newest checkpoint.

    Args:
        pipeline: as `load_pipeline` returns it.
        model_dir: where checkpoints, events and metrics go.
        num_steps: train until this step, counted from the start of `model_dir`; None takes the config's.
        options: how the run goes, all in one; then nothing of it may be given by name.
        callbacks: code of one's own, called after steps, checkpoints and evaluations.
        strategy: None takes all accelerators of this machine, or the CPU.
        stream: where progress is shown; None takes standard error.
        **named: how the run goes, option by option:
            seed: makes data order, augmentation and initial weights repeatable, across a resume too.
            checkpoint_every: steps between checkpoints.
            evaluate_every: steps between evaluations; 0: at checkpoints, no sooner than eval_config.eval_interval_secs.
                The last step is always evaluated.
            keep_checkpoints: newest checkpoints that are kept.
            checkpoint_format: "name", or "object": checkpoints that the TF Object Detection API's TF2 code restores.
            log_every: steps between summaries.
            progress_seconds: between progress lines where the output is no terminal.
            best_metric: tag whose best checkpoint is kept in `model_dir`/best; None: the first mAP that is reported.
            stop_after: stop after this many evaluations in a row without a better metric; 0: never.
            max_nonfinite_steps: steps in a row whose loss or gradient may be not finite.
            skip_bad_records: leave out records that cannot be used, instead of stopping at the first.
            max_bad_records: of one input that may be left out.
            allow_config_change: resume although the config differs from the one `model_dir` was started with.
            allow_unused_checkpoint_variables: fine-tune from a checkpoint of another network too.
            summaries: write events for TensorBoard.

    Returns:
        Tag -> value of the last evaluation; of the last losses where there is nothing to evaluate on.

    Raises:
        ConfigError, DataError, DivergedError, ModelDirInUseError: in one line.
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
    pipeline: Pipeline | str | os.PathLike[str],
    checkpoint: str | os.PathLike[str],
    output_directory: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    allow_unused_checkpoint_variables: bool = False,
) -> Exported:
    """Writes `<output_directory>/saved_model` and the files beside it, for any batch size.

    Batch norm is folded and variables are frozen into constants. `pipeline` may also be the path of a config, which
    `overrides` change.

    A checkpoint with variables that the model does not have is refused; with `allow_unused_checkpoint_variables` they
    only give a warning.
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
    """An exported detector; see `detection.export.predictor.Predictor.detect`."""
    from detection.export.predictor import Predictor

    return Predictor.load(saved_model)
