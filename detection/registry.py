"""Parts from packages of one's own, by name: the registries that configs are looked up in after this package's own
tables. docs/your_own_parts.md shows each of them at work.

    from detection import registry

    @registry.classification_loss("soft_margin")
    class SoftMargin: ...

A config then says `classification_loss { custom { name: "soft_margin" parameters: "margin=0.5" } }`, and names the
module that registers it in its field `plugins`. Modules of the entry-point group `detection.plugins` are found without
being named. A name is registered once; the config's check refuses one that this package uses itself.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from detection.errors import ConfigError, first_line
from detection.tools import suggest

ENTRY_POINTS = "detection.plugins"
Part = TypeVar("Part", bound=Callable)


class Registered(NamedTuple):
    """One part, and the module that must be imported for it to be there."""

    make: Callable
    plugin: str


class Registry:
    """Names of one kind of part. Calling it makes the decorator that registers a factory: a class or a function that is
    called with what the kind hands over and with the config's parameters as keywords.

    Args:
        kind: what messages call it.
        handed: the names of the arguments that the package itself passes, positionally.
        members: what is made must have, beside what only using it shows.
    """

    def __init__(self, kind: str, *handed: str, members: tuple[str, ...] = ("__call__",)) -> None:
        self.kind, self.handed, self.members = kind, handed, members
        self._parts: dict[str, Registered] = {}

    def __call__(self, name: str) -> Callable[[Part], Part]:
        """The decorator that registers a factory as `name`.

        Raises:
            ConfigError: something else is registered by that name.
        """

        def register(make: Part) -> Part:
            known = self._parts.get(name)
            if known is not None and _place(known.make) != _place(make):
                raise ConfigError(
                    f"{self.kind} {name!r} is registered twice, by {_place(known.make)} and {_place(make)};"
                    " rename one of them"
                )
            self._parts[name] = Registered(make, _importing[-1] if _importing else make.__module__)
            return make

        return register

    def find(self, name: str) -> Registered | None:
        """What is registered by that name, if need be by a module of an entry point that was not imported yet."""
        if name not in self._parts:
            import_entry_points()
        return self._parts.get(name)

    def registered(self, name: str) -> Registered | None:
        """What is registered by that name so far."""
        return self._parts.get(name)

    def names(self) -> tuple[str, ...]:
        """All names, those of entry points included."""
        import_entry_points()
        return tuple(sorted(self._parts))

    def make(self, name: str, *handed: object, parameters: Iterable[str] = (), field: str = "") -> object:
        """The finished part.

        Args:
            name: as registered.
            *handed: what this kind of part is called with.
            parameters: `name=value` from the config, see `keywords`.
            field: the config's field, for messages.

        Raises:
            ConfigError: an unknown name, or parameters that the part does not take.
        """
        if self.find(name) is None:
            raise ConfigError(f"{field} ({name!r}) {self._unknown(name)}")
        if fault := self.fault(name, parameters):
            raise ConfigError(f"{field}{fault}")
        made = self._parts[name].make(*handed, **keywords(parameters))
        lacking = [member for member in self.members if not hasattr(made, member)]
        if lacking:
            raise ConfigError(
                f"{field} ({name}): what {_place(self._parts[name].make)} makes is no {self.kind}: it has no"
                f" {', '.join(lacking)}"
            )
        return made

    def fault(self, name: str, parameters: Iterable[str] = ()) -> str:
        """What is wrong with a use of a part, to be put behind its field's path; "" if nothing."""
        found = self.find(name)
        if found is None:
            return f".name ({name!r}) {self._unknown(name)}"
        try:
            given = keywords(parameters)
        except ValueError as error:
            return f".parameters: {error}"
        try:
            signature = inspect.signature(found.make)
        except ValueError:  # Of a built-in class: what it takes shows when it is called.
            return ""
        try:
            signature.bind(*(None for _ in self.handed), **given)
        except TypeError as error:
            taken = [taken for taken in signature.parameters if taken not in self.handed]
            return f".parameters: {name!r} {error}; it takes {', '.join(taken) or 'none'}"
        return ""

    def _unknown(self, name: str) -> str:
        known = self.names()
        close = suggest.closest(name, known)
        hint = f"did you mean {close[0]!r}? " if close else ""
        listed = ", ".join(known) or "none"
        fix = "name the module that registers it in plugins"
        return f"is no registered {self.kind}; {hint}Registered are: {listed}; {fix}"


# (options: SsdExtractorOptions) -> feature_extractors.ssd_maps.SsdFeatureExtractor
ssd_extractor = Registry("SSD feature extractor", "options")
# (options: TwoStageExtractorOptions) -> feature_extractors.two_stage.TwoStageExtractor
two_stage_extractor = Registry("two-stage feature extractor", "options", members=("scale", "body", "tail"))
# (options: CenterExtractorOptions) -> feature_extractors.center_maps.CenterExtractor, or alike: maps of stride 4
center_net_extractor = Registry(
    "CenterNet feature extractor", "options", members=("__call__", "scale", "multiple", "num_outputs", "object_keys")
)
# () -> (predicted, target, weights [B, A]) -> losses [B, A]; `needs_boxes`: compares boxes [B, A, 4], not codes
localization_loss = Registry("localization loss", members=("__call__", "needs_boxes"))
# () -> (logits [B, A, K + 1], target classes, weights [B, A]) -> losses [B, A] or [B, A, K + 1]
classification_loss = Registry("classification loss")
# () -> (data.sample.Sample, seed int64 [2]) -> Sample
augmentation = Registry("augmentation")
# (settings: EvalSettings, categories) -> evaluate.evaluator.Evaluator
metric = Registry("metrics set", "settings", "categories", members=("clear", "add", "result", "per_category"))
# (num_classes, resizer: data.resize.Resizer) -> pipeline.Detector
meta_architecture = Registry(
    "meta-architecture",
    *("num_classes", "resizer"),
    members=(
        *("predict", "loss", "postprocess", "build_weights", "regularization_loss", "measure_targets", "object_keys"),
        *("name", "num_classes", "variables", "trainable_variables", "non_trainable_variables"),
        *("anchors_per_cell", "takes_proposals", "measures_targets"),
    ),
)

ALL = (
    *(ssd_extractor, two_stage_extractor, center_net_extractor),
    *(localization_loss, classification_loss, augmentation, metric, meta_architecture),
)
_importing: list[str] = []  # the plugins that are being imported now, innermost last
_seen: set[str] = set()  # entry points that were imported


def keywords(parameters: Iterable[str]) -> dict[str, object]:
    """`["gamma=2.0", "mode=hard"]` -> {"gamma": 2.0, "mode": "hard"}: values are JSON, or else text as it stands.

    Raises:
        ValueError: an entry without `=`, or a name that comes twice.
    """
    given: dict[str, object] = {}
    for entry in parameters:
        name, equals, value = entry.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise ValueError(f"{entry!r} is not of the form name=value")
        if name in given:
            raise ValueError(f"{name!r} is given twice")
        try:
            given[name] = json.loads(value)
        except ValueError:
            given[name] = value.strip()
    return given


def import_plugins(modules: Iterable[str]) -> None:
    """Imports the modules that register parts.

    Raises:
        ConfigError: a name is none of a module, or the module cannot be imported.
    """
    for name in modules:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ConfigError(f"plugins: {name!r} is no name of a module; write one as in my_package.my_module")
        with _registering(name):
            try:
                importlib.import_module(name)
            except ImportError as error:
                raise ConfigError(
                    f"plugins: {name!r} cannot be imported ({error}); install it, or add its folder to PYTHONPATH"
                ) from error
            except Exception as error:  # Whatever a module of somebody else does while it is imported.
                raise ConfigError(
                    f"plugins: {name!r} fails while it is imported ({type(error).__name__}: {first_line(error)});"
                    f' python -c "import {name}" shows where'
                ) from error


def import_entry_points() -> None:
    """Imports every module of the group `detection.plugins`, each once.

    Raises:
        ConfigError: one cannot be imported.
    """
    for point in _installed(_state_of_path()):
        if point.value not in _seen:
            _seen.add(point.value)
            with _registering(point.module):
                try:
                    point.load()
                except Exception as error:  # Whatever a package of somebody else does while it is imported.
                    _seen.discard(point.value)
                    what = "" if isinstance(error, (ImportError, AttributeError)) else f"{type(error).__name__}: "
                    raise ConfigError(
                        f"the entry point {point.name} = {point.value} of {ENTRY_POINTS!r} cannot be imported"
                        f" ({what}{first_line(error)}); repair or uninstall its package"
                    ) from error


@functools.lru_cache(maxsize=1)
def _installed(_: object) -> tuple[importlib.metadata.EntryPoint, ...]:
    """The entry points of the group. Finding them reads a file of every installed package, 4 ms and more, and is asked
    for with every name that a config says."""
    return tuple(importlib.metadata.entry_points(group=ENTRY_POINTS))


def _state_of_path() -> tuple:
    """Changes when a package is installed or removed, or a folder is added to the path."""
    return tuple((folder, os.stat(folder).st_mtime_ns if os.path.exists(folder) else 0) for folder in sys.path)


@contextlib.contextmanager
def _registering(plugin: str) -> Iterator[None]:
    _importing.append(plugin)
    try:
        yield
    finally:
        _importing.pop()


def _place(make: Callable) -> str:
    """Where a factory comes from: the same when its module is imported again."""
    return f"{make.__module__}.{getattr(make, '__qualname__', type(make).__name__)}"
