"""What every script does around its one call: quiet TensorFlow, one line an error, documented exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def run(main: Callable[[list[str]], int | None]) -> None:
    """Runs `main(argv)` under absl and leaves with its return value, or with the exit code of the error it raised.

    Call this before anything imports TensorFlow: its C++ log level is read once, at import.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from absl import app

    from detection.errors import DetectionError

    def guarded(argv: list[str]) -> int:
        try:
            return main(argv) or 0
        except DetectionError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code

    app.run(guarded)
