"""The table of what is honoured: it names fields that exist, and says of builders what builders do."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor

from detection import builders
from detection.builders import feature_extractor, model, preprocessor
from detection.checkpoints import restore
from detection.config import support
from detection.config.schema import is_message, message_name
from detection.evaluate.metrics import METRICS_SETS
from detection.protos import pipeline_pb2

# Never written out in a builder: what is left when all its alternatives are not chosen, the only value there is, names
# put together.
READ_OTHERWISE = {
    "Hyperparams.op",
    "BoxCoder.square_box_coder",
    "LearningRate.cosine_decay_learning_rate",
    "Optimizer.adam_optimizer",
}
READ_OTHERWISE |= {f"RandomPadImage.{which}_image_{side}" for which in ("min", "max") for side in ("height", "width")}


def schema(root: Descriptor = pipeline_pb2.TrainEvalPipelineConfig.DESCRIPTOR) -> dict[str, Descriptor]:
    """Every message type that a pipeline config can hold."""
    found, queue = {}, [root]
    while queue:
        descriptor = queue.pop()
        if message_name(descriptor) not in found:
            found[message_name(descriptor)] = descriptor
            queue += [field.message_type for field in descriptor.fields if is_message(field)]
    return found


def test_every_row_is_a_field_of_the_schema():
    messages = schema()
    rows = [f"{message}.{field}" for message, fields in support.HONOURED.items() for field in fields]
    for row in (*rows, *support.NO_EFFECT, *support.VALUES, *support.INSTEAD):
        message, _, field = row.rpartition(".")
        assert field in messages[message].fields_by_name, row


def test_no_field_is_in_two_tables():
    honoured = {f"{message}.{field}" for message, fields in support.HONOURED.items() for field in fields}
    assert not honoured & set(support.NO_EFFECT)
    assert not honoured & set(support.INSTEAD)
    assert not set(support.NO_EFFECT) & set(support.INSTEAD)
    assert set(support.VALUES) <= honoured


def test_honoured_messages_can_be_reached():
    messages = schema()
    reached, queue = set(), ["TrainEvalPipelineConfig"]
    while queue:
        name = queue.pop()
        if name not in reached:
            reached.add(name)
            fields = [messages[name].fields_by_name[field] for field in support.HONOURED.get(name, ())]
            queue += [message_name(field.message_type) for field in fields if is_message(field)]
    assert set(support.HONOURED) <= reached


def test_builders_read_what_is_honoured():
    """Every honoured field is written somewhere in a builder, as an attribute or as a string."""
    words = set()
    for path in Path(builders.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                words.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                words.add(node.value)
    unread = {
        f"{message}.{field}" for message, fields in support.HONOURED.items() for field in fields if field not in words
    }
    assert unread <= READ_OTHERWISE


@pytest.mark.parametrize(
    ("row", "built"),
    [
        ("SsdFeatureExtractor.type", feature_extractor.SSD_EXTRACTORS),
        ("FasterRcnnFeatureExtractor.type", feature_extractor.TWO_STAGE_EXTRACTORS),
        ("EvalConfig.metrics_set", METRICS_SETS),
        ("TrainConfig.fine_tune_checkpoint_type", ("", *restore.KINDS)),
    ],
)
def test_values_are_those_that_can_be_built(row, built):
    assert set(support.VALUES[row]) == set(built)


def test_alternatives_are_those_that_can_be_built():
    assert support.HONOURED["DetectionModel"] == set(model.META_ARCHITECTURES)
    assert support.HONOURED["PreprocessingStep"] == set(preprocessor.SUPPORTED)
