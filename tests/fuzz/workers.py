"""Inputs run in forked processes with limits; a process that dies, hangs or grows is attributed to its input, and the
next goes on behind it."""

from __future__ import annotations

import contextlib
import json
import mmap
import multiprocessing
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

_CPU_SECONDS, _WALL_SECONDS = 20.0, 240.0  # of one input, before its process is ended
_SLOW = 8.0  # CPU seconds of one input that are a failure by themselves
_GROWTH = 1 << 30  # bytes of resident memory that one input may add
_ADDRESSES = 6 << 30  # bytes of address space beyond what the process has when it starts
_BATCH = 100  # inputs between two reports of a process
_TICK = struct.Struct("qdd")  # number of the input, the process's CPU seconds and the system's clock when it began


class Failure(NamedTuple):
    """An input after which something else came than what is documented."""

    number: int
    kind: str  # the exception's type, memory, slow, stuck, or the signal
    place: str  # last line of the project in its traceback
    detail: str


class Done(NamedTuple):
    """What became of a range of inputs."""

    outcomes: Counter[str]
    failures: list[Failure]
    inputs: int
    seconds: float


Run = Callable[[int], str]  # number of an input -> what came out, by name; raises where that is not documented


def run_range(prepare: Callable[[Path], Run], start: int, end: int, deadline: float) -> Done:
    """Runs inputs number `start` to `end`, until `deadline` (time.monotonic) at the latest.

    Args:
        prepare: called in each new process with a folder of its own.
    """
    outcomes: Counter[str] = Counter()
    failures: list[Failure] = []
    begun, place = time.monotonic(), start
    while place < end and time.monotonic() < deadline:
        for part in _process(prepare, place, end, deadline):
            if isinstance(part, Failure):
                failures.append(part)
                outcomes[f"FAILED: {part.kind}"] += 1
                place = part.number + 1
            else:
                place, counts, found = part
                outcomes.update(counts)
                failures += found
    return Done(outcomes, failures, place - start, time.monotonic() - begun)


def _process(
    prepare: Callable[[Path], Run], start: int, end: int, deadline: float
) -> Iterator[tuple[int, dict[str, int], list[Failure]] | Failure]:
    """Reports of one process, (first input not yet run, outcomes, failures); a failure is what it died of."""
    shared = mmap.mmap(-1, _TICK.size)
    _TICK.pack_into(shared, 0, -1, 0.0, 0.0)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    receive, send = multiprocessing.Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        _child(prepare, start, end, deadline, shared, folder, send)
    send.close()
    reported, killed_for = start, ""
    try:
        while True:
            if receive.poll(0.5):
                try:
                    reported, counts, found = receive.recv()
                except EOFError:
                    break
                yield reported, counts, [Failure(*failure) for failure in found]
                continue
            killed_for = killed_for or _overdue(pid, shared)
            if killed_for:
                os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        pid = 0
        number, *_ = _TICK.unpack_from(shared, 0)
        if status and reported < end:
            said = (folder / "stderr").read_text(errors="replace")[-2000:] if (folder / "stderr").exists() else ""
            why = killed_for or (
                f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
            )
            if number < start:
                raise RuntimeError(f"a process died before its first input: {why}\n{said}")
            # An input that was reported while its process was being ended for it is done, and a failure all the same.
            # What was run since the last report is run again, up to the one it died of.
            yield from _process(prepare, reported, number, float("inf")) if number > reported else ()
            yield Failure(number, why, why, said)
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        receive.close()
        shutil.rmtree(folder, ignore_errors=True)


def _overdue(pid: int, shared: mmap.mmap) -> str:
    """Why a process is to be ended, or nothing."""
    number, begun, since = _TICK.unpack_from(shared, 0)
    if number < 0:
        return ""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return ""
    return "stuck" if cpu - begun > _CPU_SECONDS or time.monotonic() - since > _WALL_SECONDS else ""


def _child(prepare, start: int, end: int, deadline: float, shared: mmap.mmap, folder: Path, send) -> None:
    """Never returns."""
    code = 1
    try:
        os.chdir(folder)
        with open("stderr", "wb") as stream:
            os.dup2(stream.fileno(), 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        run = prepare(folder)
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + _ADDRESSES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        _work(run, start, end, deadline, shared, send)
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(code)


def _work(run: Run, start: int, end: int, deadline: float, shared: mmap.mmap, send) -> None:
    counts: Counter[str] = Counter()
    failures: list[tuple] = []
    peak = _peak()
    for number in range(start, end):
        begun = time.process_time()
        _TICK.pack_into(shared, 0, number, begun, time.monotonic())
        try:
            outcome = run(number)
        except Exception as error:
            failures.append((number, *_described(error)))
            outcome = f"FAILED: {failures[-1][1]}"
        took, now = time.process_time() - begun, _peak()
        if took > _SLOW or now - peak > _GROWTH:
            kind = "slow" if took > _SLOW else "memory"
            failures.append((number, kind, kind, f"{took:.1f} s of CPU, {(now - peak) >> 20} MiB more"))
            outcome = f"FAILED: {kind}"
        peak = max(peak, now)
        counts[outcome] += 1
        over = time.monotonic() > deadline
        if (number + 1 - start) % _BATCH == 0 or number + 1 == end or over:
            send.send((number + 1, dict(counts), failures))
            counts, failures = Counter(), []
        if over:
            return


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _described(error: Exception) -> tuple[str, str, str]:
    """Type, last place of the project, and the whole traceback of what nothing is documented of."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/detection/" in frame.filename]
    frame = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
    text = "".join(traceback.format_exception(error))
    return (
        type(error).__name__,
        f"{Path(frame.filename).name}:{frame.name}",
        text if len(text) < 6000 else f"{text[:2000]}\n...\n{text[-4000:]}",
    )


def keep(folder: Path, reader: str, failure: Failure, data: bytes) -> Path:
    """Writes an input and what is known of it; returns the input's path."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(parents=True)
    path = folder / f"{reader}-{failure.number}.bin"
    path.write_bytes(data)
    path.with_suffix(".txt").write_text(
        json.dumps(failure._replace(detail="")._asdict()) + "\n" + failure.detail, encoding="utf-8", errors="replace"
    )
    return path
