"""Which models take part: exported SavedModels, training runs, and files of stored detections; each under a name of its
own.

exported/            a folder of `detection export`, or the saved_model in it
run/                 a folder that `detection train` trained in: its latest checkpoint is exported first
run/best/model.ckpt-2000    one checkpoint, whose pipeline.config lies in its folder or the one above
big=exported/        any of them, called `big`
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
    """One model, or what is stored of it."""

    name: str
    path: str  # a SavedModel's folder, or a checkpoint's prefix; empty where only detections are known
    config: str = ""  # of the pipeline, where there is one
    stored: tuple[str, str] | None = None  # files of detections on the selection and on the evaluation input

    def facts(self) -> dict[str, str]:
        """What distinguishes it, as far as its config says."""
        return facts.read(self.config) if self.config else {}


def find(paths: Iterable[str], stored: Iterable[str] = ()) -> list[Model]:
    """All models meant by `paths` (folders, prefixes or globs, `name=` before them) and by `stored` (`name=file` or
    `name=file,file`), by name.

    Raises:
        ConfigError: one is not there, is no model, or two have one name.
    """
    models = [_model(name, path) for given in paths for name, path in _expand(given)] + [
        _stored(given) for given in stored
    ]
    if not models:
        raise ConfigError(
            "--models: none is named; give exported SavedModels, training runs or, by --stored, files of detections"
        )
    named: list[Model] = []
    for model in models:
        if not model.name:
            model = model._replace(name=_name(model.path, [other.path for other in models]))
        if any(model.name == other.name for other in named):
            raise ConfigError(
                f"--models: two are called {model.name!r}; name one as in --models=other={model.path or 'exported'}"
            )
        named.append(model)
    return sorted(
        named, key=lambda model: model.name
    )  # So that no result depends on the order in which they were named.


def saved_model(model: Model, folder: Path, allow_unused: bool = False) -> str:
    """Path of the model's SavedModel; a checkpoint is exported below `folder`, once. Errors as of exporting."""
    if (Path(model.path) / "saved_model.pb").is_file():
        return model.path
    target = folder / f"{model.name}-{Path(model.path).name}"
    if not (target / "saved_model" / "saved_model.pb").is_file() or _older(
        target / "saved_model" / "saved_model.pb", model.path
    ):
        exporter.export(model.config, model.path, os.fspath(target), allow_unused_checkpoint_variables=allow_unused)
    return os.fspath(target / "saved_model")


def _older(path: Path, prefix: str) -> bool:
    return path.stat().st_mtime < os.path.getmtime(prefix + checkpoint_files.INDEX)


def _expand(given: str) -> list[tuple[str, str]]:
    """(name or "", path) of every folder or prefix meant."""
    name, _, path = given.rpartition("=") if not os.path.exists(given) else ("", "", given)
    folder, last = os.path.split(path)
    if (
        os.path.exists(path) or not glob.has_magic(path) or (not glob.has_magic(last) and os.path.isdir(folder))
    ):  # A prefix is no file.
        return [(name, path)]
    found = [match for match in expand(path) if os.path.isdir(match)]
    if not found:
        raise ConfigError(f"--models={given}: no folder matches; check the path: {hint(path)}")
    if name and len(found) > 1:
        raise ConfigError(f"--models={given}: {len(found)} folders match, and one name is given; leave the name out")
    return [(name, match) for match in found]


def _model(name: str, path: str) -> Model:
    folder = Path(path)
    for candidate in (folder, folder / "saved_model"):
        if (candidate / "saved_model.pb").is_file():
            return Model(name, os.fspath(candidate), _config(candidate.parent))
    try:
        prefix = checkpoint_files.locate(path)
    except checkpoint_files.UnreadableCheckpointError:
        raise ConfigError(
            f"--models={path}: holds neither a SavedModel nor a checkpoint; give what `detection export` wrote, or"
            " a run"
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


def _stored(given: str) -> Model:
    name, _, files = given.partition("=")
    paths = [path.strip() for path in files.split(",")]
    if not name or not 1 <= len(paths) <= 2 or not all(paths):
        form = "NAME=FILE, or NAME=FILE,FILE: of the selection input first, then of the evaluation input"
        raise ConfigError(f"--stored={given}: expected {form}")
    return Model(name, "", stored=(paths[0], paths[-1]))


def _name(path: str, others: Sequence[str]) -> str:
    """The last parts of a path, as few as no other path ends in, without those that all exports and checkpoints share."""
    parts, rest = _telling(path), [_telling(other) for other in others if other != path]
    for count in range(1, len(parts)):
        if not any(other[-count:] == parts[-count:] for other in rest):
            return "-".join(parts[-count:])
    return "-".join(parts) or "model"


def _telling(path: str) -> tuple[str, ...]:
    parts = Path(os.path.abspath(path)).parts[1:]
    if Path(path + checkpoint_files.INDEX).is_file() or parts[-1:] == ("saved_model",):
        parts = parts[:-1]
    return parts
