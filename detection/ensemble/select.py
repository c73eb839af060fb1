"""Which models to take: the most accurate ones, or the most accurate ones that differ (section 4.2 of the survey).

    similarity of two models = cosine of the angle between their vectors of AP by category
    greedily: the most accurate model; then always the next most accurate one whose similarity to every model taken is
        below a threshold

The survey prunes models whose "cosine distance [is] greater than some threshold" as too similar: what it calls distance
is the cosine itself. APs are positive, so the cosine of any two models is near 1, and useful thresholds lie close below
it; `diverse_sets` finds those that make a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Choice(NamedTuple):
    """A set of models by number, best first, and the threshold under which the rule takes it."""

    members: tuple[int, ...]
    max_similarity: float


def cosine_similarity(vectors: np.ndarray) -> np.ndarray:
    """[n, n] of vectors [n, C].

    One that is all zeros, a model that finds nothing, has no direction, and is never taken for being different: 1.
    """
    vectors = np.maximum(np.asarray(vectors, np.float64), 0.0)  # -1 stands for nothing to find.
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1.0)
    found = lengths > 0
    # Rounded, so that the last bits of parallel vectors make no differences between models.
    return np.round(np.where(found & found.T, unit @ unit.T, 1.0), 12)


def most_accurate(precision: Sequence[float], k: int) -> tuple[int, ...]:
    """The k models of highest AP; of equal ones the first."""
    return tuple(np.argsort(-np.asarray(precision, np.float64), kind="stable")[:k].tolist())


def diverse(precision: Sequence[float], similarity: np.ndarray, k: int, max_similarity: float) -> tuple[int, ...]:
    """At most k models by the greedy rule; fewer where all others are too similar to those taken.

    Args:
        precision: [n], AP of each model on validation data.
        similarity: [n, n].
        k: how many are wanted.
        max_similarity: similarities must lie below it.
    """
    taken: list[int] = []
    for candidate in most_accurate(precision, len(precision)):
        if len(taken) < k and all(similarity[candidate, other] < max_similarity for other in taken):
            taken.append(candidate)
    return tuple(taken)


def diverse_sets(precision: Sequence[float], similarity: np.ndarray, k: int) -> list[Choice]:
    """Every set of k models that the greedy rule takes under some threshold, by falling threshold, without that of the
    k most accurate.
    """
    choices: dict[frozenset[int], Choice] = {frozenset(most_accurate(precision, k)): Choice((), 0.0)}
    above_diagonal = similarity[np.triu_indices(len(similarity), 1)]
    for threshold in np.unique(above_diagonal)[::-1].tolist():
        members = diverse(precision, similarity, k, threshold)
        if len(members) == min(k, len(precision)):
            choices.setdefault(frozenset(members), Choice(members, threshold))
    return list(choices.values())[1:]
