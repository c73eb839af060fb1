"""What one configuration goes through, as jobs for processes, and the row that comes of what they found."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable
from pathlib import Path

from detection.config.sweep_file import SweepFile
from detection.files import write_text
from detection.sweep.grid import RANDOM, TRAINED, Configuration
from detection.sweep.process import Outcome, Stage, kept
from detection.sweep.results import DONE, FAILED, SweepRow
from detection.sweep.worker import EVALUATE, EXPORT, MEASURE, TRAIN

_EXPORTED = "saved_model"  # beside the result of a row under way
_TRAINED = "sweep.json"  # in a model_dir: what its training found, once it is finished


class Stages:
    """Of the configurations of one grid, in one folder."""

    def __init__(self, sweep: SweepFile, folder: Path) -> None:
        self._sweep, self._folder = sweep, folder

    def write_configs(self, one: Configuration) -> None:
        """Its config, and that which is trained for it."""
        for name, text in {one.id: one.text, one.trained_id: one.trained_text}.items():
            path = self._folder / self._config(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                write_text(path, text)

    def config_path(self, one: Configuration) -> Path:
        return self._folder / self._config(one.id)

    def is_trained(self, one: Configuration) -> bool:
        return (self._model_dir(one) / _TRAINED).exists() and "train" in self._training(one)

    def train(self, one: Configuration) -> Stage:
        """The training of its group; goes on where it was stopped."""
        settings, model_dir = self._sweep.training, self._model_dir(one)
        model_dir.mkdir(parents=True, exist_ok=True)
        job = {
            "stage": TRAIN,
            "result": str(model_dir / _TRAINED),
            "config": str(self._folder / self._config(one.trained_id)),
            "model_dir": str(model_dir),
            "seed": settings.seed,
            "checkpoint_every": settings.checkpoint_every,
            "deterministic": settings.deterministic,
        }
        return Stage(
            job,
            self._folder / ".work" / one.model_name,
            self._log(one.trained_id),
            settings.time_limit,
            label=f"training {one.trained_id}",
        )

    def export(self, one: Configuration) -> Stage | None:
        """The SavedModel that is timed; None where nothing is, or where it is there."""
        found, folder, benchmark = self.found(one).values, self._work(one), self._benchmark(one)
        if benchmark is None or "benchmark" in found or ("exporting" in found and (folder / _EXPORTED).is_dir()):
            return None
        job = self._job(EXPORT, one, benchmark=benchmark, exported=str(folder / _EXPORTED))
        return Stage(job, folder, self._log(one.id), self._sweep.benchmark.time_limit, label=f"exporting {one.id}")

    def measure(self, one: Configuration, alone: bool) -> Stage | None:
        """Times what was exported; None where nothing is left to time. `alone`: nothing may run beside it."""
        found, folder, benchmark = self.found(one).values, self._work(one), self._benchmark(one)
        if benchmark is None or "benchmark" in found:
            return None
        job = self._job(MEASURE, one, benchmark=benchmark, exported=str(folder / _EXPORTED))
        return Stage(job, folder, self._log(one.id), self._sweep.benchmark.time_limit, alone, f"measuring {one.id}")

    def evaluate(self, one: Configuration) -> Stage | None:
        """None where nothing is, or where it is done: training evaluates its own config."""
        folder = self._work(one)
        if not self._evaluates(one) or "metrics" in self.found(one).values:
            return None
        job = self._job(EVALUATE, one, eval_dir=str(folder))
        return Stage(job, folder, self._log(one.id), self._sweep.evaluation.time_limit, label=f"evaluating {one.id}")

    def _job(self, kind: str, one: Configuration, **more: object) -> dict:
        config = str(self._folder / self._config(one.id))
        return {
            "stage": kind,
            "result": str(self._work(one) / "result.json"),
            "config": config,
            "checkpoint": self._checkpoint(one),
            **more,
        }

    def found(self, one: Configuration) -> Outcome:
        """What is known already: stages of an earlier run, and the evaluation at the end of its own training."""
        path = self._work(one) / "result.json"
        known = kept(path)
        known.pop("failed", None)
        return Outcome({**self._own_evaluation(one), **known})

    def row(self, one: Configuration, outcome: Outcome) -> SweepRow:
        """The row of an outcome, whatever is known of it."""
        values = {**self.found(one).values, **outcome.values}
        training = self._training(one).get("train") if one.weights == TRAINED else None
        shared = one.trained_id if one.trained_id != one.id else None
        train = (
            {**training, "weights_of": shared, "model_dir": str(Path("models") / one.model_name)} if training else None
        )
        return SweepRow(
            id=one.id,
            key=one.key,
            status=FAILED if outcome.reason else DONE,
            reason=outcome.reason,
            config=self._config(one.id),
            command=self._command(one),
            axes=one.axes,
            train=train,
            metrics=values.get("metrics", {}),
            benchmark=values.get("benchmark"),
            images_evaluated=values.get("images", 0),
            other={name: values[name] for name in ("exporting", "measuring", "evaluating") if name in values},
            **one.facts._asdict(),
        )

    def tidy(self, unfinished: Iterable[Configuration]) -> None:
        """Removes exports that no unfinished row is waiting for, as of a grid that was changed: they are large."""
        kept = {self._work(one) for one in unfinished}
        for export in (self._folder / ".work").glob(f"*/*{_EXPORTED}*"):
            if export.parent not in kept:
                shutil.rmtree(export, ignore_errors=True)

    def clear(self, one: Configuration) -> None:
        """Removes what a finished row no longer needs."""
        for name in (self._work(one), self._folder / ".work" / one.model_name):
            shutil.rmtree(name, ignore_errors=True)

    def _benchmark(self, one: Configuration) -> dict | None:
        """None where nothing is timed."""
        if self._sweep.benchmark is None:
            return None
        given = one.facts.proposals if one.facts.meta_architecture == "fast_rcnn" else None
        return {**dataclasses.asdict(self._sweep.benchmark), "size": one.facts.resolution, "proposals": given}

    def _evaluates(self, one: Configuration) -> bool:
        return self._sweep.evaluation is not None and one.weights != RANDOM

    def _checkpoint(self, one: Configuration) -> str | None:
        if one.weights == RANDOM:
            return None
        return str(self._model_dir(one)) if one.weights == TRAINED else one.weights

    def _own_evaluation(self, one: Configuration) -> dict:
        """A training evaluates its last step, with the config that it trains."""
        if not self._evaluates(one) or one.weights != TRAINED or one.text != one.trained_text:
            return {}
        return {name: value for name, value in self._training(one).items() if name in ("metrics", "images")}

    def _training(self, one: Configuration) -> dict:
        path = self._model_dir(one) / _TRAINED
        return kept(path)

    def _command(self, one: Configuration) -> str:
        """What trains its weights, as a person would; or what serves them, where they were given."""
        if one.weights not in (RANDOM, TRAINED):
            name = self._folder / self._config(one.id)
            return (
                f"detection export --pipeline_config_path={name} --trained_checkpoint_prefix={one.weights}"
                " --output_directory=exported"
            )
        name, training = self._folder / self._config(one.trained_id), self._sweep.training
        flags = f" --seed={training.seed}{' --deterministic' * training.deterministic}" if training else ""
        model_dir = self._folder / "models" / one.model_name
        return f"detection train --pipeline_config_path={name} --model_dir={model_dir}{flags}"

    def _config(self, name: str) -> str:
        return f"configs/{name}.config"

    def _model_dir(self, one: Configuration) -> Path:
        return self._folder / "models" / one.model_name

    def _work(self, one: Configuration) -> Path:
        return self._folder / ".work" / f"{one.id}.{one.key[:8]}"

    def _log(self, name: str) -> Path:
        return self._folder / "logs" / f"{name}.log"
