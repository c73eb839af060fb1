"""Stop signals: finish the step, save, and exit with status 128 + signal (143 after SIGTERM)."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from detection.errors import DetectionError

STOPS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))


class Interrupted(DetectionError):
    """The run was stopped by a signal after saving; not an input error, but the exit status must show it."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class StopRequest:
    """While active, SIGTERM, Ctrl-C and SIGHUP are only recorded in `signal_number`.

    A second signal has its usual effect. Signals that were ignored before (under `nohup`, for example) stay ignored.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._at_once: str | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        # Python delivers signals to the main thread only; in other threads (a notebook's worker, a test) nothing
        # changes.
        if threading.current_thread() is threading.main_thread():
            for number in STOPS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error) -> None:
        self._restore()

    @contextlib.contextmanager
    def at_once(self, message: str) -> Iterator[None]:
        """Inside this context a signal raises Interrupted immediately: for long work that has nothing to save.

        A signal recorded before raises at entry.

        Args:
            message: what the error says after `stopped by signal N; `.

        Raises:
            Interrupted: a signal arrived.
        """
        self._at_once = message
        try:
            if self.signal_number is not None:
                raise self._interrupted(self.signal_number)
            yield
        except Exception as error:
            # Keras wraps whatever is raised while it traces a layer into an error of its own.
            if self.signal_number is not None and not isinstance(error, Interrupted):
                raise self._interrupted(self.signal_number) from error
            raise
        finally:
            self._at_once = None

    def _note(self, number: int, frame) -> None:
        self.signal_number = number
        self._restore()
        if self._at_once is not None:
            raise self._interrupted(number)

    def _interrupted(self, number: int) -> Interrupted:
        return Interrupted(f"stopped by signal {number}; {self._at_once}", number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
