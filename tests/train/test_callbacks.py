"""What a run calls, when, and with what."""

from __future__ import annotations

import io

import pytest

from detection.train import loop
from detection.train.callbacks import Callbacks, StopTraining
from detection.train.options import RunOptions
from tests.helpers.tiny import make_pipeline

_OPTIONS = RunOptions(checkpoint_every=2, evaluate_every=3, log_every=2, seed=1, summaries=False)


def train(tmp_path, **callbacks) -> tuple[dict[str, float], str]:
    stream = io.StringIO()
    metrics = loop.train(
        make_pipeline(tmp_path), tmp_path / "run", options=_OPTIONS, stream=stream, callbacks=Callbacks(**callbacks)
    )
    return metrics, stream.getvalue()


def test_each_is_called_after_what_it_is_about(tmp_path):
    seen = []

    def step(done):
        seen.append(("step", done.step))
        assert {"Loss/total_loss", "learning_rate", "gradient_norm"} <= done.values().keys()
        assert done.detector.name == "tiny"

    def checkpoint(saved):
        seen.append(("checkpoint", saved.step))
        assert saved.prefix.with_name(f"{saved.prefix.name}.index").exists()

    def evaluation(done):
        seen.append(("evaluation", done.step))
        assert "DetectionBoxes_Precision/mAP" in done.metrics and "Loss/total_loss" in done.metrics

    train(tmp_path, step=step, checkpoint=checkpoint, evaluation=evaluation)
    assert seen == [
        *(("step", 1), ("step", 2), ("checkpoint", 2), ("step", 3), ("checkpoint", 3), ("evaluation", 3)),
        *(("step", 4), ("checkpoint", 4), ("step", 5), ("step", 6), ("checkpoint", 6), ("evaluation", 6)),
    ]


@pytest.mark.parametrize(("callback", "last"), [("step", 2), ("checkpoint", 2), ("evaluation", 3)])
def test_any_of_them_ends_the_run_as_its_last_step_would(tmp_path, callback, last):
    """It is saved, evaluated, and goes on when it is started again."""

    def stop(event):
        if event.step >= last:
            raise StopTraining("enough")

    metrics, said = train(tmp_path, **{callback: stop})
    assert f"step {last}: stopped by a callback: enough; the last checkpoint is" in said
    assert f"model.ckpt-{last}" in said and "Loss/total_loss" in metrics
    _, said = train(tmp_path)
    assert f"resuming from {tmp_path / 'run' / f'model.ckpt-{last}'}" in said and "step 6: stopped at the last" in said


def test_an_error_in_a_callback_is_an_error_of_the_run(tmp_path):
    def fail(event):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        train(tmp_path, step=fail)
