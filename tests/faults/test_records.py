"""Faults of records: validation finds all of them, training stops at the first, and both name shard, record, field,
value and what to do."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from detection.data.reading.corrections import Corrections
from detection.data.reading.decode import Decoder
from detection.data.reading.input import eval_dataset, train_dataset
from detection.data.reading.iteration import iterate, translate
from detection.data.reading.labels import LabelLookup
from detection.data.reading.options import InputOptions
from detection.data.resize import FixedShapeResizer
from detection.data.sample import Record
from detection.errors import ConfigError, DataError
from detection.types import Category

LABEL_MAP = 'item { name: "cat" id: 1 } item { name: "dog" display_name: "Hund" id: 3 }'
RESIZER = FixedShapeResizer(height=16, width=16)
NAN, INF = float("nan"), float("inf")


@pytest.fixture
def label_map(tmp_path: Path) -> Path:
    path = tmp_path / "pets.pbtxt"
    path.write_text(LABEL_MAP)
    return path


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory, options_of) -> Callable[..., list]:
    """read(record, ...): what training reads from a shard that holds these records. One pipeline, traced once, reads
    every one of them."""
    path = tmp_path_factory.mktemp("shards") / "data.record"
    write_shard(path, b"")
    settings = options_of(str(path), label_source="label_map_path (pets.pbtxt)")

    def open_shard() -> tf.data.Dataset:
        return eval_dataset(settings, RESIZER, 1, corrections=Corrections())

    dataset = open_shard()

    def run(*records: bytes, content: bytes | None = None) -> list:
        write_shard(path, *records)
        if content is not None:
            path.write_bytes(content)
        return list(iterate(dataset, settings))

    run.path, run.open = path, open_shard
    return run


def write_shard(path: Path, *records: bytes) -> Path:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path


@pytest.fixture(scope="module")
def options_of() -> Callable:
    def make(*paths: str, **changes: object) -> InputOptions:
        texts = (("cat", 1), ("dog", 3), ("Hund", 3))
        settings = {"categories": (Category(1, "cat"), Category(3, "dog")), "text_ids": texts, "max_number_of_boxes": 5}
        return InputOptions(paths=paths, **{**settings, **changes})

    return make


BOX = "image/object/bbox"
TWO = [(0.1, 0.2, 0.5, 0.6)] * 2
# Row -> what is changed in a good record with two boxes, the field or box that both must name, and the value that both
# must show.
UNUSABLE = {
    "16-height": ({"image__height": 21}, "image/height, image/width", ("21", "20")),
    "16-rotated": ({"image__height": 30, "image__width": 20}, "image/height, image/width", ("30", "20")),
    "17-nan": ({"boxes": [TWO[0], (0.1, NAN, 0.5, 0.6)]}, "box", ("1", "nan")),
    "17-inf": ({"boxes": [(0.1, 0.2, INF, 0.6), TWO[0]]}, "box", ("0", "inf")),
    "18-y": ({"boxes": [TWO[0], (0.5, 0.2, 0.1, 0.6)]}, "box", ("1", "0.5", "0.1")),
    "18-x": ({"boxes": [TWO[0], (0.1, 0.6, 0.5, 0.2)]}, "box", ("1", "0.6", "0.2")),
    "20-far": ({"boxes": [TWO[0], (-0.4, 0.2, 0.5, 0.6)]}, "box", ("1", "-0.4")),
    "21-pixels": ({"boxes": [(2, 6, 10, 18), (2, 6, 10, 18)]}, "normalised", ()),
    "25-number": ({"image__object__class__label": [1, 2]}, "label", ("1", "2")),
    "25-text": ({"image__object__class__text": ["cat", "bird"]}, "box", ("1", "bird")),
    "25-zero": ({"image__object__class__label": [1, 0]}, "label", ("1", "0")),
}


@pytest.fixture(scope="module")
def decode() -> Callable[[bytes], object]:
    """decode(record): what training makes of record 1 of a shard, all through one graph."""
    decoder = Decoder(LabelLookup((("cat", 1), ("dog", 3)), (1, 3), 0), Corrections(), "label_map_path (pets.pbtxt)")

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.string)])
    def run(serialized):
        return decoder(Record(tf.constant("/data/a.record"), tf.constant(1, tf.int64), serialized))

    return run


@pytest.mark.parametrize("case", UNUSABLE)
def test_training_stops_at_a_record_that_cannot_be_used(decode, example, holds, case):
    changes, field, values = UNUSABLE[case]
    decode(example(boxes=TWO))
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        decode(example(**{"boxes": TWO, **changes}))
    error = translate(raised.value)
    assert isinstance(error, DataError) and error.exit_code == 3
    line = str(error)
    assert line.startswith("/data/a.record, record 1: ") and "; " in line, "no hint"
    holds(line, field, *values)
    if case.startswith("25"):
        holds(line, "pets.pbtxt")


def test_a_pipeline_stops_there_too(read, example, holds):
    """Rows 17 and 25, through everything that training reads with; a class's text may be any bytes."""
    good = example(boxes=TWO)
    assert len(read(good, good)) == 2
    with pytest.raises(DataError) as raised:
        read(good, example(boxes=[TWO[0], (0.1, NAN, 0.5, 0.6)]), good)
    assert raised.value.exit_code == 3
    holds(str(raised.value), f"{read.path}, record 1: image/object/bbox 1 (", "nan", "finite")
    with pytest.raises(DataError) as raised:
        read(good, good, example(image__object__class__text=[b"\xff\x80\x1bbird"]))
    assert raised.value.exit_code == 3
    holds(
        str(raised.value),
        f"{read.path}, record 2: image/object/class/text '",
        "bird' of box 0 is unknown",
        "pets.pbtxt",
    )


@pytest.mark.parametrize("case", UNUSABLE)
def test_validation_ends_with_3_and_names_it(command, tmp_path, label_map, example, holds, case):
    changes, field, values = UNUSABLE[case]
    shard = write_shard(
        tmp_path / "data.record", example(boxes=TWO), example(**{"boxes": TWO, "image__source_id": "8"} | changes)
    )
    done = command(
        "validate_records.py",
        f"--input_path={shard}",
        f"--label_map_path={label_map}",
        f"--report={tmp_path / 'report.json'}",
    )
    assert done.code == 3
    holds(done.error, shard, "record 1 (8)", *(values if case != "21-pixels" else ("up to 18",)))
    assert len(json.loads((tmp_path / "report.json").read_text())["faults"]) == 1, "the good record is not named"
    if case.startswith("25"):
        holds(done.error, label_map)
    holds(done.error, *(BOX if case == "21-pixels" else "box" if field == "label" else field).split(", "))


def test_text_and_label_that_disagree(command, tmp_path, label_map, example, holds, read):
    """Row 26: one of them is wrong, and nobody knows which."""
    with pytest.raises(DataError) as raised:
        read(example(image__object__class__text=["dog"]))
    holds(str(raised.value), "record 0: image/object/class of box 0: text 'dog' has id 3, label is 1", "pets.pbtxt")
    shard = write_shard(tmp_path / "data.record", example(image__object__class__text=["dog"]))
    done = command("validate_records.py", f"--input_path={shard}", f"--label_map_path={label_map}")
    assert done.code == 3
    holds(done.error, shard, "record 0 (7), box 0", "text 'dog' is label 3", "the record says label 1", label_map)


def test_what_can_be_put_right_is_put_right_and_counted(
    command, tmp_path, label_map, example, holds, options_of, caplog
):
    """Rows 19, 20, 24: training says once how many boxes of how many records it dropped, clipped or left out, and in
    which."""
    empty, outside = (
        example(boxes=[TWO[0], (0.1, 0.2, 0.1, 0.6)]),
        example(boxes=[(-0.05, 0.2, 0.5, 1.04), TWO[0]], image__source_id="8"),
    )
    many = example(boxes=TWO * 4, image__source_id="9")
    shard = write_shard(tmp_path / "data.record", empty, outside, many)
    settings, corrections = options_of(str(shard)), Corrections()
    with caplog.at_level("WARNING", logger="absl"):
        dataset = train_dataset(settings, (), RESIZER, 1, 0, corrections=corrections).take(3)
        examples = sorted(iterate(dataset, settings, corrections), key=lambda example: int(example.info.source_ids[0]))
        evaluated = eval_dataset(settings, RESIZER, 1)
    assert evaluated.element_spec.groundtruth.boxes.shape == (1, 8, 4)
    holds(
        caplog.text,
        f"1 box without area dropped, in 1 record (e.g. {shard}:0)",
        f"1 box clipped to the image, in 1 record (e.g. {shard}:1)",
        "3 boxes beyond max_number_of_boxes dropped, in 1 record",
        "set the input reader's max_number_of_boxes to 8 or more to train on all",
    )
    assert [int(example.groundtruth.counts[0]) for example in examples] == [1, 2, 5]
    assert all(
        (example.groundtruth.weights.numpy()[0] > 0).sum() == int(example.groundtruth.counts[0]) for example in examples
    )
    boxes = examples[1].groundtruth.boxes.numpy()[0]
    assert boxes.min() >= 0 and boxes.max() <= 16
    done = command("validate_records.py", f"--input_path={shard}", f"--label_map_path={label_map}")
    assert done.code == 0
    holds(
        done.out,
        "boxes without area; left out: 1",
        "boxes that reach outside their image; clipped: 1",
        "record 0 (7)",
        "record 1 (8)",
    )


def test_more_boxes_reach_outside_than_can_be_chance(command, tmp_path, holds):
    """Row 20: a converter told boxes for images of another size would clip most of them."""
    folder = make_voc(tmp_path, {"a": [(5, 5, 39, 59)], "b": [(5, 5, 44, 64)], "c": [(5, 5, 44, 64)]})
    done = command(
        "create_tf_record.py",
        f"--voc_dir={folder}",
        f"--output={tmp_path / 'out' / 'all.record'}",
        "--max_bad_percent=50",
    )
    assert done.code == 3 and not list((tmp_path / "out").glob("*.record-*"))
    holds(done.error, "2 of 3 boxes are partly outside their image", "--max_bad_percent=50", "b.xml", "(5, 5, 44, 64)")


@pytest.mark.parametrize("policy", ["skip", "fail", "fix"])
def test_inverted_boxes_are_left_out_refused_or_swapped(command, tmp_path, holds, policy):
    """Row 18, in conversion."""
    folder = make_voc(tmp_path, {"a": [(5, 5, 30, 50)], "b": [(30, 50, 5, 5), (1, 2, 9, 9)]})
    output = tmp_path / "out" / "all.record"
    done = command("create_tf_record.py", f"--voc_dir={folder}", f"--output={output}", f"--on_bad={policy}")
    assert done.code == (3 if policy == "fail" else 0), done
    holds(done.error if policy == "fail" else done.out, "b.xml", "object 1", "(30, 50, 5, 5)")
    if policy == "fail":
        holds(done.error, "--on_bad=fix")
        assert not list((tmp_path / "out").glob("*.record-*"))
    else:
        holds(done.out, "2 images, 3 boxes" if policy == "fix" else "2 images, 2 boxes")


def make_voc(folder: Path, boxes: dict[str, list[tuple[int, int, int, int]]]) -> Path:
    """A VOC folder of 40 x 60 images; boxes are xmin, ymin, xmax, ymax in pixels."""
    from PIL import Image

    root = folder / "voc"
    for name in ("JPEGImages", "Annotations"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, corners in boxes.items():
        Image.new("RGB", (40, 60), (9, 99, 199)).save(root / "JPEGImages" / f"{name}.jpg")
        tags = ("xmin", "ymin", "xmax", "ymax")
        objects = "".join(
            "<object><name>cat</name><bndbox>"
            + "".join(f"<{tag}>{value}</{tag}>" for tag, value in zip(tags, box, strict=True))
            + "</bndbox></object>"
            for box in corners
        )
        size = "<size><width>40</width><height>60</height></size>"
        text = f"<annotation><filename>{name}.jpg</filename>{size}{objects}</annotation>"
        (root / "Annotations" / f"{name}.xml").write_text(text)
    return root


def damaged(path: Path, how: str) -> int:
    """Damages a shard of three records; returns the number of the first that is lost."""
    data = path.read_bytes()
    third = len(data) // 3
    if how == "cut within a record":
        path.write_bytes(data[: 2 * third + third // 2])
    elif how == "cut within a header":
        path.write_bytes(data[: 2 * third + 6])
    elif how == "flipped bit":
        path.write_bytes(
            data[: third + third // 2] + bytes([data[third + third // 2] ^ 4]) + data[third + third // 2 + 1 :]
        )
        return 1
    return 2


@pytest.mark.parametrize("how", ["cut within a record", "cut within a header", "flipped bit"])
def test_a_damaged_shard_is_named_with_record_and_offset(command, tmp_path, example, holds, read, how):
    """Rows 30 and 32."""
    shard = write_shard(tmp_path / "data.record", *[example(image__source_id=str(number)) for number in range(3)])
    first = damaged(shard, how)
    done = command("validate_records.py", f"--input_path={shard}")
    assert done.code == 3
    holds(done.error, shard, f"record {first}", "at byte", "convert again")
    with pytest.raises(DataError) as raised:
        read(content=shard.read_bytes())
        # TensorFlow takes a file that ends within a header for a whole one, so that is looked for before anything is
        # read.
        read.open()
    assert raised.value.exit_code == 3
    holds(str(raised.value), f"{read.path}, record {first}", "`detection validate`")


def test_a_shard_cut_between_records(command, tmp_path, example, holds, options_of):
    """Row 31: nothing in the file tells; its manifest does, to validation and to training."""
    shard = write_shard(
        tmp_path / "train-00000-of-00001", *[example(image__source_id=str(number)) for number in range(3)]
    )
    size = shard.stat().st_size
    shards = [{"name": shard.name, "records": 3, "bytes": size, "sha256": "0" * 64}]
    (tmp_path / "train.manifest.json").write_text(json.dumps({"shards": shards}))
    shard.write_bytes(shard.read_bytes()[: size // 3 * 2])
    done = command("validate_records.py", f"--input_path={shard}")
    assert done.code == 3
    holds(done.error, shard, "2 records", "its manifest says 3", "again")
    settings = options_of(str(shard))
    with pytest.raises(DataError) as raised:
        list(iterate(eval_dataset(settings, RESIZER, 1), settings))
    assert raised.value.exit_code == 3
    holds(str(raised.value), shard, f"{size // 3 * 2} bytes", size)


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (gzip.compress(b"x" * 100, mtime=0), "gunzip"),
        (b"these are not the records that you are looking for", "TFRecord"),
        (b"\x89PNG" * 9, "TFRecord"),
    ],
    ids=["gzip", "text", "png"],
)
def test_what_is_no_record_file(command, tmp_path, holds, read, content, hint):
    """Row 33."""
    shard = tmp_path / "data.record"
    shard.write_bytes(content)
    done = command("validate_records.py", f"--input_path={shard}")
    assert done.code == 3
    holds(done.error, shard, hint)
    with pytest.raises(DataError) as raised:
        read(content=content)
    assert raised.value.exit_code == 3
    holds(str(raised.value), read.path, hint)


def test_nothing_to_read(command, tmp_path, holds, options_of):
    """Row 29: a path that matches nothing is the config's fault, a data set without records the data's."""
    field = "train_input_reader.tf_record_input_reader.input_path"
    missing = options_of(str(tmp_path / "none-*"), field=field)
    with pytest.raises(ConfigError) as raised:
        eval_dataset(missing, RESIZER, 1)
    assert raised.value.exit_code == 2
    holds(str(raised.value), field, tmp_path / "none-*")
    empty = options_of(str(write_shard(tmp_path / "empty.record")), field=field)
    with pytest.raises(DataError) as raised:
        list(iterate(eval_dataset(empty, RESIZER, 1), empty))
    assert raised.value.exit_code == 3
    holds(str(raised.value), "empty.record", "no records")
    done = command("validate_records.py", f"--input_path={tmp_path / 'none-*'}")
    assert done.code == 2
    holds(done.error, tmp_path / "none-*", "--input_path")
