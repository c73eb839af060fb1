"""One compiled training step: forward, backward, exchange of gradients, clipping, update.

    replica:  predictions = predict(batch);  total = sum of losses + regularisation;  g = d total / d variables /
        replicas
    all:      g <- sum over replicas (each replica's losses are divided by the number of replicas, so this is the mean);
              loss likewise
    replica:  g <- g bias_multiplier, for biases;  n = |g| over all variables;  g <- g min(1, clip / n);  update

A step whose loss or gradient is not finite changes nothing but the step counter: weights, slots and batch-norm averages
stay as they were; this is decided inside the graph, without the host. The host sees it in the returned losses when it
reads them.

The function is traced once, with the input pipeline's element spec. One step is one call: calling a function of 350
variables takes about 1 ms of host time, which overlaps with the accelerator's work, so several steps per call would
save nothing and delay signals and logs. The choice between update and undo, and the copies of the averages, take less
than 1 ms per step.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detection.optimizers import rules as optimizers
from detection.settings import TrainSettings
from detection.train import frozen
from detection.train.state import TrainState
from detection.types import Example

TOTAL_LOSS = "Loss/total_loss"
REGULARIZATION_LOSS = "Loss/regularization_loss"


class StepResult(NamedTuple):
    """Results of a step; they stay on the device until they are read."""

    values: tf.Tensor  # float32 [n], by `TrainStep.tags`
    finite: tf.Tensor  # bool, whether the update was made


class TrainStep:
    """The compiled training step; call it with one distributed element of the input."""

    def __init__(
        self, state: TrainState, settings: TrainSettings, strategy: tf.distribute.Strategy, element_spec: Example
    ) -> None:
        self.tags: tuple[str, ...] = ()  # names of StepResult.values, known after the first call
        self.traces = 0
        self._state, self._settings, self._strategy = state, settings, strategy
        self._factors = _factors(state, settings.bias_multiplier)
        self._averages = [variable.value for variable in state.detector.non_trainable_variables if _is_float(variable)]
        self._call = tf.function(self._step, input_signature=[element_spec], autograph=False)

    def __call__(self, example: Example) -> StepResult:
        """Does one step."""
        return self._call(example)

    def by_tag(self, result: StepResult) -> dict[str, float]:
        """The values of a step by tag; waits for the device."""
        return dict(zip(self.tags, result.values.numpy().tolist(), strict=True))

    def _step(self, example: Example) -> StepResult:
        self.traces += 1
        results = self._strategy.run(self._on_replica, args=(example,))
        first = self._strategy.experimental_local_results
        return StepResult(first(results.values)[0], first(results.finite)[0])

    def _on_replica(self, example: Example) -> StepResult:
        state, settings = self._state, self._settings
        previous_averages = [_read(variable) for variable in self._averages]
        losses, gradients = self._gradients(example)
        *gradients, values = self._reduce([*gradients, tf.stack(list(losses.values()))])
        gradients = [
            gradient * self._factors[index] if index in self._factors else gradient
            for index, gradient in enumerate(gradients)
        ]
        norm = tf.linalg.global_norm(gradients)
        finite = tf.math.is_finite(norm) & tf.reduce_all(tf.math.is_finite(values))
        rate = settings.optimizer.schedule(_read(state.step))
        scale = tf.minimum(1.0, settings.clip_norm / tf.maximum(norm, 1e-30)) if settings.clip_norm > 0 else None

        def update() -> tf.Tensor:
            for index, gradient in enumerate(gradients):
                scaled = gradient if scale is None else gradient * scale
                settings.optimizer.rule.update(state.trained[index], state.slots[index], state.scalars, scaled, rate)
            settings.optimizer.rule.finish(state.scalars)
            for shadow, variable in zip(state.shadows, state.trained, strict=False):
                optimizers.average(shadow, variable, settings.optimizer.moving_average_decay)
            return tf.constant(True)

        def undo() -> tf.Tensor:
            for variable, value in zip(self._averages, previous_averages, strict=True):
                tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)
            return tf.constant(False)

        updated = tf.cond(finite, update, undo)
        tf.raw_ops.AssignAddVariableOp(resource=state.step.handle, value=tf.constant(1, tf.int64))
        self.tags = (*losses, "learning_rate", "gradient_norm")
        values = [values, [rate, norm]]
        if settings.summarize_gradients:
            self.tags += tuple(f"gradient_norm/{name}" for name in state.trained_names)
            values.append((1.0 if scale is None else scale) * tf.stack([tf.norm(gradient) for gradient in gradients]))
        return StepResult(tf.concat(values, 0), updated)

    def _gradients(self, example: Example) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        """This replica's losses by tag, already divided by the number of replicas, and the gradient of their sum."""
        detector, variables = self._state.detector, self._state.trained
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            predictions = detector.predict(example.batch, example.groundtruth, training=True)
            losses = dict(detector.loss(predictions, example.groundtruth))
            if self._settings.regularize:
                losses[REGULARIZATION_LOSS] = detector.regularization_loss()
            losses = {
                tag: tf.cast(loss, tf.float32) / self._strategy.num_replicas_in_sync for tag, loss in losses.items()
            }
            total = tf.add_n(list(losses.values()))
        gradients = tape.gradient(total, variables)
        # A variable on which no loss depends (an extractor's unused block) gets a zero gradient, so that its slots and
        # averages exist like those of the others.
        gradients = [
            tf.zeros_like(v) if g is None else tf.convert_to_tensor(g)
            for g, v in zip(gradients, variables, strict=True)
        ]
        return {**losses, TOTAL_LOSS: total}, gradients

    def _reduce(self, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        if self._strategy.num_replicas_in_sync == 1:
            return tensors
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def _factors(state: TrainState, factor: float) -> dict[int, float]:
    """Factors on gradients, by index of the trained variable."""
    if not factor:
        return {}
    return {index: factor for index, name in enumerate(state.trained_names) if frozen.BIASES.match(name)}


def _is_float(variable) -> bool:
    return tf.as_dtype(variable.dtype).is_floating


def _read(variable: tf.Variable) -> tf.Tensor:
    return tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)
