"""Selects the models of an ensemble: the most accurate ones, or accurate ones that differ (survey, section 4.2).

    similarity of two models = cosine of the angle between their vectors of AP by category
    greedy rule: the most accurate model first; then always the next most accurate one whose similarity to every
        selected model is below a threshold

The survey prunes models whose "cosine distance [is] greater than some threshold" as too similar: its distance is the
cosine itself. APs are positive, so the cosine of any two models is near 1, and useful thresholds are slightly below 1;
`diverse_sets` finds the thresholds that change the selection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Choice(NamedTuple):
    """A set of models by number, best first, and the threshold with which the greedy rule selects it."""

    members: tuple[int, ...]
    max_similarity: float


def cosine_similarity(vectors: np.ndarray) -> np.ndarray:
    """Pairwise cosine similarity [n, n] of vectors [n, C].

    A zero vector (a model that detects nothing) has no direction; its similarity is 1, so that it is never selected as
    different.
    """
    vectors = np.maximum(np.asarray(vectors, np.float64), 0.0)  # -1 means that there is no groundtruth.
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1.0)
    is_nonzero = lengths > 0
    # Rounded, so that the last bits of parallel vectors do not count as a difference.
    return np.round(np.where(is_nonzero & is_nonzero.T, unit @ unit.T, 1.0), 12)


def most_accurate(precision: Sequence[float], k: int) -> tuple[int, ...]:
    """The k models of highest AP; ties in order."""
    return tuple(np.argsort(-np.asarray(precision, np.float64), kind="stable")[:k].tolist())


def diverse(precision: Sequence[float], similarity: np.ndarray, k: int, max_similarity: float) -> tuple[int, ...]:
    """At most k models by the greedy rule; fewer if all others are too similar to the selected ones.

    Args:
        precision: [n], AP of each model on validation data.
        similarity: [n, n].
        k: how many to select.
        max_similarity: similarities must be below it.
    """
    selected: list[int] = []
    for candidate in most_accurate(precision, len(precision)):
        if len(selected) < k and all(similarity[candidate, other] < max_similarity for other in selected):
            selected.append(candidate)
    return tuple(selected)


def diverse_sets(precision: Sequence[float], similarity: np.ndarray, k: int) -> list[Choice]:
    """All sets of k models that the greedy rule selects with some threshold, by descending threshold.

    The set of the k most accurate models is omitted.
    """
    choices: dict[frozenset[int], Choice] = {frozenset(most_accurate(precision, k)): Choice((), 0.0)}
    above_diagonal = similarity[np.triu_indices(len(similarity), 1)]
    for threshold in np.unique(above_diagonal)[::-1].tolist():
        members = diverse(precision, similarity, k, threshold)
        if len(members) == min(k, len(precision)):
            choices.setdefault(frozenset(members), Choice(members, threshold))
    return list(choices.values())[1:]
