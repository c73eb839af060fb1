"""tf-slim's own Inception networks with given weights: the independent implementation that ours must equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
import tf_slim


def randomize(layer: object, seed: int = 0) -> dict[str, np.ndarray]:
    """Gives every weight of a built layer a random value, such that features keep their size from layer to layer;
    returns them by path."""
    random = np.random.default_rng(seed)
    ranges = {
        "gamma": (0.5, 1.5),
        "beta": (-0.5, 0.5),
        "biases": (-0.5, 0.5),
        "moving_mean": (-0.5, 0.5),
        "moving_variance": (0.5, 2.0),
    }
    for variable in layer.weights:
        leaf = variable.path.rsplit("/", 1)[-1]
        if leaf in ranges:
            variable.assign(random.uniform(*ranges[leaf], variable.shape))
        else:
            fan_in = np.prod(variable.shape[:2] if leaf == "depthwise_weights" else variable.shape[:-1])
            variable.assign(random.normal(size=variable.shape) * np.sqrt(2 / fan_in))
    return {variable.path: variable.numpy() for variable in layer.weights}


def outputs(
    network: Callable[..., tuple[tf.Tensor, dict[str, tf.Tensor]]],
    images: np.ndarray,
    weights: Mapping[str, np.ndarray],
    normalized: tuple[Callable, ...],
    **arguments: object,
) -> dict[str, np.ndarray]:
    """Endpoints of `network`, a function of `tf_slim.nets`, in inference; the variables it makes must be those of
    `weights`.

    tf-slim's batch norm does not run on this TensorFlow, so that of the layers in `normalized` is this file's.
    """
    scale = any(name.endswith("/gamma") for name in weights)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        with tf_slim.arg_scope(list(normalized), normalizer_fn=_batch_norm, normalizer_params={"scale": scale}):
            _, endpoints = network(tf.constant(images), **arguments)
        variables = tf.compat.v1.global_variables()
        assert {variable.op.name for variable in variables} == set(weights)
        session.run(
            [v.initializer for v in variables], {v.initializer.inputs[1]: weights[v.op.name] for v in variables}
        )
        return session.run(endpoints)


def _batch_norm(x: tf.Tensor, scale: bool) -> tf.Tensor:
    with tf.compat.v1.variable_scope("BatchNorm"):
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        values = {name: tf.compat.v1.get_variable(name, x.shape[-1:]) for name in names if scale or name != "gamma"}
    gamma = values.get("gamma", tf.ones(x.shape[-1:]))
    y, _, _ = tf.compat.v1.nn.fused_batch_norm(
        x, gamma, values["beta"], values["moving_mean"], values["moving_variance"], epsilon=0.001, is_training=False
    )
    return y


def relative_errors(ours: Mapping[str, tf.Tensor], theirs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Largest difference of each endpoint of ours, as a share of the largest value."""
    return {
        name: float(np.abs(np.asarray(value) - theirs[name]).max() / np.abs(theirs[name]).max())
        for name, value in ours.items()
    }
