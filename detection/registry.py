"""Registries of custom parts (extractors, losses, augmentations, metrics, meta-architectures) from other packages.

Names in a config are looked up in the tables of this package first and then here. docs/your_own_parts.md has an example
of each kind.

    from detection import registry

    @registry.classification_loss("soft_margin")
    class SoftMargin: ...

A config then says `classification_loss { custom { name: "soft_margin" parameters: "margin=0.5" } }` and names the
module that registers it in its field `plugins`. Modules of the entry-point group `detection.plugins` are imported
without being named. A name can be registered once; the config check rejects a name that this package uses itself.
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
    """One part, and the module whose import registers it."""

    make: Callable
    plugin: str


class Registry:
    """Registered parts of one kind, by name.

    Calling a registry with a name returns a decorator that registers a factory: a class or function that is called with
    positional arguments of the package and with the config's parameters as keywords.

    Args:
        kind: name of the kind in messages.
        arguments: names of the positional arguments that the package passes.
        members: attributes that a part must have.
    """

    def __init__(self, kind: str, *arguments: str, members: tuple[str, ...] = ("__call__",)) -> None:
        self.kind, self.arguments, self.members = kind, arguments, members
        self._parts: dict[str, Registered] = {}

    def __call__(self, name: str) -> Callable[[Part], Part]:
        """The decorator that registers a factory as `name`.

        Raises:
            ConfigError: another factory is registered under that name.
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
        """The part of that name, or None; imports the modules of entry points if the name is not registered yet."""
        if name not in self._parts:
            import_entry_points()
        return self._parts.get(name)

    def registered(self, name: str) -> Registered | None:
        """The part registered under that name so far, or None; imports nothing."""
        return self._parts.get(name)

    def names(self) -> tuple[str, ...]:
        """All registered names, sorted, including those of entry points."""
        import_entry_points()
        return tuple(sorted(self._parts))

    def make(self, name: str, *arguments: object, parameters: Iterable[str] = (), field: str = "") -> object:
        """Calls a registered factory.

        Args:
            name: registered name.
            *arguments: positional arguments of this kind of part.
            parameters: `name=value` entries from the config, see `keywords`.
            field: the config field, for messages.

        Returns:
            The part.

        Raises:
            ConfigError: the name is unknown, the factory does not accept the parameters, or its result lacks a member.
        """
        if self.find(name) is None:
            raise ConfigError(f"{field} ({name!r}) {self._unknown(name)}")
        if fault := self.fault(name, parameters):
            raise ConfigError(f"{field}{fault}")
        part = self._parts[name].make(*arguments, **keywords(parameters))
        missing = [member for member in self.members if not hasattr(part, member)]
        if missing:
            raise ConfigError(
                f"{field} ({name}): the result of {_place(self._parts[name].make)} is no {self.kind}: it has no"
                f" {', '.join(missing)}"
            )
        return part

    def fault(self, name: str, parameters: Iterable[str] = ()) -> str:
        """Error message if the name is unknown or its factory does not accept the parameters; "" if both are valid.

        The message continues the path of the config field.
        """
        found = self.find(name)
        if found is None:
            return f".name ({name!r}) {self._unknown(name)}"
        try:
            given = keywords(parameters)
        except ValueError as error:
            return f".parameters: {error}"
        try:
            signature = inspect.signature(found.make)
        except ValueError:  # The signature of a built-in class is not known.
            return ""
        try:
            signature.bind(*(None for _ in self.arguments), **given)
        except TypeError as error:
            accepted = [parameter for parameter in signature.parameters if parameter not in self.arguments]
            return f".parameters: {name!r} {error}; it takes {', '.join(accepted) or 'none'}"
        return ""

    def _unknown(self, name: str) -> str:
        known = self.names()
        close = suggest.closest(name, known)
        hint = f"did you mean {close[0]!r}? " if close else ""
        listed = ", ".join(known) or "none"
        fix = "name the module that registers it in plugins"
        return f"is no registered {self.kind}; {hint}registered: {listed}; {fix}"


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
_importing: list[str] = []  # plugins that are being imported, innermost last
_imported: set[str] = set()  # entry points that have been imported


def keywords(parameters: Iterable[str]) -> dict[str, object]:
    """Parses parameters of a config: `["gamma=2.0", "mode=hard"]` -> {"gamma": 2.0, "mode": "hard"}.

    Values that are not valid JSON are strings.

    Raises:
        ValueError: an entry is not of the form name=value, or a name is given twice.
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
        ConfigError: a name is not a valid module name, or the module cannot be imported.
    """
    for name in modules:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ConfigError(f"plugins: {name!r} is not a module name; write one like my_package.my_module")
        with _registering(name):
            try:
                importlib.import_module(name)
            except ImportError as error:
                raise ConfigError(
                    f"plugins: {name!r} cannot be imported ({error}); install it, or add its folder to PYTHONPATH"
                ) from error
            except Exception as error:  # Code of the plugin may raise anything.
                raise ConfigError(
                    f"plugins: importing {name!r} fails ({type(error).__name__}: {first_line(error)});"
                    f' python -c "import {name}" shows where'
                ) from error


def import_entry_points() -> None:
    """Imports every module of the entry-point group `detection.plugins` once.

    Raises:
        ConfigError: a module cannot be imported.
    """
    for point in _installed(_state_of_path()):
        if point.value not in _imported:
            _imported.add(point.value)
            with _registering(point.module):
                try:
                    point.load()
                except Exception as error:  # Whatever a package of somebody else does while it is imported.
                    _imported.discard(point.value)
                    what = "" if isinstance(error, (ImportError, AttributeError)) else f"{type(error).__name__}: "
                    raise ConfigError(
                        f"the entry point {point.name} = {point.value} of {ENTRY_POINTS!r} cannot be imported"
                        f" ({what}{first_line(error)}); fix or uninstall its package"
                    ) from error


@functools.lru_cache(maxsize=1)
def _installed(_: object) -> tuple[importlib.metadata.EntryPoint, ...]:
    """The entry points of the group.

    They are cached because finding them reads a file of every installed package (4 ms or more) and every lookup of a
    name needs them.
    """
    return tuple(importlib.metadata.entry_points(group=ENTRY_POINTS))


def _state_of_path() -> tuple:
    """A key that changes when a package is installed or removed or `sys.path` changes."""
    return tuple((folder, os.stat(folder).st_mtime_ns if os.path.exists(folder) else 0) for folder in sys.path)


@contextlib.contextmanager
def _registering(plugin: str) -> Iterator[None]:
    _importing.append(plugin)
    try:
        yield
    finally:
        _importing.pop()


def _place(make: Callable) -> str:
    """Qualified name of a factory, which stays the same when its module is imported again."""
    return f"{make.__module__}.{getattr(make, '__qualname__', type(make).__name__)}"
