"""Operations counted by hand, against TensorFlow's profiler, and refused where shapes are not known."""

from __future__ import annotations

import pytest
import tensorflow as tf

from detection.benchmark.flops import count_flops


def concrete(function, *shapes):
    return tf.function(function).get_concrete_function(*(tf.TensorSpec(shape) for shape in shapes))


def test_convolutions():
    kernel, depthwise = tf.ones([3, 3, 8, 16]), tf.ones([3, 3, 8, 2])
    assert count_flops(concrete(lambda x: tf.nn.conv2d(x, kernel, 2, "SAME"), [2, 10, 11, 8])) == 2 * (
        2 * 5 * 6 * 16
    ) * (3 * 3 * 8)
    assert count_flops(concrete(lambda x: tf.nn.conv2d(x, kernel, 1, "VALID"), [1, 10, 11, 8])) == 2 * (8 * 9 * 16) * (
        3 * 3 * 8
    )
    assert (
        count_flops(concrete(lambda x: tf.nn.depthwise_conv2d(x, depthwise, [1, 1, 1, 1], "SAME"), [1, 4, 4, 8]))
        == 2 * (4 * 4 * 16) * 9
    )
    transposed = concrete(lambda x: tf.nn.conv2d_transpose(x, tf.ones([3, 3, 5, 8]), [1, 8, 8, 5], 2), [1, 4, 4, 8])
    assert count_flops(transposed) == 2 * (4 * 4 * 8) * 9 * 5


def test_matrix_products():
    assert count_flops(concrete(lambda a, b: a @ b, [3, 5], [5, 7])) == 2 * 3 * 5 * 7
    assert count_flops(concrete(lambda a, b: tf.matmul(a, b, transpose_a=True), [5, 3], [5, 7])) == 2 * 3 * 5 * 7
    assert count_flops(concrete(lambda a, b: a @ b, [2, 3, 5], [2, 5, 7])) == 2 * 2 * 3 * 5 * 7


def test_called_functions_count_each_time():
    inner = tf.function(lambda x: x @ tf.ones([4, 4]))
    assert count_flops(concrete(lambda x: inner(inner(x)), [4, 4])) == 2 * 2 * 64


def test_nothing_else_counts():
    assert count_flops(concrete(lambda x: tf.nn.relu6(x + 1.0) * 2.0, [1, 8, 8, 3])) == 0


def test_free_sizes_are_refused():
    with pytest.raises(ValueError, match="is not static; trace the function for an image of fixed size"):
        count_flops(concrete(lambda x: tf.nn.conv2d(x, tf.ones([3, 3, 3, 4]), 2, "SAME"), [1, None, None, 3]))


def test_against_the_profiler():
    separable = (tf.ones([3, 3, 8, 1]), tf.ones([1, 1, 8, 9]))
    function = concrete(lambda x: tf.nn.separable_conv2d(x, *separable, [1, 2, 2, 1], "SAME"), [1, 9, 9, 8])
    options = (
        tf.compat.v1.profiler.ProfileOptionBuilder(tf.compat.v1.profiler.ProfileOptionBuilder.float_operation())
        .with_empty_output()
        .build()
    )
    assert count_flops(function) == tf.compat.v1.profiler.profile(function.graph, options=options).total_float_ops


def test_loops_count_as_often_as_they_go_round():
    def loop(rounds, x):
        return tf.while_loop(
            lambda i, _: i < rounds, lambda i, y: (i + 1, tf.ensure_shape(y @ tf.ones([5, 5]), [3, 5])), (0, x)
        )[1]

    assert count_flops(concrete(lambda x: loop(4, x), [3, 5])) == 4 * 2 * 3 * 5 * 5
    with pytest.raises(ValueError, match="the number of iterations"):
        count_flops(concrete(lambda x, n: loop(tf.cast(n, tf.int32), x), [3, 5], []))
    empty = concrete(lambda n: tf.while_loop(lambda i: i < tf.cast(n, tf.int32), lambda i: (i + 1,), (0,))[0], [])
    assert count_flops(empty) == 0
