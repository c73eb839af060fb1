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
from detection.config.places import Places, path_of
from detection.errors import ConfigError, DetectionError, together
from detection.protos import pipeline_pb2

Config = pipeline_pb2.TrainEvalPipelineConfig


class Checked(NamedTuple):
    """A config without faults."""

    message: Config
    warnings: list[str]  # one line each, with file and field
    places: Places  # where its fields are written, for what is found out when it is built


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
    found = examine_file(path, settings, override_text=override_text, check_paths=check_paths, training=training)
    if found.faults:
        raise together(shortened(found.faults, found.places))
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
    if loaded.faults and not places.uncertain:  # Of what cannot be read at all, nothing more can be said.
        raise together(faults)
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
    """Of a config with faults, the model and those fields of train_config that are about its variables, with any
    optimizer; None where one of these has a fault itself, or there is nothing to find out about them."""
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
