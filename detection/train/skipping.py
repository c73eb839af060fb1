"""Training without bad records: they are found and reported before the first step and skipped in every epoch.

    model_dir/bad_records.json     which records are bad and why; reused when the run is resumed, unless the record
                                   files have changed

The skipped records are known before the run begins (`data.reading.bad_records`), so that a resumed run reads the same
records in the same order as a run that was never stopped.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TextIO

import tensorflow as tf
from absl import logging

from detection.data.reading import bad_records
from detection.data.reading.bad_records import BadRecords
from detection.data.reading.input import checker
from detection.data.reading.options import InputOptions
from detection.errors import ConfigError, DataError, number_of
from detection.files import write_text
from detection.pipeline import Pipeline

FAIL, SKIP = "fail", "skip"
FILE = "bad_records.json"


def without_bad_records(
    pipeline: Pipeline, folder: Path, limit: int, stream: TextIO | None = None, training: bool = True
) -> Pipeline:
    """The pipeline with inputs that skip records that cannot be used.

    Args:
      pipeline: its record files are searched for bad records.
      folder: where `bad_records.json` is read and written.
      limit: more bad records than this are an error.
      stream: receives the progress of the search.
      training: whether the training input is used.

    Raises:
      DataError: more than `limit` records are bad, or all are.
      ConfigError: the folder cannot be written, or an input comes from Python.
    """
    previous, results = _read_previous(folder / FILE), {}

    def search(options: InputOptions) -> InputOptions:
        if options.python is not None:
            raise ConfigError(
                f"{options.python.name}: bad examples can be skipped in record files only; fix the data, or do not use"
                " skip_bad_records"
            )
        paths = dataclasses.replace(options, bad_records=BadRecords()).shards()
        key = _fingerprint(options, paths)
        bad = previous.get(key)
        if bad is None:
            bad = bad_records.find(paths, checker(options), options.field.partition(".")[0], stream)
        results[key] = {
            "input": options.field,
            "records": sum(bad.counts.values()),
            "left_out": bad.lost,
            **bad.to_json(),
        }
        return dataclasses.replace(options, bad_records=bad)

    train_input = (
        search(pipeline.train_input) if training and pipeline.train_input is not None else pipeline.train_input
    )
    eval_inputs = tuple(search(options) for options in pipeline.eval_inputs[:1]) + pipeline.eval_inputs[1:]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / FILE, json.dumps(results, indent=1) + "\n")
    except OSError as error:
        raise ConfigError(
            f"{folder / FILE}: cannot be written ({error.strerror or error}); choose another --model_dir, or make room"
        ) from error
    for options in (train_input, *eval_inputs[:1]):
        if options is not None and options.bad_records is not None:
            _report(options, limit, folder / FILE)
    return dataclasses.replace(pipeline, train_input=train_input, eval_inputs=eval_inputs)


def _report(options: InputOptions, limit: int, file: Path) -> None:
    """Logs every skipped record, or raises DataError if there are too many."""
    bad = options.bad_records
    if not bad.found:
        return
    usable = sum(bad.counts.values())
    at_least = "at least " if any(record.records < 0 for record in bad.found) else ""
    what = f"{options.field}: {at_least}{number_of(bad.lost, 'record')} cannot be used ({usable} can)"
    if bad.lost > limit or not usable:
        why = f"more than --max_bad_records={limit}" if bad.lost > limit else "none is left"
        raise DataError(f"{what}, {why}; first: {bad.found[0]}; all: {file}")
    for record in bad.found:
        logging.warning("skipped: %s", record)
    logging.warning("%s; skipped; all: %s", what, file)


def _fingerprint(options: InputOptions, paths: tuple[str, ...]) -> str:
    """A hash of everything that determines which records are bad."""
    stats = [tf.io.gfile.stat(path) for path in paths]
    files = [[path, stat.length, stat.mtime_nsec] for path, stat in zip(paths, stats, strict=True)]
    proposals = [options.proposals is not None, options.proposals.paths if options.proposals else ()]
    classes = [options.categories, options.text_ids, options.num_classes, options.drop_unknown_labels]
    classes += [True] if options.open_images else []
    return hashlib.sha256(json.dumps([1, files, classes, proposals]).encode("utf-8", "surrogateescape")).hexdigest()


def _read_previous(path: Path) -> dict[str, BadRecords]:
    """The results of an earlier run by fingerprint; empty if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: BadRecords.from_json(entry) for key, entry in content.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
