"""Faults of what clients send to a served model, whose only way to answer is the text of an error; and of what
`detect.py` is given."""

from __future__ import annotations

import base64
import functools
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from detection.data.resize import FixedShapeResizer, KeepAspectRatioResizer
from detection.errors import DataError
from detection.export.predictor import Predictor
from detection.export.serving import ServingInput, preparation
from detection.ops.nms import MulticlassNms

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
PNG, SMALL = tf.io.encode_png(IMAGE).numpy(), tf.io.encode_png(IMAGE[:20]).numpy()
BOMB = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 50_000, 50_000) + b"\x08\x02\0\0\0"
SHAPE = "Shape of tensor input_tensor {} is not compatible with expected shape {}."


@functools.cache
def loaded(folder: Path) -> object:
    return tf.saved_model.load(str(folder / "saved_model"))


def serve(folder: Path, value: tf.Tensor) -> dict[str, tf.Tensor]:
    return loaded(folder).signatures["serving_default"](input_tensor=value)


def refusal(serve, value: tf.Tensor) -> str:
    """What the client reads, on one line, without the names of operations around it."""
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        serve(value)
    return " ".join(str(raised.value).split())


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (tf.zeros([0, 40, 60, 3], tf.uint8), "input_tensor: the batch is empty; send at least one image"),
        (
            tf.zeros([1, 0, 60, 3], tf.uint8),
            "input_tensor: images without pixels; height and width must be at least 1. Shape:] [1 0 60 3]",
        ),
        (tf.zeros([1, 40, 60, 1], tf.uint8), SHAPE.format("[1,40,60,1]", "[?,?,?,3]")),
        (tf.zeros([40, 60, 3], tf.uint8), SHAPE.format("[40,60,3]", "[?,?,?,3]")),
        (tf.zeros([1, 40, 60, 3]), "expected to be a uint8 tensor but is a float tensor"),
        (tf.constant([PNG]), "expected to be a uint8 tensor but is a string tensor"),
    ],
    ids=["empty batch", "no pixels", "grey", "one image", "floats", "strings"],
)
def test_images_that_a_served_model_refuses(exported, holds, value, says):
    holds(refusal(lambda sent: serve(exported, sent), value), says)


@pytest.mark.parametrize(
    ("strings", "says"),
    [
        ([], "input_tensor: the batch is empty"),
        (
            [PNG, b""],
            (
                "input_tensor: not a JPEG, PNG, GIF, BMP or WebP file; send the bytes of the file. Index in the batch,"
                " and first bytes:] [1]"
            ),
        ),
        ([PNG, PNG, b"hello"], "and first bytes:] [2] [hello]"),
        (
            [base64.b64encode(PNG)],
            'input_tensor: base64 text instead of an image; decode it first (in a REST request, send {\\"b64\\"',
        ),
        ([PNG, base64.urlsafe_b64encode(tf.io.encode_jpeg(IMAGE).numpy())], "Index in the batch:] [1]"),
        ([PNG[:40]], "Invalid PNG"),
        ([tf.io.encode_jpeg(IMAGE).numpy()[:-30]], "Invalid JPEG data"),
        (
            [BOMB],
            (
                "the image is too large (at most 100000000 pixels are decoded); pixels and work by its header:]"
                " [2500000000]"
            ),
        ),
        ([PNG[:20]], "header does not say how large it is; its bytes:] [20]"),
        ([PNG, b"\xff\xfe\0\x1b[31m"], "and first bytes:] [1] [\ufffd\ufffd\ufffd\ufffd[31m]"),
    ],
    ids=[
        "empty batch",
        "empty string",
        "text",
        "base64",
        "base64 of the web",
        "damaged PNG",
        "damaged JPEG",
        "bomb",
        "no size",
        "bytes that are no text",
    ],
)
def test_strings_that_a_served_model_refuses(exported_strings, holds, strings, says):
    holds(refusal(lambda sent: serve(exported_strings, sent), tf.constant(strings, tf.string)), says)


def test_what_a_served_model_takes(exported, exported_strings):
    """Row 13: one pixel is an image; row 64: strings of several sizes make one batch where the resizer gives one
    size."""
    found = [serve(exported, tf.zeros([2, 1, 1, 3], tf.uint8)), serve(exported_strings, tf.constant([PNG, SMALL]))]
    for outputs in found:
        assert all(np.isfinite(value.numpy()).all() for value in outputs.values())
        assert outputs["detection_boxes"].shape[0] == 2


@pytest.fixture(scope="module")
def keeps_proportions():
    spec = ServingInput("encoded_image_string_tensor").spec()
    prepare = preparation(spec, KeepAspectRatioResizer(min_dimension=64, max_dimension=96))
    return tf.function(prepare, input_signature=[spec], autograph=False)


def test_a_batch_of_mixed_sizes(keeps_proportions, holds):
    """Row 64: one size after resizing is enough, several are refused with what to do."""
    same = tf.io.encode_png(IMAGE[::2, ::2]).numpy()
    assert keeps_proportions(tf.constant([PNG, same])).images.shape == (2, 64, 96, 3)
    said = refusal(keeps_proportions, tf.constant([PNG, SMALL]))
    holds(said, "all images of a batch must have one size after resizing; send others separately. Sizes:] [[64 96 3]")
    holds(refusal(keeps_proportions, tf.constant([], tf.string)), "input_tensor: the batch is empty")


def test_a_declared_size_is_kept_to(holds):
    """An export for 1 x 60 x 80 images takes no others, although TensorFlow's own signature lets them through."""
    spec = ServingInput(shape=(1, 60, 80, 3)).spec()
    prepare = tf.function(preparation(spec, FixedShapeResizer(height=96, width=96)), autograph=False)
    free = tf.TensorSpec(None, tf.uint8)  # as unknown as the shape of what a client sends
    prepare = prepare.get_concrete_function(free)
    assert prepare(tf.zeros([1, 60, 80, 3], tf.uint8)).images.shape == (1, 96, 96, 3)
    holds(
        refusal(prepare, tf.zeros([1, 40, 60, 3], tf.uint8)),
        "[1,40,60,3] is not compatible with expected shape [1,60,80,3]",
    )


def test_in_python_the_image_is_named_and_the_code_is_3(exported, tmp_path, holds):
    """Row 64, through `load_model`."""
    predictor = Predictor.load(exported)
    path = tmp_path / "bad.jpg"
    path.write_bytes(base64.b64encode(PNG))
    for images, parts in (
        ([IMAGE, IMAGE.astype(np.float32)], ("image 1", "float32 [40, 60, 3]", "uint8 [height, width, 3]")),
        ([IMAGE, IMAGE[..., 0]], ("image 1", "uint8 [40, 60]")),
        ([IMAGE, IMAGE[:0]], ("image 1", "[0, 60, 3]")),
        ([IMAGE, path], (path, "; ")),
    ):
        with pytest.raises(DataError) as raised:
            predictor.detect(images)
        assert raised.value.exit_code == 3
        holds(str(raised.value), *parts)
    assert predictor.detect([]) == []
    assert [len(result.boxes) > 0 for result in predictor.detect([IMAGE, IMAGE[:20]])] == [
        True,
        True,
    ], "mixed sizes are no fault here"
    (pixel,) = predictor.detect(np.zeros((1, 1, 3), np.uint8))
    assert np.isfinite(pixel.boxes).all() and np.isfinite(pixel.scores).all()


def test_detect_names_bad_files_and_ends_with_3(command, exported, tmp_path, holds):
    Image.fromarray(IMAGE).save(tmp_path / "good.png")
    (tmp_path / "bad.jpg").write_bytes(b"hello")
    arguments = (
        f"--saved_model={exported}",
        f"--output_dir={tmp_path / 'found'}",
        tmp_path / "bad.jpg",
        tmp_path / "good.png",
    )
    done = command("detect.py", *arguments)
    assert done.code == 3 and (tmp_path / "found" / "good.png").exists()
    holds(done.err, f"error: {tmp_path / 'bad.jpg'}: ", "JPEG, PNG")
    done = command("detect.py", f"--saved_model={tmp_path}", tmp_path / "good.png")
    assert done.code == 2
    holds(done.error, f"--saved_model={tmp_path}", "holds no saved_model.pb", "`detection export`")


@pytest.mark.parametrize("rows", [1, 3])
def test_fewer_boxes_than_are_asked_for(rows):
    """Row 63: three anchors, 100 detections a class and 300 in all."""
    nms = MulticlassNms(score_threshold=0.1, iou_threshold=0.5, max_detections_per_class=100, max_total_detections=300)
    boxes = tf.constant([[[0.0, 0.0, 4.0, 4.0], [8.0, 8.0, 12.0, 12.0], [0.0, 8.0, 4.0, 12.0]]])[:, :rows]
    found = nms(boxes, tf.fill([1, rows, 2], 0.5), tf.constant([[0.0, 0.0, 16.0, 16.0]]))
    assert int(found.counts[0]) == 2 * rows and found.boxes.shape == (1, 300, 4)


def test_the_document_of_the_signature_holds_every_text(holds):
    """Row 64: docs/serving.md names every input, every output, and what each refusal says."""
    from detection.export import serving, serving_checks

    text = (Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    holds(text, *serving.INPUT_TYPES, *serving.INPUT_KEYS, '{"b64": ')
    outputs = re.findall(r'^        "(\w+)": ', Path(serving.__file__).read_text(encoding="utf-8"), re.MULTILINE)
    assert len(outputs) == 8
    holds(text, *outputs)
    for said in (
        serving.UNEQUAL,
        *(getattr(serving_checks, name) for name in ("EMPTY_BATCH", "EMPTY_IMAGE", "NO_IMAGE", "BASE64")),
    ):
        holds(text, said.split("; ")[0])
