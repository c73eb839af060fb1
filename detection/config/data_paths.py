"""Whether the files that a config names are there, and whether label maps and the model agree: found out at the start, not an hour into it.

A label map with an id above num_classes is an error, as such boxes would have no column to be learnt in (the OD API drops those classes with
a warning); classes of the model without an entry in the label map are allowed, with a warning.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator

from detection.config import label_map
from detection.errors import ConfigError
from detection.protos import input_reader_pb2, pipeline_pb2

_PLACEHOLDER = "PATH_TO_BE_CONFIGURED"


def check_data_paths(config: pipeline_pb2.TrainEvalPipelineConfig, source: str) -> list[str]:
    """Returns warnings. Raises ConfigError, naming the field, for what is missing, and DataError for a label map that cannot be used."""
    warnings = []
    maps: list[tuple[str, label_map.LabelMap]] = []
    for path, reader in _readers(config):
        if reader.WhichOneof("input_reader") != "tf_record_input_reader" or not reader.tf_record_input_reader.input_path:
            raise ConfigError(f'{source}: {path}.tf_record_input_reader.input_path is not set; add tf_record_input_reader {{ input_path: "..." }}')
        for index, pattern in enumerate(reader.tf_record_input_reader.input_path):
            field = f"{path}.tf_record_input_reader.input_path" + (f"[{index}]" if index else "")
            if not _is_remote(pattern) and not os.path.isfile(pattern) and not glob.glob(pattern):
                raise ConfigError(f"{source}: {field} ({pattern!r}) matches no file; {_advice(field, pattern)}")
        for index, pattern in enumerate(reader.proposals_path):
            if not _is_remote(pattern) and not os.path.isfile(pattern) and not glob.glob(pattern):
                raise ConfigError(f"{source}: {path}.proposals_path[{index}] ({pattern!r}) matches no file; {_advice('proposals_path', pattern)}")
        if reader.label_map_path:
            field = f"{path}.label_map_path"
            if not _is_remote(reader.label_map_path):
                if not os.path.isfile(reader.label_map_path):
                    raise ConfigError(f"{source}: {field} ({reader.label_map_path!r}): no such file; {_advice(field, reader.label_map_path)}")
                maps.append((field, label_map.load(reader.label_map_path)))
    for field, loaded in maps:
        warnings += _agree_with_model(config, source, field, loaded)
    warnings += [
        f"{source}: {field} ({loaded.path}) and {maps[0][0]} ({maps[0][1].path}) give ids different names"
        for field, loaded in maps[1:]
        if loaded.categories != maps[0][1].categories
    ]
    if config.train_config.fine_tune_checkpoint:
        _check_checkpoint(config.train_config.fine_tune_checkpoint, source)
    return warnings


def _readers(config: pipeline_pb2.TrainEvalPipelineConfig) -> Iterator[tuple[str, input_reader_pb2.InputReader]]:
    """The training reader, which may only be missing where nothing is trained, and every evaluation reader."""
    if config.HasField("train_config") or config.HasField("train_input_reader"):
        yield "train_input_reader", config.train_input_reader
    for index, reader in enumerate(config.eval_input_reader):
        yield f"eval_input_reader[{index}]", reader


def _agree_with_model(config: pipeline_pb2.TrainEvalPipelineConfig, source: str, field: str, loaded: label_map.LabelMap) -> list[str]:
    kind = config.model.WhichOneof("model")
    classes = getattr(config.model, kind).num_classes
    place = f"model.{kind}.num_classes ({classes})"
    if loaded.max_id > classes:
        last = loaded.categories[-1]
        raise ConfigError(
            f"{source}: {place} is less than the largest id, {last.id} ({last.name!r}), of {field} ({loaded.path}); set num_classes to {last.id}"
        )
    if loaded.max_id < classes:
        return [f"{source}: {place} is more than the largest id, {loaded.max_id}, of {field} ({loaded.path}); the classes above it are never learnt"]
    return []


def _check_checkpoint(path: str, source: str) -> None:
    """A prefix of a checkpoint in two or three files, a checkpoint in one file, or a folder that holds one."""
    field = "train_config.fine_tune_checkpoint"
    if _is_remote(path):
        return
    if os.path.isdir(path):
        if glob.glob(os.path.join(glob.escape(path), "*.index")):
            return
        raise ConfigError(f"{source}: {field} ({path!r}) is a folder without a checkpoint; name the files' common beginning, as in model.ckpt-1000")
    if os.path.isfile(f"{path}.index") or os.path.isfile(path):
        return
    near = sorted(found.removesuffix(".index") for found in glob.glob(os.path.join(glob.escape(os.path.dirname(path) or "."), "*.index")))
    advice = f"did you mean {' or '.join(near[:3])}?" if near else _advice(field, path)
    raise ConfigError(f"{source}: {field} ({path!r}): there is no {path}.index; {advice}")


def _advice(field: str, path: str) -> str:
    if _PLACEHOLDER in path:
        return f"replace {_PLACEHOLDER} in the file, or use --set {field}=..."
    folder = os.path.dirname(path) or "."
    if not glob.glob(folder):
        return f"there is no folder {folder!r} in {os.getcwd()!r}" if not os.path.isabs(folder) else f"there is no folder {folder!r}"
    return "is the name right?" if os.path.isabs(path) else f"is the name right, from {os.getcwd()!r}?"


def _is_remote(path: str) -> bool:
    """gs://..., hdfs://...: only TensorFlow can look there, when it reads them."""
    return "://" in path
