"""Caffe's weights (`.caffemodel`) as variables of the networks of Girshick 2015: CaffeNet, VGG_CNN_M_1024, VGG16.

A .caffemodel is a protocol buffer, NetParameter, with the blobs of each layer by name. Only the fields below are read;
Caffe is not needed.

    convolution       [out, in / groups, h, w]      -> [h, w, in / groups, out]
    the first one     its inputs are B, G, R        -> reversed, as images are R, G, B here
    fc6               [out, channels * h * w]       -> [h, w, channels, out]
    fc7, fc8          [out, in]                     -> [1, 1, in, out]
    biases            [out], or 1 x 1 x 1 x out     -> [out]
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from detection import files
from detection.checkpoints import recognise
from detection.errors import DataError

NETWORKS = ("caffenet", "vgg_cnn_m_1024", "vgg_16")
_LOGITS = 1000
_LAYERS = ("layer", "layers")  # of NetParameter: as written since 2014, and before

# message -> field -> (number, type, message of the field, repeated)
_F = descriptor_pb2.FieldDescriptorProto
_SCHEMA: dict[str, dict[str, tuple[int, int, str, bool]]] = {
    "BlobShape": {"dim": (1, _F.TYPE_INT64, "", True)},
    "BlobProto": {
        "num": (1, _F.TYPE_INT32, "", False),
        "channels": (2, _F.TYPE_INT32, "", False),
        "height": (3, _F.TYPE_INT32, "", False),
        "width": (4, _F.TYPE_INT32, "", False),
        "data": (5, _F.TYPE_FLOAT, "", True),
        "shape": (7, _F.TYPE_MESSAGE, "BlobShape", False),
        "double_data": (8, _F.TYPE_DOUBLE, "", True),
    },
    "LayerParameter": {"name": (1, _F.TYPE_STRING, "", False), "blobs": (7, _F.TYPE_MESSAGE, "BlobProto", True)},
    "V1LayerParameter": {"name": (4, _F.TYPE_STRING, "", False), "blobs": (6, _F.TYPE_MESSAGE, "BlobProto", True)},
    "NetParameter": {
        "name": (1, _F.TYPE_STRING, "", False),
        "layers": (2, _F.TYPE_MESSAGE, "V1LayerParameter", True),
        "layer": (100, _F.TYPE_MESSAGE, "LayerParameter", True),
    },
}


def net_parameter() -> type[Message]:
    """The class of the message NetParameter, with the fields that are read."""
    file = descriptor_pb2.FileDescriptorProto(name="caffe_weights.proto", package="caffe", syntax="proto2")
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, type_name, repeated) in fields.items():
            row = message.field.add(name=field, number=number, type=kind, label=_F.LABEL_OPTIONAL)
            if repeated:
                row.label = _F.LABEL_REPEATED
            if type_name:
                row.type_name = f".caffe.{type_name}"
            elif repeated:
                row.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


class CaffeWeights(NamedTuple):
    """What a file holds of a network."""

    network: str  # one of NETWORKS
    variables: Mapping[str, np.ndarray]  # name as in our checkpoints -> float32
    left_out: tuple[str, ...]  # layers with weights that the network does not have, such as cls_score
    missing: tuple[str, ...]  # variables of the network that the file does not hold


def read(path: str | os.PathLike[str], network: str = "") -> CaffeWeights:
    """Reads a .caffemodel.

    Args:
        path: the file.
        network: one of NETWORKS; empty: the one whose layers it has.

    Raises:
        DataError: the file cannot be read, is none or damaged, or is of another network; layers of other shapes are
            named, all of them.
    """
    net = _parse(os.fspath(path))
    blobs = {
        layer.name: [_array(path, layer.name, blob) for blob in layer.blobs]
        for field in _LAYERS
        for layer in getattr(net, field)
        if layer.blobs
    }
    if not blobs:
        raise DataError(
            f"{path}: holds no layer with weights; name the .caffemodel, not a .prototxt or a solver's state"
        )
    if "alexnet" in net.name.lower() and not network:
        raise DataError(
            f"{path}: is of {net.name}, whose normalisations stand before its pools; take the reference CaffeNet, as"
            " Girshick did, or pass --network=caffenet to use it all the same"
        )
    name = network or _recognised(path, blobs)
    shapes = recognise.classifier_shapes(name, _LOGITS)
    variables, faults = {}, []
    for variable, shape in shapes.items():
        _, *scopes, kind = variable.split("/")
        layer = blobs.get(scopes[-1])
        if layer is None or len(layer) <= (kind == "biases"):
            continue
        head = scopes[-1] == "fc8"
        value = _converted(layer[kind == "biases"], shape, kind, first=shape[2:3] == (3,), any_width=head)
        if value is None:
            faults.append(f"{scopes[-1]} has {_by(layer[kind == 'biases'].shape)} {kind}, not those of {_by(shape)}")
        else:
            variables[variable] = value
    if faults:
        raise DataError(f"{path}: is not of {name}: {'; '.join(faults)}; say which network it is of by --network")
    known = {variable.split("/")[-2] for variable in shapes}
    return CaffeWeights(
        name,
        variables,
        tuple(layer for layer in blobs if layer not in known),
        tuple(variable for variable in shapes if variable not in variables),
    )


def _parse(path: str) -> Message:
    net = net_parameter()()
    try:
        with open(path, "rb") as stream:
            net.ParseFromString(stream.read())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {files.reason(error)}; check the path") from None
    except DecodeError:
        raise DataError(f"{path}: is no .caffemodel, or a damaged one; fetch it again") from None
    return net


def _array(path: object, layer: str, blob: Message) -> np.ndarray:
    """The blob as float32 in its own shape."""
    data = np.array(blob.data or blob.double_data, np.float32)
    shape = tuple(blob.shape.dim) or (blob.num, blob.channels, blob.height, blob.width)
    if math.prod(shape) != data.size:
        raise DataError(f"{path}: layer {layer!r} has {data.size} numbers for a blob of {_by(shape)}; fetch it again")
    if not np.isfinite(data).all():
        raise DataError(f"{path}: layer {layer!r} has weights that are not finite; fetch it again")
    return data.reshape(shape)


def _recognised(path: object, blobs: Mapping[str, list[np.ndarray]]) -> str:
    """The network that has the most layers of the file with the same number of weights."""

    def agreement(name: str) -> int:
        shapes = recognise.classifier_shapes(name, _LOGITS)
        sizes = {
            variable.split("/")[-2]: math.prod(shape) for variable, shape in shapes.items() if "weights" in variable
        }
        return sum(sizes.get(layer) == arrays[0].size for layer, arrays in blobs.items())

    best = max(NETWORKS, key=agreement)
    if agreement(best) < 5:  # Each has at least five convolutions, whatever stands behind them.
        raise DataError(
            f"{path}: is of none of {', '.join(NETWORKS)}: its layers are {', '.join(list(blobs)[:8])}; weights of"
            " other networks are read from checkpoints of TensorFlow"
        )
    return best


def _converted(
    blob: np.ndarray, shape: tuple[int, ...], kind: str, *, first: bool, any_width: bool
) -> np.ndarray | None:
    """The blob as a variable of `shape`; None where it is of another shape.

    Args:
        blob: as the file has it.
        shape: of the variable.
        kind: "weights" or "biases".
        first: the input channels are colours.
        any_width: the number of outputs may differ: a classifier of other classes.
    """
    outputs = max(blob.shape) if kind == "biases" else next((size for size in blob.shape if size > 1), 1)
    if any_width:
        shape = (*shape[:-1], outputs)
    if blob.size != math.prod(shape):
        return None
    if kind == "biases":
        return blob.reshape(shape)
    height, width, inputs, outputs = shape
    # A fully connected layer's blob is 1 x 1 x out x in in old files, and its inputs are channels, rows, columns.
    if blob.ndim == 4 and blob.shape[:2] != (1, 1) and blob.shape != (outputs, inputs, height, width):
        return None
    kernel = blob.reshape(outputs, inputs, height, width)
    if first:
        kernel = kernel[:, ::-1]
    return np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
