"""What a run that was killed, or asked to stop, leaves and makes up for: the end is that of a run nobody stopped."""

from __future__ import annotations

import io
import json
import os
import signal

import pytest

from detection import files
from detection.checkpoints import checkpoint_files, rotation
from detection.checkpoints.checkpoint_files import DATA, INDEX
from detection.checkpoints.rotation import Checkpoints
from detection.errors import ConfigError
from detection.evaluate.results import read_history, write_metrics
from detection.train import loop, run_dir
from detection.train import run as training_run
from detection.train.best import Best
from detection.train.interrupt import Interrupted
from detection.train.options import RunOptions
from tests.helpers.tiny import make_pipeline

_OPTIONS = RunOptions(
    checkpoint_every=2,
    evaluate_every=2,
    keep_checkpoints=2,
    seed=5,
    best_metric="Loss/total_loss",
    stop_after=2,
    summaries=False,
)


class Killed(BaseException):
    """What stands for a kill: nothing catches it, and what `finally` does is undone by the tests' own leftovers."""


def _train(pipeline, folder, options=_OPTIONS) -> dict[str, float]:
    return loop.train(pipeline, folder, options=options, stream=io.StringIO())


def _contents(folder) -> dict[str, object]:
    """Every file and what it holds, but for times and the lock."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock")):
        name = str(path.relative_to(folder))
        if name.endswith(INDEX):
            values = checkpoint_files.read(str(path).removesuffix(INDEX))
            found[name] = {key: value.tobytes() for key, value in values.items()}
        elif not name.endswith(DATA):
            found[name] = [line for line in path.read_text().splitlines() if "timestamp" not in line]
        else:
            found[name] = ""
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A pipeline, and all that a run of it leaves which nobody stops."""
    folder = tmp_path_factory.mktemp("whole")
    pipeline = make_pipeline(folder, num_steps=6)
    _train(pipeline, folder / "run")
    return pipeline, _contents(folder / "run")


def test_the_reference_has_evaluations_a_best_checkpoint_and_a_rotation(whole):
    _, contents = whole
    assert [json.loads(line)["step"] for line in contents["eval/metrics.jsonl"]] == [2, 4, 6]
    assert [name for name in contents if name.endswith(INDEX) and "/" not in name] == [
        "model.ckpt-4.index",
        "model.ckpt-6.index",
    ]
    assert sum(name.startswith("best/model.ckpt") for name in contents) == 2


@pytest.mark.slow
def test_killed_around_every_evaluation_the_end_is_the_same(tmp_path, whole):
    """Five kills in a row, each in the run that goes on from the one before."""
    pipeline, expected = whole
    places = [
        (Checkpoints, "_tidy", "before the rotation"),
        (training_run.Run, "_evaluate", "before the evaluation"),
        (training_run.Evaluation, "run", "in the evaluation"),
        (Best, "offer", "behind the metrics"),
        (run_dir, "forget_evaluation", "behind the best"),
    ]
    for holder, name, place in places:

        def die(*arguments, **named):
            raise Killed

        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            patch.setattr(holder, name, die)
            _train(pipeline, tmp_path / "run")
        assert (tmp_path / "run" / ".evaluation_due").exists(), place
    _train(pipeline, tmp_path / "run")
    assert _contents(tmp_path / "run") == expected


@pytest.mark.slow
def test_asked_to_stop_the_end_is_the_same_and_the_extra_checkpoint_gone(tmp_path, whole):
    """At a step where nothing is due, then at one whose checkpoint and evaluation are."""
    pipeline, expected = whole
    original = training_run.Run._make_step
    for step, kept in ((3, [2, 3]), (4, [2, 4])):

        def stop(self, step=step):
            original(self)
            if self.step_number == step:
                os.kill(os.getpid(), signal.SIGTERM)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted) as raised:
            patch.setattr(training_run.Run, "_make_step", stop)
            _train(pipeline, tmp_path / "run")
        assert raised.value.exit_code == 143 and f"model.ckpt-{step}" in str(raised.value)
        assert rotation.steps_in(tmp_path / "run") == kept
    _train(pipeline, tmp_path / "run")
    assert _contents(tmp_path / "run") == expected


def test_early_stopping_counts_an_evaluation_that_is_made_up_for_once(tmp_path):
    for step, value in ((2, 0.5), (4, 0.4)):
        write_metrics(tmp_path, step, {"a": value})
    kept = Checkpoints(tmp_path)
    Best(tmp_path, "a").offer(2, {"a": 0.5}, kept.save(2, {"w": 2.0}))
    made_up = Best(
        tmp_path, "a", patience=2, resumed_at=3
    )  # Killed behind the metrics of step 4, which are offered again.
    made_up.offer(4, {"a": 0.4}, kept.save(4, {"w": 4.0}))
    assert not made_up.gives_up()
    made_up.offer(6, {"a": 0.4}, None)
    assert made_up.gives_up()


def test_halves_of_deleted_checkpoints_and_unfinished_saves_are_removed(tmp_path, whole):
    pipeline, expected = whole
    folder = tmp_path / "run"
    _train(pipeline, folder)
    (folder / f"model.ckpt-1{DATA}").write_bytes(b"its index was deleted")
    (folder / "best" / f"model.ckpt-1{DATA}").write_bytes(b"its index was deleted")
    (folder / "best" / f"model.ckpt-1{INDEX}.new").write_bytes(b"a link that was being made")
    dead = files.owner().rpartition("-")[0] + "-4194305"  # More than any process number.
    for name in (f"eval/.metrics.jsonl.tmp-{dead}", f".checkpoint.tmp-{dead}", f"best/.best.json.tmp-{dead}"):
        (folder / name).write_bytes(b"half")
    (folder / f"{checkpoint_files.TEMPORARY}{dead}").mkdir()
    alive = (
        folder / "eval" / f".metrics.json.tmp-elsewhere-{os.getpid()}"
    )  # Another machine's: nobody here knows whether it lives.
    alive.write_bytes(b"half")
    _train(pipeline, folder)
    alive.unlink()
    assert _contents(folder) == expected


def test_a_save_killed_between_its_two_renames_is_finished(tmp_path):
    folder = tmp_path / f"{checkpoint_files.TEMPORARY}1"
    checkpoint_files.write(tmp_path / "model.ckpt-3", {"w": 3.0, "global_step": 3})
    folder.mkdir()
    (tmp_path / f"model.ckpt-3{INDEX}").rename(folder / f"model.ckpt-3{INDEX}")
    with pytest.raises(ConfigError, match="its .index file is missing"):
        Checkpoints(tmp_path).read_newest()
    checkpoint_files.remove_leftovers(tmp_path)
    assert Checkpoints(tmp_path).read_newest()[0] == 3 and not folder.exists()


def test_data_whose_index_somebody_lost_is_not_thrown_away(tmp_path):
    """Newer than every whole checkpoint, it is no half of a deletion."""
    kept = Checkpoints(tmp_path)
    kept.save(2, {"w": 2.0})
    (tmp_path / f"model.ckpt-4{DATA}").write_bytes(b"precious")
    kept.finish_rotation(2)
    assert (tmp_path / f"model.ckpt-4{DATA}").exists()


def test_evaluating_alone_that_cannot_write_its_metrics_is_an_error(tmp_path, whole):
    from detection.train.evaluation import evaluate_checkpoints

    pipeline, _ = whole
    run = os.path.join(os.path.dirname(pipeline.train_input.paths[0]), "run")
    (tmp_path / "apart" / "eval" / "metrics.jsonl").mkdir(parents=True)
    for run_once in (True, False):
        with pytest.raises(
            ConfigError, match="step 6: the metrics in .*eval cannot be written .is a directory.*evaluate again"
        ) as raised:
            evaluate_checkpoints(
                pipeline, run, tmp_path / "apart", run_once=run_once, timeout=0.1, stream=io.StringIO()
            )
        assert raised.value.exit_code == 2
    assert not read_history(tmp_path / "absent")
