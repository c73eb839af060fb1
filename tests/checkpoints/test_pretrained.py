"""Published classifiers, loaded from their checkpoints: equal to Keras's own MobileNet with the same arrays, on
pictures, and right about them."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.checkpoints import checkpoint_files, loading, pretrained
from detection.checkpoints.names import is_optional
from detection.errors import ConfigError
from detection.evaluate import classify
from detection.networks import catalogue

PICTURES = {"chelsea": 285, "coffee": 967, "rocket": 657}  # ImageNet's Egyptian cat, espresso, missile


def _random_mobilenet(path: Path, num_logits: int = 11, multiplier: float = 0.25, change=None) -> str:
    """A checkpoint of MobileNet v1 with every number off its initial value, so that a swapped statistic shows."""
    classifier = catalogue.find("mobilenet_v1").make(num_logits, multiplier)
    classifier(tf.zeros([1, 32, 32, 3]))
    generator = np.random.default_rng(0)
    low_high = {
        "gamma": (0.5, 1.5),
        "beta": (-1, 1),
        "moving_mean": (-0.5, 0.5),
        "moving_variance": (0.5, 2),
        "biases": (-1, 1),
    }
    values = {}
    for name, variable in loading.by_name(classifier).items():
        last = name.rpartition("/")[2]
        if last in low_high:
            values[name] = generator.uniform(*low_high[last], variable.shape).astype("f4")
        elif last.endswith("weights"):
            fan_in = np.prod(variable.shape[: 2 if last.startswith("depthwise") else 3])
            values[name] = (generator.normal(size=variable.shape) * np.sqrt(2 / fan_in)).astype("f4")
    if change is not None:
        change(values)
    checkpoint_files.write(path, values)
    return str(path)


def _keras_mobilenet(checkpoint: str, multiplier: float, num_logits: int, size: int) -> keras.Model:
    """Keras's own network with the arrays of the checkpoint."""
    values = checkpoint_files.read(checkpoint)
    model = keras.applications.MobileNet(
        (size, size, 3), alpha=multiplier, classes=num_logits, weights=None, classifier_activation=None
    )
    layers = {"Conv2d_0": "conv1"}
    layers |= {
        f"Conv2d_{n}_{kind}": f"conv_{short}_{n}"
        for n in range(1, 14)
        for kind, short in (("depthwise", "dw"), ("pointwise", "pw"))
    }
    for ours, theirs in layers.items():
        kernel = values[f"MobilenetV1/{ours}/{'depthwise_' if ours.endswith('depthwise') else ''}weights"]
        model.get_layer(theirs).set_weights([kernel])
        norm = [
            values[f"MobilenetV1/{ours}/BatchNorm/{part}"]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        ]
        model.get_layer(f"{theirs}_bn").set_weights(norm)
    model.get_layer("conv_preds").set_weights(
        [values[f"MobilenetV1/Logits/Conv2d_1c_1x1/{part}"] for part in ("weights", "biases")]
    )
    return model


def _check_equal(loaded: pretrained.Pretrained, squares: tf.Tensor) -> np.ndarray:
    """Compares logits with Keras's and returns them."""
    scaled = loaded.spec.scale(squares)
    logits = loaded.classifier(scaled)[0].numpy()
    reference = _keras_mobilenet(loaded.source, loaded.depth_multiplier, loaded.num_logits, squares.shape[1])(
        scaled
    ).numpy()
    # 28 layers of float32 sums in another order: 1e-4 of the largest logit; measured 7e-7 with the published ones.
    np.testing.assert_allclose(logits, reference, rtol=0, atol=1e-4 * np.abs(reference).max())
    np.testing.assert_array_equal(logits.argmax(1), reference.argmax(1))
    assert logits.std() > 0.1
    return logits


def _picture_squares(size: int, *names: str) -> tf.Tensor:
    data = pytest.importorskip("skimage.data")
    return tf.stack([classify.central_square(getattr(data, name)(), 0.875, size) for name in names])


def test_random_weights_equal_keras_on_pictures(tmp_path):
    loaded = pretrained.load(_random_mobilenet(tmp_path / "m.ckpt"))
    assert (loaded.name, loaded.depth_multiplier, loaded.num_logits) == ("mobilenet_v1", 0.25, 11)
    assert len(loaded.report.restored) == 137 and not loaded.report.unexpected
    _check_equal(loaded, _picture_squares(128, "chelsea", "coffee"))


def test_published_weights_equal_keras_and_know_the_pictures(shared):
    loaded = pretrained.load(str(shared / "weights/mobilenet_v1_0.75_224"), "mobilenet_v1", 0.75)
    logits = _check_equal(loaded, _picture_squares(224, *PICTURES))
    assert logits.argmax(1)[:2].tolist() == [PICTURES["chelsea"], PICTURES["coffee"]]
    ranks = [(row > row[true]).sum() for row, true in zip(logits, PICTURES.values(), strict=True)]
    assert max(ranks) < 5  # The rocket among obelisks and mosques.
    assert loaded.summary().startswith("mobilenet_v1, depth multiplier 0.75, 1000 logits: all 137 variables from ")


_SLOW = {"inception_resnet_v2", "inception_v2", "inception_v3"}
_MORE_LAYERS = ("resnet_v1_101", "resnet_v1_152", *(f"efficientnet-b{version}" for version in range(1, 8)))
_ONE_OF_A_KIND = [name for name in catalogue.CLASSIFIERS if name not in _MORE_LAYERS]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in _SLOW else ()) for name in _ONE_OF_A_KIND]
)
def test_every_network_is_recognised_and_loaded_thin(tmp_path, name):
    """A quarter of its channels; saved under its names, told by them, and the same logits from all variables."""
    spec = catalogue.find(name)
    classifier = spec.make(7, 0.25)
    images = tf.random.stateless_uniform([1, spec.image_size, spec.image_size, 3], [1, 2])
    expected = classifier(images)[0].numpy()
    values = {path: variable for path, variable in loading.by_name(classifier).items() if not is_optional(path)}
    checkpoint_files.write(
        tmp_path / "thin",
        values | {f"{catalogue.SCOPES[name]}/mean_rgb": np.zeros(3, np.float32), "global_step": np.int64(1)},
    )
    loaded = pretrained.load(str(tmp_path / "thin"))
    assert (loaded.name, loaded.depth_multiplier, loaded.num_logits) == (name, 0.25, 7)
    assert len(loaded.report.restored) == len(values) and not loaded.report.unexpected
    np.testing.assert_array_equal(loaded.classifier(images)[0].numpy(), expected)
    assert expected.std() > 0


def test_moving_averages_on_request(tmp_path):
    kernel = "MobilenetV1/Conv2d_0/weights"

    def add_averages(values: dict) -> None:
        values |= {
            f"{kernel}/ExponentialMovingAverage": values[kernel] + 1,
            f"{kernel}/RMSProp": values[kernel],
            "global_step": np.int64(3),
        }

    path = _random_mobilenet(tmp_path / "m.ckpt", change=add_averages)
    own, averaged = pretrained.load(path), pretrained.load(path, moving_averages=True)
    first = [loaded.classifier.network[0].kernel.numpy() for loaded in (own, averaged)]
    np.testing.assert_array_equal(first[1], first[0] + 1)
    assert "--moving_averages" in own.summary() and averaged.summary().endswith(", 1 of them by its moving average")
    with pytest.raises(ConfigError, match=r"n\.ckpt: holds no moving averages"):
        pretrained.load(_random_mobilenet(tmp_path / "n.ckpt"), moving_averages=True)


def test_a_variable_that_is_missing_or_of_another_shape_is_named(tmp_path):
    path = _random_mobilenet(
        tmp_path / "a", change=lambda values: values.pop("MobilenetV1/Conv2d_7_depthwise/BatchNorm/beta")
    )
    with pytest.raises(
        ConfigError,
        match=r"a: lacks 1 of the 137 variables of mobilenet_v1 .*: MobilenetV1/Conv2d_7_depthwise/BatchNorm/beta$",
    ):
        pretrained.load(path)
    path = _random_mobilenet(tmp_path / "b")
    with pytest.raises(
        ConfigError,
        match=(
            r"b: has a different shape for 136 of the 137 variables of mobilenet_v1 at depth multiplier 0\.5: .* and"
            r" 133 more"
        ),
    ):
        pretrained.load(path, depth_multiplier=0.5)


def test_what_is_no_such_classifier_is_refused(tmp_path):
    path = _random_mobilenet(tmp_path / "m.ckpt")
    with pytest.raises(
        ConfigError, match=r"is a checkpoint of mobilenet_v1, not of mobilenet_v2; use --network=mobilenet_v1"
    ):
        pretrained.load(path, "mobilenet_v2")
    with pytest.raises(ConfigError, match=r"no network 'mobilenet'; did you mean 'mobilenet_v[12]'"):
        pretrained.load(path, "mobilenet")
    checkpoint_files.write(tmp_path / "other", {"SomeNet/weights": np.zeros(3, np.float32)})
    with pytest.raises(ConfigError, match=r"holds no known network.*MobilenetV1"):
        pretrained.load(str(tmp_path / "other"))

    def drop_head(values: dict) -> None:
        for part in ("weights", "biases"):
            del values[f"MobilenetV1/Logits/Conv2d_1c_1x1/{part}"]

    with pytest.raises(ConfigError, match=r"body: holds mobilenet_v1 without its head"):
        pretrained.load(_random_mobilenet(tmp_path / "body", change=drop_head))


def test_a_checkpoint_with_more_than_the_network_is_loaded_on_request_only(tmp_path, caplog):
    stray = "MobilenetV1/Conv2d_0/biases"
    path = _random_mobilenet(tmp_path / "m", change=lambda values: values.update({stray: np.ones(8, np.float32)}))
    with pytest.raises(
        ConfigError,
        match=f"{stray} has no counterpart in mobilenet_v1 at depth multiplier 0.25.*the checkpoint has biases",
    ):
        pretrained.load(path)
    assert pretrained.load(path, allow_unused=True).num_logits == 11 and stray in caplog.text
    heads = {
        "MobilenetV1/AuxLogits/Conv2d_1/weights": np.ones(8, np.float32),
        "MobilenetV1/Predictions/x": np.ones(1, np.float32),
    }
    assert (
        pretrained.load(_random_mobilenet(tmp_path / "heads", change=lambda values: values.update(heads))).num_logits
        == 11
    )
