"""NASNet's cells against Keras's own, an independent implementation; PNASNet's against its definition in plain
operations; and how many weights the whole networks have."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.applications import nasnet as theirs

from detection.networks import nasnet
from detection.networks.depths import full_depth

HYPER = nasnet.training_defaults(nasnet.NASNET)
FILTERS, SIDE = 8, 12
TOLERANCE = 1e-5  # of the largest value


def _maps(previous: int) -> nasnet.Pair:
    """Of other depths than the cell's; the previous one with sides of `previous`."""
    shapes = [2, previous, previous, 20], [2, SIDE, SIDE, 24]
    return tuple(tf.random.stateless_normal(shape, [1, seed]) for seed, shape in enumerate(shapes))


def _randomised(cell: nasnet.Cell) -> dict[str, np.ndarray]:
    """Values by name below the cell, every number off its initial value."""
    random, values = np.random.default_rng(0), {}
    for variable in cell.variables:
        value = variable.numpy()
        if len(value.shape) == 1:
            value = value + random.uniform(0, 0.5, value.shape)
        variable.assign(value)
        values[variable.path.partition("/")[2]] = variable.numpy()
    return values


def _assert_equal(found: tf.Tensor, expected: tf.Tensor) -> None:
    largest = np.abs(expected).max()
    assert np.std(expected) > 0.01 * largest
    np.testing.assert_allclose(found / largest, expected / largest, atol=TOLERANCE, rtol=0)


def _name_in_keras(name: str, kind: str) -> str:
    """The layer of Keras's cell `b` that has a variable of ours."""
    *path, layer, _ = name.split("/")
    plain = {
        **{"1x1": f"{kind}_conv_1", "beginning_bn": f"{kind}_bn_1", "prev_1x1": "adjust_conv_projection"},
        **{"prev_bn": "adjust_bn", "final_path_bn": "adjust_bn", "path1_conv": "adjust_conv_1"},
        "path2_conv": "adjust_conv_2",
    }
    if not path:
        return f"{plain[layer]}_b"
    combination, side = path
    norm, number = "bn_" * layer.startswith("bn_"), layer[-1]
    place = f"{side}{int(combination[-1]) + 1}"
    # Keras calls two layers of the reduction cell left4; this is the separable one.
    place = "left4" if kind == "reduction" and place == "left5" else place
    return f"separable_conv_{number}_{norm}{kind}_{place}_b"


@pytest.mark.parametrize("previous", [SIDE, 2 * SIDE], ids=["projected", "halved"])
@pytest.mark.parametrize("kind", ["normal", "reduction"])
def test_cells_equal_those_of_keras(kind: str, previous: int) -> None:
    plan, stride = (nasnet.NORMAL, 1) if kind == "normal" else (nasnet.REDUCTION, 2)
    how = "projected" if previous == SIDE else "halved"
    cell = nasnet.Cell("cell_0", plan, FILTERS, HYPER, stride, how)
    pair = _maps(previous)
    cell(pair)
    values = _randomised(cell)
    inputs = [keras.Input(each.shape[1:]) for each in pair]
    make = theirs._normal_a_cell if kind == "normal" else theirs._reduction_a_cell
    joined, _ = make(inputs[1], inputs[0], FILTERS, block_id="b")
    model = keras.Model(inputs, joined)
    by_layer: dict[str, list[np.ndarray]] = {}
    for name, value in values.items():
        by_layer.setdefault(_name_in_keras(name, kind), []).append(value)
    assert set(by_layer) == {layer.name for layer in model.layers if layer.weights}
    for name, listed in by_layer.items():
        model.get_layer(name).set_weights(listed)
    passed_on, found = cell(pair)
    expected = model(list(pair), training=False)
    assert passed_on is pair[1] and found.shape == expected.shape
    # Keras pools zeros in at the bottom and right of halved maps, where tf-slim leaves the border out.
    inner = slice(None) if kind == "normal" else slice(0, -1)
    _assert_equal(found[:, inner, inner], expected[:, inner, inner])


@pytest.mark.parametrize(("stride", "raw"), [(1, None), (2, 24)], ids=["later", "first"])
def test_a_cell_of_pnasnet_by_hand(stride: int, raw: int | None) -> None:
    """The first cell of all has one input, and makes its depth alike where it pools."""
    cell = nasnet.Cell("cell_0", nasnet.PROGRESSIVE, FILTERS, HYPER, stride, "kept" if raw else "projected", raw)
    pair = _maps(SIDE)
    given = pair[1] if raw else pair
    cell(given)
    values, read = _randomised(cell), set()

    def take(name: str) -> np.ndarray:
        read.add(name)
        return values[name]

    def norm(x: tf.Tensor, path: str) -> tf.Tensor:
        parts = (take(f"{path}/{part}") for part in ("moving_mean", "moving_variance", "beta", "gamma"))
        return tf.nn.batch_normalization(x, *parts, 1e-3)

    def conv(x: tf.Tensor, path: str, name: str, stride: int = 1) -> tf.Tensor:
        return norm(tf.nn.conv2d(x, take(f"{path}1x1/weights"), stride, "SAME"), f"{path}{name}")

    def separable(x: tf.Tensor, path: str, kernel: int, stride: int) -> tf.Tensor:
        for number, own in ((1, stride), (2, 1)):
            place = f"{path}separable_{kernel}x{kernel}_{number}"
            depthwise, pointwise = (take(f"{place}/{part}_weights") for part in ("depthwise", "pointwise"))
            x = tf.nn.separable_conv2d(tf.nn.relu(x), depthwise, pointwise, [1, own, own, 1], "SAME")
            x = norm(x, f"{path}bn_sep_{kernel}x{kernel}_{number}")
        return x

    def pooled(x: tf.Tensor, path: str, stride: int) -> tf.Tensor:
        x = tf.nn.max_pool2d(x, 3, stride, "SAME")
        return x if x.shape[-1] == FILTERS else conv(x, path, "bn_1")

    h = [conv(tf.nn.relu(pair[1]), "", "beginning_bn")]
    if raw:
        h.append(pair[1])
    else:
        h.append(norm(tf.nn.conv2d(tf.nn.relu(pair[0]), take("prev_1x1/weights"), 1, "SAME"), "prev_bn"))
    left, right = ([f"comb_iter_{n}/{side}/" for n in range(5)] for side in ("left", "right"))
    h.append(separable(h[1], left[0], 5, stride) + pooled(h[1], right[0], stride))
    h.append(separable(h[0], left[1], 7, stride) + pooled(h[0], right[1], stride))
    h.append(separable(h[0], left[2], 5, stride) + separable(h[0], right[2], 3, stride))
    h.append(separable(h[4], left[3], 3, 1) + pooled(h[0], right[3], stride))
    same = h[0] if stride == 1 else conv(tf.nn.relu(h[0]), right[4], "bn_1", stride)
    h.append(separable(h[1], left[4], 3, stride) + same)
    _, found = cell(given)
    _assert_equal(found, tf.concat(h[2:], 3))
    assert read == set(values)


def test_no_path_is_dropped_in_training() -> None:
    """Unlike in the TF Object Detection API; the docs say so."""
    cell = nasnet.Cell("cell_0", nasnet.NORMAL, FILTERS, HYPER.frozen())
    pair = _maps(SIDE)
    np.testing.assert_array_equal(cell(pair, training=True)[1], cell(pair)[1])


def _count(design: nasnet.Design) -> tuple[int, int]:
    """Numbers in all variables of the whole network, and in those that are trained."""
    with tf.Graph().as_default():
        x, variables = tf.zeros([1, 64, 64, 3]), []
        for block in nasnet.blocks(design, nasnet.training_defaults(design), full_depth):
            x = block(x)
            variables += block.variables
    assert len({variable.path for variable in variables}) == len(variables)
    return tuple(
        sum(math.prod(variable.shape) for variable in chosen)
        for chosen in (variables, [variable for variable in variables if variable.trainable])
    )


@pytest.mark.slow
def test_nasnet_has_as_many_weights_as_keras() -> None:
    with tf.Graph().as_default():
        model = keras.applications.NASNetLarge(include_top=False, weights=None, input_shape=(331, 331, 3))
    assert _count(nasnet.NASNET)[0] == model.count_params()


@pytest.mark.slow
def test_pnasnet_has_as_many_weights_as_published() -> None:
    """86.1 million with the 1001 logits (Liu et al. 2018, Table 4: 86.1)."""
    trained = _count(nasnet.PNASNET)[1]
    assert (trained + 1001 * (4320 + 1)) / 1e6 == pytest.approx(86.1, abs=0.05)
