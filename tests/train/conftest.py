"""Lets the tests of the trainer share `tiny.py`, a whole detector that trains in milliseconds."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
