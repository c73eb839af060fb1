"""What a grid holds, for people: one line a configuration, and how many there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from detection.sweep.grid import TRAINED, Configuration, groups


def table(configurations: Sequence[Configuration]) -> str:
    """Ids, what is trained for each, and why those that cannot be built cannot."""
    lines = [f"{number:4}  {one.id}{_said(one)}" for number, one in enumerate(configurations, start=1)]
    return "\n".join([*lines, "", summary(configurations)])


def summary(configurations: Sequence[Configuration]) -> str:
    """`252 configurations: 80 faster_rcnn, ...; 60 trainings`."""
    counts = Counter(one.facts.meta_architecture for one in configurations)
    parts = (
        [f"{len(configurations)} configurations: " + ", ".join(f"{count} {name}" for name, count in counts.items())]
        if counts
        else ["nothing"]
    )
    trainings = len(groups(one for one in configurations if one.weights == TRAINED))
    parts += [f"{trainings} trainings"] if trainings else []
    refused = sum(bool(one.refused) for one in configurations)
    parts += [f"{refused} refused"] if refused else []
    return "; ".join(parts)


def _said(one: Configuration) -> str:
    if one.refused:
        return f"  refused: {one.refused}"
    return f"  (weights of {one.trained_id})" if one.weights == TRAINED and one.trained_id != one.id else ""
