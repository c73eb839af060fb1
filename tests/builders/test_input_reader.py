"""Message `InputReader` and its label map -> InputOptions."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from detection.builders import input_reader
from detection.config import label_map
from detection.data.reading.options import DifficultObjects, InputOptions
from detection.errors import ConfigError
from detection.proposals.input_sources import FileProposals, RecordProposals
from detection.protos import input_reader_pb2
from detection.types import Category

DATA = 'tf_record_input_reader { input_path: "a-*" input_path: "b" }'


def build(text: str, num_classes: int = 3, is_training: bool = True, **settings) -> InputOptions:
    return input_reader.build(
        text_format.Parse(text, input_reader_pb2.InputReader()), num_classes, is_training=is_training, **settings
    )


@pytest.fixture
def map_path(tmp_path):
    path = tmp_path / "map.pbtxt"
    path.write_text(
        'item { name: "n1" id: 1 display_name: "cat" } item { name: "n3" id: 3 display_name: "dog" } item { name: "cat"'
        " id: 4 }"
    )
    return path


def test_defaults_are_those_of_the_message():
    made = build(DATA)
    assert made == InputOptions(
        paths=("a-*", "b"),
        field="train_input_reader.tf_record_input_reader.input_path",
        categories=label_map.generated(3),
        num_classes=3,
        label_source="num_classes (3), as train_input_reader.label_map_path is not set",
    )
    assert made.shuffle_buffer_size == 2048 and made.max_number_of_boxes == 100 and made.num_epochs == 0


def test_difficult_objects_affect_only_training():
    assert build(f"{DATA} difficult_objects: TRAIN_ON_DIFFICULT").difficult is DifficultObjects.TRAIN
    assert build(f"{DATA} difficult_objects: LEAVE_OUT_DIFFICULT").difficult is DifficultObjects.LEAVE_OUT
    evaluation = build(f"{DATA} difficult_objects: TRAIN_ON_DIFFICULT", is_training=False)
    assert evaluation.difficult is DifficultObjects.IGNORE


def test_fields_arrive_and_evaluation_reads_once():
    text = (
        f"{DATA} shuffle: false shuffle_buffer_size: 7 num_epochs: 5 sample_1_of_n_examples: 4 num_readers: 2"
        " max_number_of_boxes: 9"
    )
    training, evaluation = build(text), build(text, is_training=False, path="eval_input_reader[1]")
    assert (training.shuffle, training.shuffle_buffer_size, training.sample_1_of_n_examples, training.num_readers) == (
        False,
        7,
        4,
        2,
    )
    assert (training.num_epochs, evaluation.num_epochs, evaluation.max_number_of_boxes) == (5, 1, 9)
    assert evaluation.field == "eval_input_reader[1].tf_record_input_reader.input_path"


def test_label_map(map_path):
    made = build(f'{DATA} label_map_path: "{map_path}" use_display_name: true', num_classes=4)
    assert made.categories == (Category(1, "n1", "cat"), Category(3, "n3", "dog"), Category(4, "cat"))
    assert made == build(f'{DATA} label_map_path: "{map_path}"', num_classes=4)  # Both names are known either way.
    assert set(made.text_ids) == {("n1", 1), ("n3", 3), ("cat", 4), ("dog", 3)}
    assert made.label_source == str(map_path)
    assert build(f'{DATA} label_map_path: "{map_path}"', num_classes=3).label_source == f"{map_path} with num_classes 3"
    given = build(DATA, label_map=label_map.load(map_path))
    assert given.categories[0] == Category(1, "n1", "cat")
    with pytest.raises(ConfigError, match="nowhere"):
        build(f'{DATA} label_map_path: "/nowhere/map.pbtxt"')


def test_weights_belong_to_training():
    text = f"{DATA} sample_from_datasets_weights: [1, 3]"
    assert build(text).weights == (1.0, 3.0) and build(text, is_training=False).weights == ()


def test_proposals_are_read_where_a_field_about_them_is_set():
    assert build(DATA).proposals is None
    beside = build(f'{DATA} proposals_path: ["p-*.npz", "q.mat"]')
    assert beside.max_number_of_proposals == 2000
    assert beside.proposals == FileProposals(("p-*.npz", "q.mat"), "train_input_reader.proposals_path")
    assert build(f'{DATA} proposals_path: "p" max_number_of_proposals: 0').proposals is None
    inside = build(f"{DATA} max_number_of_proposals: 300", is_training=False)
    assert (inside.max_number_of_proposals, inside.proposals) == (300, RecordProposals())
