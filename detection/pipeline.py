"""The contract: what a config becomes (`Pipeline`), and what every meta-architecture is to the rest of the package
(`Detector`).

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
    """What `predict` returns, a structure of tensors: `types.DensePredictions`, `types.RegionPredictions` or
    `types.CenterPredictions`."""

    @property
    def images(self) -> tf.Tensor:
        """float32 [B, H, W, 3], as scaled for the network."""

    @property
    def feature_maps(self) -> tuple[tf.Tensor, ...]:
        """float32 [B, h, w, c] each."""

    def raw(self) -> dict[str, tf.Tensor]:
        """What postprocessing takes, by name."""

    def stage_border(self) -> dict[str, tf.Tensor]:
        """What the first stage hands to the second, by name; empty where there is one stage."""


@runtime_checkable
class Detector(Protocol):
    """What every meta-architecture provides. It is a `keras.layers.Layer` that is used by its verbs, never called: so
    its parts' variables stand at the root, under their checkpoint names.

    Nothing is remembered between verbs: `loss` and `postprocess` take what `predict` returned. `training` changes
    numbers, never the kind of a structure.
    """

    name: str  # of the meta-architecture
    num_classes: int  # foreground classes K

    @property
    def variables(self) -> Sequence[tf.Variable]:
        """All of them, each with a `path`, its name in checkpoints."""

    @property
    def trainable_variables(self) -> Sequence[tf.Variable]:
        """Those that gradients move."""

    @property
    def non_trainable_variables(self) -> Sequence[tf.Variable]:
        """The others: averages of batch normalisation, state of random generators."""

    @property
    def anchors_per_cell(self) -> tuple[int, ...]:
        """Anchors a cell of each feature map; empty where there are no anchors."""

    @property
    def takes_proposals(self) -> bool:
        """Whether `ImageBatch.proposals` must be given."""

    @property
    def measures_targets(self) -> bool:
        """Whether `measure_targets` is to be called on the training data, once, before the first step."""

    def build_weights(self) -> None:
        """Creates every variable; nothing where they are there already."""

    def predict(self, batch: ImageBatch, groundtruth: Groundtruth | None = None, training: bool = False) -> Predictions:
        """Everything that `loss` and `postprocess` need. With groundtruth in training, what is learnt from may be
        sampled here."""

    def loss(self, predictions: Predictions, groundtruth: Groundtruth) -> dict[str, tf.Tensor]:
        """Weighted losses by TensorBoard tag, scalars; regularisation is apart."""

    def regularization_loss(self) -> tf.Tensor:
        """Sum of the penalties of all kernels, scalar."""

    def postprocess(self, predictions: Predictions, true_shapes: tf.Tensor) -> Detections:
        """Decoded, suppressed, clipped and normalised boxes. true_shapes int32 [B, 2]."""

    def object_keys(self) -> Mapping[str, tf.Variable]:
        """The variables by the keys that object-based checkpoints of the TF Object Detection API have for them; empty
        where no such checkpoint of the meta-architecture can be read."""

    def measure_targets(self, examples: Iterable[Example]) -> tf.Tensor:
        """Fits what depends on the training data but has no gradient; returns the boxes seen of each class, float32
        [K], all 0 where nothing is measured."""


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """Everything a config describes. Parts that it does not describe are None or empty."""

    make_detector: Callable[[], Detector]  # a new one at every call, still without variables
    resizer: Resizer
    categories: tuple[Category, ...]
    train: TrainSettings | None
    train_input: InputOptions | None
    augmentations: tuple[Augmentation, ...]
    evaluate: EvalSettings
    eval_inputs: tuple[InputOptions, ...]
    text: str  # the config itself, as it is saved beside what it made
    source: str = ""  # the file that it was read from, for messages
    channels: int = 3  # of images

    @property
    def eval_input(self) -> InputOptions | None:
        """The input that is evaluated while training goes on: the first, as in the TF Object Detection API."""
        return self.eval_inputs[0] if self.eval_inputs else None

    @property
    def eval_resizer(self) -> Resizer:
        """What evaluation gives images their size with."""
        return self.resizer if self.evaluate.resize else IdentityResizer()

    @property
    def eval_categories(self) -> tuple[Category, ...]:
        """What the evaluation input calls the classes that the detector has, as in the TF Object Detection API."""
        options = self.eval_input
        if options is None or not options.categories:
            return self.categories
        return tuple(category for category in options.categories if category.id <= (options.num_classes or category.id))

    def detector(self, checkpoint: str | os.PathLike[str] | None = None, *, allow_unused: bool = False) -> Detector:
        """A new detector with its variables; to be made under the distribution strategy's scope, if there is one.

        Args:
            checkpoint: where its weights come from, as of `restore`; None leaves the initial ones.
            allow_unused: as of `restore`.

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
            # Sizes that only TensorFlow finds not to go together.
            logging.debug("%s", self.source, exc_info=True)
            reason = first_line(error)
            where = self.source or "the config"
            raise ConfigError(
                f"{where}: the detector cannot be built: {reason}; is the input too small for so many maps, or a size"
                " too large?"
            ) from error
        return detector

    def with_data(self, training: Source | None = None, evaluation: Source | None = None) -> Pipeline:
        """A pipeline that trains, or is evaluated, on data from Python instead of the config's record files.

        What the config says of its input readers besides their paths still holds; where it has no reader, the defaults
        of an input reader do.

        Args:
            training, evaluation: (image, boxes, classes) from a list, from a function that returns an iterator of one
                epoch, or from a data set, see `data.reading.python_data`; None keeps what the pipeline reads.

        Raises:
            DataError: the data is none of these.
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
        """Fills a detector of this pipeline from a checkpoint: its moving averages where
        eval_config.use_moving_averages says so. Warns of a config beside the checkpoint that makes another model.

        Args:
            detector: with its variables.
            checkpoint: a prefix, a file of a checkpoint, or a folder (its newest checkpoint).
            allow_unused: only warn of weights in the checkpoint that the model has no place for.

        Returns:
            The checkpoint's global step; 0 if it has none.

        Raises:
            ConfigError: unreadable, or of another network. Nothing is assigned then.
        """
        prefix = checkpoint_files.locate(checkpoint)
        _warn_of_another_config(os.path.dirname(prefix), self.text)
        return loading.load_into(detector, prefix, self.evaluate.use_moving_averages, allow_unused=allow_unused)


def _reading(options: InputOptions, source: Source, name: str) -> InputOptions:
    """The same reader for other data."""
    data = PythonData(source, name, options.categories, options.shuffle_buffer_size)
    return dataclasses.replace(options, paths=(), weights=(), python=data)


@functools.lru_cache(maxsize=64)
def _warn_of_another_config(folder: str, text: str) -> None:
    """Once a folder: those who wait for checkpoints read many."""
    if said := beside.differences(os.path.join(folder, rotation.NAME), text):
        logging.warning("%s: %s", folder or ".", said)
