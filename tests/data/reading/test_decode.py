"""Records to samples, and what cannot be one: the message names shard, record, field and value."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from detection.data import image_header
from detection.data.reading.corrections import Corrections
from detection.data.reading.decode import Decoder
from detection.data.reading.labels import LabelLookup
from detection.data.reading.options import DifficultObjects
from detection.data.reading.record_errors import find
from detection.data.sample import Record

TEXTS = (("cat", 1), ("dog", 3), ("Hund", 3), ("both", 1), ("both", 3))


def decode(serialized, texts=TEXTS, ids=(1, 3), num_classes=0, drop=False, corrections=None):
    decoder = Decoder(LabelLookup(texts, ids, num_classes), corrections or Corrections(), "pets.pbtxt", drop)
    return decoder(Record(tf.constant("/data/a.record"), tf.constant(4, tf.int64), tf.constant(serialized)))


def fault(serialized, **settings) -> str:
    """The one line, as raised from within a tf.data pipeline."""
    decoder = Decoder(
        LabelLookup(settings.pop("texts", TEXTS), settings.pop("ids", (1, 3)), settings.pop("num_classes", 0)),
        Corrections(),
        "pets.pbtxt",
    )
    records = tf.data.Dataset.from_tensors(
        Record(tf.constant("/data/a.record"), tf.constant(4, tf.int64), tf.constant(serialized))
    )
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        next(iter(records.map(lambda record: decoder(record))))
    error = find(raised.value)
    assert error is not None, raised.value
    assert "\n" not in str(error) and str(error).startswith("/data/a.record, record 4: "), error
    return str(error)


def stored(image: np.ndarray, format: str, **settings) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format, **settings)
    return buffer.getvalue()


def test_fields_of_a_good_record(example, picture):
    sample, info = decode(example(boxes=[(0.1, 0.2, 0.5, 0.6), (0, 0, 1, 1)], image__object__class__label=[3, 1]))
    np.testing.assert_array_equal(sample.image, picture())
    np.testing.assert_allclose(sample.boxes, [[0.1, 0.2, 0.5, 0.6], [0, 0, 1, 1]])
    np.testing.assert_array_equal(sample.classes, [2, 0])
    np.testing.assert_array_equal(sample.weights, [1, 1])
    assert not sample.is_crowd.numpy().any() and not sample.difficult.numpy().any()
    np.testing.assert_allclose(sample.areas, [0.4 * 0.4 * 600, 600], rtol=1e-5)
    assert info.source_id == b"7" and info.original_shape.numpy().tolist() == [20, 30]
    assert (sample.image.dtype, sample.boxes.dtype, sample.classes.dtype) == (tf.uint8, tf.float32, tf.int32)


def test_optional_lists_are_used(example):
    sample, _ = decode(
        example(
            boxes=[(0, 0, 0.5, 0.5)] * 4,
            image__object__is_crowd=[0, 1, 0, 0],
            image__object__difficult=[0, 0, 1, 0],
            image__object__weight=[0.5, 1.0, 1.0, 2.0],
            image__object__area=[1.0, 2.0, 3.0, 4.0],
        )
    )
    np.testing.assert_array_equal(sample.is_crowd, [False, True, False, False])
    np.testing.assert_array_equal(sample.difficult, [False, False, True, False])
    np.testing.assert_array_equal(sample.weights, [0.5, 0, 0, 2])  # crowd and difficult boxes are there, but not learnt
    np.testing.assert_array_equal(sample.areas, [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("choice", "classes", "weights"),
    [("IGNORE", [0, 2, 0], [1, 0, 0]), ("TRAIN", [0, 2, 0], [1, 1, 0]), ("LEAVE_OUT", [0], [1])],
)
def test_difficult_objects_are_ignored_learnt_or_left_out(example, choice, classes, weights):
    serialized = example(
        boxes=[(0, 0, 1, 1), (0.1, 0.2, 0.5, 0.6), (0, 0, 0.5, 0.5)],
        image__object__class__label=[1, 3, 1],
        image__object__difficult=[0, 1, 1],
        image__object__is_crowd=[0, 0, 1],  # a crowd is no object to learn, difficult or not
    )
    decoder = Decoder(LabelLookup(TEXTS, (1, 3), 0), Corrections(), "map", difficult_objects=DifficultObjects[choice])
    sample, _ = decoder(Record(tf.constant("a"), tf.constant(0, tf.int64), tf.constant(serialized)))
    np.testing.assert_array_equal(sample.classes, classes)
    np.testing.assert_array_equal(sample.weights, weights)
    assert sample.difficult.numpy().sum() == len(classes) - 1  # VOC's metrics need the mark however it was learnt


def test_record_without_boxes(example):
    sample, _ = decode(example(boxes=()))
    assert sample.boxes.shape == (0, 4) and sample.areas.shape == (0,)


@pytest.mark.parametrize(
    ("source_id", "filename", "expected"), [("7", "x", b"7"), ("", "x.jpg", b"x.jpg"), (None, None, b"a.record:4")]
)
def test_source_id_falls_back_to_something_stable(example, source_id, filename, expected):
    _, info = decode(example(image__source_id=source_id, image__filename=filename))
    assert info.source_id == expected


def test_a_text_is_looked_up_and_the_larger_id_wins(example):
    serialized = example(
        boxes=[(0, 0, 0.5, 0.5)] * 3,
        image__object__class__text=["dog", "Hund", "both"],
        image__object__class__label=[3, 3, 3],
    )
    sample, _ = decode(serialized)
    np.testing.assert_array_equal(sample.classes, [2, 2, 2])
    sample, _ = decode(
        example(
            boxes=[(0, 0, 0.5, 0.5)] * 2, image__object__class__text=["", "dog"], image__object__class__label=[1, 3]
        )
    )
    np.testing.assert_array_equal(sample.classes, [0, 2])  # no text for a box: its number counts
    sample, _ = decode(example(image__object__class__text=["dog"], image__object__class__label=None))
    np.testing.assert_array_equal(sample.classes, [2])


def test_a_text_and_a_number_that_mean_two_classes_are_an_error(example):
    serialized = example(
        boxes=[(0, 0, 0.5, 0.5)] * 3,
        image__object__class__text=["dog", "Hund", "both"],
        image__object__class__label=[3, 1, 3],
    )
    line = fault(serialized)
    assert (
        "/data/a.record, record 4: image/object/class of box 1: text 'Hund' has id 3, label is 1; pets.pbtxt gives them"
        " two ids" in line
    )
    sample, _ = decode(serialized, texts=())
    np.testing.assert_array_equal(sample.classes, [2, 0, 2])  # no label map: the number counts


def test_unknown_labels_stop_or_are_dropped(example):
    by_text = example(image__object__class__text=["bird"])
    line = fault(by_text)
    assert "image/object/class/text 'bird' of box 0 is unknown" in line and "pets.pbtxt" in line
    assert "label 2 of box 0 is unknown; not" in fault(example(image__object__class__label=[2]))
    assert "label 0 of box 0 is unknown; not" in fault(example(image__object__class__label=[0]))
    assert "label 3 of box 0 is unknown; not" in fault(example(image__object__class__label=[3]), num_classes=2)
    assert "label 4 of box 0 is unknown; not" in fault(example(image__object__class__label=[4]), ids=(), num_classes=3)
    corrections = Corrections()
    sample, _ = decode(by_text, drop=True, corrections=corrections)
    assert sample.boxes.shape == (0, 4) and corrections.totals()["class_unknown"][:2] == (1, 1)


def test_boxes_are_clipped_or_dropped_and_counted(example):
    corrections = Corrections()
    boxes = [(-0.05, 0.2, 0.5, 1.04), (0.3, 0.3, 0.3, 0.9), (1.02, 0.1, 1.05, 0.2), (0.1, 0.1, 0.2, 0.2)]
    sample, _ = decode(example(boxes=boxes), corrections=corrections)
    np.testing.assert_allclose(sample.boxes, [[0, 0.2, 0.5, 1], [0.1, 0.1, 0.2, 0.2]])
    assert {kind: boxes for kind, (boxes, _, _) in corrections.totals().items()} == {
        "box_zero_area": 2,
        "box_clipped": 1,
    }
    assert corrections.lines()["box_zero_area"] == "2 boxes without area dropped, in 1 record (e.g. /data/a.record:4)"
    decode(example(boxes=boxes), corrections=corrections)  # the same record once more
    assert corrections.totals()["box_zero_area"][0] == 2  # a record counts once, however often it is read


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"boxes": [(0, 0, 1, 1), (0.1, float("nan"), 0.2, 0.3)]}, ("image/object/bbox 1 ", "nan", "finite")),
        ({"boxes": [(0.1, 0.1, float("inf"), 0.3)]}, ("image/object/bbox 0 ", "inf", "finite")),
        ({"boxes": [(0.5, 0.1, 0.2, 0.3)]}, ("image/object/bbox 0 ", "0.5", "swap")),
        ({"boxes": [(10.0, 20.0, 15.0, 25.0)]}, ("image/object/bbox 0 ", "normalised coordinates", "not pixels")),
        ({"boxes": [(-0.2, 0.0, 0.5, 0.5)]}, ("image/object/bbox 0 ", "far outside")),
        ({"image__object__area": [float("nan")]}, ("image/object/area of box 0 is nan", "finite number")),
        ({"image__object__area": [-1.0]}, ("image/object/area of box 0 is -1.0",)),
        (
            {"boxes": [(0, 0, 1, 1)] * 2, "image__object__weight": [1.0, -2.0]},
            ("image/object/weight of box 1 is -2.0", "0 or higher"),
        ),
        ({"image__object__weight": [float("inf")]}, ("image/object/weight of box 0 is inf",)),
        ({"image__height": 30, "image__width": 20}, ("image/height, image/width", "[30 20]", "[20 30]")),
        ({"image__encoded": None}, ("image/encoded is empty",)),
        ({"image__object__bbox__xmax": [0.5, 0.6]}, ("image/object/bbox/xmax", "2 values for 1 boxes")),
        ({"image__object__difficult": [0, 0, 1]}, ("image/object/difficult", "3 values for 1 boxes")),
        ({"image__object__class__label": None}, ("image/object/class/label is empty",)),
    ],
)
def test_faults_name_record_field_and_value(example, changes, parts):
    line = fault(example(**changes))
    assert all(part in line for part in parts), line


def test_texts_need_a_label_map(example):
    line = fault(example(image__object__class__text=["cat"], image__object__class__label=None), texts=())
    assert "label_map_path" in line


def test_sizes_may_be_absent(example):
    sample, _ = decode(example(image__height=None, image__width=None))
    assert sample.image.shape == (20, 30, 3)


@pytest.mark.parametrize("format", ["PNG", "BMP", "GIF", "JPEG"])
def test_formats(example, picture, format):
    sample, _ = decode(example(image__encoded=stored(picture(), format)))
    assert sample.image.shape == (20, 30, 3) and sample.image.dtype == tf.uint8
    assert format == "JPEG" or format == "GIF" or np.array_equal(sample.image, picture())


def test_odd_images_become_three_channels(example, picture):
    gray = picture()[..., 0]
    for image in (stored(gray, "JPEG", quality=95), stored(gray, "PNG"), stored(np.dstack([picture(), gray]), "PNG")):
        sample, _ = decode(example(image__encoded=image))
        assert sample.image.shape == (20, 30, 3)
    deep = tf.io.encode_png(tf.fill([20, 30, 3], tf.constant(40000, tf.uint16))).numpy()
    sample, _ = decode(example(image__encoded=deep))
    np.testing.assert_array_equal(sample.image, np.full([20, 30, 3], 156))
    buffer = io.BytesIO()
    Image.fromarray(picture()).convert("CMYK").save(buffer, "JPEG", quality=95)
    sample, _ = decode(example(image__encoded=buffer.getvalue()))
    assert np.abs(np.asarray(sample.image, int) - picture()).mean() < 12


def test_exif_rotation_is_ignored(example, picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    sample, _ = decode(example(image__encoded=stored(picture(), "JPEG", exif=exif)))
    assert sample.image.shape == (20, 30, 3)


def bomb(format: str) -> bytes:
    """The beginning of an image whose header claims 2.5 billion pixels."""
    if format == "PNG":
        return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 50_000, 50_000) + b"\x08\x02\0\0\0"
    if format == "JPEG":  # a start, a table, and a frame of other dimensions than the rest of the file
        small = bytearray(stored(np.zeros([8, 8, 3], np.uint8), "JPEG"))
        frame = small.index(b"\xff\xc0")
        small[frame + 5 : frame + 9] = struct.pack(">HH", 50_000, 50_000)
        return bytes(small)
    if format == "GIF":
        return b"GIF89a" + struct.pack("<HH", 50_000, 50_000)
    return b"BM" + b"\0" * 16 + struct.pack("<Ii", 50_000, -50_000)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP"])
def test_huge_images_are_refused_by_their_header(example, format):
    line = fault(example(image__encoded=bomb(format), image__height=None, image__width=None))
    assert "image/encoded has 2500000000 pixels by its header; at most 100000000" in line


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP"])
def test_headers_state_the_size(picture, format):
    assert image_header.measure(tf.constant(stored(picture(200, 300), format)))[0].numpy() == 60_000


def test_headers_of_nothing():
    assert [
        image_header.measure(tf.constant(data))[0].numpy()
        for data in (b"", b"\x89PN", b"text of some length, no image")
    ] == [0, 0, 0]


def test_one_pixel(example):
    sample, _ = decode(example(boxes=[(0, 0, 1, 1)], height=1, width=1))
    assert sample.image.shape == (1, 1, 3) and sample.areas.numpy().tolist() == [1]


def test_the_first_record_of_a_remark_is_the_first_in_the_shard():
    corrections = Corrections()
    for index in (10, 9):
        corrections.note(
            Record(tf.constant("a:b\nc"), tf.constant(index, tf.int64), tf.constant("")),
            {"box_clipped": tf.constant(1)},
        )
    assert corrections.totals()["box_clipped"] == (2, 2, "a:b\nc:9")


def test_an_unknown_class_is_told_with_those_that_may_be_meant(example):
    for text, hint in (("Dgo", "(did you mean 'dog'?)"), ("aeroplane", "(known: 'cat', 'dog', 'Hund', 'both')")):
        line = fault(example(image__object__class__text=[text], image__object__class__label=None))
        assert f"image/object/class/text '{text}' of box 0 is unknown {hint}; not a class of pets" in line
