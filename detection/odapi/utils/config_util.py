"""Pipeline configs as dicts of their parts, like `object_detection.utils.config_util`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detection import config
from detection.config.text import parse
from detection.errors import ConfigError
from detection.protos import image_resizer_pb2, model_pb2
from detection.protos.pipeline_pb2 import TrainEvalPipelineConfig

Configs = dict[str, Any]  # "model", "train_config", ...: messages; "eval_input_configs": a list of them
# Names of parts that differ from their fields in a config.
_FIELDS = {"train_input_config": "train_input_reader", "graph_rewriter_config": "graph_rewriter"}
_PARTS = ("model", "train_config", "train_input_config", "eval_config", "eval_input_configs", "graph_rewriter_config")
_SAME = {"train_steps": "train_config.num_steps", "eval_steps": "eval_config.num_examples"}


def get_configs_from_pipeline_file(
    pipeline_config_path: str | os.PathLike[str], config_override: TrainEvalPipelineConfig | str | None = None
) -> Configs:
    """Reads a config file and returns its parts.

    Args:
        pipeline_config_path: the file.
        config_override: a message, or its text, merged into the config.

    Raises:
        ConfigError: the file cannot be read or parsed. Values are checked when a model is built.
    """
    message = config.load(pipeline_config_path)
    if isinstance(config_override, str):
        config_override = parse(config_override, TrainEvalPipelineConfig(), "config_override")
    if config_override is not None:
        message.MergeFrom(config_override)
    return create_configs_from_pipeline_proto(message)


def create_configs_from_pipeline_proto(pipeline_config: TrainEvalPipelineConfig) -> Configs:
    """Returns the parts of a config."""
    configs: Configs = {name: getattr(pipeline_config, _FIELDS.get(name, name)) for name in _PARTS[:4]}
    configs["eval_input_configs"] = list(pipeline_config.eval_input_reader)
    if pipeline_config.eval_input_reader:
        configs["eval_input_config"] = pipeline_config.eval_input_reader[0]
    if pipeline_config.HasField("graph_rewriter"):
        configs["graph_rewriter_config"] = pipeline_config.graph_rewriter
    return configs


def create_pipeline_proto_from_configs(configs: Mapping[str, Any]) -> TrainEvalPipelineConfig:
    """Returns the config with the given parts."""
    message = TrainEvalPipelineConfig()
    for name in _PARTS:
        if name == "eval_input_configs":
            message.eval_input_reader.extend(configs.get(name, ()))
        elif name in configs:
            getattr(message, _FIELDS.get(name, name)).CopyFrom(configs[name])
    return message


def save_pipeline_config(pipeline_config: TrainEvalPipelineConfig, directory: str | os.PathLike[str]) -> None:
    """Writes a config to `directory`/pipeline.config."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    config.save(pipeline_config, Path(directory) / "pipeline.config")


def merge_external_params_with_configs(
    configs: Configs, hparams: None = None, kwargs_dict: Mapping[str, Any] | None = None
) -> Configs:
    """Changes fields of the parts of a config in place.

    Args:
        configs: as `get_configs_from_pipeline_file` returns them; modified.
        hparams: not supported, since they belong to TensorFlow 1.
        kwargs_dict: values by field: `train_steps`, `eval_steps`, the short names of the API (`batch_size`,
            `learning_rate`, `label_map_path`, ...) or a path such as "model.ssd.num_classes". None values are ignored.

    Returns:
        `configs`.

    Raises:
        ConfigError: the message names the field.
    """
    if hparams is not None:
        raise ConfigError("hparams: belong to TensorFlow 1; pass kwargs_dict={'field': value}")
    settings = [
        f"{_SAME.get(key, key)}={_text(value)}" for key, value in (kwargs_dict or {}).items() if value is not None
    ]
    changed = config.override(create_pipeline_proto_from_configs(configs), settings, flag="kwargs_dict")
    parts = create_configs_from_pipeline_proto(changed)
    for name, part in parts.items():
        if name in configs and hasattr(part, "CopyFrom"):
            configs[name].CopyFrom(part)  # In place, so that existing references see the change.
        else:
            configs[name] = part
    if parts["eval_input_configs"]:
        configs["eval_input_config"] = configs["eval_input_configs"][0]
    return configs


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def get_image_resizer_config(model_config: model_pb2.DetectionModel) -> image_resizer_pb2.ImageResizer:
    """Returns the image resizer of a model config."""
    return _settings(model_config).image_resizer


def get_spatial_image_size(image_resizer_config: image_resizer_pb2.ImageResizer) -> list[int]:
    """Returns [height, width] of resized images; -1 if sizes vary."""
    kind = image_resizer_config.WhichOneof("image_resizer_oneof")
    if kind == "fixed_shape_resizer":
        fixed = image_resizer_config.fixed_shape_resizer
        return [fixed.height, fixed.width]
    keeping = image_resizer_config.keep_aspect_ratio_resizer
    padded = kind == "keep_aspect_ratio_resizer" and keeping.pad_to_max_dimension
    return [keeping.max_dimension] * 2 if padded else [-1, -1]


def get_number_of_classes(model_config: model_pb2.DetectionModel) -> int:
    """Returns the number of classes of a model config."""
    return _settings(model_config).num_classes


def _settings(model_config: model_pb2.DetectionModel) -> Any:
    kind = model_config.WhichOneof("model")
    if kind is None:
        raise ConfigError("model_config: has no model; set one of ssd, faster_rcnn, center_net")
    return getattr(model_config, kind)
