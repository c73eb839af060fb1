"""Loads a published ImageNet classifier from its checkpoint.

Every variable must be restored; otherwise an error names the ones that are missing.
"""

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
    """A classifier with its weights restored."""

    classifier: Classifier
    spec: ClassifierSpec
    name: str  # as in the catalogue of networks
    depth_multiplier: float
    num_logits: int
    source: str  # prefix of the checkpoint
    averages: tuple[
        int, int
    ]  # number of variables with a moving average in the checkpoint, and number restored from it
    report: RestoreReport

    def summary(self) -> str:
        """Returns one line: network, number of variables restored, checkpoint, use of moving averages."""
        what = f"{self.name}, depth multiplier {self.depth_multiplier:g}, {self.num_logits} logits"
        there, taken = self.averages
        averages = f"; --moving_averages would use the moving averages of {there}" if there else ""
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
    """Builds the classifier stored in a checkpoint and restores its weights.

    Args:
        checkpoint: a prefix, a file of a checkpoint, or a folder.
        network: name in the catalogue of networks; "" infers it from the scopes in the checkpoint.
        depth_multiplier: None infers it from the shapes in the checkpoint. The number of logits is always inferred.
        moving_averages: use the moving average of every variable that has one.
        allow_unused: only warn about checkpoint variables that the network does not have.

    Raises:
        ConfigError: the network is unknown, or the checkpoint is unreadable, is from a different network, lacks a
            variable or has additional ones. The message names the variables.
    """
    if network:
        catalogue.find(network)
    prefix = checkpoint_files.locate(checkpoint)
    found = checkpoint_files.entries(prefix)
    seen = recognise.network(found)
    name = _name(prefix, network, seen)
    if seen.num_logits is None:
        raise ConfigError(f"{prefix}: holds {name} without its head; classification needs the layer of the logits")
    if depth_multiplier is None and seen.depth_multiplier is None:
        raise ConfigError(
            f"{prefix}: no common depth multiplier of {name} gives its layer widths; pass --depth_multiplier"
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
        raise ConfigError(f"{prefix}: holds no known network; none of its scopes is one of {scopes}")
    if network and seen.name != network:
        raise ConfigError(f"{prefix}: is a checkpoint of {seen.name}, not of {network}; use --network={seen.name}")
    return seen.name


def _check_used(prefix: str, what: str, report: RestoreReport, found: Collection[str], allow: bool) -> None:
    """Raises ConfigError if the checkpoint has weights that the network does not have; only warns if `allow`."""
    unused = names.unused_at_start(report.restored, found, classifier=True)
    if not unused:
        return
    why = names.likely_cause(report.restored, found, unused)
    verb = "has" if len(unused) == 1 else "have"
    message = f"{prefix}: {names.abbreviated(unused)} {verb} no counterpart in {what} ({why})"
    if not allow:
        raise ConfigError(f"{message}: a different network; pass {names.ALLOW_UNUSED} to ignore them")
    logging.warning("%s", message)


def _check_complete(prefix: str, what: str, report: RestoreReport) -> None:
    """Raises ConfigError if a variable is missing or has a different shape; the message has the first names."""
    total = sum(map(len, (report.restored, report.missing, report.mismatched)))
    for listed, has in ((report.missing, "lacks"), (report.mismatched, "has a different shape for")):
        if listed:
            shown = names.abbreviated(listed)
            raise ConfigError(f"{prefix}: {has} {len(listed)} of the {total} variables of {what}: {shown}")
