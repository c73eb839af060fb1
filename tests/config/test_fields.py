"""The table of fields has a row for every reachable field, and agrees with the builders."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor

from detection import builders
from detection.builders import feature_extractor, model, preprocessor
from detection.checkpoints import restore
from detection.config import fields
from detection.config.fields.row import Use
from detection.config.schema import is_map, is_message, message_name
from detection.evaluate.metrics import METRICS_SETS
from detection.protos import pipeline_pb2

# Never written out in a builder: what is left when all its alternatives are not chosen, what has only one value where
# it counts, names put together.
READ_OTHERWISE = {
    "BatchNonMaxSuppression.max_classes_per_detection",
    "InputReader.load_multiclass_scores",  # train_config.use_multiclass_scores asks for it
    "TrainEvalPipelineConfig.plugins",  # imported before the check
    "Hyperparams.op",
    "BoxCoder.square_box_coder",
    "LearningRate.cosine_decay_learning_rate",
    "Optimizer.adam_optimizer",  # by config.plugins
}
READ_OTHERWISE |= {f"RandomPadImage.{which}_image_{side}" for which in ("min", "max") for side in ("height", "width")}


def reached() -> dict[str, Descriptor]:
    """All message types of a pipeline config that are not below refused fields or fields without effect."""
    found, queue = {}, [pipeline_pb2.TrainEvalPipelineConfig.DESCRIPTOR]
    while queue:
        descriptor = queue.pop()
        name = message_name(descriptor)
        if name not in found:
            found[name] = descriptor
            inner = [field for field in descriptor.fields if is_message(field) and not is_map(field)]
            queue += [field.message_type for field in inner if fields.TABLE[name][field.name].honoured]
    return found


def test_every_field_that_can_be_reached_has_one_row():
    messages = reached()
    assert set(fields.TABLE) == set(messages)
    for name, descriptor in messages.items():
        assert set(fields.TABLE[name]) == {field.name for field in descriptor.fields}, name
    rows = [(name, row.name) for area in fields.AREAS for name, each in area.MESSAGES.items() for row in each]
    assert len(rows) == len(set(rows)) == sum(len(descriptor.fields) for descriptor in messages.values())


def test_rows_name_fields_that_exist_and_fit():
    for name, descriptor in reached().items():
        for row in fields.TABLE[name].values():
            field = descriptor.fields_by_name[row.name]
            assert not row.below or row.below in descriptor.fields_by_name, row
            assert row.counts is None or field.is_repeated, row
            assert (row.range is None and row.limit is None) or field.cpp_type not in (9, 10, 8, 7), row
            if row.choose:
                inner = fields.TABLE[message_name(field.message_type)]
                assert all(inner[choice].honoured for choice in row.choose), row
            if row.use is not Use.HONOURED:
                assert row == type(row)(row.name, row.use, row.reason, stock=row.stock), row
                assert row.use is Use.REFUSED or row.reason, row


def test_builders_read_what_is_honoured():
    """Every honoured field occurs in a builder, as an attribute or as a string."""
    words = set()
    for path in Path(builders.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                words.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                words.add(node.value)
    unread = {
        f"{message}.{row.name}"
        for message, rows in fields.TABLE.items()
        for row in rows.values()
        if row.honoured and row.name not in words
    }
    assert unread <= READ_OTHERWISE


@pytest.mark.parametrize(
    ("message", "field", "built"),
    [
        ("SsdFeatureExtractor", "type", feature_extractor.SSD_EXTRACTORS),
        ("FasterRcnnFeatureExtractor", "type", feature_extractor.TWO_STAGE_EXTRACTORS),
        ("CenterNetFeatureExtractor", "type", feature_extractor.CENTER_EXTRACTORS),
        ("EvalConfig", "metrics_set", METRICS_SETS),
        ("TrainConfig", "fine_tune_checkpoint_type", ("", *restore.KINDS)),
    ],
)
def test_values_are_those_that_can_be_built(message, field, built):
    assert set(fields.TABLE[message][field].values) == set(built)


def honoured(message: str) -> set[str]:
    return {row.name for row in fields.TABLE[message].values() if row.honoured}


def test_alternatives_are_those_that_can_be_built():
    assert honoured("DetectionModel") == {*model.META_ARCHITECTURES, "truncated_svd"}
    assert honoured("PreprocessingStep") == set(preprocessor.SUPPORTED)
