"""What every command does around its one call: quiet TensorFlow, one line an error, documented exit codes, and an
orderly end when asked to stop.

Entry points import this before anything else, so that Ctrl-C is one line and exit code 130 from their first statement
on:

- while a command only imports, at once: there is nothing to clean up;
- while it works, by an exception, so that temporary files are removed; an import under way is finished first, since
    many libraries take an exception there for something else. A second Ctrl-C ends it at once.

SIGTERM (143) and SIGHUP (129), a terminal that was closed, likewise. Training saves a checkpoint first, sweeps let
their trainings do so (see `detection.train.interrupt`). What was to be ignored when the script was started (`nohup`,
jobs in the background) stays ignored.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

_SIGNALS = {
    "SIGINT": "interrupted",
    "SIGTERM": "stopped by SIGTERM",
    "SIGHUP": "stopped by SIGHUP: the terminal is closed",
}
_WORDS = {getattr(signal, name): words for name, words in _SIGNALS.items() if hasattr(signal, name)}
_IMPORTER = "<frozen importlib._bootstrap"
_ENTRY_POINTS = ("detection.commands.entry", "detection.__main__")  # modules that run as a program
_RETRY_SECONDS = 0.05


class _Stops:
    """What a signal does, as the script goes through importing, working and ending."""

    def __init__(self) -> None:
        self.messages = 2  # descriptor
        self._working = self._raised = False
        for number in _WORDS:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, self._handle)

    def work(self) -> None:
        """From here on there is something to be put in order."""
        sys.unraisablehook = self._unraisable
        self._working = True

    def end(self) -> None:
        """From here on there is nothing any more."""
        self._working = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == getattr(signal, "SIGHUP", None):
            _let_go_of_the_terminal()
        if not self._working or self._raised or self._script_imports(frame):
            self._leave(number)
        elif _imports(frame):
            self._later(number)
        else:
            self._raised = True
            raise Stopped(number)

    def _leave(self, number: int) -> None:
        try:
            os.write(self.messages, f"{_WORDS[number]}\n".encode())
        finally:
            os._exit(128 + number)

    def _later(self, number: int) -> None:
        import threading

        timer = threading.Timer(_RETRY_SECONDS, _strike, (number,))
        timer.daemon = True
        timer.start()

    @staticmethod
    def _script_imports(frame: FrameType | None) -> bool:
        """Whether an import by the script itself, a command or this file is under way: no work has been begun."""
        caller = None
        while frame is not None:
            if frame.f_code.co_filename.startswith(_IMPORTER):
                caller = frame.f_back
            frame = frame.f_back
        while caller is not None and caller.f_code.co_filename.startswith(_IMPORTER):
            caller = caller.f_back
        name = "" if caller is None else caller.f_globals.get("__name__", "")
        return name in ("__main__", __name__, *_ENTRY_POINTS) or name.startswith("detection.commands.")

    def _unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        """An exception that Python cannot pass on, from a destructor, say: a stop is asked for again, anything else is
        shown."""
        error = unraisable.exc_value
        number = getattr(
            error, "number", getattr(error, "exit_code", 0) - 128
        )  # Of a run that was stopped while it evaluated.
        if number in _WORDS:
            self._raised = False
            self._later(number)
        else:
            sys.__unraisablehook__(unraisable)


def _strike(number: int) -> None:
    """Sends the main thread a signal that ends what it waits for."""
    if hasattr(signal, "pthread_kill"):
        import threading

        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:  # Windows: it takes effect when the wait is over.
        import _thread

        _thread.interrupt_main(signal.Signals(number))


class Stopped(KeyboardInterrupt):
    """A signal asked this process to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(_WORDS[number])
        self.number = number


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORTER):
            return True
        frame = frame.f_back
    return False


def _let_go_of_the_terminal() -> None:
    """Of one that is closed: whoever writes to it gets an error."""
    import stat

    for descriptor in (0, 1, 2):
        try:
            if stat.S_ISCHR(os.fstat(descriptor).st_mode):
                os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
        except OSError:
            continue  # It is closed.


def _is_imported_by_a_program() -> bool:
    """Whether what imports this is a script, or the entry point of one."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (
        frame.f_code.co_filename.startswith(_IMPORTER) or frame.f_globals.get("__name__") in (__name__, *_ENTRY_POINTS)
    ):
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__") == "__main__"


_stops = _Stops() if _is_imported_by_a_program() else None


Main = Callable[[list[str]], int | None]
Parse = Callable[[list[str]], list[str]]


def run(main: Main, argv: Sequence[str] | None = None, parse: Parse | None = None) -> None:
    """Runs `main(rest of argv)` under absl and leaves with its return value, or with the exit code of the error it
    raised.

    Call this before anything imports TensorFlow: its C++ log level is read once, at import.

    Args:
        main: the work; its argument is what `parse` returned.
        argv: program and words; by default those of this process.
        parse: reads flags from `argv` and returns program and what is no flag; by default into absl's `FLAGS`.
            A ConfigError of it is an error of usage.
    """
    # 3: its C++ side calls things errors that are none (a kernel that oneDNN lacks); what fails is raised in Python all
    # the same.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import warnings

    from absl import app

    from detection import terminal
    from detection.errors import ConfigError

    sys.stdout, sys.stderr = (
        None if stream is None else terminal.Escaped(stream) for stream in (sys.stdout, sys.stderr)
    )

    # Pillow's warnings name no file; what matters of them becomes faults that do. Set once, for this process alone:
    # filters know no threads.
    warnings.filterwarnings("ignore", module=r"PIL\.")

    def checked(words: list[str]) -> list[str]:
        try:
            return (parse or _parse_process_flags)(words)
        except ConfigError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(ConfigError.exit_code)

    app.run(lambda words: _exit_code(main, words), None if argv is None else list(argv), flags_parser=checked)


def _parse_process_flags(argv: list[str]) -> list[str]:
    from absl import flags

    from detection.errors import ConfigError

    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        raise ConfigError(f"{' '.join(str(error).split())}; --help lists the flags") from None


def _exit_code(main: Main, words: list[str]) -> int:
    """Calls `main`; the exit code it returns, or that of its error, which is shown in a line. A bug stays an
    exception."""
    from absl import logging as absl_logging

    from detection import files
    from detection.errors import ConfigError, DetectionError, printable

    absl_logging.get_absl_handler().setFormatter(_words())
    if _stops is not None:
        _stops.work()
    try:
        code = main(words) or 0
        code = _flush_output() or code
    except DetectionError as error:
        code = _say("\n".join(f"error: {line}" for line in error.lines()), error.exit_code)
    except KeyboardInterrupt as stop:
        number = getattr(stop, "number", signal.SIGINT)
        code = _say(_WORDS[number], 128 + number)
    except BrokenPipeError:  # The reader, `head` say, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        place = files.explain(error)
        if place is None:
            raise
        code = _say(f"error: {printable(place)}", ConfigError.exit_code)
    if _stops is not None:
        _stops.end()
    return code


def _words() -> logging.Formatter:
    """`warning: ...`, as errors are shown, without threads and source lines."""
    import logging

    from detection.errors import printable

    class Words(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return f"{record.levelname.lower()}: {printable(record.getMessage())}"

    return Words()


def _flush_output() -> int:
    """Writes what is left of standard output, here where it can be said if that fails; returns the exit code of that,
    or 0."""
    from detection import files
    from detection.errors import ConfigError

    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        return _say(f"error: standard output: {files.reason(error)}", ConfigError.exit_code)
    return 0


def _say(line: str, code: int) -> int:
    """Shows the one line of an end, behind all that was said before; returns the exit code."""
    for stream, text in ((sys.stdout, ""), (sys.stderr, f"{line}\n")):
        try:
            stream.write(text)
            stream.flush()
        except OSError:  # A full disk, a reader that is gone: nobody can be told.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


def import_tensorflow() -> None:
    """Imports TensorFlow without what its libraries write to standard error while loading, which no setting silences.
    For commands only.

    Where the import fails, or the process was asked for more words by TF_CPP_MIN_LOG_LEVEL below 2, everything is
    shown.
    """
    import contextlib

    if "tensorflow" in sys.modules:
        return
    try:
        descriptor = sys.stderr.fileno()
    except OSError:  # A stream in memory, of a test: what is written to the descriptor does not come there.
        descriptor = None
    quiet = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") >= "2"
    with _held_back(descriptor) if descriptor is not None and quiet else contextlib.nullcontext():
        import tensorflow  # noqa: F401


class _held_back:
    """What is written to the descriptor is kept, and written after all if the block raises."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> None:
        import tempfile

        self._original, self._held = os.dup(self._descriptor), tempfile.TemporaryFile()
        if _stops is not None:
            _stops.messages = self._original
        os.dup2(self._held.fileno(), self._descriptor)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        os.dup2(self._original, self._descriptor)
        if _stops is not None:
            _stops.messages = 2
        if error is not None:
            self._held.seek(0)
            os.write(self._original, self._held.read())
        self._held.close()
        os.close(self._original)
