"""Runs a command: silences TensorFlow, shows errors as one line, sets the exit code, and handles stop signals.

Entry points import this module before anything else, so that from their first statement on Ctrl-C gives one line and
exit code 130:

- while a command is importing, the process exits at once, since there is nothing to clean up;
- while it is working, an exception is raised, so that temporary files are removed. An import in progress is finished
    first, since many libraries handle an exception there as a failed import. A second Ctrl-C exits at once.

SIGTERM (exit code 143) and SIGHUP (129, the terminal was closed) are handled in the same way. Training saves a
checkpoint first, and sweeps wait for their trainings to do so (see `detection.train.interrupt`). Signals that were
ignored when the script was started (`nohup`, background jobs) stay ignored.
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
_MESSAGES = {getattr(signal, name): text for name, text in _SIGNALS.items() if hasattr(signal, name)}
_IMPORTER = "<frozen importlib._bootstrap"
_ENTRY_POINTS = ("detection.commands.entry", "detection.__main__")  # modules that run as a program
_RETRY_SECONDS = 0.05


class _SignalHandler:
    """Handles stop signals according to the phase of the process: importing, working or ending."""

    def __init__(self) -> None:
        self.messages = 2  # file descriptor for messages
        self._working = self._raised = False
        for number in _MESSAGES:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, self._handle)

    def work(self) -> None:
        """Marks the start of work that must be cleaned up."""
        sys.unraisablehook = self._unraisable
        self._working = True

    def end(self) -> None:
        """Marks the end of work that must be cleaned up."""
        self._working = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == getattr(signal, "SIGHUP", None):
            _detach_from_terminal()
        if not self._working or self._raised or self._is_script_importing(frame):
            self._exit_now(number)
        elif _is_importing(frame):
            self._send_again(number)
        else:
            self._raised = True
            raise Stopped(number)

    def _exit_now(self, number: int) -> None:
        try:
            os.write(self.messages, f"{_MESSAGES[number]}\n".encode())
        finally:
            os._exit(128 + number)

    def _send_again(self, number: int) -> None:
        import threading

        timer = threading.Timer(_RETRY_SECONDS, _send_to_main_thread, (number,))
        timer.daemon = True
        timer.start()

    @staticmethod
    def _is_script_importing(frame: FrameType | None) -> bool:
        """Whether the script itself, a command or this file is importing, so that no work has begun."""
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
        """Sends a stop signal again if its exception was lost (in a destructor, say); shows any other exception."""
        error = unraisable.exc_value
        # A run that was stopped during evaluation has no signal number, but an exit code.
        number = getattr(error, "number", getattr(error, "exit_code", 0) - 128)
        if number in _MESSAGES:
            self._raised = False
            self._send_again(number)
        else:
            sys.__unraisablehook__(unraisable)


def _send_to_main_thread(number: int) -> None:
    """Sends a signal to the main thread, which interrupts a blocking system call."""
    if hasattr(signal, "pthread_kill"):
        import threading

        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:  # Windows: it takes effect when the wait is over.
        import _thread

        _thread.interrupt_main(signal.Signals(number))


class Stopped(KeyboardInterrupt):
    """A signal asked this process to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(_MESSAGES[number])
        self.number = number


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORTER):
            return True
        frame = frame.f_back
    return False


def _detach_from_terminal() -> None:
    """Redirects the standard streams of a closed terminal to the null device, since writing to it is an error."""
    import stat

    for descriptor in (0, 1, 2):
        try:
            if stat.S_ISCHR(os.fstat(descriptor).st_mode):
                os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
        except OSError:
            continue  # The descriptor is closed.


def _is_imported_by_a_program() -> bool:
    """Whether this module is imported by a script or by the entry point of one."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (
        frame.f_code.co_filename.startswith(_IMPORTER) or frame.f_globals.get("__name__") in (__name__, *_ENTRY_POINTS)
    ):
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__") == "__main__"


_signals = _SignalHandler() if _is_imported_by_a_program() else None


Main = Callable[[list[str]], int | None]
Parse = Callable[[list[str]], list[str]]


def run(main: Main, argv: Sequence[str] | None = None, parse: Parse | None = None) -> None:
    """Runs `main` under absl and exits with its return value, or with the exit code of the error it raises.

    Call this before TensorFlow is imported, because TensorFlow reads its C++ log level only then.

    Args:
        main: does the work; its argument is the result of `parse`.
        argv: program name and arguments; by default those of this process.
        parse: reads the flags of `argv` and returns the program name and the arguments that are no flags; by default
            into absl's `FLAGS`. If it raises a ConfigError, the message is shown and the exit code is 2.
    """
    # 3: TensorFlow's C++ code logs errors that are harmless (a kernel that oneDNN lacks); real errors are raised in
    # Python anyway.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import warnings

    from absl import app

    from detection import terminal
    from detection.errors import ConfigError

    sys.stdout, sys.stderr = (
        None if stream is None else terminal.Escaped(stream) for stream in (sys.stdout, sys.stderr)
    )

    # Pillow's warnings name no file; those that matter are reported as faults of their file. The filter is set once for
    # the whole process, since warning filters are not thread-safe.
    warnings.filterwarnings("ignore", module=r"PIL\.")

    def checked(arguments: list[str]) -> list[str]:
        try:
            return (parse or _parse_process_flags)(arguments)
        except ConfigError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(ConfigError.exit_code)

    app.run(lambda arguments: _exit_code(main, arguments), None if argv is None else list(argv), flags_parser=checked)


def _parse_process_flags(argv: list[str]) -> list[str]:
    from absl import flags

    from detection.errors import ConfigError

    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        raise ConfigError(f"{' '.join(str(error).split())}; --help lists the flags") from None


def _exit_code(main: Main, arguments: list[str]) -> int:
    """Calls `main` and returns its exit code, or that of its error, which is printed. Internal errors are raised."""
    from absl import logging as absl_logging

    from detection import files
    from detection.errors import ConfigError, DetectionError, printable

    absl_logging.get_absl_handler().setFormatter(_log_formatter())
    if _signals is not None:
        _signals.work()
    try:
        code = main(arguments) or 0
        code = _flush_output() or code
    except DetectionError as error:
        code = _print_error("\n".join(f"error: {line}" for line in error.lines()), error.exit_code)
    except KeyboardInterrupt as stop:
        number = getattr(stop, "number", signal.SIGINT)
        code = _print_error(_MESSAGES[number], 128 + number)
    except BrokenPipeError:  # The reader, such as `head`, has exited.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        place = files.explain(error)
        if place is None:
            raise
        code = _print_error(f"error: {printable(place)}", ConfigError.exit_code)
    if _signals is not None:
        _signals.end()
    return code


def _log_formatter() -> logging.Formatter:
    """Formats log messages like errors, `warning: ...`, without thread and source line."""
    import logging

    from detection.errors import printable

    class LevelAndMessage(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return f"{record.levelname.lower()}: {printable(record.getMessage())}"

    return LevelAndMessage()


def _flush_output() -> int:
    """Flushes standard output, so that a failure is reported; returns an exit code, 0 if it succeeded."""
    from detection import files
    from detection.errors import ConfigError

    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        return _print_error(f"error: standard output: {files.reason(error)}", ConfigError.exit_code)
    return 0


def _print_error(line: str, code: int) -> int:
    """Writes a line to standard error after all pending output; returns `code`."""
    for stream, text in ((sys.stdout, ""), (sys.stderr, f"{line}\n")):
        try:
            stream.write(text)
            stream.flush()
        except OSError:  # A full disk or a closed pipe: the message cannot be shown.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


def import_tensorflow() -> None:
    """Imports TensorFlow and hides what its libraries write to standard error, which no setting silences.

    For commands only. The output is shown if the import fails or if TF_CPP_MIN_LOG_LEVEL is below 2.
    """
    import contextlib

    if "tensorflow" in sys.modules:
        return
    try:
        descriptor = sys.stderr.fileno()
    except OSError:  # A stream in memory, in tests, has no descriptor.
        descriptor = None
    quiet = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") >= "2"
    with _SuppressedOutput(descriptor) if descriptor is not None and quiet else contextlib.nullcontext():
        import tensorflow  # noqa: F401


class _SuppressedOutput:
    """Suppresses what is written to a descriptor; writes it after all if the block raises an exception."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> None:
        import tempfile

        self._original, self._suppressed = os.dup(self._descriptor), tempfile.TemporaryFile()
        if _signals is not None:
            _signals.messages = self._original
        os.dup2(self._suppressed.fileno(), self._descriptor)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        os.dup2(self._original, self._descriptor)
        if _signals is not None:
            _signals.messages = 2
        if error is not None:
            self._suppressed.seek(0)
            os.write(self._original, self._suppressed.read())
        self._suppressed.close()
        os.close(self._original)
