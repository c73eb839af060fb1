"""Networks of other libraries for comparison: same architecture, same outputs, random weights.

    forward     a frozen graph of convolution, bias and activation, without batch norm: from `tf_slim.nets` if it has
                the network, otherwise from `keras.applications`
    train step  the model of `keras.applications` with batch norm, as its users train it

TensorFlow runs the frozen graphs in the same way as our exports, so only the networks differ.
"""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import keras
import tensorflow as tf

from detection.errors import ConfigError
from detection.export.constants import fold_constants, subgraph
from detection.export.freeze import FrozenGraph, GraphInput, freeze

Shape = tuple[int, int, int, int]  # of the images: batch, height, width, 3


def _slim_resnet(name: str) -> Callable:
    def build(slim, nets, images: tf.Tensor) -> tf.Tensor:
        with slim.arg_scope([slim.max_pool2d], padding="SAME"):
            features, _ = getattr(nets.resnet_v1, name)(images, num_classes=None, is_training=False, global_pool=False)
        return features

    return build


def _slim_vgg(slim, nets, images: tf.Tensor) -> tf.Tensor:
    # The layers after pool5 are removed later.
    _, endpoints = nets.vgg.vgg_16(images, num_classes=1, is_training=False, spatial_squeeze=False)
    return endpoints["vgg_16/pool5"]


class Reference(NamedTuple):
    """Where other libraries have a network."""

    slim: Callable | None = None  # (tf_slim, tf_slim.nets, images) -> features
    keras: str | None = None  # name in keras.applications
    before: str = ""  # layer of Keras's model whose input is our last map; empty: what it ends with
    smallest: int = 1  # smallest side of an image for which tf_slim can build it, pixels


REFERENCES: dict[str, Reference] = {
    **{f"efficientnet-b{size}": Reference(keras=f"EfficientNetB{size}", before="top_conv") for size in range(8)},
    "inception_resnet_v2": Reference(keras="InceptionResNetV2"),
    "inception_v1": Reference(slim=lambda slim, nets, images: nets.inception_v1.inception_v1_base(images)[0]),
    "inception_v2": Reference(slim=lambda slim, nets, images: nets.inception_v2.inception_v2_base(images)[0]),
    "inception_v3": Reference(lambda slim, nets, images: nets.inception_v3.inception_v3_base(images)[0], "InceptionV3"),
    "mobilenet_v1": Reference(keras="MobileNet"),
    "mobilenet_v2": Reference(keras="MobileNetV2"),
    "mobilenet_v3_large": Reference(keras="MobileNetV3Large"),
    "mobilenet_v3_small": Reference(keras="MobileNetV3Small"),
    "resnet_v1_50": Reference(_slim_resnet("resnet_v1_50"), "ResNet50"),
    "resnet_v1_101": Reference(_slim_resnet("resnet_v1_101"), "ResNet101"),
    "resnet_v1_152": Reference(_slim_resnet("resnet_v1_152"), "ResNet152"),
    "vgg_16": Reference(_slim_vgg, "VGG16", smallest=224),
}


class Source(NamedTuple):
    """A frozen reference network and the library that it comes from."""

    origin: str  # e.g. tf_slim
    frozen: FrozenGraph


def frozen(name: str, shape: Shape) -> Source | None:
    """The reference for network `name`, up to the same features as ours, for one image shape; None if there is none."""
    reference = REFERENCES.get(name, Reference())
    if reference.slim is not None and min(shape[1:3]) >= reference.smallest:
        return Source("tf_slim", _freeze_slim(reference.slim, shape))
    if reference.keras is not None:
        return Source("keras.applications", _freeze_keras(_folded(keras_model(name, shape)), shape))
    return None


def is_trainable(name: str) -> bool:
    """Whether keras.applications has the network."""
    return REFERENCES.get(name, Reference()).keras is not None


def keras_model(name: str, shape: Shape) -> keras.Model:
    """The model of keras.applications without its head, for images of one size."""
    reference = REFERENCES[name]
    model = getattr(keras.applications, reference.keras)(include_top=False, weights=None, input_shape=shape[1:])
    return keras.Model(model.input, model.get_layer(reference.before).input) if reference.before else model


def check_available(names: Iterable[str]) -> None:
    """Raises ConfigError if one of the networks comes from tf_slim and tf_slim is not installed."""
    if any(REFERENCES.get(name, Reference()).slim for name in names) and importlib.util.find_spec("tf_slim") is None:
        raise ConfigError(
            "--baseline: tf_slim is not installed; it comes with the extra [test]: pip install -e '.[test]'"
        )


def _freeze_slim(build: Callable, shape: Shape) -> FrozenGraph:
    """Builds and freezes a tf-slim network without batch norm; its layers then have biases, like folded batch norm."""
    import tf_slim
    from tf_slim import nets

    with _without_deprecations(), tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        images = tf.compat.v1.placeholder(tf.float32, shape, name="images")
        features = tf.identity(build(tf_slim, nets, images), name="features")
        graph_def = subgraph(graph.as_graph_def(), ["features"])
        names = {node.name for node in graph_def.node}
        session.run([variable.initializer for variable in tf.compat.v1.global_variables() if variable.op.name in names])
        constants = tf.compat.v1.graph_util.convert_variables_to_constants(session, graph_def, ["features"])
    constants = fold_constants(constants, [images.name, features.name])
    return FrozenGraph(constants, (GraphInput(images.name, tf.float32, tf.TensorShape(shape)),), (features.op.name,))


@contextlib.contextmanager
def _without_deprecations() -> Iterator[None]:
    """Hides the deprecation warnings of tf_slim, which uses TensorFlow 1 and warns for every layer."""
    logger = tf.get_logger()
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel("ERROR")
        try:
            yield
        finally:
            logger.setLevel(level)


class _BiasedConv(keras.layers.Conv2D):
    """Adds its bias by the op that TensorFlow fuses with the convolution; Keras adds a reshaped tensor."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolution, bias and activation."""
        y = tf.nn.conv2d(
            inputs, tf.convert_to_tensor(self.kernel), self.strides, self.padding.upper(), dilations=self.dilation_rate
        )
        return self.activation(tf.nn.bias_add(y, tf.convert_to_tensor(self.bias)))


class _BiasedDepthwise(keras.layers.DepthwiseConv2D):
    """The same for depthwise convolutions."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolution, bias and activation."""
        y = tf.nn.depthwise_conv2d(
            inputs, tf.convert_to_tensor(self.kernel), (1, *self.strides, 1), self.padding.upper()
        )
        return self.activation(tf.nn.bias_add(y, tf.convert_to_tensor(self.bias)))


class _Identity(keras.layers.Layer):
    """An identity layer that replaces others and takes the arguments of a batch norm."""

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the inputs."""
        return inputs


_NOTHING = (
    keras.layers.BatchNormalization,
    keras.layers.Normalization,
    keras.layers.Rescaling,
    keras.layers.ZeroPadding2D,
)


def _folded(model: keras.Model) -> keras.Model:
    """Copies the model with biases in place of batch norm, and without the scaling of pixels that some begin with.

    The MobileNets of Keras pad before strided layers and lose a row of maps with odd sides: here they pad SAME, to do
    the same work as ours.
    """
    pads = any(isinstance(layer, keras.layers.ZeroPadding2D) for layer in model.layers)

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, _NOTHING):
            return _Identity(name=layer.name)
        for layer_class, biased_class in (
            (keras.layers.Conv2D, _BiasedConv),
            (keras.layers.DepthwiseConv2D, _BiasedDepthwise),
        ):
            if isinstance(layer, layer_class):
                return biased_class.from_config(
                    {**layer.get_config(), "use_bias": True, "padding": "same" if pads else layer.padding}
                )
        return layer.__class__.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=replace)


def _freeze_keras(model: keras.Model, shape: Shape) -> FrozenGraph:
    def run(images: tf.Tensor) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        return {"features": model(images, training=False)}, {}

    return freeze(tf.function(run, autograph=False).get_concrete_function(tf.TensorSpec(shape)))
