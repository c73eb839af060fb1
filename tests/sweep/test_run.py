"""A sweep as its users run it: real processes on a tiny drawn data set. What fails is a row; what is killed goes on;
nothing is done twice."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from detection.config import sweep_file
from detection.data import synthetic_set
from detection.errors import ConfigError, DataError
from detection.sweep import grid, process, results, run
from detection.sweep.results import SweepRow
from tests.helpers import commands, small_ssd
from tests.helpers.forked_stages import forked_stages

ROOT = Path(__file__).resolve().parents[2]
SSD = (
    small_ssd.model(48, 64, 20)
    + """
train_config {
  batch_size: 2 num_steps: 60
  optimizer { momentum_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.01 } } }
    use_moving_average: false }
}
train_input_reader { tf_record_input_reader { input_path: "DATA/train.record-*" } label_map_path:
  "DATA/label_map.pbtxt" }
eval_config { num_visualizations: 0 batch_size: 4 }
eval_input_reader { tf_record_input_reader { input_path: "DATA/val.record-*" } label_map_path: "DATA/label_map.pbtxt"
  shuffle: false }
"""
)
GRID = """
bases { name: "ssd" config: "ssd.config" }
axes { name: "detections" prefix: "d" shares_weights: true
       values { name: "20" } values { name: "5" set: "max_total_detections=5" set: "max_detections_per_class=5" } }
training { checkpoint_every_n: 5 deterministic: true }
evaluation {}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    synthetic_set.make(folder, {"train": 6, "val": 4}, 0, sizes=((96, 72),))
    return folder


@pytest.fixture
def write(tmp_path, data) -> Callable[[str, str], Path]:
    def write(text: str = GRID, config: str = SSD) -> Path:
        (tmp_path / "ssd.config").write_text(config.replace("DATA", str(data)), encoding="utf-8")
        path = tmp_path / "my.pbtxt"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def sweep(path: Path, output: Path, settings: tuple[str, ...] = (), **options) -> tuple[list[SweepRow], str]:
    """In this process, its stages in theirs."""
    description, told = sweep_file.load(path), io.StringIO()
    timing_only = options.pop("timing_only", False)
    configurations = grid.expand(description, settings, timing_only=timing_only)
    return run.run(description, configurations, output, run.SweepOptions(**options), told), told.getvalue()


def script(path: Path, output: Path, *flags: str) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "scripts" / "sweep.py"), f"--grid={path}", f"--output={output}", *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} seconds"
        time.sleep(0.02)


def workers(folder: Path) -> list[int]:
    """Processes whose command line names the folder, but for the sweep itself."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().decode(errors="replace")
            if "detection.sweep.worker" in words and str(folder) in words:
                found.append(int(entry.parent.name))
    return found


def comparable(rows: list[SweepRow]) -> list[dict]:
    """Rows without what a clock or a folder's name decides."""
    own = dict.fromkeys(("exporting", "measuring", "evaluating"))
    return [{**json.loads(row.to_json()), "command": "", "train": {**row.train, "seconds": 0}, **own} for row in rows]


def test_photographs_are_looked_for_before_anything_is_trained(write, tmp_path):
    path = write(GRID + f'benchmark {{ images: "{tmp_path}/photographs/*.jpg" }}')
    with pytest.raises(DataError, match=r"photographs/\*\.jpg: no such image, folder or pattern"):
        sweep(path, tmp_path / "swept")
    assert not (tmp_path / "swept" / "models").exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes through /proc")
def test_killed_twice_it_ends_with_the_same_rows(command, server, write, tmp_path):
    """kill -9 of the sweep in the middle of a training, and again in the middle of measuring."""
    path, whole, broken = write(), tmp_path / "whole", tmp_path / "broken"
    with forked_stages(server):
        expected, _ = sweep(path, whole)
    assert [row.status for row in expected] == ["done", "done"] and [row.id for row in expected] == [
        "ssd-d20",
        "ssd-d5",
    ]
    assert (
        expected[0].train["weights_of"] is None
        and expected[1].train["weights_of"] == "ssd-d20"
        and expected[0].images_evaluated == 4
    )
    assert expected[0].train["steps"] == 60 and expected[1].train["model_dir"] == expected[0].train["model_dir"]

    first = script(path, broken)
    wait_for(lambda: any(broken.glob("models/*/model.ckpt-*.index")), "the first checkpoint")
    first.send_signal(signal.SIGKILL)
    first.wait()
    wait_for(lambda: not workers(broken), "the end of the orphan")
    assert not (broken / "results.jsonl").exists()

    second = script(path, broken)
    wait_for(lambda: (broken / "results.jsonl").exists() and bool(workers(broken)), "the first row and the next worker")
    second.send_signal(signal.SIGKILL)
    second.wait()
    wait_for(lambda: not workers(broken), "the end of the orphan")
    log = (broken / "logs" / "ssd-d20.log").read_text()
    assert "resuming from" in log, "the training was resumed, not begun again"
    assert [row.id for row in results.read(broken)] == ["ssd-d20"]

    third = script(path, broken)
    said = third.communicate(timeout=600)[0]
    assert third.returncode == 0, said
    assert "2 configurations, 1 of them already done; 1 to do" in said
    assert comparable(results.read(broken)) == comparable(expected)
    assert not list((broken / ".work").iterdir())

    again = command("sweep.py", f"--grid={path}", f"--output={broken}")  # Nothing is left to do, and nothing is done.
    assert "0 to do" in again.out + again.err and again.code == 0
    assert len((broken / "results.jsonl").read_text().splitlines()) == 2


@pytest.mark.slow
def test_timed_with_random_weights(server, write, tmp_path):
    text = GRID.replace("evaluation {}", "evaluation {} benchmark { num_images: 3 warmup: 1 }")
    with forked_stages(server):
        rows, said = sweep(write(text), tmp_path / "out", timing_only=True, jobs=2)
    assert [row.status for row in rows] == ["done", "done"], said
    assert all(
        row.train is None and row.metrics == {} and row.benchmark["size"] == 48 and row.milliseconds > 0 for row in rows
    )
    assert rows[0].benchmark["detections"] > rows[1].benchmark["detections"] == 5
    assert "random weights" in said and "2 done, 0 failed" in said and "[2/2]" in said
    other = tmp_path / "out" / "results.jsonl"
    other.write_text(other.read_text().replace(rows[0].device, "another machine"), encoding="utf-8")
    with pytest.raises(ConfigError, match="contains times of another machine, but this is"):
        sweep(write(text), tmp_path / "out", ("max_total_detections=7", "max_detections_per_class=7"), timing_only=True)


class Instant:
    """A process that has done its work at once, as sweeps see it; which began, and which of them alone."""

    begun: list[str] = []

    def __init__(self, stage: process.Stage, *_: object) -> None:
        self.begun.append(stage.label + " alone" * stage.alone)
        self.stage, self.started, self.stopping = stage, time.monotonic(), False

    def poll(self) -> process.Outcome:
        job, found = self.stage.job, {}
        if job["stage"] == "train":
            Path(job["result"]).write_text(
                '{"train": {"steps": 1, "seconds": 1.0}, "metrics": {}, "images": 4}', encoding="utf-8"
            )
        elif job["stage"] == "measure":
            found = {"benchmark": {"milliseconds": {"end_to_end": {"median": 1.0}}}}
        elif job["stage"] == "evaluate":
            found = {"metrics": {}, "images": 4}
        return process.Outcome(found)


@pytest.fixture
def begun(monkeypatch) -> list[str]:
    monkeypatch.setattr(run, "Running", Instant)
    monkeypatch.setattr(Instant, "begun", [])
    return Instant.begun


def three(change: str) -> str:
    values = " ".join(f"values {{ name: '{number}' set: '{change}=0.{number}' }}" for number in (1, 2, 3))
    return f"bases {{ name: 'ssd' config: 'ssd.config' }} axes {{ name: 'd' prefix: 'd' {values} }} benchmark {{}}"


def test_a_few_are_exported_together_then_timed_one_after_the_other(write, tmp_path, begun):
    """Three configurations, two at a time: the order of the stages, and what each ran beside."""
    rows, _ = sweep(write(three("iou_threshold")), tmp_path / "out", timing_only=True, jobs=2)
    assert [row.status for row in rows] == ["done"] * 3
    assert begun == [
        *[f"exporting ssd-d{number}" for number in (1, 2)],
        *[f"measuring ssd-d{number} alone" for number in (1, 2)],
        "exporting ssd-d3",
        "measuring ssd-d3 alone",
    ]


def test_trainings_go_before_what_is_timed_and_evaluations_wait_for_it(write, tmp_path, begun):
    few = "values { name: '20' } values { name: '5' set: 'max_total_detections=5' set: 'max_detections_per_class=5' }"
    text = three("iou_threshold").replace(
        "benchmark {}", f"axes {{ name: 'n' prefix: 'n' shares_weights: true {few} }} benchmark {{}}"
    )
    rows, _ = sweep(write(f"{text} training {{}} evaluation {{}}"), tmp_path / "out", jobs=2)
    assert [row.status for row in rows] == ["done"] * 6
    assert begun[:3] == [f"training ssd-d{number}-n20" for number in (1, 2, 3)]
    assert begun[3:7] == [
        "exporting ssd-d1-n20",
        "exporting ssd-d2-n20",
        "measuring ssd-d1-n20 alone",
        "measuring ssd-d2-n20 alone",
    ]
    assert sorted(name for name in begun if name.startswith("evaluating")) == [
        f"evaluating ssd-d{number}-n5" for number in (1, 2, 3)
    ]
    for number in (1, 2, 3):
        assert begun.index(f"measuring ssd-d{number}-n5 alone") < begun.index(f"evaluating ssd-d{number}-n5")


def test_cores_are_shared_by_what_runs_at_a_time(monkeypatch):
    """Threads for each of two on five cores; all of them for what is timed, and as the user or reproducibility
    wants."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(5)), raising=False)
    threads = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    for name in threads:
        monkeypatch.delenv(name, raising=False)
    training = process.Stage({"stage": "train"}, Path(), Path())
    alone, exact = (
        dataclasses.replace(training, **one)
        for one in ({"alone": True}, {"job": {"stage": "train", "deterministic": True}})
    )
    seen = process.stage_environment(training, 2)
    assert {name: seen[name] for name in threads} == dict.fromkeys(threads, "2") and process.stage_environment(
        training, 8
    )[threads[0]] == "1"
    assert process.stage_environment(training, 1) == {}
    assert not set(threads) & (set(process.stage_environment(alone, 2)) | set(process.stage_environment(exact, 2)))
    monkeypatch.setenv(threads[0], "3")
    assert set(process.stage_environment(training, 2)) & set(threads) == {threads[1]}


def test_each_stage_has_the_limit_of_its_own(write, tmp_path, begun, monkeypatch):
    """A limit for timing holds where evaluation has none."""
    limits: dict[str, float] = {}
    poll = Instant.poll

    def noted(self) -> process.Outcome:
        limits[self.stage.job["stage"]] = self.stage.time_limit
        return poll(self)

    monkeypatch.setattr(Instant, "poll", noted)
    few = "values { name: '20' } values { name: '5' set: 'max_total_detections=5' set: 'max_detections_per_class=5' }"
    axis = f"bases {{ name: 'ssd' config: 'ssd.config' }} axes {{ name: 'n' prefix: 'n' shares_weights: true {few} }}"
    sweep(write(f"{axis} training {{}} evaluation {{}} benchmark {{ time_limit_seconds: 300 }}"), tmp_path / "out")
    assert limits == {"train": 0, "export": 300, "measure": 300, "evaluate": 0}


def test_times_of_another_machine_do_not_stay_in_the_way(write, tmp_path, begun, monkeypatch):
    """A folder that was moved: what this machine found is refused and forgotten, so that the sweep can go on where it
    was begun."""
    path, output, device = write(three("iou_threshold")), tmp_path / "out", ["first"]

    def poll(self) -> process.Outcome:
        timed = {"benchmark": {"device": device[0], "milliseconds": {"end_to_end": {"median": 1.0}}}}
        found = timed if self.stage.job["stage"] == "measure" else {}
        self.stage.folder.mkdir(parents=True, exist_ok=True)
        Path(self.stage.job["result"]).write_text(json.dumps(found), encoding="utf-8")
        return process.Outcome(found)

    monkeypatch.setattr(Instant, "poll", poll)
    monkeypatch.setattr(Instant, "kill", lambda self: None, raising=False)
    description = sweep_file.load(path)
    one, *others = grid.expand(description, timing_only=True)
    run.run(description, [one], output, run.SweepOptions(), io.StringIO())
    device[0] = "second"
    with pytest.raises(ConfigError, match="contains times of first, but this is second"):
        run.run(description, [one, *others], output, run.SweepOptions(), io.StringIO())
    device[0] = "first"
    assert [row.device for row in run.run(description, [one, *others], output, run.SweepOptions(), io.StringIO())] == [
        "first"
    ] * 3


def test_exports_of_a_grid_that_has_changed_are_removed(write, tmp_path, begun):
    left = tmp_path / "out" / ".work" / "another.12345678" / "saved_model"
    left.mkdir(parents=True)
    sweep(write(three("iou_threshold")), tmp_path / "out", timing_only=True)
    assert not left.exists()


def test_what_fails_is_a_row_with_its_reason(server, write, tmp_path):
    """A checkpoint that is not there, and a combination that the checker refuses."""
    bases = (
        'bases { name: "lost" config: "ssd.config" checkpoint: "CKPT" } bases { name: "wrong" config: "ssd.config"'
        ' checkpoint: "CKPT" }'
    )
    wrong = (
        ' axes { name: "a" when { axis: "base" any_of: "wrong" } values { name: "b" set: "iou_threshold=2" } }'
        " evaluation {}"
    )
    path, output = write(bases.replace("CKPT", str(tmp_path / "none" / "model.ckpt")) + wrong), tmp_path / "out"
    with forked_stages(server):
        rows, said = sweep(path, output)
    assert [(row.id, row.status) for row in rows] == [
        ("lost", "failed"),
        ("wrong-b", "failed"),
    ] and "0 done, 2 failed" in said
    assert (
        "model.ckpt" in rows[0].reason and "\n" not in rows[0].reason and "iou_threshold (2) must be" in rows[1].reason
    )
    assert (output / rows[0].config).read_text() == next(iter(grid.expand(sweep_file.load(path)))).text
    _, said = sweep(path, output)
    assert "0 to do" in said and len((output / "results.jsonl").read_text().splitlines()) == 2


def test_what_failed_is_tried_again_when_asked_to(write, tmp_path):
    path = write(GRID, SSD.replace("max_detections_per_class: 20", "max_detections_per_class: 20 iou_threshold: 2"))
    rows, _ = sweep(path, tmp_path / "out")
    assert [row.status for row in rows] == ["failed"] * 2
    _, said = sweep(path, tmp_path / "out", retry_failed=True)
    assert (
        "2 to do" in said
        and len(results.read(tmp_path / "out")) == 2
        and len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 4
    )


@pytest.mark.parametrize(
    ("options", "limit", "reason"),
    [
        ({}, 1, "timed out: exporting ssd-d20 took more than 1 seconds"),
        ({"memory_gib": 0.01}, 0, "out of memory: exporting ssd-d20 used .* GiB, more than --memory_gib=0.01"),
    ],
)
def test_limits_are_held(write, tmp_path, options, limit, reason):
    bases = "bases { name: 'ssd' config: 'ssd.config' } axes { name: 'd' prefix: 'd' values { name: '20' } }"
    text = f"{bases} benchmark {{ time_limit_seconds: {limit} }}"
    rows, _ = sweep(write(text), tmp_path / "out", timing_only=True, **options)
    (row,) = rows
    assert row.status == "failed"
    assert re.fullmatch(reason, row.reason), row.reason


def stage(tmp_path: Path) -> process.Stage:
    job = {
        "stage": "evaluate",
        "result": str(tmp_path / "r.json"),
        "config": "none",
        "checkpoint": None,
        "eval_dir": "",
    }
    return process.Stage(job, tmp_path / "work", tmp_path / "a.log", label="measuring it")


def outcome_of(running: process.Running) -> process.Outcome:
    outcome = None
    while outcome is None:
        outcome = running.poll()
        time.sleep(0.02)
    return outcome


def test_a_killed_process_is_told_as_such(tmp_path):
    running = process.Running(stage(tmp_path))
    os.kill(running.pid, signal.SIGKILL)
    assert "was killed by signal 9; the operating system does that when memory" in outcome_of(running).reason
    running = process.Running(stage(tmp_path))
    os.kill(running.pid, signal.SIGABRT)
    assert "measuring it was ended by signal 6" in outcome_of(running).reason and "a.log" in outcome_of(running).reason


def test_missing_data_is_told_before_anything_runs(write, tmp_path):
    path = write(GRID, SSD.replace("train.record", "lost.record"))
    with pytest.raises(ConfigError, match="train_input_reader.*lost.record"):
        sweep(path, tmp_path / "out")
    assert not (tmp_path / "out" / "results.jsonl").exists() and not (tmp_path / "out" / "logs").exists()


def test_one_sweep_at_a_time(write, tmp_path):
    import filelock

    path, output = write(), tmp_path / "out"
    output.mkdir()
    with filelock.FileLock(output / ".sweep.lock"), pytest.raises(ConfigError, match="another sweep is using it"):
        sweep(path, output)


def test_the_time_budget_ends_a_sweep_that_can_go_on(write, tmp_path):
    rows, said = sweep(write(), tmp_path / "out", time_budget=0.5)
    assert rows == [] and "0 done, 0 failed, 2 left: --time_budget is used up" in said
    assert not workers(tmp_path)


def test_the_list_without_running(write):
    path = write()
    done = commands.run("sweep.py", f"--grid={path}", "--dry_run", "--shard=1/1")
    assert done.code == 0 and "ssd-d5  (weights of ssd-d20)" in done.out
    assert done.out.endswith("2 configurations: 2 ssd; 1 trainings\n")
