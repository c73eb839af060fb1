"""Resizers: sizes and samples by hand, and equal to what the reference computed."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import tensorflow as tf

from detection.data.resize import (
    ConditionalShapeResizer,
    FixedShapeResizer,
    IdentityResizer,
    KeepAspectRatioResizer,
    Method,
    PadToMultipleResizer,
    resize,
)


def legacy_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Output pixel i reads input coordinate i * input / output, between the two neighbours."""
    image = image.astype(np.float64)
    for axis, size in ((0, height), (1, width)):
        at = np.arange(size) * image.shape[axis] / size
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, image.shape[axis] - 1)
        part = (at - low).reshape([-1 if a == axis else 1 for a in range(3)])
        image = image.take(low, axis) * (1 - part) + image.take(high, axis) * part
    return image


def test_bilinear_is_the_legacy_one(picture):
    for size in ((7, 11), (40, 33)):
        out, true_shape = FixedShapeResizer(height=size[0], width=size[1])(tf.constant(picture()))
        assert out.dtype == tf.float32 and true_shape.numpy().tolist() == list(size)
        np.testing.assert_allclose(out, legacy_bilinear(picture(), *size), atol=1e-3)


def test_same_size_changes_nothing(picture):
    for method in Method:
        out, _ = FixedShapeResizer(height=20, width=30, method=method)(tf.constant(picture()))
        np.testing.assert_allclose(out, picture(), atol=1e-3)


def test_other_methods():
    image = tf.constant(np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1))
    np.testing.assert_array_equal(resize(image, (2, 2), Method.NEAREST_NEIGHBOR)[0, ..., 0], [[0, 2], [8, 10]])
    np.testing.assert_array_equal(resize(image, (2, 2), Method.AREA)[0, ..., 0], [[2.5, 4.5], [10.5, 12.5]])
    flat = tf.fill([1, 5, 5, 3], 7.0)
    np.testing.assert_allclose(resize(flat, (3, 9), Method.BICUBIC), np.full([1, 3, 9, 3], 7), rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (600, 800)),
        ((500, 375), (800, 600)),
        ((1080, 1920), (576, 1024)),
        ((600, 600), (600, 600)),
        ((100, 2000), (51, 1024)),
        ((333, 500), (600, 901)),
        ((1, 5000), (1, 1024)),
    ],
)
def test_keep_aspect_ratio_sizes(size, expected):
    image, true_shape = KeepAspectRatioResizer()(tf.zeros([*size, 3], tf.uint8))
    assert image.shape == (*expected, 3) and tuple(true_shape.numpy()) == expected


def test_keep_aspect_ratio_pads_to_the_bottom_right():
    resizer = KeepAspectRatioResizer(
        min_dimension=6, max_dimension=8, pad_to_max_dimension=True, pad_values=(1.0, 2.0, 3.0)
    )
    assert resizer.static_shape == (8, 8) and resizer.pads
    image, true_shape = resizer(tf.fill([3, 4, 3], tf.constant(9, tf.uint8)))
    assert true_shape.numpy().tolist() == [6, 8]
    np.testing.assert_array_equal(image[:6], np.full([6, 8, 3], 9))
    np.testing.assert_array_equal(image[6:], np.broadcast_to([1, 2, 3], [2, 8, 3]))
    assert not KeepAspectRatioResizer().pads and KeepAspectRatioResizer().static_shape == (None, None)


def test_identity_and_pad_to_multiple(picture):
    image, true_shape = IdentityResizer()(tf.constant(picture()))
    np.testing.assert_array_equal(image, picture())
    assert true_shape.numpy().tolist() == [20, 30]
    image, true_shape = PadToMultipleResizer(multiple=16)(tf.constant(picture()))
    assert image.shape == (32, 32, 3) and true_shape.numpy().tolist() == [20, 30]
    np.testing.assert_array_equal(image[:20, :30], picture())
    assert image.numpy()[20:].max() == 0 and image.numpy()[:, 30:].max() == 0


def test_conditional_shape():
    image = tf.zeros([20, 30, 3], tf.uint8)
    assert ConditionalShapeResizer(threshold=15)(image)[0].shape == (10, 15, 3)
    assert ConditionalShapeResizer(threshold=40)(image)[0].shape == (20, 30, 3)
    assert ConditionalShapeResizer(threshold=40, smaller=True)(image)[0].shape == (40, 60, 3)
    assert ConditionalShapeResizer(threshold=15, smaller=True)(image)[0].shape == (20, 30, 3)


def test_grayscale_keeps_three_channels(picture):
    image, _ = FixedShapeResizer(height=20, width=30, convert_to_grayscale=True)(tf.constant(picture()))
    gray = picture() @ np.array([0.2989, 0.587, 0.114])
    np.testing.assert_allclose(image, np.repeat(gray[..., None], 3, 2), atol=0.1)


@pytest.mark.parametrize(
    "resizer",
    [
        FixedShapeResizer(height=9, width=8),
        KeepAspectRatioResizer(min_dimension=7, max_dimension=9, pad_to_max_dimension=True),
    ],
)
def test_batches_equal_single_images_and_shapes_are_static(picture, resizer):
    images = tf.stack([picture(), picture()[::-1]])
    batch = resizer.batch(images)
    for row in range(2):
        single, true_shape = resizer(images[row])
        np.testing.assert_array_equal(batch.images[row], single)
        np.testing.assert_array_equal(batch.true_shapes[row], true_shape)
    traced = tf.function(resizer.batch).get_concrete_function(tf.TensorSpec([None, None, None, 3], tf.uint8))
    assert traced.structured_outputs.images.shape.as_list() == [None, *resizer.static_shape, 3]
    single = tf.function(resizer.__call__).get_concrete_function(tf.TensorSpec([None, None, 3], tf.uint8))
    assert single.structured_outputs[0].shape.as_list() == [*resizer.static_shape, 3]
    assert single.structured_outputs[1].shape.as_list() == [2]


def test_sizes_equal_the_reference(shared):
    units = np.load(shared / "parity" / "units.npz")
    for size, expected in zip(
        units["keep_aspect_ratio_sizes_v0.in.sizes"], units["keep_aspect_ratio_sizes_v0.out.sizes"], strict=True
    ):
        assert KeepAspectRatioResizer()(tf.zeros([*size, 3], tf.uint8))[1].numpy().tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("model", "resizer"),
    [("ssd_mobilenet_v1_coco", FixedShapeResizer()), ("faster_rcnn_inception_v2_coco", KeepAspectRatioResizer())],
)
def test_pixels_equal_the_reference(shared, model, resizer, monkeypatch):
    monkeypatch.syspath_prepend(str(shared / "parity"))
    import deterministic

    manifest = json.loads((shared / "parity" / "manifest.json").read_text())
    for case in manifest["models"][model]["cases"].values():
        reference = np.load(shared / "parity" / case["file"])
        images = np.stack([deterministic.image(seed, case["height"], case["width"]) for seed in case["seeds"]])
        batch = resizer.batch(tf.constant(images))
        assert batch.images.shape == tuple(reference["preprocessed_shape"])
        np.testing.assert_array_equal(batch.true_shapes, reference["true_image_shape"][:, :2])
        rows, columns = (np.rint(np.linspace(0, size - 1, 5)).astype(int) for size in batch.images.shape[1:3])
        grid = batch.images.numpy()[:, rows][:, :, columns] * np.float32(2 / 255) - 1
        np.testing.assert_allclose(grid, reference["preprocessed_grid"], rtol=0, atol=4e-6)
    sys.modules.pop("deterministic", None)
