"""Loads a config file, applies command-line overrides and checks the result."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from absl import logging

from detection.config import text
from detection.config.check import problems, shortened
from detection.config.files import read
from detection.config.overrides import override
from detection.config.places import Places
from detection.errors import ConfigError, DetectionError, combined
from detection.protos import pipeline_pb2

Config = pipeline_pb2.TrainEvalPipelineConfig


class Checked(NamedTuple):
    """A config without faults."""

    message: Config
    warnings: list[str]  # one line each, with file and field
    places: Places  # the lines of its fields, for errors when it is built


def prepare(
    path: str | os.PathLike[str],
    settings: Iterable[str] = (),
    *,
    override_text: str = "",
    check_paths: bool = True,
    training: bool = False,
    quiet: bool = False,
) -> Config:
    """Loads, overrides and checks a config; logs its warnings.

    Args:
        path: a text or binary config.
        settings: overrides such as `model.ssd.num_classes=3`.
        override_text: part of a config in text form, merged into the config before `settings`.
        training: also check what matters only for training: that the learning rate fits the number of steps, and that
            there are enough proposals for the sampled regions.
        quiet: log warnings at debug level only, as they matter only for training.
        check_paths: also check that records, label maps and checkpoints exist.

    Raises:
        ConfigError, DataError: one line with file, line, field, value and fix; the error carries all other problems of
            the config (`DetectionError.lines`).
    """
    found = read_checked(path, settings, override_text=override_text, check_paths=check_paths, training=training)
    for warning in found.warnings:
        logging.log(logging.DEBUG if quiet else logging.WARNING, "%s", warning)
    return found.message


def read_checked(
    path: str | os.PathLike[str],
    settings: Iterable[str] = (),
    *,
    override_text: str = "",
    check_paths: bool = True,
    training: bool = True,
) -> Checked:
    """As `prepare`, but returns the warnings."""
    loaded = read(path)
    message, places = loaded.message, loaded.places
    faults: list[DetectionError] = list(loaded.faults)
    if loaded.faults and not places.uncertain:  # Nothing could be read, so nothing more can be checked.
        raise combined(faults)
    if override_text:
        before = Config.FromString(message.SerializeToString())
        message.MergeFrom(text.parse(override_text, Config(), "--config_override"))
        places.set_by("--config_override", before, message)
    for setting in settings:
        try:
            message = override(message, [setting], places=places)
        except ConfigError as error:
            if not loaded.faults:  # Otherwise what it sets may be in the part that could not be read.
                faults.append(error)
    found, warnings = problems(message, places, check_paths, training)
    faults += found
    if faults:
        raise combined(shortened(faults, places))
    return Checked(message, warnings, places)
