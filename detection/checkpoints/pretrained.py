"""A published ImageNet classifier from its checkpoint: every variable found, or an error that names those that are
not."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from detection.checkpoints import checkpoint_files, loading, names, recognise, restore
from detection.checkpoints.names import AVERAGE
from detection.checkpoints.restore import FineTune, RestoreReport
from detection.errors import ConfigError
from detection.networks import catalogue
from detection.networks.classifier import Classifier, ClassifierSpec


class Pretrained(NamedTuple):
    """A classifier with its weights."""

    classifier: Classifier
    spec: ClassifierSpec
    name: str  # in the catalogue
    depth_multiplier: float
    num_logits: int
    source: str  # prefix of the checkpoint
    averages: tuple[int, int]  # variables that have a moving average there; of those, the ones that took it
    report: RestoreReport

    def summary(self) -> str:
        """One line."""
        what = f"{self.name}, depth multiplier {self.depth_multiplier:g}, {self.num_logits} logits"
        there, taken = self.averages
        averages = f"; --moving_averages would take the averages of {there}" if there else ""
        if taken:
            averages = f", {taken} of them by {'its' if taken == 1 else 'their'} moving average{'s' * (taken > 1)}"
        return f"{what}: all {len(self.report.restored)} variables from {self.source}{averages}"


def load(
    checkpoint: str,
    network: str = "",
    depth_multiplier: float | None = None,
    moving_averages: bool = False,
    *,
    allow_unused: bool = False,
) -> Pretrained:
    """Builds the classifier that a checkpoint is of and fills it.

    Args:
      checkpoint: a prefix, a file of a checkpoint, or a folder.
      network: its name in the catalogue; "": as the checkpoint's scope says.
      depth_multiplier: None: as the checkpoint's shapes say. The number of logits is always read off them.
      moving_averages: take the averaged copy of what has one.
      allow_unused: only warn of what the network has no place for, heads that it lacks apart.

    Raises:
      ConfigError: an unknown network; an unreadable checkpoint, one of another network, or one that lacks a variable or
          has more. The line names it.
    """
    if network:
        catalogue.find(network)
    prefix = checkpoint_files.locate(checkpoint)
    found = checkpoint_files.entries(prefix)
    seen = recognise.network(found)
    name = _name(prefix, network, seen)
    if seen.num_logits is None:
        raise ConfigError(f"{prefix}: holds {name} without its head; classifying needs the logits' layer")
    if depth_multiplier is None and seen.depth_multiplier is None:
        raise ConfigError(
            f"{prefix}: its widths are those of {name} at no depth multiplier that was tried; give --depth_multiplier"
        )
    multiplier = seen.depth_multiplier if depth_multiplier is None else depth_multiplier
    spec = catalogue.CLASSIFIERS[name]
    classifier = spec.make(seen.num_logits, multiplier)
    classifier(tf.zeros([1, spec.image_size, spec.image_size, 3]))
    variables = loading.by_name(classifier)
    shapes = {variable: tuple(value.shape) for variable, value in variables.items()}
    report = restore.match(shapes, found, FineTune(prefix, "full")).report
    _check_complete(prefix, f"{name} at depth multiplier {multiplier:g}", report)
    _check_used(prefix, f"{name} at depth multiplier {multiplier:g}", report, found, allow_unused)
    averaged = {variable for variable in report.restored if f"{variable}/{AVERAGE}" in found}
    if moving_averages and not averaged:
        raise ConfigError(f"{prefix}: holds no moving averages; leave --moving_averages out")
    taken = averaged if moving_averages else set()
    sources = {variable: f"{variable}/{AVERAGE}" if variable in taken else variable for variable in report.restored}
    values = checkpoint_files.read(prefix, sources.values())
    for variable, source in sources.items():
        variables[variable].assign(values[source])
    return Pretrained(classifier, spec, name, multiplier, seen.num_logits, prefix, (len(averaged), len(taken)), report)


def _name(prefix: str, network: str, seen: recognise.Network | None) -> str:
    if seen is None:
        scopes = ", ".join(sorted(set(catalogue.SCOPES.values())))
        raise ConfigError(f"{prefix}: holds no network that is known here; none of its scopes is one of {scopes}")
    if network and seen.name != network:
        raise ConfigError(f"{prefix}: is of {seen.name}, not of {network}; use --network={seen.name}")
    return seen.name


def _check_used(prefix: str, what: str, report: RestoreReport, found: Collection[str], allow: bool) -> None:
    """Raises ConfigError where the checkpoint has weights that the network has no place for; warns if `allow`."""
    left = names.unused_at_start(report.restored, found, classifier=True)
    if not left:
        return
    why = names.cause(report.restored, found, left)
    said = f"{prefix}: {names.shown(left)} {'has' if len(left) == 1 else 'have'} no place in {what} ({why})"
    if not allow:
        raise ConfigError(f"{said}, so it is another network; leave them out by {names.ALLOW_UNUSED}")
    logging.warning("%s", said)


def _check_complete(prefix: str, what: str, report: RestoreReport) -> None:
    """Raises ConfigError, with the first names, where a variable is missing or has another shape."""
    total = sum(map(len, (report.restored, report.missing, report.mismatched)))
    for listed, has in ((report.missing, "lacks"), (report.mismatched, "has in another shape")):
        if listed:
            shown = names.shown(listed)
            raise ConfigError(f"{prefix}: {has} {len(listed)} of the {total} variables of {what}: {shown}")
