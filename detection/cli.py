"""What every script does around its one call: quiet TensorFlow, one line an error, documented exit codes."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from detection.errors import visible


def run(main: Callable[[list[str]], int | None]) -> None:
    """Runs `main(argv)` under absl and leaves with its return value, or with the exit code of the error it raised.

    Call this before anything imports TensorFlow: its C++ log level is read once, at import.
    """
    # 3: its C++ side calls things errors that are none (a kernel that oneDNN lacks); what fails is raised in Python all the same.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import logging
    import warnings

    from absl import app, flags
    from absl import logging as absl_logging

    from detection.errors import ConfigError, DetectionError, printable

    sys.stdout, sys.stderr = _Escaped(sys.stdout), _Escaped(sys.stderr)

    # Pillow's warnings name no file; what matters of them becomes faults that do. Set once, for this process alone: filters know no threads.
    warnings.filterwarnings("ignore", module=r"PIL\.")

    class Words(logging.Formatter):
        """`warning: ...`, as errors are shown, without threads and source lines."""

        def format(self, record: logging.LogRecord) -> str:
            return f"{record.levelname.lower()}: {printable(record.getMessage())}"

    def guarded(argv: list[str]) -> int:
        absl_logging.get_absl_handler().setFormatter(Words())
        try:
            return main(argv) or 0
        except DetectionError as error:
            for line in error.lines():
                print(f"error: {line}", file=sys.stderr)
            return error.exit_code
        except BrokenPipeError:  # The reader, `head` say, has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    def parse(argv: list[str]) -> list[str]:
        try:
            return flags.FLAGS(argv)
        except flags.Error as error:
            print(f"error: {' '.join(str(error).split())}; --help lists the flags", file=sys.stderr)
            sys.exit(ConfigError.exit_code)

    app.run(guarded, flags_parser=parse)


class _Escaped:
    """A stream to people: names in tables and messages come from data, and none of them may act on the terminal that shows it.

    What an encoding cannot hold, such as half of a surrogate pair in a file's name, is shown as its escape instead of being an error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        encoding = self._stream.encoding or "utf-8"
        return self._stream.write(visible(text).encode(encoding, "backslashreplace").decode(encoding))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def import_tensorflow() -> None:
    """Imports TensorFlow without what its libraries write to standard error while loading, which no setting silences. For scripts only.

    Where the import fails, or the process was asked for more words by TF_CPP_MIN_LOG_LEVEL below 2, everything is shown.
    """
    with _held_back(sys.stderr.fileno()) if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") >= "2" else contextlib.nullcontext():
        import tensorflow  # noqa: F401


@contextlib.contextmanager
def _held_back(descriptor: int) -> Iterator[None]:
    """What is written to the descriptor is kept, and written after all if the block raises."""
    original = os.dup(descriptor)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), descriptor)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(original, held.read())
            raise
        finally:
            os.dup2(original, descriptor)
            os.close(original)
