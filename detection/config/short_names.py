"""Short names of settings, as in the TF Object Detection API's trainers: `--set learning_rate=0.01`."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import Message

from detection.config.assign import assign
from detection.errors import ConfigError
from detection.protos import pipeline_pb2

Config = pipeline_pb2.TrainEvalPipelineConfig
Setter = Callable[[Config, str, str], None]  # (config to change, value, prefix of errors)
# The field with the initial rate of each schedule.
_START = {
    "constant_learning_rate": "learning_rate",
    "exponential_decay_learning_rate": "initial_learning_rate",
    "manual_step_learning_rate": "initial_learning_rate",
    "cosine_decay_learning_rate": "learning_rate_base",
}


def _model(config: Config, source: str) -> tuple[str, Message]:
    """Path and message of the chosen meta-architecture."""
    kind = config.model.WhichOneof("model")
    if kind is None:
        raise ConfigError(f"{source}: the config has no model to set this on")
    return f"model.{kind}", getattr(config.model, kind)


def _fixed(*paths: str) -> Setter:
    """A short name for the given paths."""

    def apply(config: Config, value: str, source: str) -> None:
        for path in paths:
            assign(config, path, value, False, source)

    return apply


def _num_classes(config: Config, value: str, source: str) -> None:
    assign(config, f"{_model(config, source)[0]}.num_classes", value, False, source)


def _eval_readers(field: str) -> Setter:
    """A short name for a field of every eval input reader."""

    def apply(config: Config, value: str, source: str) -> None:
        for index in range(len(config.eval_input_reader)):
            assign(config, f"eval_input_reader[{index}].{field}", value, False, source)
        if not config.eval_input_reader:
            raise ConfigError(f"{source}: the config has no eval_input_reader to set this on")

    return apply


def _all_readers(field: str) -> Setter:
    """A short name for a field of the train input reader and of every eval input reader."""

    def apply(config: Config, value: str, source: str) -> None:
        assign(config, f"train_input_reader.{field}", value, False, source)
        if config.eval_input_reader:
            _eval_readers(field)(config, value, source)

    return apply


def _eval_input_path(config: Config, value: str, source: str) -> None:
    if len(config.eval_input_reader) > 1:
        raise ConfigError(
            f"{source}: the config has several eval readers; set eval_input_reader[0].tf_record_input_reader.input_path"
        )
    assign(config, "eval_input_reader.tf_record_input_reader.input_path", value, False, source)


def _append_paths(reader: str) -> Setter:
    def apply(config: Config, value: str, source: str) -> None:
        assign(config, f"{reader}.tf_record_input_reader.input_path", value, True, source)

    return apply


def _optimizer(config: Config, source: str) -> tuple[str, Message]:
    """Path and message of the chosen optimizer."""
    kind = config.train_config.optimizer.WhichOneof("optimizer")
    if kind is None:
        raise ConfigError(
            f"{source}: train_config.optimizer has no optimizer; set for example"
            " train_config.optimizer.adam_optimizer={...}"
        )
    return f"train_config.optimizer.{kind}", getattr(config.train_config.optimizer, kind)


def _learning_rate(config: Config, value: str, source: str) -> None:
    """Sets the initial rate of the schedule; scales its later rates and the warm-up rate by the same factor."""
    path, optimizer = _optimizer(config, source)
    kind = optimizer.learning_rate.WhichOneof("learning_rate")
    if kind is None:
        raise ConfigError(
            f"{source}: {path}.learning_rate has no schedule; set for example"
            f" {path}.learning_rate.constant_learning_rate={{}}"
        )
    schedule = getattr(optimizer.learning_rate, kind)
    before = getattr(schedule, _START[kind])
    assign(config, f"{path}.learning_rate.{kind}.{_START[kind]}", value, False, source)
    ratio = getattr(schedule, _START[kind]) / before if before else 1.0
    if kind == "manual_step_learning_rate":
        for step in schedule.schedule:
            step.learning_rate *= ratio
    elif kind == "cosine_decay_learning_rate":
        schedule.warmup_learning_rate *= ratio


def _momentum(config: Config, value: str, source: str) -> None:
    assign(config, f"{_optimizer(config, source)[0]}.momentum_optimizer_value", value, False, source)


def _loss_ratio(config: Config, value: str, source: str) -> None:
    """Sets the classification weight, and the localisation weight to 1."""
    path, model = _model(config, source)
    pairs = [("loss.localization_weight", "loss.classification_weight")]
    if model.DESCRIPTOR.name == "FasterRcnn":
        pairs = [
            ("first_stage_localization_loss_weight", "first_stage_objectness_loss_weight"),
            ("second_stage_localization_loss_weight", "second_stage_classification_loss_weight"),
        ]
    for localization, classification in pairs:
        assign(config, f"{path}.{localization}", "1", False, source)
        assign(config, f"{path}.{classification}", value, False, source)


def _focal(field: str) -> Setter:
    def apply(config: Config, value: str, source: str) -> None:
        path, model = _model(config, source)
        loss = (
            "second_stage_classification_loss" if model.DESCRIPTOR.name == "FasterRcnn" else "loss.classification_loss"
        )
        assign(config, f"{path}.{loss}.weighted_sigmoid_focal.{field}", value, False, source)

    return apply


SHORT_NAMES: dict[str, Setter] = {
    "append_eval_input_path": _append_paths("eval_input_reader"),
    "append_train_input_path": _append_paths("train_input_reader"),
    "batch_size": _fixed("train_config.batch_size"),
    "classification_localization_weight_ratio": _loss_ratio,
    "eval_input_path": _eval_input_path,
    "eval_num_epochs": _eval_readers("num_epochs"),
    "eval_with_moving_averages": _fixed("eval_config.use_moving_averages"),
    "focal_loss_alpha": _focal("alpha"),
    "focal_loss_gamma": _focal("gamma"),
    "label_map_path": _all_readers("label_map_path"),
    "learning_rate": _learning_rate,
    "mask_type": _all_readers("mask_type"),
    "momentum_optimizer_value": _momentum,
    "num_classes": _num_classes,
    "retain_original_image_additional_channels_in_eval": _fixed(
        "eval_config.retain_original_image_additional_channels"
    ),
    "retain_original_images_in_eval": _fixed("eval_config.retain_original_images"),
    "sample_1_of_n_eval_examples": _eval_readers("sample_1_of_n_examples"),
    "sample_from_datasets_weights": _fixed("train_input_reader.sample_from_datasets_weights"),
    "train_input_path": _fixed("train_input_reader.tf_record_input_reader.input_path"),
    "train_steps": _fixed("train_config.num_steps"),
    "use_bfloat16": _fixed("train_config.use_bfloat16"),
}
