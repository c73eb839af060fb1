"""Config files, parsed, checked, built and explained, one after the other; what goes wrong in one does not stop the
next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf
from absl import logging

from detection import config as configs
from detection.benchmark import describe
from detection.builders import pipeline as pipelines
from detection.config import describe as words
from detection.errors import ConfigError, DetectionError, first_line, number_of, printable

OK, INTERNAL = 0, 1


def report(
    paths: Sequence[str], settings: Sequence[str], check_paths: bool, quiet: bool, write: Callable[[str], object]
) -> int:
    """Explains every config, or says on one line what is wrong with it.

    Args:
        paths: config files.
        settings: `path=value` overrides, for each of them.
        check_paths: the files that they name must be there; otherwise nothing but the configs is opened.
        quiet: one line a file.
        write: takes one line.

    Returns:
        0 where all are in order; otherwise the worst code of an error: 1 where this program is at fault, 2 where a
            config is, 3 where only data (a label map) is.
    """
    codes = set()
    for index, path in enumerate(paths):
        try:
            lines = explain(path, settings, check_paths, quiet)
        except DetectionError as error:
            codes |= {problem.exit_code for problem in (error, *error.others)}
            lines = [f"error: {line}" for line in error.lines()]
        except Exception as error:  # A fault of this program, which must not hide what is wrong with the next config.
            logging.exception("%s", path)
            codes.add(INTERNAL)
            lines = [f"internal error: {path}: {type(error).__name__}: {printable(error)}"]
        for line in lines:
            write(line)
        if not quiet and index + 1 < len(paths):
            write("")
    return min(codes, default=OK)


def explain(path: str, settings: Sequence[str], check_paths: bool, quiet: bool) -> list[str]:
    """Lines about one config.

    Raises:
        ConfigError, DataError: it cannot be read, checked or built.
    """
    config, warnings, places = configs.read_checked(path, settings, check_paths=check_paths)
    try:
        with places.named():
            pipeline = pipelines.build(config, read_label_maps=check_paths)
            sizes = describe.anatomy(pipeline)
            rates = describe.rate_rows(pipeline)
    except (
        ValueError,
        OverflowError,
        MemoryError,
        tf.errors.OpError,
    ) as error:  # Sizes that only TensorFlow finds not to go together.
        logging.debug("%s", path, exc_info=True)
        reason = first_line(error)
        raise ConfigError(
            f"{path}: the detector cannot be built: {reason}; is the input too small for so many maps, or a size too"
            " large?"
        ) from error
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
        *(f"  {subject:{width}}  {said}" for subject, said in rows),
        *(f"  warning: {warning}" for warning in warnings),
    ]
