"""Every field of the schema with many kinds of values, in a valid config of each meta-architecture.

The check accepts the config or reports errors of its own; it never fails with another exception.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from detection import config
from detection.config import describe, text
from detection.config.schema import is_map, is_message
from detection.errors import DetectionError
from detection.protos import pipeline_pb2
from tests.helpers import detector_configs

Config = pipeline_pb2.TrainEvalPipelineConfig
_INITIALIZER = "initializer { truncated_normal_initializer { } }"
_HEADS = {
    "faster_rcnn": f"mask_rcnn_box_predictor {{ fc_hyperparams {{ {_INITIALIZER} }} }}",
    "rfcn": f"rfcn_box_predictor {{ conv_hyperparams {{ {_INITIALIZER} }} }}",
    "fast_rcnn": f"mask_rcnn_box_predictor {{ fc_hyperparams {{ {_INITIALIZER} }} }}",
}
_TWO_STAGE = """
model { %(model)s {
  num_classes: 3 image_resizer { keep_aspect_ratio_resizer { } } feature_extractor { type: 'faster_rcnn_resnet50' }
  first_stage_anchor_generator { grid_anchor_generator { scales: 1 aspect_ratios: 1 } }
  first_stage_box_predictor_conv_hyperparams { %(initializer)s }
  initial_crop_size: 14 maxpool_kernel_size: 2 maxpool_stride: 2 second_stage_box_predictor { %(head)s }
} }
"""
FIELDS = 800  # of the schema, at the least: the walk must not miss any


def two_stage(name: str, rest: str) -> str:
    model = "faster_rcnn" if name == "rfcn" else name
    if name == "fast_rcnn":
        rest = rest.replace("input_reader: {", "input_reader: { max_number_of_proposals: 300")
    return _TWO_STAGE % {"model": model, "head": _HEADS[name], "initializer": _INITIALIZER} + rest


def trails(
    descriptor: Descriptor, trail: tuple[FieldDescriptor, ...], seen: set[str]
) -> Iterator[tuple[FieldDescriptor, ...]]:
    """A path from the root to each field of each message of the schema."""
    for field in descriptor.fields:
        yield (*trail, field)
        if is_message(field) and not is_map(field) and field.message_type.full_name not in seen:
            seen.add(field.message_type.full_name)
            yield from trails(field.message_type, (*trail, field), seen)


def values(field: FieldDescriptor) -> list:
    """Values for a field: defaults, ends of ranges, and values out of range."""
    kind = field.cpp_type
    if is_message(field):
        return [None]
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return [value.number for value in field.enum_type.values]
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return [b"x", b""] if field.type == FieldDescriptor.TYPE_BYTES else ["x", "("]
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return [True, False]
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return [0.5, -1.0, float("nan"), 3e38]
    unsigned = (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)
    return [0 if kind in unsigned else -1, 2, 2**32 - 1 if kind in unsigned else 2**31 - 1]


def enter(message: Message, trail: tuple[FieldDescriptor, ...]) -> Message:
    """The message that contains the last field of a trail, created if needed."""
    for field in trail[:-1]:
        inner = getattr(message, field.name)
        if field.is_repeated:
            message = inner[0] if len(inner) else inner.add()
        else:
            inner.SetInParent()
            message = inner
    return message


def put(message: Message, field: FieldDescriptor, value: object) -> None:
    target = getattr(message, field.name)
    if is_map(field):
        of = field.message_type.fields_by_name["value"]
        key = "k" if field.message_type.fields_by_name["key"].cpp_type == FieldDescriptor.CPPTYPE_STRING else 1
        if is_message(of):
            target[key].SetInParent()
        else:
            target[key] = values(of)[0]
    elif is_message(field):
        target.add() if field.is_repeated else target.SetInParent()
    elif field.is_repeated:
        target.append(value)
    else:
        setattr(message, field.name, value)


def good_config(name: str, config_text: str) -> Config:
    """A config of each meta-architecture that passes the check."""
    rest = config_text[config_text.index("train_config") :]
    if name == "center_net":
        model = detector_configs.center_net(detector_configs.Settings("mobilenet_v2_fpn", 128, 128))
        return text.parse(model + rest, Config(), name)
    return text.parse(config_text if name == "ssd" else two_stage(name, rest), Config(), name)


@pytest.mark.parametrize("name", ["ssd", "center_net", *_HEADS])
def test_the_check_accepts_or_reports_every_value(name, config_text):
    good = good_config(name, config_text)
    assert config.check(good, name, check_paths=False) == []
    fields, refused = set(), 0
    for trail in trails(Config.DESCRIPTOR, (), set()):
        fields.add(trail[-1].full_name)
        for value in values(trail[-1]):
            changed = Config()
            changed.CopyFrom(good)
            put(enter(changed, trail), trail[-1], value)
            where = f"{'.'.join(field.name for field in trail)}={value}"
            try:
                warnings = config.check(changed, name, check_paths=False)
            except DetectionError as error:
                refused += 1
                assert all(line.startswith(f"{name}: ") and "\n" not in line for line in error.lines()), where
                continue
            assert all(line.startswith(f"{name}: ") and "\n" not in line for line in warnings), where
            assert [*describe.model_rows(changed), *describe.train_rows(changed), *describe.data_rows(changed)], where
    assert len(fields) > FIELDS and refused > len(fields)


def test_a_message_without_effect_is_a_warning(config_text):
    """Configs of Mask R-CNN with boxes alone: `conv_hyperparams` is for masks.

    Required fields that it lacks are not reported.
    """
    good = text.parse(two_stage("faster_rcnn", config_text[config_text.index("train_config") :]), Config(), "my.config")
    head = good.model.faster_rcnn.second_stage_box_predictor.mask_rcnn_box_predictor
    head.conv_hyperparams.SetInParent()
    assert config.check(good, "my.config", check_paths=False) == [
        "my.config: model.faster_rcnn.second_stage_box_predictor.mask_rcnn_box_predictor.conv_hyperparams has no"
        " effect: it belongs to masks, which are not predicted"
    ]


def test_all_problems_are_reported_at_once(ssd):
    bad = config.override(
        ssd,
        [
            "model.ssd.num_classes=0",
            "eval_config.eval_instance_masks=true",
            "train_config.batch_size=0",
            "learning_rate=nan",
        ],
    )
    with pytest.raises(DetectionError) as error:
        config.check(bad, "my.config", check_paths=False)
    assert str(error.value).endswith("(and 3 more problems)")
    assert [line.split(" ")[1] for line in error.value.lines()] == [
        "eval_config.eval_instance_masks",
        "model.ssd.num_classes",
        "train_config.batch_size",
        "train_config.optimizer.rms_prop_optimizer.learning_rate.exponential_decay_learning_rate.initial_learning_rate",
    ]


def test_very_many_problems_are_counted(ssd):
    ssd.eval_config.metrics_set.extend(["nonsense"] * 5000)
    with pytest.raises(DetectionError) as error:
        config.check(ssd, "my.config", check_paths=False)
    assert len(error.value.lines()) == 101 and error.value.lines()[-1] == "my.config: 4900 more problems are not listed"
