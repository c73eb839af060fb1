"""Random configs survive writing and reading; random settings are applied; random text gives ConfigErrors only."""

from __future__ import annotations

import math

import pytest
from google.protobuf import message_factory, text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detection import config
from detection.config import text
from detection.config.schema import is_map, is_message
from detection.errors import ConfigError
from detection.protos import pipeline_pb2

Config = pipeline_pb2.TrainEvalPipelineConfig
SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
}


@st.composite
def scalars(draw, field: FieldDescriptor):
    if field.cpp_type in BOUNDS:
        return draw(st.integers(*BOUNDS[field.cpp_type]))
    if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
        return draw(st.floats(width=32, allow_nan=False))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return draw(st.booleans())
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return draw(st.sampled_from([value.number for value in field.enum_type.values]))
    return draw(st.text(st.characters(codec="utf-8"), max_size=8))


@st.composite
def configs(draw, descriptor: Descriptor = Config.DESCRIPTOR, depth: int = 6):
    """A message with a few fields of each kind set, and one member of each oneof."""
    message = message_factory.GetMessageClass(descriptor)()
    fields = [field for field in descriptor.fields if not is_map(field) and (depth or not is_message(field))]
    for field in (
        draw(st.lists(st.sampled_from(fields), max_size=4, unique_by=lambda field: field.name)) if fields else []
    ):
        if field.containing_oneof is not None and message.WhichOneof(field.containing_oneof.name):
            continue
        count = draw(st.integers(1, 2)) if field.is_repeated else 1
        if is_message(field):
            for _ in range(count):
                inner = draw(configs(field.message_type, depth - 1))
                target = getattr(message, field.name)
                (target.add() if field.is_repeated else target).CopyFrom(inner)
                if not field.is_repeated:
                    target.SetInParent()
        elif field.is_repeated:
            getattr(message, field.name).extend(draw(scalars(field)) for _ in range(count))
        else:
            setattr(message, field.name, draw(scalars(field)))
    return message


@SETTINGS
@given(configs())
def test_text_and_binary(tmp_path_factory, message):
    parsed = text.parse(config.to_text(message), Config(), "a.config")
    assert parsed == message == text_format.Parse(config.to_text(message), Config())
    assert text.parse(text_format.MessageToString(message, as_one_line=True), Config(), "a.config") == message
    if message.ByteSize():
        path = tmp_path_factory.getbasetemp() / "round_trip.pb"
        path.write_bytes(message.SerializeToString())
        expected = Config.FromString(message.SerializeToString())
        if expected.model.faster_rcnn.HasField("number_of_stages") and expected.model.faster_rcnn.number_of_stages == 0:
            expected.model.faster_rcnn.number_of_stages = 2  # An old field's `false`.
        assert config.load(path) == expected


def leaves(message, path: str = ""):
    """`path=value` for every set value and `path={}` for every message, in an order that rebuilds the config."""
    for field, value in message.ListFields():
        here = f"{path}.{field.name}".lstrip(".")
        for index, item in enumerate(value if field.is_repeated else [value]):
            place = f"{here}[{index}]" if field.is_repeated else here
            if is_message(field):
                yield f"{here}{'+' if field.is_repeated else ''}={{}}"
                yield from leaves(item, place)
            else:
                if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
                    shown = '"' + text_format.text_encoding.CEscape(item, False) + '"'
                elif field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
                    shown = field.enum_type.values_by_number[item].name
                else:
                    shown = repr(item) if not isinstance(item, bool) else str(item).lower()
                yield f"{here}{'+' if field.is_repeated else ''}={shown}"


@SETTINGS
@given(configs())
def test_settings_rebuild_a_config(message):
    assert config.override(Config(), list(leaves(message))) == message


@SETTINGS
@given(configs(), st.data())
def test_checking_raises_only_our_errors(message, data):
    try:
        assert all(isinstance(warning, str) for warning in config.check(message, "a.config", check_paths=False))
    except ConfigError as error:
        assert str(error).startswith("a.config: ") and "\n" not in str(error)


FRAGMENTS = st.sampled_from(
    [
        "model",
        "ssd",
        "num_classes",
        "train_config",
        "batch_size",
        "first_stage_only",
        "faster_rcnn",
        "{",
        "}",
        "<",
        ">",
        "[",
        "]",
        ":",
        ",",
        ";",
        "1",
        "-1",
        "1.5",
        "true",
        "'a'",
        '"',
        "'",
        "\\",
        "#",
        "\n",
        " ",
        "min_num_negative_samples",
        "loss",
        "SIGMOID",
        "metrics_set",
        "eval_config",
    ]
)


@SETTINGS
@given(st.lists(FRAGMENTS | st.text(max_size=4), max_size=25).map(" ".join))
def test_any_text(content):
    """protobuf's parser accepts the text too, or the error is a ConfigError with a place inside the text.

    Old fields may load although protobuf's parser rejects them.
    """
    try:
        text.parse(content, Config(), "a.config")
    except ConfigError as error:
        source, line, column, _ = str(error).split(":", 3)
        assert source == "a.config" and "\n" not in str(error)
        lines = content.split("\n")
        assert 1 <= int(line) <= len(lines) and 1 <= int(column) <= len(lines[int(line) - 1]) + 1
        with pytest.raises((text_format.ParseError, ValueError)):
            text_format.Parse(content, Config())


@SETTINGS
@given(st.binary(max_size=40))
def test_any_bytes(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.config"
    path.write_bytes(content)
    try:
        config.load(path)
    except ConfigError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)


@SETTINGS
@given(st.lists(FRAGMENTS | st.sampled_from(["=", "+=", ".", "none"]) | st.text(max_size=4), max_size=12).map("".join))
def test_any_setting(setting):
    try:
        config.override(Config(), [setting])
    except ConfigError as error:
        assert str(error).startswith("--set ") and "\n" not in str(error)


def test_not_a_number_is_parsed_and_then_refused(ssd):
    changed = config.override(ssd, ["learning_rate=nan"])
    assert math.isnan(
        changed.train_config.optimizer.rms_prop_optimizer.learning_rate.exponential_decay_learning_rate.initial_learning_rate
    )
    with pytest.raises(ConfigError, match="must be a finite number"):
        config.check(changed, check_paths=False)
