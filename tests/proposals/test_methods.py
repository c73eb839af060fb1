"""Methods of proposing: each finds a thing that is plainly there, the same each time, in pixels of the image as
given."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from detection.errors import ConfigError
from detection.proposals.methods import METHODS, ProposalSettings, build, tidy
from detection.proposals.recall import best_ious

THING = np.array([[60, 100, 140, 180]], np.float32)
NEEDS_OPENCV = ("selective_search_fast", "selective_search_quality", "edge_boxes")


@pytest.fixture
def picture() -> np.ndarray:
    """A bright square on a dark, slightly noisy ground, 200 x 300."""
    image = np.full([200, 300, 3], 40.0)
    image[60:140, 100:180] = (220, 180, 40)
    return np.clip(image + np.random.default_rng(0).normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def forest(path) -> str:
    """A model of edges as OpenCV reads it: one tree that asks whether the gradient in the middle of a patch is large,
    and then sees an edge there."""
    middle, patch, inner = 8, 32, 16
    magnitude = 3 * (patch // 2) ** 2 + middle * (patch // 2) + middle  # behind three channels of colour
    edge = [row * inner + column for row in (7, 8) for column in (7, 8)] * 16  # what repeats counts more
    path.write_text(f"""%YAML:1.0
---
options: {{ stride: 2, shrinkNumber: 2, patchSize: {patch}, patchInnerSize: {inner}, numberOfGradientOrientations: 4,
  gradientSmoothingRadius: 0,
  regFeatureSmoothingRadius: 2, ssFeatureSmoothingRadius: 8, gradientNormalizationRadius: 4, selfsimilarityGridSize:
    5, numberOfTrees: 1,
  numberOfTreesToEvaluate: 1 }}
childs: [ [ 2, 0, 0 ] ]
featureIds: [ [ {magnitude}, 0, 0 ] ]
thresholds: [ [ 0.9, 0., 0. ] ]
edgeBoundaries: [ [ 0, 0, 0, {len(edge)} ] ]
edgeBins: [ {edge} ]
""")
    return str(path)


def settings_of(method: str, tmp_path, **changes) -> ProposalSettings:
    if method in NEEDS_OPENCV:
        pytest.importorskip("cv2.ximgproc.segmentation")
    model = {"edge_model": forest(tmp_path / "model.yml")} if method == "edge_boxes" else {}
    return ProposalSettings(method=method, **{**model, **changes})


@pytest.mark.parametrize("method", [method for method in METHODS if method != "rpn"])
def test_finds_the_thing_and_only_boxes_of_the_image(method, picture, tmp_path):
    found = build(settings_of(method, tmp_path))(picture)
    assert found.boxes.dtype == found.scores.dtype == np.float32 and len(found.boxes) == len(found.scores) > 10
    assert (
        (found.boxes >= 0).all()
        and (found.boxes <= [200, 300, 200, 300]).all()
        and (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    )
    assert (np.diff(found.scores) <= 0).all() and len(np.unique(found.boxes, axis=0)) == len(found.boxes)
    assert best_ious(THING, found.boxes)[0, -1] > 0.6
    if method in ("selective_search_fast", "selective_search_quality"):
        assert best_ious(THING, found.boxes)[0, -1] > 0.95


@pytest.mark.parametrize("method", [method for method in METHODS if method != "rpn"])
def test_same_each_time_and_cut_to_the_best(method, picture, tmp_path):
    settings = settings_of(method, tmp_path)
    first, again = build(settings)(picture), build(settings)(picture)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    np.testing.assert_array_equal(first.scores, again.scores)
    few = build(settings_of(method, tmp_path, max_proposals=7))(picture)
    assert len(few.boxes) == 7
    if method != "edge_boxes":  # OpenCV itself stops at so many boxes there
        np.testing.assert_array_equal(few.boxes, first.boxes[:7])
    if "selective" in method or method == "grid":
        other = build(settings_of(method, tmp_path, seed=1))(picture)
        assert not np.array_equal(other.boxes, first.boxes) and {*map(tuple, other.boxes)} == {*map(tuple, first.boxes)}


@pytest.mark.parametrize("method", ["selective_search_fast", "edge_boxes"])
def test_large_images_are_searched_small(method, picture, tmp_path):
    large = picture.repeat(3, axis=0).repeat(3, axis=1)
    found = build(settings_of(method, tmp_path, max_image_side=300))(large)
    assert found.boxes.max() > 500 and best_ious(THING * 3, found.boxes)[0, -1] > 0.6
    assert (
        np.minimum(*(found.boxes[:, 2:] - found.boxes[:, :2]).T).min() >= 10 * 3 - 1e-3
    )  # min_side counts where it is searched


@pytest.mark.parametrize("method", [method for method in METHODS if method != "rpn"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 50), (5, 900), (40, 30)])
def test_odd_images(method, shape, tmp_path):
    found = build(settings_of(method, tmp_path))(np.full([*shape, 3], 128, np.uint8))
    assert found.boxes.shape == (len(found.scores), 4) and (found.boxes <= [*shape, *shape]).all()


@pytest.mark.parametrize("size", [(480, 640), (375, 500), (1024, 300)])
def test_grid_is_as_dense_as_asked_and_covers_every_box(size):
    found = build(ProposalSettings(method="grid"))(np.zeros([*size, 3], np.uint8))
    assert 42_000 < len(found.boxes) <= 45_000  # Girshick 2015, section 5.5: about 45k boxes an image
    rng = np.random.default_rng(0)
    root = np.sqrt(size[0] * size[1])
    sides = root * 2 ** rng.uniform(-4, -1, [200, 1]) * np.stack([2 ** rng.uniform(-0.5, 0.5, 200)] * 2, 1) ** [1, -1]
    corners = rng.uniform(0, 1, [200, 2]) * (np.array(size) - np.minimum(sides, size))
    boxes = np.concatenate([corners, corners + np.minimum(sides, size)], axis=1)
    assert np.array([best_ious(box[np.newaxis], found.boxes)[0, -1] for box in boxes]).min() > 0.5
    few = build(ProposalSettings(method="grid", grid_boxes=500))(np.zeros([*size, 3], np.uint8))
    assert 100 < len(few.boxes) <= 500


def test_tidy():
    boxes = np.array([[0, 0, 5, 5], [1, 1, 9, 9], [0, 0, 5, 5], [3, 3, 3, 8], [-1, 2, 4, 30], [20, 20, 30, 30]])
    found = tidy(boxes, np.array([0.1, 0.5, 0.3, 0.9, 0.5, 0.9]), (10, 12))
    assert found.boxes.tolist() == [
        [0, 2, 4, 12],
        [1, 1, 9, 9],
        [0, 0, 5, 5],
    ] and found.scores.tolist() == pytest.approx([0.5, 0.5, 0.3])
    assert len(tidy(boxes, np.zeros(6), (10, 12), 2).boxes) == 2
    assert tidy(boxes[:0], np.zeros(0), (10, 12)).boxes.shape == (0, 4)


def test_unknown_method():
    with pytest.raises(ConfigError, match="--method=magic is unknown; use one of: selective_search_fast, "):
        build(ProposalSettings(method="magic"))


@pytest.mark.parametrize("method", NEEDS_OPENCV)
def test_without_opencv_contrib_the_extra_is_named(method, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(
        ConfigError, match=rf"--method={method} needs .* is not installed; .* pip install 'detection\[proposals\]'"
    ):
        build(ProposalSettings(method=method))
    monkeypatch.setitem(sys.modules, "cv2", types.ModuleType("cv2"))
    with pytest.raises(ConfigError, match="without its contributed modules"):
        build(ProposalSettings(method=method))


def test_edge_boxes_need_their_model(tmp_path):
    pytest.importorskip("cv2.ximgproc.segmentation")
    with pytest.raises(ConfigError, match="needs OpenCV's edge model.* pass --edge_model=FILE"):
        build(ProposalSettings(method="edge_boxes"))
    with pytest.raises(ConfigError, match="--edge_model=nowhere: no such file; get model.yml.gz"):
        build(ProposalSettings(method="edge_boxes", edge_model="nowhere"))
    (tmp_path / "model.yml").write_text("hello")
    with pytest.raises(ConfigError, match="model.yml: is not an edge model"):
        build(ProposalSettings(method="edge_boxes", edge_model=str(tmp_path / "model.yml")))
