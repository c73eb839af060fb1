from __future__ import annotations

import textwrap

import numpy as np
import pytest
import tensorflow as tf

from detection.errors import ConfigError
from detection.optimizers import rules as optimizers
from detection.settings import TrainSettings
from detection.train.state import TrainState
from detection.train.step import REGULARIZATION_LOSS, TOTAL_LOSS, TrainStep
from tests.helpers.tiny import make_dataset, make_detector, make_optimizer


def _start(settings: TrainSettings | None = None, **dataset):
    settings = settings or TrainSettings(0, 4, make_optimizer())
    data = make_dataset(**dataset)
    state = TrainState(make_detector(), settings.optimizer, settings.is_trained)
    state.start_averages()
    return state, TrainStep(state, settings, tf.distribute.get_strategy(), data.element_spec), iter(data)


def _values(state) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in state.variables().items()}


def test_it_learns_and_is_traced_once():
    state, step, data = _start()
    values = [step(next(data)).values.numpy() for _ in range(61)]
    results = [dict(zip(step.tags, row, strict=True)) for row in values]
    assert step.traces == 1
    assert state.step.numpy() == 61
    assert results[-1][TOTAL_LOSS] < 0.7 * results[0][TOTAL_LOSS]
    parts = sum(value for tag, value in results[-1].items() if tag.startswith("Loss/") and tag != TOTAL_LOSS)
    assert results[-1][TOTAL_LOSS] == pytest.approx(parts, rel=1e-6)
    assert results[-1]["learning_rate"] == pytest.approx(0.01) and results[-1]["gradient_norm"] > 0


def test_one_momentum_step_by_hand():
    state, step, data = _start()
    detector, reference = state.detector, make_detector()
    example = next(data)
    with tf.GradientTape() as tape:
        predictions = reference.predict(example.batch, example.groundtruth, training=True)
        total = tf.add_n([*reference.loss(predictions, example.groundtruth).values(), reference.regularization_loss()])
    weight = reference.head.weights_
    expected = weight.numpy() - 0.01 * tape.gradient(total, weight.value).numpy()
    step(example)
    np.testing.assert_allclose(detector.head.weights_.numpy(), expected, rtol=1e-5, atol=1e-7)


def test_regularisation_can_be_left_out():
    _, step, data = _start(TrainSettings(0, 4, make_optimizer(), regularize=False))
    step(next(data))
    assert REGULARIZATION_LOSS not in step.tags


def test_clipping_is_by_the_global_norm():
    free, step, data = _start()
    step(next(data))
    before = _values(TrainState(make_detector(), make_optimizer(), lambda name: True))
    clipped, step, data = _start(TrainSettings(0, 4, make_optimizer(), clip_norm=0.5))
    result = step(next(data))
    unclipped_norm = dict(zip(step.tags, result.values.numpy(), strict=True))["gradient_norm"]
    assert unclipped_norm > 0.5
    moves = [
        _values(state)[name] - before[name]
        for state in (free, clipped)
        for name in ("BoxPredictor_0/weights", "FeatureExtractor/TinyNet/Conv2d_0/weights")
    ]
    for free_move, clipped_move in zip(moves[:2], moves[2:], strict=True):
        np.testing.assert_allclose(clipped_move, free_move * 0.5 / unclipped_norm, rtol=1e-4, atol=2e-7)


def test_the_norm_of_each_gradient_is_a_summary_where_it_is_asked_for():
    """After clipping; together they make the global norm, or what it is clipped to."""
    for clip, clipped in ((0.0, None), (0.5, 0.5)):
        state, step, data = _start(TrainSettings(0, 4, make_optimizer(), clip_norm=clip, summarize_gradients=True))
        values = step.by_tag(step(next(data)))
        each = {tag: value for tag, value in values.items() if tag.startswith("gradient_norm/")}
        assert list(each) == [f"gradient_norm/{name}" for name in state.trained_names] and len(each) > 3
        assert np.sqrt(np.sum(np.square(list(each.values())))) == pytest.approx(
            clipped or values["gradient_norm"], 1e-5
        )


def test_bias_multiplier_scales_biases_only():
    moves = []
    for multiplier in (0.0, 3.0):
        state, step, data = _start(TrainSettings(0, 4, make_optimizer(), bias_multiplier=multiplier))
        step(next(data))
        moves.append((state.detector.head.biases.numpy(), state.detector.head.weights_.numpy()))
    np.testing.assert_allclose(moves[1][0], 3 * moves[0][0], rtol=1e-5)
    np.testing.assert_array_equal(moves[1][1], moves[0][1])


def test_frozen_variables_stay_and_have_no_slots():
    settings = TrainSettings(0, 4, make_optimizer(), frozen=("BoxPredictor_0", "Conv2d_0/weights"))
    state, step, data = _start(settings)
    before = _values(state)
    step(next(data))
    after = _values(state)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert {
        "FeatureExtractor/TinyNet/Conv2d_0/BatchNorm/beta",
        "FeatureExtractor/TinyNet/Conv2d_0/BatchNorm/moving_mean",
    } <= changed
    assert (
        not {"BoxPredictor_0/weights", "BoxPredictor_0/biases", "FeatureExtractor/TinyNet/Conv2d_0/weights"} & changed
    )
    assert "BoxPredictor_0/weights/Momentum" not in after


def test_patterns_are_found_anywhere_and_both_lists_count():
    settings = TrainSettings(0, 4, make_optimizer(), trained=("Predictor",), frozen=("biases",))
    assert (
        settings.is_trained("BoxPredictor_0/weights")
        and not settings.is_trained("BoxPredictor_0/biases")
        and not settings.is_trained("Conv/weights")
    )
    with pytest.raises(ConfigError, match="leave nothing to train"):
        TrainState(make_detector(), make_optimizer(), lambda name: False)


def test_a_step_that_is_not_finite_changes_nothing_but_the_counter():
    state, step, data = _start(TrainSettings(0, 4, make_optimizer(decay=0.9)), poison=(5,))
    assert step(next(data)).finite.numpy()
    before = _values(state)
    result = step(next(data))
    assert not result.finite.numpy() and np.isnan(result.values.numpy()).any()
    after = _values(state)
    assert after.pop("global_step") == before.pop("global_step") + 1
    for name, value in before.items():
        if "seed_generator" not in name:
            np.testing.assert_array_equal(after[name], value, err_msg=name)
    assert step(next(data)).finite.numpy() and state.is_finite()
    state.detector.head.biases.assign(np.full(28, np.inf))
    assert not state.is_finite()


def test_averages_follow_the_weights():
    state, step, data = _start(TrainSettings(0, 4, make_optimizer(decay=0.75)))
    start = state.detector.head.biases.numpy()
    step(next(data))
    own = state.detector.head.biases.numpy()
    average = _values(state)["BoxPredictor_0/biases/ExponentialMovingAverage"]
    np.testing.assert_allclose(average, 0.75 * start + 0.25 * own, rtol=1e-5, atol=1e-8)
    with state.averaged():
        np.testing.assert_array_equal(state.detector.head.biases.numpy(), average)
    np.testing.assert_array_equal(state.detector.head.biases.numpy(), own)


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        (optimizers.RmsProp(), {"/RMSProp", "/RMSProp_1"}),
        (optimizers.Adam(), {"/Adam", "/Adam_1"}),
        (optimizers.Momentum(), {"/Momentum"}),
    ],
)
def test_slots_have_the_names_of_tensorflow_1(rule, names):
    state, step, data = _start(TrainSettings(0, 4, make_optimizer(rule=rule)))
    step(next(data))
    found = set(state.extras())
    assert {f"BoxPredictor_0/biases{name}" for name in names} <= found
    assert ("beta1_power" in found) is isinstance(rule, optimizers.Adam)
    assert len(found) == 1 + 2 * isinstance(rule, optimizers.Adam) + 5 * len(names)


_TWO_REPLICAS = """
    import numpy as np, tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    from tests.helpers.tiny import make_dataset, make_detector, make_optimizer
    from detection.optimizers import rules as optimizers
    from detection.settings import TrainSettings
    from detection.train.state import TrainState
    from detection.train.step import TrainStep
    for rule in (optimizers.Momentum(), optimizers.Adam(), optimizers.RmsProp()):
        finals = []
        for strategy in (tf.distribute.OneDeviceStrategy("cpu:0"), tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])):
            settings = TrainSettings(0, 4, make_optimizer(decay=0.9, rule=rule), clip_norm=5.0)
            with strategy.scope():
                detector = make_detector()
                detector.extractor.net.conv.norm.momentum = 1.0
                detector.extractor.dropout.rate = 0.0
                state = TrainState(detector, settings.optimizer, settings.is_trained)
            # Batch statistics are each replica's own, so equality with one replica needs batches of equal halves.
            data = make_dataset(2).map(lambda e: tf.nest.map_structure(lambda x: tf.concat([x, x], 0), e))
            data = strategy.experimental_distribute_dataset(data)
            step = TrainStep(state, settings, strategy, data.element_spec)
            for _, example in zip(range(3), data):
                result = step(example)
            assert step.traces == 1 and result.finite.numpy()
            for name, variable in state.variables().items():
                copies = [copy.numpy() for copy in strategy.experimental_local_results(variable)]
                assert all(np.array_equal(copy, copies[0]) for copy in copies), name
            values = {name: variable.numpy() for name, variable in state.variables().items()}
            finals.append((result.values.numpy(), values))
        np.testing.assert_allclose(finals[0][0], finals[1][0], rtol=1e-4)
        for name, value in finals[0][1].items():
            if "seed_generator" not in name:
                np.testing.assert_allclose(finals[1][1][name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    print("equal")
"""


def test_two_replicas_do_what_one_does(server):
    process = server.start(["-c", textwrap.dedent(_TWO_REPLICAS)])
    out, err = process.communicate()
    assert process.returncode == 0 and out.strip().endswith("equal"), err[-3000:]
