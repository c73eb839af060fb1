"""Lists the configurations of a grid, one per line, with a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from detection.sweep.grid import TRAINED, Configuration, groups


def table(configurations: Sequence[Configuration]) -> str:
    """A numbered list of ids, with the source of shared weights or the reason why a config is invalid."""
    lines = [
        f"{number:4}  {configuration.id}{_remark(configuration)}"
        for number, configuration in enumerate(configurations, start=1)
    ]
    return "\n".join([*lines, "", summary(configurations)])


def summary(configurations: Sequence[Configuration]) -> str:
    """`252 configurations: 80 faster_rcnn, ...; 60 trainings`."""
    counts = Counter(configuration.facts.meta_architecture for configuration in configurations)
    parts = (
        [f"{len(configurations)} configurations: " + ", ".join(f"{count} {name}" for name, count in counts.items())]
        if counts
        else ["nothing"]
    )
    trainings = len(groups(configuration for configuration in configurations if configuration.weights == TRAINED))
    parts += [f"{trainings} trainings"] if trainings else []
    refused = sum(bool(configuration.refused) for configuration in configurations)
    parts += [f"{refused} refused"] if refused else []
    return "; ".join(parts)


def _remark(configuration: Configuration) -> str:
    if configuration.refused:
        return f"  refused: {configuration.refused}"
    return (
        f"  (weights of {configuration.trained_id})"
        if configuration.weights == TRAINED and configuration.trained_id != configuration.id
        else ""
    )
