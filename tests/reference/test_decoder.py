"""Records and label maps against the TF Object Detection API's own unit tests of its decoder and its label map
functions.

Masks, keypoints, additional channels, image-level labels and confidences are not part of this project.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.config import label_map
from detection.data.reading.corrections import Corrections
from detection.data.reading.decode import Decoder
from detection.data.reading.labels import LabelLookup
from detection.data.reading.record_errors import find
from detection.data.sample import Record
from detection.errors import DataError

IMAGE = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
INSIDE = {
    "ymin": [0.0, 0.4],
    "xmin": [0.1, 0.5],
    "ymax": [0.2, 0.6],
    "xmax": [0.3, 0.7],
}  # the reference's 0 to 7, as fractions
CAT_DOG = "item { id: 1 name: 'cat' } item { id: 2 name: 'dog' }"


def feature(values) -> tf.train.Feature:
    if isinstance(values[0], bytes | str):
        return tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[v.encode() if isinstance(v, str) else v for v in values])
        )
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def record(encoded=None, boxes=INSIDE, **objects) -> bytes:
    encoded = tf.io.encode_png(IMAGE).numpy() if encoded is None else encoded
    features = {"image/encoded": [encoded], "image/source_id": ["image_id"]}
    features |= {f"image/object/bbox/{side}": values for side, values in boxes.items()}
    features |= {f"image/object/{key.replace('__', '/')}": values for key, values in objects.items()}
    return tf.train.Example(
        features=tf.train.Features(feature={key: feature(values) for key, values in features.items()})
    ).SerializeToString()


def decode(serialized: bytes, text: str = "", folder=None, drop: bool = False):
    texts, ids = (), ()
    if text:
        loaded = load(text, folder)
        texts, ids = tuple(loaded.text_ids().items()), tuple(category.id for category in loaded.categories)
    decoder = Decoder(LabelLookup(texts, ids, 0), Corrections(), "map.pbtxt", drop)
    return decoder(Record(tf.constant("a.record"), tf.constant(0, tf.int64), tf.constant(serialized)))


def load(text: str, folder) -> label_map.LabelMap:
    path = folder / "map.pbtxt"
    path.write_text(text, encoding="utf-8")
    return label_map.load(path)


@pytest.mark.parametrize("encode", [tf.io.encode_png, tf.io.encode_jpeg])
def test_images(encode):
    encoded = encode(IMAGE)
    sample, info = decode(record(encoded.numpy(), class__label=[1, 2]))
    np.testing.assert_array_equal(sample.image, tf.io.decode_image(encoded))
    assert info.original_shape.numpy().tolist() == [4, 5] and info.source_id == b"image_id"


FIELDS = {
    "boxes": ({}, "boxes", np.transpose(list(INSIDE.values()))),
    "weights by default": ({}, "weights", [1, 1]),
    "weights": ({"weight": [0.75, 1.0]}, "weights", [0.75, 1]),
    "areas": ({"area": [100.0, 174.0]}, "areas", [100, 174]),
    "crowds": ({"is_crowd": [0, 1]}, "is_crowd", [False, True]),
    "difficult ones": ({"difficult": [0, 1]}, "difficult", [False, True]),
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name):
    given, field, expected = FIELDS[name]
    np.testing.assert_allclose(getattr(decode(record(class__label=[1, 2], **given))[0], field), expected)


def test_crowds_and_difficult_objects_are_not_learnt():
    """A deviation: the reference's decoder gives them a weight of 1 like any other. Here they are neither learnt nor
    punished."""
    assert decode(record(class__label=[1, 2], is_crowd=[0, 1]))[0].weights.numpy().tolist() == [1, 0]
    assert decode(record(class__label=[1, 2], difficult=[1, 0]))[0].weights.numpy().tolist() == [0, 1]


NAMED = "item { name: '/m/cat' id: 3 display_name: 'cat' } item { name: '/m/dog' id: 1 display_name: 'dog' }"
LABELS = {
    "numbers": (CAT_DOG, {"class__label": [1, 2]}, [1, 2]),
    "texts and numbers": (CAT_DOG, {"class__text": ["cat", "dog"], "class__label": [1, 2]}, [1, 2]),
    "texts alone": ("item { id: 3 name: 'cat' } item { id: 1 name: 'dog' }", {"class__text": ["cat", "dog"]}, [3, 1]),
    "display names without names": (
        "item { id: 3 display_name: 'cat' } item { id: 1 display_name: 'dog' }",
        {"class__text": ["cat", "dog"]},
        [3, 1],
    ),
    "display names": (NAMED, {"class__text": ["cat", "dog"]}, [3, 1]),
    "names": (NAMED, {"class__text": ["/m/cat", "/m/dog"]}, [3, 1]),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels(name, tmp_path):
    text, given, expected = LABELS[name]
    assert (decode(record(**given), text, tmp_path)[0].classes.numpy() + 1).tolist() == expected


def test_a_text_and_a_number_that_disagree_are_an_error(tmp_path):
    """A deviation: in the reference the text wins (here 1 and 2), without a word. One of the two is wrong, and nobody
    knows which."""
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        decode(record(class__text=["cat", "dog"], class__label=[3, 4]), CAT_DOG, tmp_path)
    assert "text 'cat' has id 1, label is 3" in str(find(raised.value))


@pytest.mark.parametrize("numbers", [{}, {"class__label": [3, 6]}])
def test_an_unknown_text_is_an_error(numbers, tmp_path):
    """A deviation: the reference gives the box the label -1, which becomes a row of zeros, so that the object is
    trained as nothing at all. Here the record is refused, or (drop_unknown_labels) the box dropped; a number beside an
    unknown text is not used by either."""
    serialized = record(class__text=["cat", "cheetah"], **numbers)
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        decode(serialized, NAMED, tmp_path)
    assert "image/object/class/text 'cheetah' of box 1 is unknown (known: " in str(find(raised.value))
    assert (decode(serialized, NAMED, tmp_path, drop=True)[0].classes.numpy() + 1).tolist() == [3]


def test_boxes_in_pixels_and_label_0_are_errors():
    """Deviations: the reference hands both on, the first to an assertion in training that names no record, the second
    to a row of zeros."""
    pixels = {"ymin": [0.0, 4.0], "xmin": [1.0, 5.0], "ymax": [2.0, 6.0], "xmax": [3.0, 7.0]}
    for serialized, words in (
        (record(boxes=pixels, class__label=[1, 1]), "not pixels"),
        (record(class__label=[0, 1]), "image/object/class/label 0 of box 0 is unknown"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError) as raised:
            decode(serialized)
        assert words in str(find(raised.value))


UNSORTED = "item { id: 2 name: 'cat' } item { id: 1 name: 'dog' }"
SPOKEN = "item { id: 2 name: 'cat' display_name: 'meow' } item { id: 1 name: 'dog' display_name: 'woof' }"
MAPS = {
    "unsorted": (UNSORTED, {"cat": 2, "dog": 1}, {}),
    "background": (
        "item { id: 0 name: 'background' } " + UNSORTED,
        {"cat": 2, "dog": 1},
        {},
    ),  # the reference keeps it, with id 0
    "display names alone": (
        "item { id: 2 display_name: 'cat' } item { id: 1 display_name: 'dog' }",
        {"cat": 2, "dog": 1},
        {"cat": 2, "dog": 1},
    ),
    "display names": (SPOKEN, {"cat": 2, "dog": 1}, {"meow": 2, "woof": 1}),
}


@pytest.mark.parametrize("name", MAPS)
def test_label_maps(name, tmp_path):
    text, names, display_names = MAPS[name]
    loaded = load(text, tmp_path)
    assert loaded.ids_by_name == names and loaded.ids_by_display_name == display_names and loaded.max_id == 2
    assert [category.id for category in loaded.categories] == [1, 2], "by id, whatever their order in the file"


def test_people_read_the_display_name(tmp_path):
    categories = load(SPOKEN, tmp_path).categories
    assert [category.name for category in categories] == ["dog", "cat"] and [
        category.shown for category in categories
    ] == ["woof", "meow"]


def test_an_id_of_0_under_another_name_is_an_error(tmp_path):
    with pytest.raises(DataError, match="class that should not be indexed at zero"):
        load("item { id: 0 name: 'class that should not be indexed at zero' } " + UNSORTED, tmp_path)


def test_the_first_of_two_names_of_one_id_is_shown(tmp_path):
    """'child' of child, person and n00007846."""
    loaded = load("item { id: 2 name: 'cat' } item { id: 1 name: 'child' } item { id: 1 name: 'person' }", tmp_path)
    assert [(category.id, category.shown) for category in loaded.categories] == [(1, "child"), (2, "cat")]


def test_categories_without_a_label_map():
    assert [(category.id, category.name) for category in label_map.generated(3)] == [
        (1, "category_1"),
        (2, "category_2"),
        (3, "category_3"),
    ]
