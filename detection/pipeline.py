"""`Pipeline`, the objects built from a config, and `Detector`, the interface that every meta-architecture implements.

pipeline = builders.pipeline.load("pipeline.config")
detector = pipeline.detector("model_dir")            # new, with the weights of the newest checkpoint
predictions = detector.predict(batch, groundtruth, training=True)
losses = detector.loss(predictions, groundtruth)
detections = detector.postprocess(predictions, batch.true_shapes)
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import tensorflow as tf
from absl import logging

from detection.checkpoints import checkpoint_files, loading, rotation
from detection.config import beside
from detection.data.reading.input import InputOptions
from detection.data.reading.python_data import PythonData, Source
from detection.data.resize import IdentityResizer, Resizer
from detection.data.sample import Augmentation
from detection.errors import ConfigError, DetectionError, first_line, in_file
from detection.settings import EvalSettings, TrainSettings
from detection.types import Category, Detections, Example, Groundtruth, ImageBatch


class Predictions(Protocol):
    """Structure of tensors that `Detector.predict` returns.

    It is one of `types.DensePredictions`, `types.RegionPredictions` and `types.CenterPredictions`.
    """

    @property
    def images(self) -> tf.Tensor:
        """Input images scaled for the network, float32 [B, H, W, 3]."""

    @property
    def feature_maps(self) -> tuple[tf.Tensor, ...]:
        """Feature maps of the extractor, float32 [B, h, w, c] each."""

    def raw(self) -> dict[str, tf.Tensor]:
        """Inputs of postprocessing, by name."""

    def stage_border(self) -> dict[str, tf.Tensor]:
        """Tensors passed from the first stage to the second, by name; empty for a single-stage detector."""


@runtime_checkable
class Detector(Protocol):
    """Interface of every meta-architecture.

    A detector is a `keras.layers.Layer` that is used through the methods below and never called. Its parts' variables
    are therefore created at the root, under their checkpoint names.

    No state is kept between methods: `loss` and `postprocess` take what `predict` returned. `training` changes values,
    never the type of a structure.
    """

    name: str  # name of the meta-architecture
    num_classes: int  # number of foreground classes, K

    @property
    def variables(self) -> Sequence[tf.Variable]:
        """All variables, each with a `path`, its name in checkpoints."""

    @property
    def trainable_variables(self) -> Sequence[tf.Variable]:
        """Variables that are updated by gradients."""

    @property
    def non_trainable_variables(self) -> Sequence[tf.Variable]:
        """The other variables: averages of batch normalisation, state of random generators."""

    @property
    def anchors_per_cell(self) -> tuple[int, ...]:
        """Number of anchors per cell of each feature map; empty for a detector without anchors."""

    @property
    def takes_proposals(self) -> bool:
        """Whether `ImageBatch.proposals` must be given."""

    @property
    def measures_targets(self) -> bool:
        """Whether `measure_targets` must be called once on the training data before the first step."""

    def build_weights(self) -> None:
        """Creates all variables; does nothing if they exist already."""

    def predict(self, batch: ImageBatch, groundtruth: Groundtruth | None = None, training: bool = False) -> Predictions:
        """Runs the network.

        Args:
            batch: images, and proposals if `takes_proposals`.
            groundtruth: in training, a detector may use it to sample what it learns from.
            training: whether batch normalisation, dropout and sampling work as in training.

        Returns:
            Everything that `loss` and `postprocess` need.
        """

    def loss(self, predictions: Predictions, groundtruth: Groundtruth) -> dict[str, tf.Tensor]:
        """Weighted scalar losses by TensorBoard tag, without regularisation."""

    def regularization_loss(self) -> tf.Tensor:
        """Sum of the penalties of all kernels, scalar."""

    def postprocess(self, predictions: Predictions, true_shapes: tf.Tensor) -> Detections:
        """Decodes boxes, suppresses duplicates, clips and normalises; `true_shapes` is int32 [B, 2]."""

    def object_keys(self) -> Mapping[str, tf.Variable]:
        """Variables by their keys in object-based checkpoints of the TF Object Detection API.

        Empty if no such checkpoint of the meta-architecture can be read.
        """

    def measure_targets(self, examples: Iterable[Example]) -> tf.Tensor:
        """Fits variables that depend on the training data but have no gradient.

        Returns:
            Number of boxes seen of each class, float32 [K]; all 0 if nothing is measured.
        """


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """Everything a config describes. Parts that it does not describe are None or empty."""

    make_detector: Callable[[], Detector]  # returns a new detector without variables at every call
    resizer: Resizer
    categories: tuple[Category, ...]
    train: TrainSettings | None
    train_input: InputOptions | None
    augmentations: tuple[Augmentation, ...]
    evaluate: EvalSettings
    eval_inputs: tuple[InputOptions, ...]
    text: str  # the config as text, as saved in model directories and exports
    source: str = ""  # the file the config was read from, for messages
    channels: int = 3  # of images: red, green, blue and any additional ones

    @property
    def eval_input(self) -> InputOptions | None:
        """The input that is evaluated during training: the first one, as in the TF Object Detection API."""
        return self.eval_inputs[0] if self.eval_inputs else None

    @property
    def eval_resizer(self) -> Resizer:
        """The resizer used by evaluation."""
        return self.resizer if self.evaluate.resize else IdentityResizer()

    @property
    def eval_categories(self) -> tuple[Category, ...]:
        """The detector's classes as the evaluation input names them, as in the TF Object Detection API."""
        options = self.eval_input
        if options is None or not options.categories:
            return self.categories
        return tuple(category for category in options.categories if category.id <= (options.num_classes or category.id))

    def detector(self, checkpoint: str | os.PathLike[str] | None = None, *, allow_unused: bool = False) -> Detector:
        """A new detector with its variables. Call it inside the distribution strategy's scope, if there is one.

        Args:
            checkpoint: source of the weights, see `restore`; None keeps the initial weights.
            allow_unused: see `restore`.

        Raises:
            ConfigError: the detector cannot be built, or the checkpoint does not fit.
        """
        detector = self._new_detector()
        if checkpoint is not None:
            self.restore(detector, checkpoint, allow_unused=allow_unused)
        return detector

    def _new_detector(self) -> Detector:
        try:
            detector = self.make_detector()
            detector.build_weights()
        except DetectionError as error:  # Builders know fields, not files.
            raise in_file(self.source, error) from error
        except (ValueError, OverflowError, MemoryError, tf.errors.OpError) as error:
            # Sizes whose mismatch only TensorFlow notices.
            logging.debug("%s", self.source, exc_info=True)
            reason = first_line(error)
            where = self.source or "the config"
            raise ConfigError(
                f"{where}: the detector cannot be built: {reason}; is the input too small for so many maps, or a size"
                " too large?"
            ) from error
        return detector

    def with_data(self, training: Source | None = None, evaluation: Source | None = None) -> Pipeline:
        """A copy of this pipeline that reads its data from Python objects instead of the config's record files.

        All settings of the config's input readers except their paths still apply; without a reader in the config the
        defaults of an input reader apply.

        Args:
            training: (image, boxes, classes) from a list, from a function that returns an iterator over one epoch, or
                from a `tf.data.Dataset`, see `data.reading.python_data`; None keeps the current training data.
            evaluation: the same for the evaluation data.

        Raises:
            DataError: the data has none of these forms.
        """
        changes: dict[str, object] = {}
        if training is not None:
            reader = self.train_input or self._default_reader("train_input_reader")
            changes["train_input"] = _reading(reader, training, "training data")
        if evaluation is not None:
            reader = self.eval_input or self._default_reader("eval_input_reader", shuffle=False, num_epochs=1)
            changes["eval_inputs"] = (_reading(reader, evaluation, "evaluation data"), *self.eval_inputs[1:])
        return dataclasses.replace(self, **changes)

    def _default_reader(self, field: str, **settings: object) -> InputOptions:
        most = max((category.id for category in self.categories), default=0)
        return InputOptions(
            paths=(),
            field=field,
            label_source=f"{field} (none)",
            categories=self.categories,
            num_classes=most,
            **settings,
        )

    def restore(self, detector: Detector, checkpoint: str | os.PathLike[str], *, allow_unused: bool = False) -> int:
        """Loads a checkpoint into a detector of this pipeline.

        Moving averages are loaded if eval_config.use_moving_averages is set. Logs a warning if the config saved next to
        the checkpoint describes a different model.

        Args:
            detector: a detector whose variables have been created.
            checkpoint: a prefix, a file of a checkpoint, or a folder (its newest checkpoint).
            allow_unused: only log a warning if the checkpoint has weights that the model does not use.

        Returns:
            The checkpoint's global step; 0 if it has none.

        Raises:
            ConfigError: the checkpoint cannot be read or belongs to another network; no variable has been changed.
        """
        prefix = checkpoint_files.locate(checkpoint)
        _warn_of_another_config(os.path.dirname(prefix), self.text)
        return loading.load_into(detector, prefix, self.evaluate.use_moving_averages, allow_unused=allow_unused)


def _reading(options: InputOptions, source: Source, name: str) -> InputOptions:
    """The same reader options with data from Python."""
    data = PythonData(source, name, options.categories, options.shuffle_buffer_size)
    return dataclasses.replace(options, paths=(), weights=(), python=data)


@functools.lru_cache(maxsize=64)
def _warn_of_another_config(folder: str, text: str) -> None:
    """Warns once per folder, since evaluation during training reads many checkpoints of one folder."""
    if said := beside.differences(os.path.join(folder, rotation.NAME), text):
        logging.warning("%s: %s", folder or ".", said)
