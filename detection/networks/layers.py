"""The layers with weights that all networks are made of.

Weights have tf-slim's names, so that a variable's path is its checkpoint name.

A convolution contains its normaliser (`<conv>/BatchNorm/gamma`, ...) and its activation, as in tf-slim's scopes. For
serving, `fold = True` on a convolution makes its next trace multiply the kernel by gamma / sqrt(variance + epsilon) and
add the rest as a bias:

    y = (conv(x, w) - mean) * s + beta,  s = gamma / sqrt(variance + epsilon)   =   conv(x, w * s) + (beta - mean * s)

so that a frozen graph has one convolution, one bias and one activation, which TensorFlow's CPU kernels fuse into one
op.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from detection.networks.atrous import atrous_conv2d
from detection.networks.group_norm import GroupNorm
from detection.networks.hyperparams import BatchNormSettings, Hyperparams


def every_layer(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns the layer and all layers below it, each once; the order depends on the architecture only."""
    return list(layer._flatten_layers())


class BatchNorm(keras.layers.Layer):
    """Batch normalisation with TensorFlow's fused kernel.

    Keras's layer is composed of small ops and takes up to half of a train step. The moving variance is updated with the
    unbiased batch variance.

    Args:
        settings: decay, epsilon and the variables that the layer has.
        name: name of the layer.
    """

    def __init__(self, settings: BatchNormSettings, name: str = "BatchNorm") -> None:
        super().__init__(name=name, autocast=False)
        self.settings = settings
        self.fold = False  # for one in front of a convolution: whether the next trace is only a scale and a shift

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Creates gamma and beta, where `settings` has them, and the moving averages."""
        channels = (shape[-1],)
        self.gamma = self.add_weight(name="gamma", shape=channels, initializer="ones") if self.settings.scale else None
        self.beta = self.add_weight(name="beta", shape=channels, initializer="zeros") if self.settings.center else None
        # Each replica updates its own averages, and reading returns their mean: no communication within a step.
        moving = {
            "shape": channels,
            "dtype": "float32",
            "trainable": False,
            "synchronization": "on_read",
            "aggregation": "mean",
        }
        self.moving_mean = keras.Variable("zeros", name="moving_mean", **moving)
        self.moving_variance = keras.Variable("ones", name="moving_variance", **moving)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalises x.

        Args:
            x: float32 [B, h, w, c].
            training: whether to use batch statistics and update the moving averages, unless `settings.train` is False.
        """
        if self.fold:
            scale, shift = self.scale_and_shift()
            return x * scale + shift
        learn = training and self.settings.train
        channels = self.moving_mean.shape
        gamma = tf.ones(channels) if self.gamma is None else self.gamma
        beta = tf.zeros(channels) if self.beta is None else self.beta
        if learn and self.settings.synchronised:
            mean, variance = _moments_of_all_replicas(x)
            self._move_averages(mean, variance)
            return tf.nn.batch_normalization(x, mean, variance, beta, gamma, self.settings.epsilon)
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=gamma,
            offset=beta,
            mean=[] if learn else tf.convert_to_tensor(self.moving_mean),
            variance=[] if learn else tf.convert_to_tensor(self.moving_variance),
            epsilon=self.settings.epsilon,
            is_training=learn,
        )
        if learn:
            self._move_averages(mean, variance)
        return y

    def _move_averages(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        keep = self.settings.decay
        self.moving_mean.assign(self.moving_mean * keep + mean * (1 - keep))
        self.moving_variance.assign(self.moving_variance * keep + variance * (1 - keep))

    def scale_and_shift(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns s and t of the inference form y = x * s + t, each float32 [c]."""
        scale = tf.math.rsqrt(self.moving_variance + self.settings.epsilon)
        if self.gamma is not None:
            scale *= self.gamma
        shift = -self.moving_mean * scale
        return scale, shift if self.beta is None else shift + self.beta


def _moments_of_all_replicas(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns mean and (biased) variance, float32 [c], of each channel of x float32 [B, h, w, c] over all replicas."""
    count = tf.cast(tf.size(x) // tf.shape(x)[-1], x.dtype)
    sums = [tf.reduce_sum(x, [0, 1, 2]), tf.reduce_sum(tf.square(x), [0, 1, 2]), count]
    replicas = tf.distribute.get_replica_context()
    if replicas is not None and replicas.num_replicas_in_sync > 1:
        sums = replicas.all_reduce(tf.distribute.ReduceOp.SUM, sums)
    mean = sums[0] / sums[2]
    return mean, sums[1] / sums[2] - tf.square(mean)


class LevelNorms(keras.layers.Layer):
    """The batch norms of a convolution that the maps of a pyramid share, one per map: `BatchNorm/feature_<map>`.

    Maps of different strides have different statistics, although they share weights (Lin et al. 2017, "RetinaNet").
    """

    def __init__(self, settings: BatchNormSettings, levels: int) -> None:
        super().__init__(name="BatchNorm", autocast=False)
        self.norms = tuple(BatchNorm(settings, f"feature_{level}") for level in range(levels))

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the norms are built when first called, inside this layer's scope."""

    def call(self, x: tf.Tensor, training: bool = False, level: int = 0) -> tf.Tensor:
        """Normalises x, float32 [B, h, w, c], the map number `level`."""
        return self.norms[level](x, training=training)


class Convolution(keras.layers.Layer):
    """Base class of all convolutions: padding, bias or normaliser, activation.

    Attributes:
        fold: whether the next trace folds batch normalisation into the kernel.
        levels: number of maps that share the kernel, each with its own batch norm; 0: one map and one batch norm.
    """

    def __init__(
        self,
        name: str,
        kernel: int | tuple[int, int],
        stride: int,
        rate: int,
        padding: str,
        hyperparams: Hyperparams,
        bias_initializer: object = "zeros",
        levels: int = 0,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.kernel_size = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
        self.stride, self.rate, self.padding = stride, rate, padding
        self.hyperparams = hyperparams
        self.bias_initializer = bias_initializer
        self.fold = False
        self.levels = levels
        norm = hyperparams.batch_norm
        self.batch_norm = (LevelNorms(norm, levels) if levels else BatchNorm(norm)) if norm else None
        self.group_norm = GroupNorm(hyperparams.group_norm) if hyperparams.group_norm else None

    @property
    def kernels(self) -> tuple[keras.Variable, ...]:
        """All kernels, beginning with the one into which batch normalisation is folded."""
        return (self.kernel,)

    def _add_kernel(self, name: str, shape: tuple[int, ...], regularize: bool) -> None:
        hyper = self.hyperparams
        self.kernel = self.add_weight(
            name=name,
            shape=shape,
            initializer=hyper.initializer.clone(),
            regularizer=hyper.regularizer if regularize else None,
        )

    def _add_bias(self, channels: int) -> None:
        self.bias = add_biases(self, channels) if self.hyperparams.has_bias else None

    def _padded(self, x: tf.Tensor) -> tuple[tf.Tensor, str]:
        """Returns the padded input and the padding of the convolution itself.

        EXPLICIT pads by the same amount for every input size (SAME adds an odd pixel at the end), then convolves VALID.
        """
        if self.padding != "EXPLICIT":
            return x, self.padding
        borders = [[0, 0]]
        for size in self.kernel_size:
            total = (size - 1) * self.rate
            borders.append([total // 2, total - total // 2])
        return tf.pad(x, [*borders, [0, 0]]), "VALID"

    def _convolve(self, x: tf.Tensor, kernel: tf.Tensor, padding: str) -> tf.Tensor:
        raise TypeError(f"{type(self).__name__} does not convolve")

    def _scaled_kernel(self, scale: tf.Tensor) -> tf.Tensor:
        return self.kernel * scale

    def call(self, x: tf.Tensor, training: bool = False, level: int = 0) -> tf.Tensor:
        """Applies convolution, bias or normalisation, and activation.

        Args:
            x: float32 [B, h, w, in].
            training: whether batch norm runs in training mode.
            level: number of the map, if several maps share the convolution (`levels`).
        """
        x, padding = self._padded(x)
        if self.fold and self.batch_norm is not None:
            norm = self.batch_norm.norms[level] if self.levels else self.batch_norm
            scale, shift = norm.scale_and_shift()
            if self.bias is not None:
                shift += self.bias * scale
            x = tf.nn.bias_add(self._convolve(x, self._scaled_kernel(scale), padding), shift)
        else:
            x = self._convolve(x, tf.convert_to_tensor(self.kernel), padding)
            if self.bias is not None:
                x = tf.nn.bias_add(x, tf.convert_to_tensor(self.bias))
            if self.batch_norm is not None:
                which = {"level": level} if self.levels else {}
                x = self.batch_norm(x, training=training, **which)
            if self.group_norm is not None:
                x = self.group_norm(x)
        activation = self.hyperparams.activation
        return x if activation is None else activation(x)


# In TensorFlow 2.21 the gradient of a strided 1x1 kernel with fewer channels than this writes beyond its memory, on
# processors with AVX-512 (oneDNN's jit_1x1 backward_weights, for example 8 to 8 channels on 48 x 64): the process is
# aborted, now or later. The stride is taken first there, which gives the same numbers.
_BROKEN_BELOW = 16


class Conv(Convolution):
    """Convolution: `weights` [kh, kw, in, filters], then `biases` or `BatchNorm`, then the activation.

    Padding is SAME, VALID or EXPLICIT (which depends on the kernel only). With `levels`, that many maps share the
    kernel, each with its own batch norm. x float32 [B, h, w, in] -> float32 [B, h', w', filters].
    """

    def __init__(
        self,
        name: str,
        filters: int,
        kernel: int | tuple[int, int],
        hyperparams: Hyperparams,
        stride: int = 1,
        rate: int = 1,
        padding: str = "SAME",
        bias_initializer: object = "zeros",
        levels: int = 0,
    ) -> None:
        super().__init__(name, kernel, stride, rate, padding, hyperparams, bias_initializer, levels)
        self.filters = filters

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Creates the kernel, and biases if there is no normaliser."""
        self._add_kernel("weights", (*self.kernel_size, shape[-1], self.filters), regularize=True)
        self._add_bias(self.filters)

    def _convolve(self, x: tf.Tensor, kernel: tf.Tensor, padding: str) -> tf.Tensor:
        if self.rate > 1 and self.stride == 1:
            return atrous_conv2d(x, kernel, self.rate, padding)
        if self.stride > 1 and self.kernel_size == (1, 1) and min(kernel.shape[2:]) < _BROKEN_BELOW:
            return tf.nn.conv2d(x[:, :: self.stride, :: self.stride], kernel, 1, padding)
        return tf.nn.conv2d(x, kernel, self.stride, padding, dilations=self.rate)


class TransposedConv(Convolution):
    """Transposed convolution, which multiplies the size by its stride.

    `weights` [kh, kw, filters, in], then `biases` or `BatchNorm`, then the activation. x float32 [B, h, w, in] ->
    float32 [B, stride * h, stride * w, filters].
    """

    def __init__(self, name: str, filters: int, kernel: int, hyperparams: Hyperparams, stride: int) -> None:
        super().__init__(name, kernel, stride, 1, "SAME", hyperparams)
        self.filters = filters

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Creates the kernel, and biases if there is no normaliser."""
        self._add_kernel("weights", (*self.kernel_size, self.filters, shape[-1]), regularize=True)
        self._add_bias(self.filters)

    def _scaled_kernel(self, scale: tf.Tensor) -> tf.Tensor:
        return self.kernel * scale[:, tf.newaxis]

    def _convolve(self, x: tf.Tensor, kernel: tf.Tensor, padding: str) -> tf.Tensor:
        dynamic = tf.shape(x)
        batch, height, width = (x.shape[axis] or dynamic[axis] for axis in range(3))
        size = [batch, height * self.stride, width * self.stride, self.filters]
        return tf.nn.conv2d_transpose(x, kernel, size, self.stride, padding)


class DepthwiseConv(Convolution):
    """Depthwise convolution: `depthwise_weights` [kh, kw, in, 1], then `biases` or `BatchNorm`, then the activation."""

    def __init__(
        self,
        name: str,
        kernel: int | tuple[int, int],
        hyperparams: Hyperparams,
        stride: int = 1,
        rate: int = 1,
        padding: str = "SAME",
    ) -> None:
        super().__init__(name, kernel, stride, rate, padding, hyperparams)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Creates the kernel, and biases if there is no normaliser."""
        self._add_kernel(
            "depthwise_weights", (*self.kernel_size, shape[-1], 1), regularize=self.hyperparams.regularize_depthwise
        )
        self._add_bias(shape[-1])

    def _scaled_kernel(self, scale: tf.Tensor) -> tf.Tensor:
        return self.kernel * scale[:, tf.newaxis]

    def _convolve(self, x: tf.Tensor, kernel: tf.Tensor, padding: str) -> tf.Tensor:
        return tf.nn.depthwise_conv2d(
            x, kernel, [1, self.stride, self.stride, 1], padding, dilations=[self.rate, self.rate]
        )


class SeparableConv(Convolution):
    """Depthwise and pointwise convolution, without normaliser or activation between them.

    `depthwise_weights` [kh, kw, in, m], `pointwise_weights` [1, 1, in * m, filters]. For `levels` see `Conv`.
    """

    def __init__(
        self,
        name: str,
        filters: int,
        kernel: int,
        multiplier: int,
        hyperparams: Hyperparams,
        stride: int = 1,
        padding: str = "SAME",
        bias_initializer: object = "zeros",
        levels: int = 0,
    ) -> None:
        super().__init__(name, kernel, stride, 1, padding, hyperparams, bias_initializer, levels)
        self.filters, self.multiplier = filters, multiplier

    @property
    def kernels(self) -> tuple[keras.Variable, ...]:
        """The pointwise and the depthwise kernel."""
        return self.kernel, self.depthwise_kernel

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Creates both kernels, and biases if there is no normaliser."""
        channels, hyper = shape[-1], self.hyperparams
        self.depthwise_kernel = self.add_weight(
            name="depthwise_weights",
            shape=(*self.kernel_size, channels, self.multiplier),
            initializer=hyper.initializer.clone(),
            regularizer=hyper.regularizer if hyper.regularize_depthwise else None,
        )
        self.kernel = self.add_weight(
            name="pointwise_weights",
            shape=(1, 1, channels * self.multiplier, self.filters),
            initializer=keras.initializers.GlorotUniform() if hyper.plain_pointwise else hyper.initializer.clone(),
            regularizer=None if hyper.plain_pointwise else hyper.regularizer,
        )
        self._add_bias(self.filters)

    def _convolve(self, x: tf.Tensor, kernel: tf.Tensor, padding: str) -> tf.Tensor:
        depthwise = tf.convert_to_tensor(self.depthwise_kernel)
        return tf.nn.separable_conv2d(x, depthwise, kernel, [1, self.stride, self.stride, 1], padding)


def add_biases(layer: keras.layers.Layer, channels: int) -> keras.Variable:
    """Adds the variable `biases` [channels] to a layer that has `hyperparams` and a `bias_initializer`."""
    hyper = layer.hyperparams
    return layer.add_weight(
        name="biases",
        shape=(channels,),
        initializer=layer.bias_initializer,
        regularizer=hyper.regularizer if hyper.regularize_biases else None,
    )
