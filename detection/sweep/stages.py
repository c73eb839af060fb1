"""The stages of a configuration as jobs for processes, and the row made from their results."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable
from pathlib import Path

from detection.config.sweep_file import SweepFile
from detection.files import write_text
from detection.sweep.grid import RANDOM, TRAINED, Configuration
from detection.sweep.process import Outcome, Stage, read_result
from detection.sweep.results import DONE, FAILED, SweepRow
from detection.sweep.worker import EVALUATE, EXPORT, MEASURE, TRAIN

_EXPORTED = "saved_model"  # folder beside the result of an unfinished row
_TRAINED = "sweep.json"  # file in a model_dir: the result of its training, once it is finished


class Stages:
    """Makes the stages and rows of the configurations of one grid in one folder."""

    def __init__(self, sweep: SweepFile, folder: Path) -> None:
        self._sweep, self._folder = sweep, folder

    def write_configs(self, configuration: Configuration) -> None:
        """Writes its config and the config that is trained for it."""
        for name, text in {
            configuration.id: configuration.text,
            configuration.trained_id: configuration.trained_text,
        }.items():
            path = self._folder / self._config(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                write_text(path, text)

    def config_path(self, configuration: Configuration) -> Path:
        """Path of its config."""
        return self._folder / self._config(configuration.id)

    def is_trained(self, configuration: Configuration) -> bool:
        """Whether the training of its group is finished."""
        return (self._model_dir(configuration) / _TRAINED).exists() and "train" in self._training(configuration)

    def train(self, configuration: Configuration) -> Stage:
        """The training of its group; resumes where it was stopped."""
        settings, model_dir = self._sweep.training, self._model_dir(configuration)
        model_dir.mkdir(parents=True, exist_ok=True)
        job = {
            "stage": TRAIN,
            "result": str(model_dir / _TRAINED),
            "config": str(self._folder / self._config(configuration.trained_id)),
            "model_dir": str(model_dir),
            "seed": settings.seed,
            "checkpoint_every": settings.checkpoint_every,
            "deterministic": settings.deterministic,
        }
        return Stage(
            job,
            self._folder / ".work" / configuration.model_name,
            self._log(configuration.trained_id),
            settings.time_limit,
            label=f"training {configuration.trained_id}",
        )

    def export(self, configuration: Configuration) -> Stage | None:
        """Exports the SavedModel to be timed; None if it exists already or nothing is timed."""
        known, folder, benchmark = (
            self.known_outcome(configuration).values,
            self._work(configuration),
            self._benchmark(configuration),
        )
        if benchmark is None or "benchmark" in known or ("exporting" in known and (folder / _EXPORTED).is_dir()):
            return None
        job = self._job(EXPORT, configuration, benchmark=benchmark, exported=str(folder / _EXPORTED))
        return Stage(
            job,
            folder,
            self._log(configuration.id),
            self._sweep.benchmark.time_limit,
            label=f"exporting {configuration.id}",
        )

    def measure(self, configuration: Configuration, alone: bool) -> Stage | None:
        """Times the exported model; None if that is done or nothing is timed.

        Args:
            configuration: what to measure.
            alone: no other stage may run at the same time.
        """
        known, folder, benchmark = (
            self.known_outcome(configuration).values,
            self._work(configuration),
            self._benchmark(configuration),
        )
        if benchmark is None or "benchmark" in known:
            return None
        job = self._job(MEASURE, configuration, benchmark=benchmark, exported=str(folder / _EXPORTED))
        return Stage(
            job,
            folder,
            self._log(configuration.id),
            self._sweep.benchmark.time_limit,
            alone,
            f"measuring {configuration.id}",
        )

    def evaluate(self, configuration: Configuration) -> Stage | None:
        """Evaluates it; None if that is done (a training evaluates its own config) or nothing is evaluated."""
        folder = self._work(configuration)
        if not self._evaluates(configuration) or "metrics" in self.known_outcome(configuration).values:
            return None
        job = self._job(EVALUATE, configuration, eval_dir=str(folder))
        return Stage(
            job,
            folder,
            self._log(configuration.id),
            self._sweep.evaluation.time_limit,
            label=f"evaluating {configuration.id}",
        )

    def _job(self, kind: str, configuration: Configuration, **fields: object) -> dict:
        config = str(self._folder / self._config(configuration.id))
        return {
            "stage": kind,
            "result": str(self._work(configuration) / "result.json"),
            "config": config,
            "checkpoint": self._checkpoint(configuration),
            **fields,
        }

    def known_outcome(self, configuration: Configuration) -> Outcome:
        """The results so far: of stages of an earlier run, and of the evaluation at the end of its training."""
        path = self._work(configuration) / "result.json"
        known = read_result(path)
        known.pop("failed", None)
        return Outcome({**self._own_evaluation(configuration), **known})

    def row(self, configuration: Configuration, outcome: Outcome) -> SweepRow:
        """The row of a configuration with all results so far."""
        values = {**self.known_outcome(configuration).values, **outcome.values}
        training = self._training(configuration).get("train") if configuration.weights == TRAINED else None
        shared = configuration.trained_id if configuration.trained_id != configuration.id else None
        train = (
            {**training, "weights_of": shared, "model_dir": str(Path("models") / configuration.model_name)}
            if training
            else None
        )
        return SweepRow(
            id=configuration.id,
            key=configuration.key,
            status=FAILED if outcome.reason else DONE,
            reason=outcome.reason,
            config=self._config(configuration.id),
            command=self._command(configuration),
            axes=configuration.axes,
            train=train,
            metrics=values.get("metrics", {}),
            benchmark=values.get("benchmark"),
            images_evaluated=values.get("images", 0),
            other={name: values[name] for name in ("exporting", "measuring", "evaluating") if name in values},
            **configuration.facts._asdict(),
        )

    def remove_stale_exports(self, unfinished: Iterable[Configuration]) -> None:
        """Removes exports that no unfinished row needs, for example of a changed grid: they are large."""
        needed = {self._work(configuration) for configuration in unfinished}
        for export in (self._folder / ".work").glob(f"*/*{_EXPORTED}*"):
            if export.parent not in needed:
                shutil.rmtree(export, ignore_errors=True)

    def clear(self, configuration: Configuration) -> None:
        """Removes what a finished row no longer needs."""
        for name in (self._work(configuration), self._folder / ".work" / configuration.model_name):
            shutil.rmtree(name, ignore_errors=True)

    def _benchmark(self, configuration: Configuration) -> dict | None:
        """Settings of the benchmark; None if nothing is timed."""
        if self._sweep.benchmark is None:
            return None
        proposals = configuration.facts.proposals if configuration.facts.meta_architecture == "fast_rcnn" else None
        return {
            **dataclasses.asdict(self._sweep.benchmark),
            "size": configuration.facts.resolution,
            "proposals": proposals,
        }

    def _evaluates(self, configuration: Configuration) -> bool:
        return self._sweep.evaluation is not None and configuration.weights != RANDOM

    def _checkpoint(self, configuration: Configuration) -> str | None:
        if configuration.weights == RANDOM:
            return None
        return str(self._model_dir(configuration)) if configuration.weights == TRAINED else configuration.weights

    def _own_evaluation(self, configuration: Configuration) -> dict:
        """The evaluation of the last training step, if the trained config is its own."""
        if (
            not self._evaluates(configuration)
            or configuration.weights != TRAINED
            or configuration.text != configuration.trained_text
        ):
            return {}
        return {name: value for name, value in self._training(configuration).items() if name in ("metrics", "images")}

    def _training(self, configuration: Configuration) -> dict:
        path = self._model_dir(configuration) / _TRAINED
        return read_result(path)

    def _command(self, configuration: Configuration) -> str:
        """The command that trains its weights; for a given checkpoint, the command that exports it."""
        if configuration.weights not in (RANDOM, TRAINED):
            name = self._folder / self._config(configuration.id)
            return (
                f"detection export --pipeline_config_path={name} --trained_checkpoint_prefix={configuration.weights}"
                " --output_directory=exported"
            )
        name, training = self._folder / self._config(configuration.trained_id), self._sweep.training
        flags = f" --seed={training.seed}{' --deterministic' * training.deterministic}" if training else ""
        model_dir = self._folder / "models" / configuration.model_name
        return f"detection train --pipeline_config_path={name} --model_dir={model_dir}{flags}"

    def _config(self, name: str) -> str:
        return f"configs/{name}.config"

    def _model_dir(self, configuration: Configuration) -> Path:
        return self._folder / "models" / configuration.model_name

    def _work(self, configuration: Configuration) -> Path:
        return self._folder / ".work" / f"{configuration.id}.{configuration.key[:8]}"

    def _log(self, name: str) -> Path:
        return self._folder / "logs" / f"{name}.log"
