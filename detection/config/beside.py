"""Compares a config with the one saved next to the checkpoint that it is used with.

Names and shapes of variables do not depend on the activation, batch norm's epsilon, padding, strides, anchors or box
coding. With a different value of these all weights can be loaded, but the detections are wrong. Training and exporters
save the config next to the checkpoint.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from detection.config import text
from detection.config.files import load
from detection.config.schema import is_map, is_message
from detection.config.walk import join
from detection.errors import DetectionError
from detection.protos import pipeline_pb2

# The config that a run was started with, which is never changed; the config that training and exporters write.
NAMES = (".as_run.config", "pipeline.config")
# Fields of an Ssd or FasterRcnn message that determine what is computed with the weights.
_DECIDING = {
    *("feature_extractor", "anchor_generator", "box_coder", "box_predictor", "encode_background_as_zeros"),
    *("first_stage_anchor_generator", "first_stage_atrous_rate", "first_stage_box_predictor_conv_hyperparams"),
    *("first_stage_box_coder", "second_stage_box_coder"),
    *("initial_crop_size", "maxpool_kernel_size", "maxpool_stride", "second_stage_box_predictor"),
}
# Fields below these that only training uses.
_TRAINING = re.compile(
    r"\.(initializer|regularizer|use_dropout|dropout_keep_probability|class_prediction_bias_init"
    r"|batch_norm_trainable|regularize_depthwise"
    r"|regularize_biases|batch_norm\.(decay|train))\b"
)


def differences(prefix: str | os.PathLike[str], config: str) -> str:
    """A sentence on the differences that change what is computed; "" if there are none or no config can be read.

    Args:
        prefix: prefix of the checkpoint.
        config: text of the config that the checkpoint is used with.
    """
    folder = Path(prefix).parent
    path = next((place / name for place in (folder, folder.parent) for name in NAMES if (place / name).is_file()), None)
    if path is None:
        return ""
    try:
        beside = load(path)
    except DetectionError:  # The file is of another version or no config, so nothing can be compared.
        return ""
    given = text.parse(config, pipeline_pb2.TrainEvalPipelineConfig(), "config")
    kind = given.model.WhichOneof("model")
    if kind is None or beside.model.WhichOneof("model") != kind:
        return ""
    found = list(_differing(getattr(beside.model, kind), getattr(given.model, kind), f"model.{kind}", _DECIDING))
    if not found:
        return ""
    more = f", and {len(found) - 3} more" if len(found) > 3 else ""
    return f"{path} next to the checkpoint differs in fields that its weights depend on: {', '.join(found[:3])}{more}"


def _differing(one: Message, other: Message, path: str, fields: set[str] | None = None) -> Iterator[str]:
    """Yields `path (A there, B here)` for every field whose value differs, whether it is set or has its default."""
    for field in one.DESCRIPTOR.fields:
        here = join(path, field.name)
        if (fields is not None and field.name not in fields) or _TRAINING.search(here):
            continue
        there, mine = getattr(one, field.name), getattr(other, field.name)
        if is_message(field) and not field.is_repeated:
            if field.containing_oneof is not None and one.HasField(field.name) != other.HasField(field.name):
                yield f"{here} ({_set(one, field.name)} there, {_set(other, field.name)} here)"
            else:
                yield from _differing(there, mine, here)
        elif is_map(field) or field.is_repeated:
            if list(there) != list(mine):
                yield f"{here} (not the same list)"
        elif there != mine:
            yield f"{here} ({_shown(field, there)} there, {_shown(field, mine)} here)"


def _set(message: Message, name: str) -> str:
    return "set" if message.HasField(name) else "not set"


def _shown(field: FieldDescriptor, value: object) -> str:
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
