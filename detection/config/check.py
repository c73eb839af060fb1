"""Checks a pipeline config before anything is built, without TensorFlow.

This is the only place that decides which configs are valid; builders rely on it. Single fields are described by the
table in `config.fields`, conditions between fields by the functions in `config.rules`, and files by
`config.data_paths`.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from google.protobuf.message import Message

from detection.config import bounds, fields, plugins, rules
from detection.config.data_paths import check_data_paths
from detection.config.fields.row import Field
from detection.config.places import Places
from detection.config.schema import message_name
from detection.config.walk import join, messages
from detection.errors import ConfigError, DetectionError, combined
from detection.protos import pipeline_pb2

_MOST = 100  # listed problems per config


def check(
    config: pipeline_pb2.TrainEvalPipelineConfig,
    source: str | Places = "config",
    check_paths: bool = True,
    training: bool = True,
) -> list[str]:
    """Checks a pipeline config.

    Args:
        config: loaded, with overrides applied.
        source: prefix of messages, for example the file; `Places` adds the line of each field.
        check_paths: also check that files exist: records, label maps, the checkpoint to start from.
        training: also check what matters only for training: that the learning rate fits the number of steps, and that
            there are enough proposals for the sampled regions.

    Returns:
        Warnings, one line each: fields without effect and unusual values.

    Raises:
        ConfigError: `file:line: path.of.the.field (value) problem; fix`. Unsupported fields come first, then invalid
            values, then missing files; the first error is raised and carries the others (`DetectionError.lines`).
        DataError: a label map cannot be used.
    """
    faults, warnings = problems(config, source, check_paths, training)
    if faults:
        raise combined(shortened(faults, source))
    return warnings


def problems(
    config: pipeline_pb2.TrainEvalPipelineConfig, source: str | Places, check_paths: bool, training: bool
) -> tuple[list[DetectionError], list[str]]:
    """All errors and warnings of `check`; raises nothing."""
    places = source if isinstance(source, Places) else Places(source)
    training = training and config.HasField("train_config")
    try:
        plugins.load(config)
        failed = []
    except ConfigError as error:  # Then it is unknown which names are registered.
        failed = [str(error)]
    found, remarks = examine(config, training=training, uncertain=places.uncertain, names_known=not failed)
    found = failed + found
    if places.uncertain:  # The value may be in the part that could not be read.
        found = [text for text in found if places.is_certain(text)]
    faults: list[DetectionError] = [ConfigError(f"{places.of(text)}: {text}") for text in found]
    warnings = [f"{places.of(text)}: {text}" for text in remarks]
    if check_paths:
        missing, unusual = check_data_paths(config)
        for problem in missing:
            if isinstance(problem, DetectionError):
                faults.append(problem)
            elif not places.uncertain or places.is_certain(problem):
                faults.append(ConfigError(f"{places.of(problem)}: {problem}"))
        warnings += [f"{places.of(text)}: {text}" for text in unusual]
    return faults, warnings


def shortened(faults: list[DetectionError], source: str | Places) -> list[DetectionError]:
    """The first faults, followed by one error with the number of faults left out, if there are very many."""
    name = source.source if isinstance(source, Places) else source
    left_out = len(faults) - _MOST
    more = [ConfigError(f"{name}: {left_out} more problems are not listed")] if left_out > 0 else []
    return [*faults[:_MOST], *more]


def examine(
    message: Message,
    path: str = "",
    *,
    training: bool = True,
    uncertain: AbstractSet[str] = frozenset(),
    names_known: bool = True,
) -> tuple[list[str], list[str]]:
    """Faults and warnings of a message of any type and of the messages in it, without checking files.

    Args:
        message: the message to check.
        path: its path in the config.
        training: also check what matters only for training.
        uncertain: paths of messages that could be read only in part; fields missing from them are no faults.
        names_known: whether all parts of plugins that the config may name are registered.

    Returns:
        Two lists of sentences, each of which begins with the path of its field.
    """
    everything = list(messages(message, path, enter=fields.is_honoured))
    placed = _places(everything)
    faults: list[str] = []
    warnings: list[str] = []
    for here, each in everything:
        for is_fault, text in bounds.not_read(each, here, placed.get(here), names_known):
            (faults if is_fault else warnings).append(text)
    for here, each in everything:
        name, whole = message_name(each.DESCRIPTOR), not _lacks(here, uncertain)
        if here not in uncertain:  # What its own fields hold is known, even if messages in it are not.
            faults += bounds.incomplete(each, here, placed.get(here))
        faults += bounds.out_of_range(each, here)
        large = list(bounds.too_large(each, here))
        faults += large
        if not whole:
            continue
        faults += [] if large else rules.of(rules.SIZES, name, each, here)
        faults += rules.of(rules.RULES, name, each, here)
        warnings += rules.of(rules.REMARKS, name, each, here)
    for here, each in everything if training else ():
        if not _lacks(here, uncertain):
            name = message_name(each.DESCRIPTOR)
            faults += rules.of(rules.TRAINING, name, each, here)
            warnings += rules.of(rules.TRAINING_REMARKS, name, each, here)
    return faults, warnings


def _places(everything: list[tuple[str, Message]]) -> dict[str, Field]:
    """Path of a message -> row of the field that contains it, for rows that restrict the choice of a oneof."""
    return {
        join(path, row.name): row
        for path, message in everything
        for row in fields.rows(message_name(message.DESCRIPTOR)).values()
        if row.choose
    }


def _lacks(path: str, uncertain: AbstractSet[str]) -> bool:
    """Whether a message, or one inside it, could be read only in part."""
    return any(not path or other == path or other.startswith((f"{path}.", f"{path}[")) for other in uncertain)
