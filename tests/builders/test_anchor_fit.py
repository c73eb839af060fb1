"""Anchors fitted to boxes: every generator, and the command."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from detection import config
from detection.builders import anchor_fit
from detection.builders.anchor_fit import Maps, Place
from detection.commands import call
from detection.protos import anchor_generator_pb2
from tests.helpers.records import example

IMAGE = (256, 384)
GENERATORS = {
    "grid_anchor_generator { scales: [0.25, 0.5, 1.0] aspect_ratios: [0.5, 1.0] }": [(16, 24)],
    "ssd_anchor_generator { num_layers: 2 aspect_ratios: [1.0, 2.0] reduce_boxes_in_lowest_layer: false }": [
        (16, 24),
        (8, 12),
    ],
    "multiscale_anchor_generator { min_level: 3 max_level: 4 anchor_scale: 8.0 aspect_ratios: [1.0, 2.0] }": [
        (32, 48),
        (16, 24),
    ],
    "flexible_grid_anchor_generator {"
    " anchor_grid { base_sizes: [16, 16] aspect_ratios: [1.0, 2.0] height_stride: 16 width_stride: 16 }"
    " anchor_grid { base_sizes: [64] aspect_ratios: [1.0] height_stride: 32 width_stride: 32 } }": [(16, 24), (8, 12)],
}


def boxes_of(groups: dict[tuple[float, float], int], image=IMAGE) -> np.ndarray:
    """Boxes of about these heights and widths at random places."""
    rng = np.random.default_rng(0)
    sizes = np.concatenate([rng.normal(1, 0.05, (count, 2)) * size for size, count in groups.items()])
    corners = rng.uniform(0, 1, sizes.shape) * (np.array(image) - sizes)
    return np.concatenate([corners, corners + sizes], axis=1)


@pytest.mark.parametrize("text", GENERATORS, ids=lambda text: text.split()[0])
def test_anchors_come_to_the_boxes(text):
    message = text_format.Parse(text, anchor_generator_pb2.AnchorGenerator())
    maps = Maps(IMAGE, tuple(GENERATORS[text]), inside=False)
    boxes = {IMAGE: boxes_of({(40, 18): 60, (30, 90): 40, (110, 80): 10})}
    place = Place("model.ssd.anchor_generator", message, 0.5, inside=False)
    now, fit = anchor_fit.current(message, maps, boxes), anchor_fit.fitted(place, maps, boxes)
    assert len(now.ious) == len(fit.ious) == 110
    assert (fit.ious >= 0.5).mean() > (now.ious >= 0.5).mean() and fit.ious.mean() > now.ious.mean() + 0.05
    # The values are those of the config's own fields, of the same number, and give what is reported.
    changed = config_of(message, fit)
    np.testing.assert_array_equal(anchor_fit.current(changed, maps, boxes).ious, fit.ious)


def config_of(message, fit) -> anchor_generator_pb2.AnchorGenerator:
    """The generator with the fitted values, set as `--set` sets them."""
    whole = config.from_text("model { ssd { } }")
    whole.model.ssd.anchor_generator.CopyFrom(message)
    path = f"model.ssd.anchor_generator.{message.WhichOneof('anchor_generator_oneof')}"
    settings = [f"{path}.{field}={value}" for field, value in fit.settings]
    return config.override(whole, settings).model.ssd.anchor_generator


def test_a_generator_that_fits_stays_as_it_is():
    text = "grid_anchor_generator { scales: [0.25, 0.5] aspect_ratios: [0.5, 1.0] height: 256 width: 256 }"
    message = text_format.Parse(text, anchor_generator_pb2.AnchorGenerator())
    cell = np.array([8.0, 8.0])
    halves = [np.array([256 * s / np.sqrt(r), 256 * s * np.sqrt(r)]) / 2 for s in (0.25, 0.5) for r in (0.5, 1.0)]
    boxes = {IMAGE: np.array([np.concatenate([cell * 16 - half, cell * 16 + half]) for half in halves])}
    maps = Maps(IMAGE, ((16, 24),), inside=False)
    fit = anchor_fit.fitted(Place("", message, 0.7, inside=False), maps, boxes)
    np.testing.assert_allclose(fit.ious, 1, atol=1e-4)
    assert dict(fit.settings) == {"scales": [0.25, 0.5], "aspect_ratios": [0.5, 1.0]}


def test_maps_grow_with_the_image():
    maps = Maps((256, 384), ((16, 24), (1, 1)), inside=True)
    assert maps.of((256, 384)) == [(16, 24), (1, 1)]
    assert maps.of((300, 200)) == [(19, 13), (2, 1)]


@pytest.fixture
def records(tmp_path) -> str:
    """Tall boxes, which the config's anchors do not cover."""
    path = tmp_path / "train.record"
    rng = np.random.default_rng(0)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(8):
            y, x = rng.uniform(0, 0.4, (2, 5))
            rows = [(float(a), float(b), float(a) + 0.55, float(b) + 0.09) for a, b in zip(y, x, strict=True)]
            labels = {"image__object__class__label": [1] * 5, "image__object__class__text": [b"circle"] * 5}
            writer.write(example(boxes=rows, image__source_id=[str(number).encode()], **labels))
    return str(path)


def test_command_writes_a_config_that_covers_more(records, tmp_path, capsys):
    source = "configs/ssd_mobilenet_v1_050_synthetic.config"
    output = tmp_path / "fitted.config"
    assert call.call("anchors", f"--input_path={records}", f"--output={output}", builtin(source)) == 0
    shown = capsys.readouterr().out
    assert "40 boxes of 8 images" in shown and f"written: {output}" in shown
    overall = next(line.split() for line in shown.splitlines() if line.split()[:1] == ["all"])
    assert float(overall[4].rstrip("%")) < float(overall[2].rstrip("%")), "fewer boxes without an anchor"
    fitted = anchor_fit.find(config.load(output)).message.ssd_anchor_generator
    assert min(fitted.aspect_ratios) < 0.4, "width over height of tall boxes"
    assert call.call("anchors", f"--input_path={records}", f"--output={output}", builtin(source)) == 2
    assert "exists already" in capsys.readouterr().err


def test_detectors_without_anchors_are_refused(capsys):
    assert call.call("anchors", builtin("configs/fast_rcnn_mobilenet_v1_075_bccd.config"), "--input_path=x") == 2
    assert "has no anchors" in capsys.readouterr().err


def builtin(path: str) -> str:
    return f"builtin:{path.removeprefix('configs/').removesuffix('.config')}"
