"""The stages of a sweep as forks of a process that has imported TensorFlow, where a new interpreter takes four seconds
for that."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator

import pytest

from detection.sweep import process
from tests.helpers import forked


class Fork:
    """What `process.Running` needs of the process of a stage; as a fork it need not import TensorFlow."""

    def __init__(self, server: forked.Server, running: process.Running) -> None:
        pipe, log, job = running.stage.folder / "stdin", running.stage.log, running.stage.folder / "job.json"
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
        self.stdin = os.fdopen(os.open(pipe, os.O_RDWR), "wb")
        self._program = server.start(["-c", _WORKER, json.dumps(running._environment), pipe, log, job])
        self.pid, self.poll = self._program.pid, self._program.poll


_WORKER = """
import json, os, sys
os.setsid()
environment, pipe, log, job = sys.argv[1:]
os.environ |= json.loads(environment)
os.dup2(os.open(pipe, os.O_RDONLY), 0)
said = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.dup2(said, 1)
os.dup2(said, 2)
from detection.sweep import worker
sys.exit(worker.main(job))
"""


@contextlib.contextmanager
def forked_stages(server: forked.Server) -> Iterator[None]:
    """Sweeps of this process have their stages in forks."""

    def start(running: process.Running) -> None:
        running.started, running._process = time.monotonic(), Fork(server, running)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process.Running, "_start", start)
        yield
