"""The exported detector of the export tests, for the tests of this folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_PATH = Path(__file__).resolve().parents[1] / "export" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("export_fixtures", _PATH)
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
trained, exported, exported_strings = _MODULE.trained, _MODULE.exported, _MODULE.exported_strings
