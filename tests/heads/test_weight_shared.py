"""The predictor of all maps by hand: kernels are one, batch norm is each map's, rows run as anchors do."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.export.fold import folded
from detection.heads.weight_shared import WeightSharedHead, WeightSharedOptions
from detection.networks.hyperparams import BatchNormSettings, GroupNormSettings, Hyperparams

PLAIN = Hyperparams(keras.initializers.Ones(), activation=tf.nn.relu6)
NORMED = dataclasses.replace(PLAIN, batch_norm=BatchNormSettings(scale=True))
SCOPE = "WeightSharedConvolutionalBoxPredictor"


def _head(**options: object) -> WeightSharedHead:
    settings = {"hyperparams": NORMED, "head_hyperparams": NORMED, "depth": 3, "layers_before": 2, "kernel_size": 1}
    return WeightSharedHead((2, 2), 4, WeightSharedOptions(**{**settings, **options}))


def _maps(*depths: int) -> tuple[tf.Tensor, ...]:
    random = np.random.default_rng(0)
    return tuple(tf.constant(random.uniform(0, 1, [2, 3 - n, 2, d]), tf.float32) for n, d in enumerate(depths))


def test_rows_are_ordered_by_map_cell_and_anchor() -> None:
    head = _head(layers_before=0, head_hyperparams=PLAIN)
    maps = _maps(1, 1)
    head.run(maps)
    head.classes.kernel.assign(np.arange(8, dtype="f4").reshape(1, 1, 1, 8))
    codes, logits = head.run(maps)
    assert codes.shape == (2, 2 * (6 + 4), 4) and logits.shape == (2, 20, 4)
    cells = np.concatenate([each.numpy().reshape(2, -1) for each in maps], axis=1)
    np.testing.assert_allclose(codes, np.repeat(np.repeat(cells, 2, 1)[..., None], 4, 2), rtol=1e-6)
    np.testing.assert_allclose(logits.numpy().reshape(2, 10, 8), cells[..., None] * np.arange(8, dtype="f4"), rtol=1e-6)


def test_kernels_are_shared_and_norms_are_not() -> None:
    head, maps = _head(), _maps(3, 3)
    head.run(maps)
    paths = {variable.path for variable in head.variables}
    for tower in ("BoxPredictionTower", "ClassPredictionTower"):
        for layer in range(2):
            assert f"{SCOPE}/{tower}/conv2d_{layer}/weights" in paths
            assert f"{SCOPE}/{tower}/conv2d_{layer}/biases" not in paths
            norms = f"{SCOPE}/{tower}/conv2d_{layer}/BatchNorm/feature_"
            assert {path for path in paths if path.startswith(norms)} == {
                f"{norms}{level}/{part}"
                for level in range(2)
                for part in ("gamma", "beta", "moving_mean", "moving_variance")
            }
    assert len(paths) == 2 * 2 * (1 + 2 * 4) + 4
    before = head.run(maps)
    head.box_tower.convolutions[1].batch_norm.norms[1].beta.assign([1.0, 1.0, 1.0])
    after = head.run(maps)
    changed = np.any(before[0].numpy() != after[0].numpy(), axis=(0, 2))
    assert changed.tolist() == [False] * 12 + [True] * 8 and np.array_equal(before[1], after[1])


def test_share_tower_uses_one_tower_for_boxes_and_classes() -> None:
    head, maps = _head(share_tower=True), _maps(3, 3)
    head.run(maps)
    towers = {variable.path.split("/")[1] for variable in head.variables}
    assert towers == {"PredictionTower", "BoxPredictor", "ClassPredictor"}
    keys = head.object_keys()
    assert len(keys) == len(head.variables)
    assert {
        "_head_scope_conv_layers/PredictionTower/1/kernel",
        "_base_tower_layers_for_heads/box_encodings/1/4/gamma",
        "_box_prediction_head/_box_encoder_layers/0/bias",
        "_prediction_heads/class_predictions_with_background/_class_predictor_layers/0/kernel",
    } <= set(keys)


def test_folded_batch_norm_gives_the_same() -> None:
    head, maps = _head(depthwise=True, kernel_size=3), _maps(3, 3)
    head.run(maps)
    random = np.random.default_rng(1)
    for variable in head.variables:
        variable.assign(random.uniform(0.2, 0.6, variable.shape))
    plain = head.run(maps)
    with folded(head) as norms:
        assert norms == 8
        for expected, found in zip(plain, head.run(maps), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_maps_of_different_depths_are_projected() -> None:
    head = WeightSharedHead((1, 1, 1), 2, WeightSharedOptions(NORMED, NORMED, depth=3, layers_before=1))
    head.run(_maps(5, 3, 3))
    projections = {
        v.path: tuple(v.shape) for v in head.variables if "ProjectionLayer" in v.path and "weights" in v.path
    }
    assert projections == {
        f"{SCOPE}/ProjectionLayer/conv2d_{n}/weights": (1, 1, depth, 3) for n, depth in enumerate((5, 3, 3))
    }
    assert len(head.object_keys()) == len(head.variables)


def test_a_group_norm_has_its_keys() -> None:
    """One for all maps, where the batch norm of the first would stand; also of a projection."""
    grouped = dataclasses.replace(PLAIN, group_norm=GroupNormSettings(groups=3))
    head = WeightSharedHead((1, 1, 1), 2, WeightSharedOptions(grouped, PLAIN, depth=3, layers_before=2))
    head.run(_maps(5, 3, 3))
    keys = head.object_keys()
    assert len(keys) == len(head.variables) == len({id(each) for each in keys.values()})
    assert {
        "_base_tower_layers_for_heads/box_encodings/0/4/gamma",
        "_base_tower_layers_for_heads/class_predictions_with_background/0/1/beta",
        "_additional_projection_layers/2/1/gamma",
    } <= set(keys)


def test_clipping_scores_bias_and_dropout() -> None:
    head = _head(layers_before=0, code_range=(-1.0, 1.0), sigmoid_scores=True, class_bias=-2.0, dropout_keep=0.5)
    maps = tuple(10 * each for each in _maps(3, 3))
    codes, scores = head.run(maps)
    assert codes.numpy().max() == 1 and scores.numpy().min() > 0 and scores.numpy().max() <= 1
    assert head.classes.bias.numpy().tolist() == [-2.0] * 8 and not head.boxes.bias.numpy().any()
    assert not np.array_equal(scores, head.run(maps, training=True)[1])


def test_different_numbers_of_anchors_are_refused() -> None:
    with pytest.raises(ValueError, match="the same number of anchors on every map"):
        WeightSharedHead((3, 6), 2, WeightSharedOptions(NORMED, NORMED))
