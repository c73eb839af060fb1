"""The models of an ensemble: exported SavedModels, training runs and files of stored detections, each with a name.

exported/            a folder of `detection export`, or the saved_model in it
run/                 a model_dir of `detection train`: its latest checkpoint is exported first
run/best/model.ckpt-2000    one checkpoint, with pipeline.config in its folder or the one above
big=exported/        any of them, with the name `big`
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from detection.checkpoints import checkpoint_files
from detection.config import facts
from detection.errors import ConfigError
from detection.export import exporter
from detection.paths import expand, hint

PIPELINE_CONFIG = "pipeline.config"


class Model(NamedTuple):
    """One model, or its stored detections."""

    name: str
    path: str  # a SavedModel's folder, or a checkpoint's prefix; empty if only detections are given
    config: str = ""  # path of the pipeline config; empty if there is none
    stored: tuple[str, str] | None = None  # files of detections on the selection and on the evaluation input

    def facts(self) -> dict[str, str]:
        """Its properties according to its config; empty without a config."""
        return facts.read(self.config) if self.config else {}


def find(paths: Iterable[str], stored: Iterable[str] = ()) -> list[Model]:
    """Finds all models.

    Args:
        paths: folders, prefixes or globs, optionally with `name=` before them.
        stored: `name=file` or `name=file,file`.

    Returns:
        The models, sorted by name.

    Raises:
        ConfigError: one does not exist or is not a model, or two have the same name.
    """
    models = [_model(name, path) for given in paths for name, path in _expand(given)] + [
        _stored(given) for given in stored
    ]
    if not models:
        raise ConfigError(
            "--models: none is given; give exported SavedModels, training runs or, with --stored, files of detections"
        )
    named_models: list[Model] = []
    for model in models:
        if not model.name:
            model = model._replace(name=_name(model.path, [other.path for other in models]))
        if any(model.name == other.name for other in named_models):
            raise ConfigError(
                f"--models: two have the name {model.name!r}; rename one, as in"
                f" --models=other={model.path or 'exported'}"
            )
        named_models.append(model)
    # Sorted, so that results do not depend on the order of the flags.
    return sorted(named_models, key=lambda model: model.name)


def saved_model(model: Model, folder: Path, allow_unused: bool = False) -> str:
    """Path of the model's SavedModel; a checkpoint is exported first, unless that is done already.

    Args:
        model: the model.
        folder: where checkpoints are exported.
        allow_unused: accept weights in a checkpoint that the config's model does not have.

    Raises:
        ConfigError, DataError: as exporting does.
    """
    if (Path(model.path) / "saved_model.pb").is_file():
        return model.path
    target = folder / f"{model.name}-{Path(model.path).name}"
    if not (target / "saved_model" / "saved_model.pb").is_file() or _is_older(
        target / "saved_model" / "saved_model.pb", model.path
    ):
        exporter.export(model.config, model.path, os.fspath(target), allow_unused_checkpoint_variables=allow_unused)
    return os.fspath(target / "saved_model")


def _is_older(path: Path, prefix: str) -> bool:
    return path.stat().st_mtime < os.path.getmtime(prefix + checkpoint_files.INDEX)


def _expand(value: str) -> list[tuple[str, str]]:
    """(name or "", path) of every folder or prefix that a flag's value matches."""
    name, _, path = value.rpartition("=") if not os.path.exists(value) else ("", "", value)
    folder, last = os.path.split(path)
    # A checkpoint's prefix is not a file, so it need not exist.
    if os.path.exists(path) or not glob.has_magic(path) or (not glob.has_magic(last) and os.path.isdir(folder)):
        return [(name, path)]
    matches = [path_of_match for path_of_match in expand(path) if os.path.isdir(path_of_match)]
    if not matches:
        raise ConfigError(f"--models={value}: no folder matches; check the path: {hint(path)}")
    if name and len(matches) > 1:
        raise ConfigError(
            f"--models={value}: {len(matches)} folders match, but only one name is given; remove the name"
        )
    return [(name, path_of_match) for path_of_match in matches]


def _model(name: str, path: str) -> Model:
    folder = Path(path)
    for candidate in (folder, folder / "saved_model"):
        if (candidate / "saved_model.pb").is_file():
            return Model(name, os.fspath(candidate), _config(candidate.parent))
    try:
        prefix = checkpoint_files.locate(path)
    except checkpoint_files.UnreadableCheckpointError:
        raise ConfigError(
            f"--models={path}: contains neither a SavedModel nor a checkpoint; give an export of `detection export`,"
            " or a training run"
        ) from None
    config = _config(Path(prefix).parent) or _config(Path(prefix).parent.parent)
    if not config:
        raise ConfigError(
            f"--models={path}: no {PIPELINE_CONFIG} beside the checkpoint or in the folder above; export it with"
            " `detection export`"
        )
    return Model(name, prefix, config)


def _config(folder: Path) -> str:
    return os.fspath(folder / PIPELINE_CONFIG) if (folder / PIPELINE_CONFIG).is_file() else ""


def _stored(value: str) -> Model:
    name, _, files = value.partition("=")
    paths = [path.strip() for path in files.split(",")]
    if not name or not 1 <= len(paths) <= 2 or not all(paths):
        form = "NAME=FILE, or NAME=FILE,FILE: of the selection input first, then of the evaluation input"
        raise ConfigError(f"--stored={value}: expected {form}")
    return Model(name, "", stored=(paths[0], paths[-1]))


def _name(path: str, others: Sequence[str]) -> str:
    """The shortest tail of a path that no other path ends in, without the parts common to all exports."""
    parts, other_parts = _distinctive_parts(path), [_distinctive_parts(other) for other in others if other != path]
    for count in range(1, len(parts)):
        if not any(other[-count:] == parts[-count:] for other in other_parts):
            return "-".join(parts[-count:])
    return "-".join(parts) or "model"


def _distinctive_parts(path: str) -> tuple[str, ...]:
    parts = Path(os.path.abspath(path)).parts[1:]
    if Path(path + checkpoint_files.INDEX).is_file() or parts[-1:] == ("saved_model",):
        parts = parts[:-1]
    return parts
