"""Measuring networks: what a row says must be so; how fast it was is the machine's business."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import network_tables, network_times, reference_networks
from detection.benchmark.timing import Timing
from detection.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
_GATES = ("Mul", "Mean", "RealDiv", "Reshape", "Sigmoid")  # of hard swish, swish, squeeze and excitation
QUICK = {"sizes": (64,), "runs": 2, "warmup": 1}


@pytest.fixture(scope="module")
def rows() -> list:
    """The smallest networks, every kind of row; run once."""
    options = network_times.NetworkOptions(
        names=("mobilenet_v1", "ssd_mobilenet_v1", "faster_rcnn_mobilenet_v1"),
        baseline=True,
        train=True,
        train_batch=2,
        crops=3,
        **QUICK,
    )
    return list(network_times.measure(options, io.StringIO()))


@pytest.mark.slow
def test_every_kind_of_row(rows) -> None:
    forward = [row for row in rows if isinstance(row, network_times.Forward)]
    assert [(row.name, row.part, row.shape) for row in forward] == [
        ("mobilenet_v1", "network", (1, 64, 64, 3)),
        ("ssd_mobilenet_v1", "ssd", (1, 64, 64, 3)),
        ("faster_rcnn_mobilenet_v1", "body", (1, 64, 64, 3)),
        ("faster_rcnn_mobilenet_v1", "tail", (3, 7, 7, 512)),
    ]
    for row in forward:
        assert (
            row.served.runs == row.plain.runs == row.peak.runs == 2
            and row.served.low <= row.served.median <= row.served.high
        )
        assert 0 < row.peak_share < 1
    (step,) = [row for row in rows if isinstance(row, network_times.TrainStep)]
    assert (step.name, step.shape, step.ours.runs, step.theirs.runs) == (
        "mobilenet_v1",
        (2, 64, 64, 3),
        2,
        2,
    ) and step.speed > 0


@pytest.mark.slow
def test_numbers_of_mobilenet(rows) -> None:
    """3,206,976 weights (Howard et al. 2017, Table 8: 4.2 million with the head's 1.025) and two statistics a channel;
    569 million multiply-adds with the head at 224 pixels, and all of them go with the area."""
    network, ssd, body, tail = rows[:4]
    assert network.parameters == 3_206_976 + 2 * 10_944
    assert network.gflops == pytest.approx(2 * 0.568 * (64 / 224) ** 2, rel=0.01)
    assert body.parameters + tail.parameters == network.parameters < ssd.parameters
    assert network.gflops < ssd.gflops and body.gflops < network.gflops


@pytest.mark.slow
def test_the_reference_does_the_same_work(rows) -> None:
    network, step = rows[0], rows[4]
    assert network.origin == "keras.applications" and network.reference.runs == 2 and network.speed > 0
    assert step.gflops == pytest.approx(step.their_gflops, rel=1e-6) == pytest.approx(2 * network.gflops, rel=1e-6)


def test_an_alias_and_a_wrong_name() -> None:
    assert [
        task.part
        for task in network_times.tasks(
            network_times.NetworkOptions(names=("ssd_mobilenet_v1_keras",), sizes=(300, 600))
        )
    ] == ["ssd", "ssd"]
    with pytest.raises(
        ConfigError,
        match=(
            "--networks=mobilenet_v9: unknown; use any of .*mobilenet_v1.*ssd_mobilenet_v1.*faster_rcnn_mobilenet_v1"
        ),
    ):
        network_times.tasks(network_times.NetworkOptions(names=("mobilenet_v1", "mobilenet_v9")))


def test_by_default_everything_is_measured_once() -> None:
    planned = network_times.tasks(network_times.NetworkOptions(sizes=(300,), train=True))
    assert len(planned) == len(set(planned))
    parts = {
        part: [task.name for task in planned if task.part == part]
        for part in ("network", "ssd", "center", "body", "tail", "train")
    }
    assert {"center_net_mobilenet_v2", "center_net_hourglass_104"} <= set(parts["center"])
    assert parts["network"] == list(network_times.CLASSIFIERS) and parts["body"] == parts["tail"]
    assert "ssd_mobilenet_v1" in parts["ssd"] and "ssd_mobilenet_v1_keras" not in parts["ssd"]
    assert set(parts["train"]) == set(reference_networks.REFERENCES) - {"inception_v1", "inception_v2"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet_v1_50", "mobilenet_v2", "mobilenet_v3_small", "efficientnet-b0"])
def test_a_reference_is_convolutions_biases_and_activations(name: str) -> None:
    """Nothing of batch norm is left, nor of the scaling of pixels, and biases are added by the op that TensorFlow
    fuses. Odd maps are no smaller than ours."""
    shape = (1, 76, 100, 3)
    source = reference_networks.frozen(name, shape)
    ops = [node.op for node in source.frozen.graph.node]
    assert set(ops) <= {
        "Placeholder",
        "Const",
        "Conv2D",
        "DepthwiseConv2dNative",
        "BiasAdd",
        "Relu",
        "Relu6",
        "Pad",
        "MaxPool",
        "AddV2",
        "Identity",
        *(_GATES if name.startswith(("mobilenet_v3", "efficientnet")) else ()),
    }
    assert ops.count("BiasAdd") == ops.count("Conv2D") + ops.count("DepthwiseConv2dNative")
    ours = network_times._network(name)
    (expected,) = ours.forward(tf.zeros(shape))
    (features,) = network_times._load(source.frozen)(tf.random.stateless_uniform(shape, [1, 2]))
    assert features.shape == expected.shape and np.isfinite(features.numpy()).all()


def test_a_folded_keras_model_computes_what_the_model_does() -> None:
    """With batch norms that do nothing, their biases may be left at zero."""
    model = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(64, 64, 3), alpha=0.25)
    folded = reference_networks._folded(model)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(tf.ones_like(layer.moving_variance) - layer.epsilon)
        elif layer.weights:
            folded.get_layer(layer.name).kernel.assign(layer.kernel)
    images = tf.random.stateless_uniform([1, 64, 64, 3], [1, 2], -1, 1)
    expected = model(images).numpy()
    assert expected.max() > 0
    # All maps have even sides here, where padding SAME is what the model does by hand.
    np.testing.assert_allclose(folded(images).numpy(), expected, atol=1e-5 * expected.max())


def test_extractors_of_center_net_take_images_of_any_size() -> None:
    """As the detector pads them."""
    task = network_times.Task("center_net_hourglass_10", "center", 50)
    subject, shape = network_times._subject(task, network_times.NetworkOptions(batch=2))
    assert shape == (2, 50, 50, 3)
    assert [tuple(features.shape[:3]) for features in subject.forward(tf.zeros(shape))] == [(2, 14, 14)]


def test_without_tf_slim_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"--baseline: tf_slim is not installed.*\[test\]"):
        next(
            network_times.measure(
                network_times.NetworkOptions(names=("mobilenet_v1", "inception_v2"), baseline=True), io.StringIO()
            )
        )
    reference_networks.check_available(["mobilenet_v1"])


@pytest.mark.slow
def test_tables(rows) -> None:
    report = network_tables.report(network_times.NetworkOptions(runs=2), rows)
    text, markdown = report.text(), report.text(markdown=True)
    for title in ("Networks without", "SSD extractors", "bodies", "tails", "Train steps"):
        assert (title in text and f"### {title}" in markdown) or title in ("bodies", "tails")
    assert (
        report.headline().startswith(report.device)
        and "GFLOP/s" in report.headline()
        and tf.__version__ in report.headline()
    )
    lines = [line for line in markdown.splitlines() if line.startswith("| mobilenet_v1")]
    assert len(lines) == 2 and "keras.applications" in lines[0] and "64 x 64" in lines[0] and "2 x 64 x 64" in lines[1]
    tables = [line.count("|") for line in markdown.splitlines() if line.startswith("|")]
    assert len(set(tables)) == 3  # forward, forward with a reference, train: rows are as wide as their headers
    loaded = json.loads(report.to_json())
    assert [row["kind"] for row in loaded["rows"]] == ["forward"] * 4 + ["train step"]
    assert loaded["rows"][0]["served"]["median"] == rows[0].served.median and loaded["device"] == report.device


def test_a_row_by_hand() -> None:
    """10 GFLOPs in 40 ms for 2 images: 5 GFLOPs and 20 ms an image, 250 GFLOP/s."""
    row = network_times.Forward(
        "n",
        "network",
        (2, 30, 40, 3),
        1_234_567,
        10.0,
        Timing(80.0, 79.0, 85.0, 3, 41.0, 1.0),
        Timing(50.0, 48.0, 52.0, 3, 41.0, 1.0),
        Timing(40.0, 38.0, 44.0, 3, 41.0, 1.0),
        0.876,
    )
    cells = network_tables._forward(row)
    assert cells == ["n", "30 x 40", "1.23", "5.00", "25.0", "20.0 (19.0 to 22.0)", "250", "88%"]
    assert network_tables._reference(
        row._replace(reference=Timing(42.0, 40.0, 44.0, 3, 41.0, 1.0), origin="tf_slim", speed=1.05)
    ) == [
        "21.0 (20.0 to 22.0) tf_slim",
        "1.05",
    ]


@pytest.mark.slow
def test_the_script(server, tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "networks.py"
    flags = ("--networks=mobilenet_v1", "--sizes=32", "--runs=1", "--warmup=1", f"--json={tmp_path / 'n.json'}")
    code, out, err = server.run((script, *flags))
    assert code == 0, err
    assert "mobilenet_v1" in out and "measuring" in err
    assert json.loads((tmp_path / "n.json").read_text())["rows"][0]["name"] == "mobilenet_v1"
    code, _, err = server.run((script, "--sizes=big"))
    assert code == 2 and "--sizes=big" in err
