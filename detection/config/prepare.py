"""From a config file and what was said on the command line to a message that may be built."""

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
    places: Places  # where its fields are written, for what is found out when it is built


def prepare(
    path: str | os.PathLike[str],
    settings: Iterable[str] = (),
    *,
    override_text: str = "",
    check_paths: bool = True,
    training: bool = False,
    quiet: bool = False,
) -> Config:
    """Loads, overrides and checks a config; warnings are logged.

    Args:
        path: a text or binary config.
        settings: `model.ssd.num_classes=3`, one field each.
        override_text: part of a config in text form, merged over the file's before the settings.
        training: whether it is for training, so that the learning rate must fit the number of steps, and proposals
            suffice for the regions that are drawn.
        quiet: warnings are not logged: what they say is for those who train.
        check_paths: the records, label maps and checkpoints that it names must be there.

    Raises:
        ConfigError, DataError: one line with file, line, field, value and what to write instead; it carries all other
            problems of the config (`DetectionError.lines`).
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
    """As `prepare`, with the warnings returned."""
    loaded = read(path)
    message, places = loaded.message, loaded.places
    faults: list[DetectionError] = list(loaded.faults)
    if loaded.faults and not places.uncertain:  # Of what cannot be read at all, nothing more can be said.
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
