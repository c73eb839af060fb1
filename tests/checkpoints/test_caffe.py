"""Caffe's weights, in files made here of known numbers."""

from __future__ import annotations

import numpy as np
import pytest

from detection.checkpoints import caffe, checkpoint_files, recognise
from detection.commands import call
from detection.errors import DataError
from detection.networks import catalogue

# A CaffeNet with few channels, so that the file is small: names, groups and kernel sizes are the real ones.
THIN = {
    "caffenet/conv1/weights": (11, 11, 3, 8),
    "caffenet/conv2/weights": (5, 5, 4, 6),
    "caffenet/conv3/weights": (3, 3, 6, 4),
    "caffenet/conv4/weights": (3, 3, 2, 4),
    "caffenet/conv5/weights": (3, 3, 2, 5),
    "caffenet/fc6/weights": (6, 6, 5, 7),
    "caffenet/fc7/weights": (1, 1, 7, 9),
    "caffenet/fc8/weights": (1, 1, 9, 1000),
}


def shapes_of_thin(name: str, logits: int) -> dict[str, tuple[int, ...]]:
    """As `recognise.classifier_shapes`; of the other networks only the layers' names count here."""
    if name != "caffenet":
        return {f"{name}/conv1/weights": (1, 1, 3, 1), f"{name}/conv1/biases": (1,)}
    return {
        variable: shape
        for kernel, sizes in THIN.items()
        for variable, shape in ((kernel, sizes), (kernel.replace("weights", "biases"), sizes[-1:]))
    }


@pytest.fixture
def thin(monkeypatch):
    monkeypatch.setattr(recognise, "classifier_shapes", shapes_of_thin)


def caffe_value(layer: str, o: int, i: int, y: int, x: int) -> float:
    """A number for each place of a blob that tells where it stood."""
    return len(layer) + o * 0.5 + i * 0.25 + y * 0.01 + x * 0.001


def blobs(form: str, without: tuple[str, ...] = (), **widths: int):
    """A NetParameter; `form`: layer (2014 on), layers (before, blobs of four sizes)."""
    net = caffe.net_parameter()(name="CaffeNet")
    for kernel, (height, width, inputs, outputs) in THIN.items():
        name = kernel.split("/")[1]
        if name in without:
            continue
        outputs = widths.get(name, outputs)
        layer = getattr(net, form).add(name=name)
        grid = np.indices((outputs, inputs, height, width)).astype(np.float64)
        data = len(name) + grid[0] * 0.5 + grid[1] * 0.25 + grid[2] * 0.01 + grid[3] * 0.001
        for values, is_bias in ((data, False), (np.arange(outputs) / 8, True)):
            sizes = [outputs] if is_bias else [outputs, inputs, height, width]
            if name.startswith("fc") and not is_bias:
                sizes = [outputs, inputs * height * width]
            blob = layer.blobs.add(data=values.ravel())
            if form == "layer":
                blob.shape.dim.extend(sizes)
            else:
                blob.num, blob.channels, blob.height, blob.width = [1] * (4 - len(sizes)) + sizes
    return net


def write(path, net) -> str:
    path.write_bytes(net.SerializeToString())
    return str(path)


@pytest.mark.parametrize("form", ["layer", "layers"])
def test_every_number_comes_to_its_place(thin, tmp_path, form):
    found = caffe.read(write(tmp_path / "net.caffemodel", blobs(form)))
    assert found.network == "caffenet" and not found.missing and not found.left_out
    assert {name: value.shape for name, value in found.variables.items()} == shapes_of_thin("caffenet", 1000)
    for layer, (y, x, i, o) in (
        ("conv2", (4, 1, 3, 5)),
        ("conv4", (0, 2, 1, 2)),
        ("fc6", (5, 2, 4, 6)),
        ("fc7", (0, 0, 6, 8)),
    ):
        value = found.variables[f"caffenet/{layer}/weights"][y, x, i, o]
        assert value == pytest.approx(caffe_value(layer, o, i, y, x)), layer
    # conv1 sees red first, Caffe's sees blue first.
    first = found.variables["caffenet/conv1/weights"]
    assert first[2, 3, 0, 1] == pytest.approx(caffe_value("conv1", 1, 2, 2, 3))
    np.testing.assert_allclose(found.variables["caffenet/conv3/biases"], np.arange(4) / 8)


def test_a_detector_is_read_as_far_as_it_is_the_network(thin, tmp_path):
    net = blobs("layer", without=("fc8",))
    net.layer.add(name="cls_score").blobs.add(data=[1.0, 2.0]).shape.dim.extend([2, 1])
    found = caffe.read(write(tmp_path / "net.caffemodel", net))
    assert found.left_out == ("cls_score",)
    assert found.missing == ("caffenet/fc8/weights", "caffenet/fc8/biases")
    other_classes = caffe.read(write(tmp_path / "net.caffemodel", blobs("layer", fc8=21)))
    assert other_classes.variables["caffenet/fc8/weights"].shape == (1, 1, 9, 21)


def broken_length(net):
    net.layer[3].blobs[0].data.pop()


def not_finite(net):
    net.layer[1].blobs[1].data[0] = np.nan


def other_sizes(net):
    net.layer[2].blobs[0].shape.dim[:] = [3, 3, 6, 4]
    net.layer[0].blobs[1].data.append(1.0)
    net.layer[0].blobs[1].shape.dim[:] = [9]


def named_alexnet(net):
    net.name = "AlexNet"


def other_layers(net):
    for number, layer in enumerate(net.layer):
        layer.name = f"inception_{number}"


def nothing(net):
    net.ClearField("layer")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (broken_length, "layer 'conv4' has 71 numbers for a blob of 4 x 2 x 3 x 3"),
        (not_finite, "layer 'conv2' has weights that are not finite"),
        (other_sizes, "is not of caffenet: conv1 has 9 biases, not those of 8; conv3 has 3 x 3 x 6 x 4 weights, not"),
        (named_alexnet, "normalisations stand before its pools"),
        (other_layers, "is of none of caffenet, vgg_cnn_m_1024, vgg_16: its layers are inception_0, "),
        (nothing, "holds no layer with weights"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(thin, tmp_path, change, message):
    net = blobs("layer")
    change(net)
    with pytest.raises(DataError) as raised:
        caffe.read(write(tmp_path / "net.caffemodel", net))
    assert message in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"layer { name: 'conv1' }", b"\xff" * 100])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"is no \.caffemodel|holds no layer"):
        caffe.read(path)


def test_names_and_shapes_are_those_of_the_real_networks():
    """The thin network above is the real one but for its numbers of channels."""
    real = recognise.classifier_shapes("caffenet", 1000)
    assert list(real) == list(shapes_of_thin("caffenet", 1000))
    assert all(real[name][:2] == shape[:2] for name, shape in THIN.items())
    assert set(caffe.NETWORKS) <= set(catalogue.SCOPES)


def test_command_writes_a_checkpoint(thin, tmp_path, capsys):
    path = write(tmp_path / "net.caffemodel", blobs("layer"))
    output = tmp_path / "weights" / "caffenet.ckpt"
    assert call.call("weights", f"--caffemodel={path}", f"--output={output}") == 0
    assert "caffenet, 16 variables of " in capsys.readouterr().out
    stored = checkpoint_files.read(str(output))
    np.testing.assert_array_equal(stored["caffenet/fc6/weights"], caffe.read(path).variables["caffenet/fc6/weights"])
    assert call.call("weights", f"--caffemodel={path}", f"--output={output}") == 2
    assert "exists already; pass --overwrite" in capsys.readouterr().err
