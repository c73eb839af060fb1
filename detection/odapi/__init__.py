"""Lets notebooks and scripts written for the TF Object Detection API import their modules from this package.

    import detection.odapi

    from object_detection.utils import label_map_util, visualization_utils, config_util
    from object_detection.builders import model_builder

After the first line, these modules of `object_detection` are thin wrappers around this package, with the arguments and
results of the originals, as far as tutorials use them (docs/coming_from_odapi.md lists them). It cannot be used in one
process with the API itself, since both register the same protos.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from detection import protos
from detection.errors import ConfigError

ORIGINAL = "object_detection"
MODULES = (
    "builders",
    "builders.model_builder",
    "utils",
    "utils.config_util",
    "utils.dataset_util",
    "utils.label_map_util",
    "utils.ops",
    "utils.visualization_utils",
)


class _UnsupportedModules:
    """Import hook that reports modules of the API that are not available here."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Returns None for modules outside `object_detection`; raises ModuleNotFoundError for those inside."""
        if not name.startswith(f"{ORIGINAL}."):
            return None
        known = ", ".join(f"{ORIGINAL}.{module}" for module in MODULES if "." in module)
        raise ModuleNotFoundError(
            f"{name}: detection.odapi does not provide this module of the TF Object Detection API; it has {known},"
            f" {ORIGINAL}.protos.*_pb2",
            name=name,
        )


def _register() -> None:
    known = sys.modules.get(ORIGINAL)
    if known is not None and known is not sys.modules[__name__]:
        raise ConfigError(
            f"import detection.odapi: {ORIGINAL} is already imported, from {getattr(known, '__file__', None)}; both"
            " register the same protos, so import only one of them, in a new process"
        )
    sys.modules[ORIGINAL] = sys.modules[__name__]
    for name in MODULES:
        sys.modules[f"{ORIGINAL}.{name}"] = importlib.import_module(f"{__name__}.{name}")
    sys.modules[f"{ORIGINAL}.protos"] = protos
    for module in pkgutil.iter_modules(protos.__path__):
        sys.modules[f"{ORIGINAL}.protos.{module.name}"] = importlib.import_module(f"{protos.__name__}.{module.name}")
    if _UnsupportedModules not in sys.meta_path:
        sys.meta_path.insert(0, _UnsupportedModules)


_register()
