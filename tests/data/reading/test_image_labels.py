"""Open Images' records: group-of marks, labels of whole images, and the hierarchy of the label map."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.builders import input_reader
from detection.data.reading.input import eval_dataset
from detection.data.reading.iteration import iterate
from detection.data.resize import IdentityResizer
from detection.errors import DataError
from detection.protos import input_reader_pb2

# animal (3) is above pet (2) and wolf (4), pet above dog (1).
LABELS = """
    item { name: "dog" id: 1 ancestor_ids: 2 ancestor_ids: 3 }
    item { name: "pet" id: 2 ancestor_ids: 3 descendant_ids: 1 }
    item { name: "animal" id: 3 descendant_ids: 1 descendant_ids: 2 descendant_ids: 4 }
    item { name: "wolf" id: 4 ancestor_ids: 3 }
"""
BOXES = [(0.0, 0.0, 0.5, 0.5), (0.2, 0.2, 0.2, 0.4), (0.5, 0.5, 1.0, 1.0)]  # the second is empty


@pytest.fixture
def groundtruth(write, example, tmp_path):
    """groundtruth(expand=..., key=value, ...) -> that of a record with the changes, without batch dimension."""

    def read(expand: bool = False, open_images: bool = True, **changes):
        (tmp_path / "map.pbtxt").write_text(LABELS)
        shard = write(example(boxes=BOXES, image__object__class__label=[1, 4, 4], **changes))
        message = input_reader_pb2.InputReader(
            label_map_path=str(tmp_path / "map.pbtxt"), expand_labels_hierarchy=expand, max_number_of_boxes=5
        )
        message.tf_record_input_reader.input_path.append(shard)
        options = input_reader.build(message, 4, is_training=False, open_images=open_images)
        (batch,) = iterate(eval_dataset(options, IdentityResizer(), 1))
        return tf.nest.map_structure(lambda field: field.numpy()[0], batch.groundtruth)

    return read


def test_nothing_is_read_where_no_metric_asks(groundtruth):
    read = groundtruth(open_images=False, image__object__group_of=[0, 0, 1])
    assert read.group_of == () and read.checked == () and read.counts == 2


def test_group_of_marks_stay_with_their_boxes(groundtruth):
    np.testing.assert_array_equal(groundtruth(image__object__group_of=[0, 0, 1]).group_of, [0, 1, 0, 0, 0])
    assert not groundtruth().group_of.any(), "records need not have it"
    with pytest.raises(DataError, match="image/object/group_of has 2 values for 3 boxes"):
        groundtruth(image__object__group_of=[0, 1])


def test_labels_of_the_whole_image(groundtruth):
    assert not groundtruth().checked.any()
    np.testing.assert_array_equal(groundtruth(image__class__label=[2, 4, 9]).checked, [0, 1, 0, 1])
    np.testing.assert_array_equal(groundtruth(image__class__text=["dog", "cow"]).checked, [1, 0, 0, 0])


def test_boxes_are_of_the_classes_above_too(groundtruth):
    read = groundtruth(expand=True, image__object__group_of=[0, 0, 1])
    count = int(read.counts)
    assert read.classes[:count].tolist() == [0, 1, 2, 2, 3], "dog, pet, animal; animal, wolf"
    np.testing.assert_allclose(read.boxes[:count], [[0, 0, 10, 15]] * 3 + [[10, 15, 20, 30]] * 2, rtol=1e-6)
    assert read.group_of[:count].tolist() == [False] * 3 + [True] * 2


@pytest.mark.parametrize(
    ("labels", "confidences", "expected"),
    [
        ([1], [1.0], [1, 1, 1, 0]),  # a dog is a pet and an animal
        ([2], [0.0], [1, 1, 0, 0]),  # no pet, so no dog
        ([4, 1], [1.0, 0.0], [1, 0, 1, 1]),
        ([2], None, [0, 1, 0, 0]),  # nobody says whether it is there
    ],
)
def test_labels_of_the_whole_image_go_up_and_down_the_hierarchy(groundtruth, labels, confidences, expected):
    changes = {} if confidences is None else {"image__class__confidence": confidences}
    read = groundtruth(expand=True, image__class__label=labels, **changes)
    np.testing.assert_array_equal(read.checked, expected)
