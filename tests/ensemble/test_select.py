"""The greedy rule by hand."""

from __future__ import annotations

import numpy as np

from detection.ensemble import select

# Four models, two categories. a and b are almost parallel, c lies 45 degrees from a, d is the worst and perpendicular
# to a.
VECTORS = np.array([[0.8, 0.0], [0.78, 0.01], [0.5, 0.5], [0.0, 0.3]])
PRECISION = VECTORS.mean(axis=1).tolist()  # 0.4, 0.395, 0.5, 0.15


def test_cosine_similarity_by_hand():
    similarity = select.cosine_similarity(VECTORS)
    np.testing.assert_array_equal(np.diag(similarity), 1.0)
    np.testing.assert_allclose(similarity[0, [2, 3]], [np.sqrt(0.5), 0.0], atol=1e-15)
    assert similarity[0, 1] > 0.999
    np.testing.assert_array_equal(similarity, similarity.T)


def test_models_that_find_nothing_do_not_count_as_different():
    similarity = select.cosine_similarity(np.array([[0.0, 0.0], [-1.0, 0.5], [0.3, 0.4]]))
    assert similarity[0].tolist() == [1.0, 1.0, 1.0]
    assert similarity[1].tolist() == [1.0, 1.0, 0.8], "-1 stands for nothing to find, and counts as 0"


def test_parallel_models_are_equal_to_the_last_bit():
    assert (select.cosine_similarity(np.array([[0.3, 0.7, 0.1]]) * np.array([[1.0], [0.9], [1 / 3]])) == 1.0).all()


def test_the_most_accurate():
    assert select.most_accurate(PRECISION, 3) == (2, 0, 1)
    assert select.most_accurate(PRECISION, 9) == (2, 0, 1, 3)
    assert select.most_accurate([0.5, 0.7, 0.7], 2) == (1, 2)


def test_the_next_most_accurate_that_differs_from_all_taken():
    similarity = select.cosine_similarity(VECTORS)
    assert select.diverse(PRECISION, similarity, 3, 1.1) == (2, 0, 1), "no threshold: the most accurate"
    assert select.diverse(PRECISION, similarity, 3, 0.99) == (2, 0, 3), "b is too similar to a"
    # The cosine of c with a, and with d, is 0.7071; with b 0.7160: below 0.71 a comes in, and b is too near to both.
    assert select.diverse(PRECISION, similarity, 4, 0.71) == (2, 0, 3)
    assert select.diverse(PRECISION, similarity, 3, 0.5) == (2,), "all others resemble the best one"


def test_the_threshold_itself_is_too_similar():
    similarity = np.array([[1.0, 0.9], [0.9, 1.0]])
    assert select.diverse([0.5, 0.4], similarity, 2, 0.9) == (0,)
    assert select.diverse([0.5, 0.4], similarity, 2, 0.91) == (0, 1)


def test_every_set_that_the_rule_can_take():
    similarity = select.cosine_similarity(VECTORS)
    (choice,) = select.diverse_sets(PRECISION, similarity, 3)
    assert choice.members == (2, 0, 3)
    assert select.diverse(PRECISION, similarity, 3, choice.max_similarity) == choice.members
    assert select.diverse_sets(PRECISION, similarity, 4) == [], "all four are one set"
    assert select.diverse_sets([0.5], np.ones([1, 1]), 3) == []


def test_sets_come_by_falling_threshold_each_once():
    random = np.random.default_rng(3)
    vectors = random.uniform(0.2, 0.9, (9, 4))
    precision, similarity = vectors.mean(axis=1).tolist(), select.cosine_similarity(vectors)
    choices = select.diverse_sets(precision, similarity, 3)
    assert len(choices) > 2
    assert [choice.max_similarity for choice in choices] == sorted(
        (choice.max_similarity for choice in choices), reverse=True
    )
    assert len({frozenset(choice.members) for choice in choices}) == len(choices)
    assert frozenset(select.most_accurate(precision, 3)) not in {frozenset(choice.members) for choice in choices}
