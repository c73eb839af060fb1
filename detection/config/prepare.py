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
from detection.config.places import Places, path_of
from detection.errors import ConfigError, DetectionError, combined
from detection.protos import pipeline_pb2

Config = pipeline_pb2.TrainEvalPipelineConfig


class Checked(NamedTuple):
    """A config without faults."""

    message: Config
    warnings: list[str]  # one line each, with file and field
    places: Places  # the lines of its fields, for errors when it is built


class Examined(NamedTuple):
    """A config and all that is wrong with it."""

    message: Config
    faults: list[DetectionError]  # one line each, with file, line and field
    warnings: list[str]
    places: Places


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
    found = examine_file(path, settings, override_text=override_text, check_paths=check_paths, training=training)
    if found.faults:
        raise combined(shortened(found.faults, found.places))
    return Checked(found.message, found.warnings, found.places)


def examine_file(
    path: str | os.PathLike[str],
    settings: Iterable[str] = (),
    *,
    override_text: str = "",
    check_paths: bool = True,
    training: bool = True,
) -> Examined:
    """As `read_checked`, with the faults returned; only a file that cannot be read is raised."""
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
    return Examined(message, [*faults, *found], warnings, places)


_OF_VARIABLES = (
    "freeze_variables",
    "update_trainable_variables",
    "bias_grad_multiplier",
    "fine_tune_checkpoint",
    "fine_tune_checkpoint_type",
    "from_detection_checkpoint",
    "load_all_detection_checkpoint_vars",
)
_ANY_OPTIMIZER = "optimizer { momentum_optimizer { learning_rate { constant_learning_rate { } } } }"


def start_of_training(found: Examined) -> Config | None:
    """Returns the part of a faulty config from which the detector and its variables can still be checked.

    It has the model, those fields of train_config that are about variables, and any optimizer. None if one of these
    has a fault itself, or if they name no variables and no checkpoint.
    """
    given = found.message.train_config
    if found.places.uncertain or not (given.freeze_variables or given.fine_tune_checkpoint):
        return None
    alone = Config(model=found.message.model, plugins=found.message.plugins)
    text.parse(_ANY_OPTIMIZER, alone.train_config, "")
    for name in _OF_VARIABLES:
        field = given.DESCRIPTOR.fields_by_name[name]
        if field.is_repeated:
            getattr(alone.train_config, name).extend(getattr(given, name))
        elif given.HasField(name):
            setattr(alone.train_config, name, getattr(given, name))
    faulty = {path_of(line.partition(": ")[2]) for fault in found.faults for line in fault.lines()}
    if "train_config.fine_tune_checkpoint" in faulty:
        alone.train_config.ClearField("fine_tune_checkpoint")
    faults, _ = problems(alone, found.places, False, True)
    return None if faults else alone
