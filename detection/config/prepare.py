"""From a config file and what was said on the command line to a message that may be built."""

from __future__ import annotations

import os
from collections.abc import Iterable

from absl import logging

from detection.config import text
from detection.config.check import check
from detection.config.files import load
from detection.config.overrides import override
from detection.protos import pipeline_pb2


def prepare(
    path: str | os.PathLike[str],
    settings: Iterable[str] = (),
    *,
    override_text: str = "",
    check_paths: bool = True,
    training: bool = False,
    quiet: bool = False,
) -> pipeline_pb2.TrainEvalPipelineConfig:
    """Loads, overrides and checks a config; warnings are logged.

    Args:
        path: a text or binary config.
        settings: `model.ssd.num_classes=3`, one field each.
        override_text: part of a config in text form, merged over the file's before the settings.
        training: whether it is for training, so that the learning rate must fit the number of steps.
        quiet: warnings are not logged: what they say is for those who train.
        check_paths: the records, label maps and checkpoints that it names must be there.

    Raises:
        ConfigError: one line with file, field, value and what to write instead.
    """
    message = load(path)
    if override_text:
        message.MergeFrom(text.parse(override_text, type(message)(), "--config_override"))
    message = override(message, list(settings))
    for warning in check(message, os.fspath(path), check_paths=check_paths, training=training):
        logging.log(logging.DEBUG if quiet else logging.WARNING, "%s", warning)
    return message
