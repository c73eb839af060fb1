"""Files and folders that appear complete or not at all; what killed processes left of them; and what the system says
when it cannot write.

Text is written beside its place, under a hidden name of this process alone, and renamed: a reader sees the old text or
the new one, never half of one, also where two processes write the same file. The hidden name says who writes it, so
that the next writer can remove what a killed one left.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import select
import shutil
import signal
import socket
import stat
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from detection.errors import first_line

PUBLISHING = ".publishing"  # in a folder of which some parts may be new and others old: who is changing them
_MARK = ".tmp-"
_PATIENCE = 5.0  # seconds that a reader waits for a process which is changing a folder: that takes milliseconds
_SILENCE = 10.0  # seconds that a reader waits for a writer of a pipe
_LONGEST_NAME = 255  # bytes, on every usual file system
# What is wrong with the place that is written to, and not with the program: how the message says it.
_REASONS = {
    errno.ENOSPC: "no space left on device",
    errno.EDQUOT: "disk quota exceeded",
    errno.EFBIG: "file too large for the limit of this process or file system",
    errno.EROFS: "read-only file system",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.ENAMETOOLONG: "file name too long",
    errno.ENOENT: "no such file or directory",
    errno.ENOTDIR: "not a directory",
    errno.EISDIR: "is a directory",
    errno.ENOTEMPTY: "directory not empty",
    errno.EIO: "input/output error of the disk",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files in the system",
    errno.ESTALE: "stale file handle",
    errno.ETXTBSY: "text file busy",
}
# TensorFlow's errors have no number, only the words of the C library.
_WORDS = {os.strerror(number).lower(): reason for number, reason in _REASONS.items()}
_tidied: set[str] = set()  # folders in which this process has looked for what others left


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replaces the file at `path`, as UTF-8; file names in `text` that are not valid UTF-8 keep their bytes.

    Raises:
        OSError: nothing is changed and nothing is left over; its `filename` is `path`.
    """
    target = Path(path)
    if os.fspath(target.parent) not in _tidied:
        _tidied.add(os.fspath(target.parent))
        remove_leftovers(target.parent)
    unfinished = partial(target)
    try:
        with unfinished.open("w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(
                stream.fileno()
            )  # Renamed before its bytes are on the disk, a file can be empty after a power cut.
        os.replace(unfinished, target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether something is there that is neither file nor folder: a device, which may never end, or a pipe, which can
    be read once, if at all."""
    try:
        kind = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The whole of a file, or of a pipe, as `<(...)` of a shell is one.

    Raises:
        OSError: also for a device, and for a pipe into which nothing is written for a while. ValueError: a null
            character in the name.
    """
    if not is_special(path):
        return Path(path).read_bytes()
    if not stat.S_ISFIFO(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "is a device or socket, not a file", os.fspath(path))
    parts: list[bytes] = []
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as stream:
        while select.select([stream], [], [], _SILENCE)[0]:
            part = stream.read(1 << 20)
            if not part:
                return b"".join(parts)
            parts.append(part)
    raise OSError(
        errno.EINVAL, f"is a pipe into which nothing was written for {_SILENCE:g} seconds; name a file", os.fspath(path)
    )


def partial(target: Path) -> Path:
    """Where this process writes what is to become `target`: beside it, hidden."""
    name = f".{target.name}{_MARK}{owner()}"
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f".{zlib.crc32(os.fsencode(target.name)):08x}{_MARK}{owner()}"
    return target.with_name(name)


def owner() -> str:
    """This process in the names of its temporary files: machine and process, since folders are shared by machines."""
    return f"{re.sub('[^A-Za-z0-9]', '_', socket.gethostname())[:40]}-{os.getpid()}"


def is_dead(who: str) -> bool:
    """Whether the process that `owner` (or a process number alone, as earlier versions wrote) names is known to have
    ended.

    False of another machine's, and where that cannot be found out.
    """
    host, _, process = who.rpartition("-")
    if not process.isdecimal() or host not in ("", owner().rpartition("-")[0]) or os.name != "posix":
        return False
    if int(process) == os.getpid():
        return False
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # A process of another user.
        return False
    return False


def remove_leftovers(folder: str | os.PathLike[str], prefix: str = "") -> list[str]:
    """Deletes unfinished files, or folders named `<prefix><owner>`, of processes that have ended; returns their names.

    Args:
        prefix: of hidden folders, such as ".exporting-"; empty: the unfinished files of `partial`.
    """
    removed = []
    with contextlib.suppress(OSError):  # A folder that cannot be listed keeps them.
        for path in list(Path(folder).iterdir()):
            who = path.name.removeprefix(prefix) if prefix else path.name.rpartition(_MARK)[2]
            if (
                not path.name.startswith(prefix or ".")
                or who == path.name
                or not (prefix or "-" in who)
                or not is_dead(who)
            ):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            removed.append(path.name)
    return removed


def exchange(new: str | os.PathLike[str], old: str | os.PathLike[str]) -> bool:
    """Lets two paths of one file system change places, in one step.

    Returns:
        False where the system or the file system cannot; nothing is changed then.

    Raises:
        OSError: it could, and failed.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if rename is None:
        return False
    here, both = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if rename(here, os.fsencode(new), here, os.fsencode(old), both) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), os.fspath(old))


def unpublished(folder: str | os.PathLike[str]) -> str | None:
    """What is wrong with a folder whose parts were being replaced when that was stopped; None where nothing is. Waits
    for one who is at it."""
    marker, deadline = Path(folder) / PUBLISHING, time.monotonic() + _PATIENCE
    while marker.exists():
        try:
            who = marker.read_text(encoding="utf-8").strip()
        except OSError:
            continue  # It has just gone, or another look says why not.
        if is_dead(who) or time.monotonic() > deadline:
            return (
                f"{os.fspath(folder)}: an export into it was stopped among its renames, so its parts may be of two"
                " exports; export into it again"
            )
        time.sleep(0.02)
    return None


@contextlib.contextmanager
def undivided() -> Iterator[None]:
    """Inside, requests to stop (Ctrl-C, SIGTERM, SIGHUP) wait: for a few renames that belong together. A kill -9 does
    not."""
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread only.
        yield
        return
    noted: list[int] = []
    numbers = [
        number for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None)) if number is not None
    ]
    before = {number: signal.getsignal(number) for number in numbers}
    before = {
        number: handler for number, handler in before.items() if handler is not None and handler is not signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, lambda number, frame: noted.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if noted:
            signal.raise_signal(noted[0])


def reason(error: BaseException) -> str:
    """Why something could not be written or read, in a few words without the names of TensorFlow's operations."""
    number = getattr(error, "errno", None)
    if number in _REASONS:
        return _REASONS[number]
    text = str(getattr(error, "strerror", None) or getattr(error, "message", None) or error)
    found = _reason_in(text)
    if found:
        return found
    return (text if isinstance(error, OSError) else first_line(error)).partition("\n")[0][:200] or type(error).__name__


def explain(error: BaseException) -> str | None:
    """`path: reason`, where an error of Python or TensorFlow is about the place of a file (full, read-only, too long a
    name); None of any other."""
    if isinstance(error, OSError):
        if error.errno not in _REASONS:
            return None
        name = error.filename if error.filename is not None else ""
        return f"{os.fsdecode(name) if isinstance(name, str | bytes) else name}: {_REASONS[error.errno]}".removeprefix(
            ": "
        )
    text = str(getattr(error, "message", ""))
    found = _reason_in(text) if text else None
    if found is None:
        return None
    path = re.search(r"(?:^|[\s'\"])(/[^\s;:'\"]+)", text)
    return f"{path[1]}: {found}" if path else found


def _reason_in(text: str) -> str | None:
    return next((reason for words, reason in _WORDS.items() if words in text.lower()), None)
