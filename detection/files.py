"""Atomic writing of files and folders, removal of temporary files of killed processes, and reasons of system errors.

Text is written to a hidden temporary file in the same folder and renamed. Readers see the old text or the new text,
never a part of it, even if two processes write the same file. The temporary name identifies the process, so that the
next writer can remove what a killed process left behind.
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

PUBLISHING = ".publishing"  # marker file in a folder whose parts are being replaced; holds the process that does it
_MARK = ".tmp-"
_PUBLISHING_SECONDS = 5.0  # that a reader waits for another process to replace a folder's parts (takes milliseconds)
_PIPE_SECONDS = 10.0  # that a reader waits for data in a pipe
_LONGEST_NAME = 255  # bytes, on every usual file system
# Messages of errors that are caused by the place of a file, not by the program.
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
# TensorFlow's errors have no number, only the message of the C library.
_REASONS_BY_MESSAGE = {os.strerror(number).lower(): reason for number, reason in _REASONS.items()}
_cleaned_folders: set[str] = set()  # folders in which this process has already removed leftovers


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replaces the file at `path` atomically.

    Args:
        path: the file; its folder must exist.
        text: written as UTF-8; file names in it that are not valid UTF-8 keep their bytes.

    Raises:
        OSError: the file is unchanged and no temporary file remains; the error's `filename` is `path`.
    """
    target = Path(path)
    if os.fspath(target.parent) not in _cleaned_folders:
        _cleaned_folders.add(os.fspath(target.parent))
        remove_leftovers(target.parent)
    unfinished = partial(target)
    try:
        with unfinished.open("w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(text)
            stream.flush()
            # Without fsync before the rename, the file can be empty after a power cut.
            os.fsync(stream.fileno())
        os.replace(unfinished, target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether `path` exists and is neither a file nor a folder: a device (may be endless) or a pipe (readable once)."""
    try:
        kind = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Reads a whole file, or a whole pipe such as a shell's `<(...)`.

    Raises:
        OSError: the file cannot be read, is a device, or is a pipe to which nothing is written for 10 seconds.
        ValueError: the name has a null character.
    """
    if not is_special(path):
        return Path(path).read_bytes()
    if not stat.S_ISFIFO(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "is a device or socket, not a file", os.fspath(path))
    parts: list[bytes] = []
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as stream:
        while select.select([stream], [], [], _PIPE_SECONDS)[0]:
            part = stream.read(1 << 20)
            if not part:
                return b"".join(parts)
            parts.append(part)
    raise OSError(
        errno.EINVAL,
        f"is a pipe to which nothing was written for {_PIPE_SECONDS:g} seconds; name a file",
        os.fspath(path),
    )


def partial(target: Path) -> Path:
    """Hidden temporary path in the same folder, to which this process writes before it renames to `target`."""
    name = f".{target.name}{_MARK}{owner()}"
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f".{zlib.crc32(os.fsencode(target.name)):08x}{_MARK}{owner()}"
    return target.with_name(name)


def owner() -> str:
    """Identifies this process in names of temporary files: host and process id, since folders are shared by hosts."""
    return f"{re.sub('[^A-Za-z0-9]', '_', socket.gethostname())[:40]}-{os.getpid()}"


def is_dead(owner_id: str) -> bool:
    """Whether a process is known to have ended.

    Args:
        owner_id: as `owner` returns it, or a process id alone, as earlier versions wrote it.

    Returns:
        False also for a process of another host and if its state cannot be found out.
    """
    host, _, process = owner_id.rpartition("-")
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
    """Deletes temporary files or folders of processes that have ended.

    Args:
        folder: searched, without its subfolders; one that cannot be listed is skipped.
        prefix: deletes hidden folders named `<prefix><owner>`, such as ".exporting-<owner>"; if empty, deletes the
            temporary files of `partial`.

    Returns:
        The deleted names.
    """
    removed = []
    with contextlib.suppress(OSError):
        for path in list(Path(folder).iterdir()):
            owner_id = path.name.removeprefix(prefix) if prefix else path.name.rpartition(_MARK)[2]
            if (
                not path.name.startswith(prefix or ".")
                or owner_id == path.name
                or not (prefix or "-" in owner_id)
                or not is_dead(owner_id)
            ):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            removed.append(path.name)
    return removed


def exchange(new: str | os.PathLike[str], old: str | os.PathLike[str]) -> bool:
    """Exchanges two paths of one file system atomically.

    Returns:
        False, with nothing changed, if the operating system or the file system does not support it.

    Raises:
        OSError: the exchange is supported but failed.
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


def interrupted_export(folder: str | os.PathLike[str]) -> str | None:
    """Error message if an export into `folder` was interrupted while it replaced files; None if the folder is complete.

    Waits a few seconds for an export that is replacing files right now.
    """
    marker, deadline = Path(folder) / PUBLISHING, time.monotonic() + _PUBLISHING_SECONDS
    while marker.exists():
        try:
            owner_id = marker.read_text(encoding="utf-8").strip()
        except OSError:
            continue  # The marker was removed since `exists`; check again.
        if is_dead(owner_id) or time.monotonic() > deadline:
            return (
                f"{os.fspath(folder)}: an export into it was interrupted while it replaced files, so they may come from"
                " two exports; export into it again"
            )
        time.sleep(0.02)
    return None


@contextlib.contextmanager
def deferred_signals() -> Iterator[None]:
    """Defers Ctrl-C, SIGTERM and SIGHUP to the end of the block, for a few renames that belong together."""
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread only.
        yield
        return
    received: list[int] = []
    numbers = [
        number for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None)) if number is not None
    ]
    before = {number: signal.getsignal(number) for number in numbers}
    before = {
        number: handler for number, handler in before.items() if handler is not None and handler is not signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, lambda number, frame: received.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


def reason(error: BaseException) -> str:
    """Short reason why something could not be written or read, without the names of TensorFlow ops."""
    number = getattr(error, "errno", None)
    if number in _REASONS:
        return _REASONS[number]
    text = str(getattr(error, "strerror", None) or getattr(error, "message", None) or error)
    found = _reason_in(text)
    if found:
        return found
    return (text if isinstance(error, OSError) else first_line(error)).partition("\n")[0][:200] or type(error).__name__


def explain(error: BaseException) -> str | None:
    """`path: reason` of a Python or TensorFlow error caused by a file's place; None for other errors.

    Such causes are a full disk, a read-only file system or a name that is too long.
    """
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
    return next((reason for message, reason in _REASONS_BY_MESSAGE.items() if message in text.lower()), None)
