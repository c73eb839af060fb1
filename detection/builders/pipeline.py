"""A whole pipeline config -> finished objects, once. After this line nobody reads a proto."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

from detection import config as config_files
from detection.builders import evaluator, image_resizer, input_reader, model, preprocessor, train
from detection.config import label_map
from detection.data.reading.options import InputOptions
from detection.data.resize import Resizer
from detection.data.sample import Augmentation
from detection.evaluate.settings import EvalSettings
from detection.protos import pipeline_pb2
from detection.train.settings import TrainSettings
from detection.types import Category


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """Everything a config describes. Parts that it does not describe are None or empty."""

    make_detector: Callable[
        [], model.Detector
    ]  # a new one at every call, to be made under the distribution strategy's scope
    resizer: Resizer
    categories: tuple[Category, ...]
    train: TrainSettings | None
    train_input: InputOptions | None
    augmentations: tuple[Augmentation, ...]
    evaluate: EvalSettings
    eval_inputs: tuple[InputOptions, ...]
    text: str  # the config itself, as it is saved beside what it made

    @property
    def eval_input(self) -> InputOptions | None:
        """The input that is evaluated while training goes on: the first, as in the TF Object Detection API."""
        return self.eval_inputs[0] if self.eval_inputs else None

    @property
    def eval_categories(self) -> tuple[Category, ...]:
        """What the evaluation input calls the classes that the detector has, as in the TF Object Detection API."""
        options = self.eval_input
        if options is None or not options.categories:
            return self.categories
        return tuple(category for category in options.categories if category.id <= (options.num_classes or category.id))


def build(message: pipeline_pb2.TrainEvalPipelineConfig, *, read_label_maps: bool = True) -> Pipeline:
    """Builds what the config describes; no data is opened but label maps.

    Args:
        message: loaded, overridden and checked by `detection.config`.
        read_label_maps: False names the classes category_1, category_2, ... without opening a file.

    Raises:
        ConfigError, DataError: in one line, with the field's path.
    """
    if not read_label_maps:
        message = _without_label_maps(message)
    settings = model.settings(message.model)
    resizer = image_resizer.build(settings.image_resizer, f"model.{model.kind(message.model)}.image_resizer")
    train_input = _train_input(message, settings.num_classes)
    eval_inputs = tuple(
        input_reader.build(reader, settings.num_classes, is_training=False, path=f"eval_input_reader[{index}]")
        for index, reader in enumerate(message.eval_input_reader)
    )
    return Pipeline(
        make_detector=functools.partial(model.build, message.model, resizer),
        resizer=resizer,
        categories=_categories([train_input, *eval_inputs], settings.num_classes),
        train=(
            train.build(message.train_config, message.eval_config.use_moving_averages)
            if message.HasField("train_config")
            else None
        ),
        train_input=train_input,
        augmentations=tuple(
            preprocessor.build(step, f"train_config.data_augmentation_options[{index}]")
            for index, step in enumerate(message.train_config.data_augmentation_options)
        ),
        evaluate=evaluator.build(message.eval_config),
        eval_inputs=eval_inputs,
        text=config_files.to_text(message),
    )


def label_map_paths(message: pipeline_pb2.TrainEvalPipelineConfig) -> list[str]:
    """The label maps that the config names, each once."""
    readers = (message.train_input_reader, *message.eval_input_reader)
    return list(dict.fromkeys(reader.label_map_path for reader in readers if reader.label_map_path))


def _without_label_maps(message: pipeline_pb2.TrainEvalPipelineConfig) -> pipeline_pb2.TrainEvalPipelineConfig:
    copy = pipeline_pb2.TrainEvalPipelineConfig.FromString(message.SerializeToString())
    for reader in (copy.train_input_reader, *copy.eval_input_reader):
        reader.ClearField("label_map_path")
    return copy


def _train_input(message: pipeline_pb2.TrainEvalPipelineConfig, num_classes: int) -> InputOptions | None:
    """None where the config names no training data, as the configs of exported models need not."""
    if message.train_input_reader.WhichOneof("input_reader") is None:
        return None
    return input_reader.build(message.train_input_reader, num_classes, is_training=True)


def _categories(inputs: list[InputOptions | None], num_classes: int) -> tuple[Category, ...]:
    """Those of the first input, as far as the model has classes for them; without inputs, numbered ones."""
    for options in inputs:
        if options is not None:
            return tuple(category for category in options.categories if category.id <= num_classes)
    return label_map.generated(num_classes)
