"""Parses, checks, builds and explains config files one after the other; an error in one does not stop the next."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf
from absl import logging

from detection.benchmark import describe
from detection.builders import pipeline as pipelines
from detection.config import describe as words
from detection.config.check import shortened
from detection.config.places import Places
from detection.config.prepare import Examined, examine_file, start_of_training
from detection.errors import ConfigError, DetectionError, combined, first_line, number_of, printable

OK, INTERNAL = 0, 1


def report(
    paths: Sequence[str], settings: Sequence[str], check_paths: bool, quiet: bool, write: Callable[[str], object]
) -> int:
    """Explains every config, or reports its errors, each on one line.

    Args:
        paths: config files.
        settings: `path=value` overrides, applied to each of them.
        check_paths: check that the files that they name exist; otherwise only the configs are opened.
        quiet: one line for each file.
        write: receives one line.

    Returns:
        0 if all are valid, otherwise the lowest exit code of the errors: 1 for a bug in this program, 2 for a config, 3
            for data (a label map).
    """
    codes = set()
    for index, path in enumerate(paths):
        try:
            lines = explain(path, settings, check_paths, quiet)
        except DetectionError as error:
            codes |= {problem.exit_code for problem in (error, *error.others)}
            lines = [f"error: {line}" for line in error.lines()]
        except Exception as error:  # A bug in this program, which must not hide the errors of the next config.
            logging.exception("%s", path)
            codes.add(INTERNAL)
            lines = [f"internal error: {path}: {type(error).__name__}: {printable(error)}"]
        for line in lines:
            write(line)
        if not quiet and index + 1 < len(paths):
            write("")
    return min(codes, default=OK)


def explain(path: str, settings: Sequence[str], check_paths: bool, quiet: bool) -> list[str]:
    """Describes one config in lines of text.

    Args:
        path: the config file.
        settings: `path=value` overrides.
        check_paths: check that the files that it names exist.
        quiet: return only one line.

    Raises:
        ConfigError, DataError: the config cannot be read, checked or built.
    """
    found = examine_file(path, settings, check_paths=check_paths)
    if found.faults:
        raise combined(shortened([*found.faults, *_start_problems(found, check_paths)], found.places))
    config, warnings = found.message, found.warnings
    with _built(path, found.places):
        pipeline = pipelines.build(config, read_label_maps=check_paths)
        sizes = describe.anatomy(pipeline, read_checkpoint=check_paths)
        rates = describe.rate_rows(pipeline)
    if quiet:
        notes = f", {number_of(len(warnings), 'warning')}" if warnings else ""
        return [
            f"ok: {path}: {sizes.height} x {sizes.width}, {sizes.anchors} anchors, {sizes.flops / 1e9:.3f}"
            f" GFLOPs{notes}"
        ]
    rows = [
        *words.model_rows(config),
        *describe.anatomy_rows(sizes),
        *words.train_rows(config),
        *rates,
        *words.data_rows(config),
    ]
    width = max(len(subject) for subject, _ in rows)
    return [
        path,
        *(f"  {subject:{width}}  {sentence}" for subject, sentence in rows),
        *(f"  warning: {warning}" for warning in warnings),
    ]


@contextlib.contextmanager
def _built(path: str, places: Places) -> Iterator[None]:
    """Puts file and line before what is found out while something is built."""
    try:
        with places.named():
            yield
    # Sizes whose mismatch only TensorFlow finds.
    except (ValueError, OverflowError, MemoryError, tf.errors.OpError) as error:
        logging.debug("%s", path, exc_info=True)
        reason = first_line(error)
        raise ConfigError(
            f"{path}: the detector cannot be built: {reason}; check whether the input is too small for the number of"
            " feature maps, or a size too large"
        ) from error


def _start_problems(found: Examined, check_paths: bool) -> list[DetectionError]:
    """Returns the problems of a faulty config's train_config that show only once the detector is built.

    None are found where the model itself has a fault.
    """
    alone = start_of_training(found)
    if alone is None:
        return []
    try:
        with found.places.named():
            pipeline = pipelines.build(alone, read_label_maps=False)
            assert pipeline.train is not None
            problems = describe.start_problems(pipeline.train, pipeline.detector(), check_paths)
            if problems:
                raise combined(problems)
    except DetectionError as error:
        return [error]
    return []
