"""A disk that is really full: a file system of one MiB in memory, where that may be mounted; else a limit on the size
of files."""

from __future__ import annotations

import dataclasses
import io
import os
import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from detection import files
from detection.checkpoints import checkpoint_files, rotation
from detection.data.record_writer import ShardedWriter
from detection.errors import ConfigError, DetectionError
from detection.evaluate import stored
from detection.evaluate.evaluator import ImageDetections
from detection.export.saved_model import write_atomically
from detection.train import loop
from detection.train import run as training_run
from detection.train.options import RunOptions
from detection.train.summaries import Summaries
from tests.helpers.tiny import make_pipeline

_FULL = "no space left on device"


class Disk:
    """A small one, which can be filled and emptied."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._ballast = folder, folder / "ballast"

    def fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as stream:
            try:
                while stream.write(bytes(4096)):
                    continue
            except OSError as error:
                assert error.strerror == "No space left on device"

    def empty(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a file system")
    yield Disk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_training_keeps_the_last_good_checkpoint_and_goes_on_when_there_is_room(tmp_path, disk, caplog):
    pipeline = dataclasses.replace(make_pipeline(tmp_path), eval_inputs=())
    options, run = RunOptions(checkpoint_every=2, log_every=2, seed=5), disk.folder / "run"
    original = training_run.Run._make_step

    def step(self):
        original(self)
        if self.step_number == 3:
            disk.fill()

    with pytest.MonkeyPatch.context() as patch, pytest.raises(ConfigError) as raised:
        patch.setattr(training_run.Run, "_make_step", step)
        loop.train(pipeline, run, options=options, stream=io.StringIO())
    assert raised.value.exit_code == 2
    assert (
        str(raised.value)
        == f"{run}/model.ckpt-6: cannot be saved: {_FULL}; the last checkpoint is {run}/model.ckpt-2; make room and"
        " start again"
    )
    assert (
        f"{run}/model.ckpt-4: cannot be saved: {_FULL}; the last checkpoint is {run}/model.ckpt-2; training continues"
        in caplog.text
    )
    assert rotation.steps_in(run) == [2] and checkpoint_files.read(run / "model.ckpt-2")["global_step"] == 2
    with pytest.raises(
        ConfigError, match=f"{run}.*: .*{_FULL}.*; "
    ):  # Which file comes to grief depends on what is left of the last block.
        loop.train(pipeline, run, options=options, stream=io.StringIO())
    disk.empty()
    loop.train(pipeline, run, options=options, stream=io.StringIO())
    loop.train(pipeline, tmp_path / "whole", options=options, stream=io.StringIO())
    ours, whole = (checkpoint_files.read(folder / "model.ckpt-6") for folder in (run, tmp_path / "whole"))
    assert all(np.array_equal(ours[name], value) for name, value in whole.items())


def test_events_cost_a_warning(disk, caplog):
    summaries = Summaries(disk.folder / "train")
    disk.fill()
    for step in range(200):
        summaries.scalars(step, {f"a/{number}": 1.0 for number in range(50)})
    summaries.close()
    assert caplog.text.count("cannot write summaries") == 1 and f"({_FULL}); continuing without" in caplog.text


def test_what_is_written_by_other_commands_is_an_error_with_its_path(disk):
    big = os.urandom(2 << 20)  # Does not become smaller by compression.

    def export(folder: Path) -> None:
        with tf.io.gfile.GFile(str(folder / "saved_model"), "wb") as stream:
            stream.write(big)

    def records() -> None:
        with ShardedWriter(disk.folder / "a.record", 1) as writer:
            writer.write(big, image=type("Image", (), {"boxes": ()}))

    def detections() -> None:
        boxes = np.random.default_rng(0).uniform(size=(60_000, 4)).astype(np.float32)
        many = ImageDetections(boxes, boxes[:, 0], np.zeros(len(boxes), np.int64))
        stored.write(disk.folder / "found.npz", stored.collect([("1", (9, 9), many)]))

    acts = {
        "--output_directory": lambda: write_atomically(disk.folder / "export", export),
        "a.record": records,
        "report.json": lambda: files.write_text(disk.folder / "report.json", "x" * (2 << 20)),
        "found.npz": detections,
        "model.ckpt-1": lambda: checkpoint_files.write(
            disk.folder / "model.ckpt-1", {"w": np.frombuffer(big, np.uint8)}
        ),
    }
    for name, act in acts.items():
        with pytest.raises((DetectionError, OSError)) as raised:
            act()
        said = (
            str(raised.value)
            if isinstance(raised.value, DetectionError)
            else files.explain(raised.value) or str(raised.value)
        )
        assert _FULL in said and "{{" not in said and getattr(raised.value, "exit_code", 2) == 2, said
        assert name in said or name == "found.npz", said
        assert not list(disk.folder.iterdir()), name


def test_a_limit_on_the_size_of_files_is_told_as_one(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError) as raised:
            files.write_text(tmp_path / "report.json", "x" * 100_000)
        with pytest.raises(OSError, match=r"model.ckpt-1: cannot be saved: file too large for the limit"):
            checkpoint_files.write(tmp_path / "model.ckpt-1", {"w": np.zeros(100_000, np.float32)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (
        files.explain(raised.value)
        == f"{tmp_path}/report.json: file too large for the limit of this process or file system"
    )
    assert not os.listdir(tmp_path)
