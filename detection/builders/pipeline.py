"""Builds a `Pipeline` from a pipeline config. Nothing after this module reads protos."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable

from absl import logging

from detection import config as config_files
from detection.builders import evaluator, image_resizer, input_reader, model, preprocessor, train
from detection.checkpoints.inspect import Configured
from detection.config import label_map, plugins
from detection.data.reading.options import InputOptions
from detection.errors import DetectionError, in_file
from detection.pipeline import Pipeline
from detection.protos import eval_pb2, pipeline_pb2
from detection.settings import OPEN_IMAGES_METRICS
from detection.types import Category


def load(
    path: str | os.PathLike[str],
    settings: Iterable[str] = (),
    *,
    check_paths: bool = True,
    training: bool = False,
    read_label_maps: bool = True,
    quiet: bool = False,
) -> Pipeline:
    """Loads, checks and builds a config file.

    Args:
        path: a text or binary config.
        settings: `path=value` overrides.
        check_paths: check that records, label maps and checkpoints exist.
        training: also check what matters only for training, such as the learning-rate schedule.
        read_label_maps: see `build`.
        quiet: log warnings of the config check at debug level only.

    Raises:
        ConfigError, DataError: one line with file, field, value and fix.
    """
    message, warnings, places = config_files.read_checked(path, settings, check_paths=check_paths, training=training)
    for warning in warnings:
        logging.log(logging.DEBUG if quiet else logging.WARNING, "%s", warning)
    with places.named():
        pipeline = build(message, read_label_maps=read_label_maps)
    return dataclasses.replace(pipeline, source=os.fspath(path))


def build(message: pipeline_pb2.TrainEvalPipelineConfig, *, read_label_maps: bool = True, source: str = "") -> Pipeline:
    """Builds what the config describes; of the data only label maps are read.

    Args:
        message: loaded, overridden and checked by `detection.config`.
        read_label_maps: False names the classes category_1, category_2, ... without reading a file.
        source: the config file, for messages.

    Raises:
        ConfigError, DataError: with `source` and the field's path.
    """
    try:
        return _build(message, read_label_maps, source)
    except DetectionError as error:
        raise in_file(source, error) from error


def _build(message: pipeline_pb2.TrainEvalPipelineConfig, read_label_maps: bool, source: str) -> Pipeline:
    plugins.load(message)
    message = pipeline_pb2.TrainEvalPipelineConfig.FromString(message.SerializeToString())
    plugins.complete(message)
    text = config_files.to_text(message)
    if not read_label_maps:
        message = _without_label_maps(message)
    num_classes = model.num_classes(message.model)
    resizer = image_resizer.build(model.settings(message.model).image_resizer)
    train_input = _train_input(message, num_classes)
    eval_inputs = tuple(
        input_reader.build(
            reader,
            num_classes,
            is_training=False,
            open_images=_reads_image_labels(message.eval_config),
            path=f"eval_input_reader[{index}]",
        )
        for index, reader in enumerate(message.eval_input_reader)
    )
    readers = (message.train_input_reader, *message.eval_input_reader)
    extra_channels = max(reader.num_additional_channels for reader in readers)
    return Pipeline(
        make_detector=functools.partial(model.build, message.model, resizer, extra_channels),
        channels=3 + extra_channels,
        resizer=resizer,
        categories=_categories([train_input, *eval_inputs], num_classes),
        train=(
            train.build(message.train_config, message.eval_config.use_moving_averages)
            if message.HasField("train_config")
            else None
        ),
        train_input=train_input,
        augmentations=tuple(map(preprocessor.build, message.train_config.data_augmentation_options)),
        evaluate=evaluator.build(message.eval_config),
        eval_inputs=eval_inputs,
        text=text,
        source=source,
    )


def for_inspection(path: str, settings: Iterable[str] = ()) -> Configured:
    """A config's detector for `checkpoints.inspect`, without reading records or label maps.

    Raises:
        ConfigError: the config cannot be read, is invalid, or cannot be built.
    """
    pipeline = load(path, settings, check_paths=False, read_label_maps=False, quiet=True)
    return Configured(path, pipeline.detector(), pipeline.train.fine_tune if pipeline.train else None)


def label_map_paths(message: pipeline_pb2.TrainEvalPipelineConfig) -> list[str]:
    """The label maps named by the config, without duplicates."""
    readers = (message.train_input_reader, *message.eval_input_reader)
    return list(dict.fromkeys(reader.label_map_path for reader in readers if reader.label_map_path))


def _without_label_maps(message: pipeline_pb2.TrainEvalPipelineConfig) -> pipeline_pb2.TrainEvalPipelineConfig:
    copy = pipeline_pb2.TrainEvalPipelineConfig.FromString(message.SerializeToString())
    for reader in (copy.train_input_reader, *copy.eval_input_reader):
        reader.ClearField("label_map_path")
    return copy


def _train_input(message: pipeline_pb2.TrainEvalPipelineConfig, num_classes: int) -> InputOptions | None:
    """The training input; None if the config names no training data, as configs of exported models may."""
    if message.train_input_reader.WhichOneof("input_reader") is None:
        return None
    return input_reader.build(
        message.train_input_reader,
        num_classes,
        is_training=True,
        merge_boxes=message.train_config.merge_multiple_label_boxes,
        class_scores=_class_scores(message),
        open_images=message.model.center_net.object_center_params.use_labeled_classes,
    )


def _class_scores(message: pipeline_pb2.TrainEvalPipelineConfig) -> int:
    """Columns of the scores that boxes are learnt by; 0 where they are of one class."""
    settings = model.settings(message.model)
    return settings.num_classes if message.train_config.use_multiclass_scores else 0


def _reads_image_labels(message: eval_pb2.EvalConfig) -> bool:
    return message.skip_predictions_for_unlabeled_class or not OPEN_IMAGES_METRICS.isdisjoint(message.metrics_set)


def _categories(inputs: list[InputOptions | None], num_classes: int) -> tuple[Category, ...]:
    """The categories of the first input, up to the model's number of classes; numbered ones without an input."""
    for options in inputs:
        if options is not None:
            return tuple(category for category in options.categories if category.id <= num_classes)
    return label_map.generated(num_classes)
