"""VGG16 against tf-slim's, number for number; its three forms; and the weights of the atrous form made from those of
the classifier."""

from __future__ import annotations

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.networks import vgg
from detection.networks.blocks import Blocks, MaxPool
from detection.networks.depths import depth_rule, full_depth
from detection.networks.fully_connected import FullyConnected
from detection.networks.layers import Conv

THIN = depth_rule(1 / 8, 8)


def randomize(layer: keras.layers.Layer) -> None:
    """Weights that keep activations alive, and biases that matter."""
    generator = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        scale = np.sqrt(2 / np.prod(variable.shape[:-1])) if len(variable.shape) == 4 else 1.0
        variable.assign(generator.standard_normal(variable.shape, dtype="f4") * np.float32(scale))


def images(*shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(1).uniform(-128, 128, shape), tf.float32)


@pytest.fixture(scope="module")
def classifier() -> keras.layers.Layer:
    """At full width: tf-slim's knows no other."""
    made = vgg.CLASSIFIERS["vgg_16"].make(1000)
    made(tf.zeros([1, 224, 224, 3]))
    return made


def test_names_and_shapes_equal_slim(classifier, shared) -> None:
    with open(shared / "reference/odapi_vars/SLIM_vgg_16.tsv") as lines:
        expected = {name: json.loads(shape) for name, shape, _ in csv.reader(lines, delimiter="\t")}
    assert {v.path: list(v.shape) for v in classifier.trainable_variables} == expected
    assert len(expected) == 32


@pytest.mark.slow
def test_features_and_logits_equal_slim(classifier) -> None:
    """Every endpoint: at the size it was trained on, and at one where pools leave a row out and the logits are a
    map."""
    slim, nets = pytest.importorskip("tf_slim"), pytest.importorskip("tf_slim.nets.vgg")
    randomize(classifier)
    values = {v.path: v.numpy() for v in classifier.trainable_variables}
    inputs = [images(1, 224, 224, 3), images(1, 235, 262, 3)]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [1, None, None, 3])
        with slim.arg_scope(nets.vgg_arg_scope()):
            _, endpoints = nets.vgg_16(x, is_training=False, spatial_squeeze=False)
        for variable in tf.compat.v1.global_variables():
            variable.load(values.pop(variable.op.name), session)
        assert not values
        expected = [session.run(endpoints, {x: image.numpy()}) for image in inputs]
    for image, reference in zip(inputs, expected, strict=True):
        outputs = _endpoints(classifier, image)
        assert set(outputs) == set(reference) and len(reference) == 21  # 13 convolutions, 5 pools, fc6 to fc8
        for name, value in reference.items():
            error = np.abs(outputs[name] - value).max() / np.abs(value).max()
            assert error < 2e-5, (
                name,
                error,
            )  # sums of float32 in another order, up to 25088 terms; measured 5e-6 (fc6), 2e-6 (stages)
        logits, side = classifier(image)
        np.testing.assert_allclose(
            logits, reference["vgg_16/fc8"].mean(axis=(1, 2)), atol=2e-5 * np.abs(reference["vgg_16/fc8"]).max()
        )
        assert side is None


def _endpoints(classifier: keras.layers.Layer, x: tf.Tensor) -> dict[str, np.ndarray]:
    """By tf-slim's names: every convolution of a stage, every pool, fc6 to fc8."""
    outputs = {}
    for block in (*classifier.network, *classifier.head):
        if hasattr(block, "parts"):
            x, taps = block(x, taps=tuple(part.name for part in block.parts))
            outputs |= {f"vgg_16/{block.name}/{tap}": features.numpy() for tap, features in taps.items()}
        else:
            x = block(x)
            if not block.name.startswith("dropout"):
                outputs[f"vgg_16/{block.name}"] = x.numpy()
    return outputs


@pytest.mark.parametrize(("size", "expected"), [((300, 300), (19, 19)), ((75, 113), (5, 8)), ((64, 96), (4, 6))])
def test_detectors_keep_odd_rows(size: tuple[int, int], expected: tuple[int, int]) -> None:
    """Every map has ceil(H / stride) rows; on sizes without odd maps the two paddings of the pools are the same."""
    blocks = {
        padding: Blocks("vgg_16", vgg.blocks(vgg.training_defaults(), THIN, pool_padding=padding))
        for padding in ("SAME", "VALID")
    }
    x = images(1, *size, 3)
    same, valid = (network(x) for network in blocks.values())
    assert tuple(same["conv5"].shape[1:3]) == expected
    assert tuple(same["conv4"].shape[1:3]) == tuple(-(-side // 8) for side in size)
    assert [*same] == ["conv1", "pool1", "conv2", "pool2", "conv3", "pool3", "conv4", "pool4", "conv5"]
    if size == (64, 96):
        for ours, theirs in zip(blocks["VALID"].variables, blocks["SAME"].variables, strict=True):
            ours.assign(theirs)
        np.testing.assert_array_equal(blocks["VALID"](x)["conv5"], same["conv5"])
    else:
        assert valid["conv5"].shape[1] < expected[0]


def test_depth_multiplier_applies_to_every_layer() -> None:
    classifier = vgg.CLASSIFIERS["vgg_16"].make(10, 1 / 8)
    classifier(tf.zeros([1, 224, 224, 3]))
    depths = [v.shape[-1] for v in classifier.trainable_variables if v.path.endswith("weights")]
    assert depths == [8, 8, 16, 16, 32, 32, 32, 64, 64, 64, 64, 64, 64, 512, 512, 10]
    atrous = Blocks("vgg_16", vgg.atrous_tail(vgg.training_defaults(), THIN))
    atrous(tf.zeros([1, 5, 5, 64]))
    assert {v.path: tuple(v.shape) for v in atrous.trainable_variables} == {
        "vgg_16/fc6/weights": (3, 3, 64, 128),
        "vgg_16/fc6/biases": (128,),
        "vgg_16/fc7/weights": (1, 1, 128, 128),
        "vgg_16/fc7/biases": (128,),
    }


def test_training_defaults_equal_slim() -> None:
    """Weights: l2 of 0.0005 and Glorot's uniform distribution; biases: none and zero."""
    network = Blocks("vgg_16", vgg.blocks(vgg.training_defaults(), full_depth)[:1])
    network(tf.zeros([1, 8, 8, 3]))
    first, second = network.blocks[0].parts
    limit = np.sqrt(6 / (9 * 64 + 9 * 64))
    assert 0.99 * limit < np.abs(second.kernel.numpy()).max() <= limit
    assert not np.array_equal(first.kernel[..., :3, :], second.kernel[..., :3, :])
    np.testing.assert_array_equal(second.bias, np.zeros(64))
    np.testing.assert_allclose(
        tf.add_n(network.losses), sum(0.00025 * np.sum(np.square(c.kernel.numpy())) for c in (first, second)), rtol=1e-5
    )


def test_dropout_only_in_training() -> None:
    tail = Blocks("vgg_16", vgg.tail(vgg.training_defaults(), THIN))
    crops = images(3, 7, 7, 64)
    plain = tail(crops)
    np.testing.assert_array_equal(tail(crops)["dropout7"], plain["fc7"])
    np.testing.assert_array_equal(plain["dropout6"], plain["fc6"])
    trained = tail(crops, training=True)
    for number in (6, 7):
        before, after = trained[f"fc{number}"].numpy(), trained[f"dropout{number}"].numpy()
        alive = before > 0
        assert 0.4 < (after[alive] > 0).mean() < 0.6
        np.testing.assert_allclose(after[after > 0], 2 * before[after > 0], rtol=1e-6)


def test_tail_on_the_whole_map_has_the_same_weights_and_keeps_the_size() -> None:
    """Where the 7x7 window lies inside the map, its centre has what a crop of that window has."""
    crops, whole = (Blocks("vgg_16", vgg.tail(vgg.training_defaults(), THIN, whole_map)) for whole_map in (False, True))
    features = images(1, 9, 12, 64)
    crops(features[:, :7, :7]), whole(features)
    randomize(crops)
    for ours, theirs in zip(whole.trainable_variables, crops.trainable_variables, strict=True):
        assert ours.path == theirs.path
        ours.assign(theirs)
    over_all = whole(features)["fc7"]
    assert over_all.shape == (1, 9, 12, 512)
    for top, left in ((0, 0), (2, 5)):
        cell = crops(features[:, top : top + 7, left : left + 7])["fc7"]
        np.testing.assert_allclose(
            over_all[:, top + 3, left + 3], cell[:, 0, 0], atol=1e-5 * float(tf.reduce_max(cell))
        )


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("size", [3, 5])
def test_a_fully_connected_layer_is_a_convolution(padding: str, size: int) -> None:
    """As a matrix product where the kernel covers its input, values and gradients alike; also for a number of crops
    that is not known, or 0."""
    hyperparams = vgg.training_defaults()
    plain, ours = (
        Conv("fc", 7, 3, hyperparams, padding=padding),
        FullyConnected("fc", 7, 3, hyperparams, padding=padding),
    )
    x = images(4, size, size, 6) / 100
    results = []
    for layer in (plain, ours):
        layer(x)
        layer.kernel.assign(plain.kernel)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(tf.sin(y))
        results.append([y, *tape.gradient(loss, [x, layer.kernel.value, layer.bias.value])])
    for expected, value in zip(*results, strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-5)
    traced = tf.function(lambda x: ours(x)).get_concrete_function(tf.TensorSpec([None, size, size, 6]))
    np.testing.assert_allclose(traced(x), results[0][0], atol=1e-5)
    product = padding == "VALID" and size == 3
    assert ("MatMul" in [op.type for op in traced.graph.get_operations()]) == product
    if product:  # of no crops at all TensorFlow's convolution with bias and activation makes something of another shape
        assert traced(x[:0]).shape == (0, 1, 1, 7)


# --- the atrous form
# --------------------------------------------------------------------------------------------------------------------


def test_atrous_fc6_equals_the_decimated_fc6() -> None:
    """Between the taps that stay lie 3 cells of stride 32 in the classifier and 6 of stride 16 in SSD. So on a map
    whose rows are all doubled, the atrous convolution at even cells is the 7x7 convolution (with only those taps) of
    the map itself, in every fourth channel."""
    depth = depth_rule(1 / 32, 4)
    pool, fc6, fc7 = vgg.atrous_tail(vgg.training_defaults(), depth)
    assert isinstance(pool, MaxPool) and pool.name == "pool5"
    coarse = images(1, 9, 8, 16) / 100
    doubled = tf.repeat(tf.repeat(coarse, 2, axis=1), 2, axis=2)
    assert pool(doubled).shape == doubled.shape
    fc7(fc6(doubled))
    generator = np.random.default_rng(5)
    weights = {
        "fc6/weights": (7, 7, 16, 128),
        "fc6/biases": (128,),
        "fc7/weights": (1, 1, 128, 128),
        "fc7/biases": (128,),
    }
    full = {name: generator.normal(size=shape).astype("f4") for name, shape in weights.items()}
    for layer in (fc6, fc7):
        for variable, kind in ((layer.kernel, "weights"), (layer.bias, "biases")):
            variable.assign(
                vgg.decimate(f"vgg_16/{layer.name}/{kind}", full[f"{layer.name}/{kind}"], tuple(variable.shape))
            )
    holes = np.zeros((7, 7, 1, 1), "f4")
    holes[::3, ::3] = 1
    expected = tf.nn.relu(tf.nn.conv2d(coarse, full["fc6/weights"] * holes, 1, "SAME") + full["fc6/biases"])[..., ::4]
    features = fc6(doubled)
    np.testing.assert_allclose(features[:, ::2, ::2], expected, atol=1e-4)
    chosen = full["fc7/weights"][:, :, ::4, ::4]
    np.testing.assert_allclose(
        fc7(features), tf.nn.relu(tf.nn.conv2d(features, chosen, 1, "SAME") + full["fc7/biases"][::4]), atol=1e-3
    )


@pytest.mark.parametrize("multiplier", [0.1, 0.35, 0.5, 0.77, 1.5])
def test_decimation_works_for_every_depth_multiplier(multiplier: float) -> None:
    """fc7's inputs are the outputs of fc6 that stayed, although 4096 m may be no multiple of 1024 m."""
    depth = depth_rule(multiplier, 4)
    wide, narrow = depth(4096), depth(1024)
    kept = vgg.decimate("vgg_16/fc6/biases", np.arange(wide), (narrow,))
    np.testing.assert_array_equal(kept, 4 * np.arange(narrow))
    rows, columns = np.meshgrid(np.arange(wide), np.arange(wide), indexing="ij")
    for values in (rows, columns):
        chosen = vgg.decimate("vgg_16/fc7/weights", values[np.newaxis, np.newaxis], (1, 1, narrow, narrow))
        np.testing.assert_array_equal(chosen[0, 0], values[np.ix_(kept, kept)])


def test_decimation_of_fc6_keeps_the_outer_taps_and_all_inputs() -> None:
    taps = np.arange(49).reshape(7, 7, 1, 1) + np.zeros((1, 1, 3, 8), int)
    chosen = vgg.decimate("FeatureExtractor/vgg_16/fc6/weights", taps, (3, 3, 3, 2))
    np.testing.assert_array_equal(chosen[:, :, 2, 1], [[0, 3, 6], [21, 24, 27], [42, 45, 48]])


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [
        ("vgg_16/fc8/weights", (1, 1, 4096, 1000), (1, 1, 1024, 250)),  # another layer
        ("caffenet/fc6/weights", (7, 7, 512, 4096), (3, 3, 512, 1024)),  # another network
        ("vgg_16/fc6/weights/Momentum", (7, 7, 512, 4096), (3, 3, 512, 1024)),  # no weights
        ("vgg_16/fc6/weights", (7, 7, 512, 4096), (3, 3, 256, 1024)),  # stages of another width
        ("vgg_16/fc6/weights", (7, 7, 512, 4096), (5, 5, 512, 1024)),  # no step from 7 taps to 5
        ("vgg_16/fc6/weights", (3, 3, 512, 1024), (7, 7, 512, 4096)),  # the other way
        ("vgg_16/fc6/weights", (25088, 4096), (3, 3, 512, 1024)),  # a dense layer's
        ("vgg_16/fc7/biases", (1000,), (1024,)),  # wider
    ],
)
def test_arrays_that_cannot_be_decimated_are_refused(
    name: str, source: tuple[int, ...], target: tuple[int, ...]
) -> None:
    assert not vgg.can_decimate(name, source, target)
    with pytest.raises(ValueError, match="cannot be decimated"):
        vgg.decimate(name, np.broadcast_to(np.float32(0), source), target)


def test_can_decimate_depends_on_names_and_shapes() -> None:
    assert vgg.can_decimate("vgg_16/fc6/weights", (7, 7, 512, 4096), (3, 3, 512, 1024))
    assert vgg.can_decimate("vgg_16/fc7/weights", (1, 1, 4096, 4096), (1, 1, 1024, 1024))
    assert vgg.can_decimate("vgg_16/fc7/biases", (4096,), (1024,))
