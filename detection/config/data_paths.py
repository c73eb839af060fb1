"""Checks that the files named by a config exist and that its label maps fit the model.

A label map with an id above num_classes is an error, because there is no output for such boxes (the TF Object Detection
API drops those classes with a warning). Classes of the model without an entry in the label map give a warning.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from detection.config import label_map
from detection.errors import DetectionError
from detection.files import is_special
from detection.paths import expand, hint, is_remote
from detection.protos import input_reader_pb2, pipeline_pb2

_UNREADABLE = ("http://", "https://", "ftp://")


def check_data_paths(
    config: pipeline_pb2.TrainEvalPipelineConfig,
) -> tuple[list[str | DetectionError], list[str]]:
    """Checks the files named by a config.

    Returns:
        Faults and warnings. Missing files are sentences that begin with the field; unusable label maps are DataErrors,
        which name their file.
    """
    faults: list[str | DetectionError] = []
    warnings: list[str] = []
    maps: list[tuple[str, label_map.LabelMap]] = []
    for path, reader in _readers(config):
        faults += _missing_records(path, reader)
        field = f"{path}.label_map_path"
        if reader.label_map_path and not is_remote(reader.label_map_path):
            if not os.path.isfile(reader.label_map_path):
                what = "is a folder" if os.path.isdir(reader.label_map_path) else "no such file"
                advice = (
                    "name the file in it"
                    if os.path.isdir(reader.label_map_path)
                    else hint(reader.label_map_path, field)
                )
                faults.append(f"{field} ({reader.label_map_path!r}): {what}; {advice}")
                continue
            try:
                maps.append((field, label_map.load(reader.label_map_path)))
            except DetectionError as error:
                faults += [error] if str(error) not in map(str, faults) else []
    for field, loaded in maps:
        fault, warning = _agree_with_model(config, field, loaded)
        faults += [fault] if fault else []
        warnings += [warning] if warning else []
    warnings += [
        f"{field} ({loaded.path}) and {maps[0][0]} ({maps[0][1].path}) give ids different names"
        for field, loaded in maps[1:]
        if loaded.categories != maps[0][1].categories
    ]
    if config.train_config.fine_tune_checkpoint:
        fault = _checkpoint_fault(config.train_config.fine_tune_checkpoint)
        faults += [fault] if fault else []
    return faults, warnings


def _readers(config: pipeline_pb2.TrainEvalPipelineConfig) -> Iterator[tuple[str, input_reader_pb2.InputReader]]:
    """The training reader, which may be missing only if nothing is trained, and all evaluation readers."""
    if config.HasField("train_config") or config.HasField("train_input_reader"):
        yield "train_input_reader", config.train_input_reader
    for index, reader in enumerate(config.eval_input_reader):
        yield f"eval_input_reader[{index}]", reader


def _missing_records(path: str, reader: input_reader_pb2.InputReader) -> Iterator[str]:
    """Sentences on records and proposals of one reader that do not exist."""
    if reader.WhichOneof("input_reader") is None and path == "train_input_reader":
        yield f'{path}.tf_record_input_reader.input_path is not set; add tf_record_input_reader {{ input_path: "..." }}'
    for index, pattern in enumerate(reader.tf_record_input_reader.input_path):
        yield from _missing(
            f"{path}.tf_record_input_reader.input_path" + (f"[{index}]" if index else ""), pattern, "train.record-*"
        )
    for index, pattern in enumerate(reader.proposals_path):
        yield from _missing(f"{path}.proposals_path[{index}]", pattern, "*.npz")


def _missing(field: str, pattern: str, example: str) -> Iterator[str]:
    """Message for a pattern that matches no file."""
    if pattern.lower().startswith(_UNREADABLE):
        yield f"{field} ({pattern!r}) cannot be read from the web; download it, and name the file"
    if is_remote(pattern):
        return
    found = expand(pattern)
    yield from (
        f"{field} ({pattern!r}) names {path!r}, a device or pipe; name files" for path in found if is_special(path)
    )
    if any(not os.path.isdir(path) for path in found):
        return
    if found:
        yield (
            f"{field} ({pattern!r}) matches no file but {'a folder' if len(found) == 1 else 'folders'}; write"
            f" {os.path.join(pattern, example)!r}"
        )
    else:
        yield f"{field} ({pattern!r}) matches no file; {hint(pattern, field)}"


def _agree_with_model(
    config: pipeline_pb2.TrainEvalPipelineConfig, field: str, loaded: label_map.LabelMap
) -> tuple[str, str]:
    """A fault and a warning about a label map and the model's num_classes, each "" if there is none."""
    kind = config.model.WhichOneof("model")
    chosen = getattr(config.model, kind) if kind else None
    if chosen is None or "num_classes" not in chosen.DESCRIPTOR.fields_by_name:
        return "", ""
    place, classes = f"model.{kind}.num_classes ({chosen.num_classes})", chosen.num_classes
    if loaded.max_id > classes:
        last = loaded.categories[-1]
        which = f"the largest id, {last.id} ({last.name!r}), of {field} ({loaded.path})"
        return f"{place} is less than {which}; set num_classes to {last.id}", ""
    if loaded.max_id < classes:
        return (
            "",
            (
                f"{place} is more than the largest id, {loaded.max_id}, of {field} ({loaded.path}); the classes above"
                " it are never trained"
            ),
        )
    return "", ""


def _checkpoint_fault(path: str) -> str:
    """Message if `fine_tune_checkpoint` is no checkpoint; "" if it is one.

    A checkpoint is a prefix with two or three files, a single file, or a folder with a checkpoint.
    """
    field = "train_config.fine_tune_checkpoint"
    if is_remote(path):
        return (
            f"{field} ({path!r}) cannot be read from the web; download it"
            if path.lower().startswith(_UNREADABLE)
            else ""
        )
    if os.path.isdir(path):
        if _indices(path):
            return ""
        return (
            f"{field} ({path!r}) is a folder without a checkpoint; name the files' common beginning, as in"
            " model.ckpt-1000"
        )
    if os.path.isfile(f"{path}.index") or os.path.isfile(path):
        return ""
    near = [found.removesuffix(".index") for found in _indices(os.path.dirname(path) or ".")]
    advice = f"did you mean {' or '.join(near[:3])}?" if near else hint(path, field)
    return f"{field} ({path!r}): there is no {path}.index; {advice}"


def _indices(folder: str) -> list[str]:
    """Index files of the checkpoints in a folder, sorted."""
    try:
        names = os.listdir(folder)
    except (OSError, ValueError):
        return []
    return [
        name if folder == "." else os.path.join(folder, name)
        for name in sorted(names)
        if name.endswith(".index") and not name.startswith(".")
    ]
