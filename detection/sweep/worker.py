"""Runs one stage of one configuration in its own process: `python -m detection.sweep.worker JOB.json`.

It is started by `detection.sweep.process`. Results are written to the job's `result` file, each part as soon as it is
known; for an error, its reason. Standard input is a pipe to which nothing is written: it is closed when the sweep dies,
and then this process exits too, so that no training or measurement continues without its sweep.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detection import files, json_text
from detection.errors import ConfigError, DetectionError
from detection.files import write_text

if TYPE_CHECKING:
    from detection.pipeline import Pipeline

Job = dict[str, Any]
TRAIN, EXPORT, MEASURE, EVALUATE = "train", "export", "measure", "evaluate"
SECONDS = "sweep.seconds"  # file in a model_dir: how long its training has taken so far
_TICK = 2.0  # seconds between two writes of that file


class Result:
    """A JSON object in a file, to which values are added one by one."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self.values: dict[str, Any] = json_text.read_object(self._path, allow_nan=True) if self._path.exists() else {}

    def add(self, **values: Any) -> None:
        """Adds values and writes the file."""
        self.values |= values
        write_text(self._path, json.dumps(self.values) + "\n")


class Clock:
    """Measures how long a training takes over several processes; the time is saved in its model_dir."""

    def __init__(self, model_dir: str | os.PathLike[str]) -> None:
        self._path, self._started, self._lock = Path(model_dir) / SECONDS, time.monotonic(), threading.Lock()
        self._earlier_seconds = _read_seconds(self._path)

    def seconds(self) -> float:
        """Total seconds, including earlier processes."""
        return round(self._earlier_seconds + time.monotonic() - self._started, 1)

    def save(self) -> None:
        """Writes the total to the file."""
        with self._lock:
            write_text(self._path, f"{self.seconds()}\n")


def _read_seconds(path: Path) -> float:
    """Reads the file; 0 if it is missing or not a plausible number."""
    try:
        seconds = float(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0.0
    except ValueError:
        seconds = -1.0
    if 0.0 <= seconds < 1e9:
        return seconds
    sys.stderr.write(f"warning: {path}: not a number of seconds; the time of this training is counted from now on\n")
    return 0.0


def main(path: str) -> int:
    """Runs the job in the file at `path` and returns the exit code."""
    job: Job = json.loads(Path(path).read_text(encoding="utf-8"))
    result = Result(job["result"])
    clock = Clock(job["model_dir"]) if job["stage"] == TRAIN else None
    threading.Thread(target=_exit_with_sweep, args=(clock,), daemon=True).start()
    try:
        with _report_out_of_memory():
            if clock is not None:
                _train(job, result, clock)
            else:
                {EXPORT: _export, MEASURE: _measure, EVALUATE: _evaluate}[job["stage"]](job, result)
    except DetectionError as error:
        if error.exit_code < 128:  # Otherwise a signal stopped it, and it will be resumed.
            result.add(failed=str(error))
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except Exception as error:
        place = files.explain(error)
        if place is not None:  # For example a full disk, where writing the reason may fail too.
            sys.stderr.write(f"error: {place}\n")
            with contextlib.suppress(OSError):
                result.add(failed=place)
            return ConfigError.exit_code
        traceback.print_exc()
        result.add(failed=f"internal error: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        return 1
    finally:
        if clock is not None:
            clock.save()
    return 0


def _train(job: Job, result: Result, clock: Clock) -> None:
    from detection.builders import pipeline as pipelines
    from detection.train import main as trainer
    from detection.train.options import RunOptions

    options = RunOptions(
        checkpoint_every=job["checkpoint_every"],
        evaluate_every=1 << 60,  # The last step alone.
        keep_checkpoints=1,
        seed=job["seed"],
    )
    pipeline = pipelines.load(job["config"], training=True)
    metrics = trainer.run(pipeline, job["model_dir"], options=options, deterministic=job["deterministic"])
    values = {"steps": pipeline.train.num_steps, "seconds": clock.seconds()}
    result.add(train=values, **(_evaluated(pipeline, metrics) if pipeline.eval_input is not None else {}))


def _export(job: Job, result: Result) -> None:
    """Exports the model. This is a separate process, so that the measured one contains only the served model."""
    from detection.benchmark import rows

    started, folder = time.monotonic(), Path(job["exported"])
    for old in folder.parent.glob(f"*{folder.name}*"):  # Left by a process that was killed.
        shutil.rmtree(old, ignore_errors=True)
    partial = folder.with_name(f".{folder.name}-{os.getpid()}")
    rows.export(job["config"], job["checkpoint"], _options(job), partial)
    partial.rename(folder)
    result.add(exporting=_durations(started))


def _measure(job: Job, result: Result) -> None:
    from detection.benchmark import rows

    started = time.monotonic()
    row = rows.row_of_saved_model(job["exported"], _options(job))
    result.add(benchmark=rows.of_config(row, job["config"], job["checkpoint"]), measuring=_durations(started))


def _evaluate(job: Job, result: Result) -> None:
    from detection.builders import pipeline as pipelines
    from detection.train.evaluation import evaluate_checkpoints

    started = time.monotonic()
    pipeline = pipelines.load(job["config"], check_paths=False)
    metrics = evaluate_checkpoints(pipeline, job["checkpoint"], job["eval_dir"], run_once=True)
    result.add(**_evaluated(pipeline, metrics), evaluating=_durations(started))


def _durations(started: float) -> dict[str, float]:
    return {"seconds": round(time.monotonic() - started, 1), "cpu_seconds": round(time.process_time(), 1)}


def _options(job: Job) -> Any:
    from detection.benchmark import inputs

    settings = job["benchmark"]
    return inputs.BenchmarkOptions(
        images=tuple(settings["images"]),
        shorter_side=settings["size"] or None,
        warmup=settings["warmup"],
        runs=settings["num_images"],
        max_seconds=settings["max_seconds"],
        **({"proposals": settings["proposals"]} if settings["proposals"] else {}),
    )


def _evaluated(pipeline: Pipeline, metrics: dict[str, float]) -> dict[str, Any]:
    from detection.data.reading.streams import count_records

    return {
        "metrics": {tag: float(value) for tag, value in metrics.items()},
        "images": count_records(pipeline.eval_input),
    }


def _exit_with_sweep(clock: Clock | None) -> None:
    """Kills this process and its child processes when standard input is closed."""
    while not select.select([sys.stdin], [], [], _TICK)[0] or os.read(sys.stdin.fileno(), 4096):
        if clock is not None:
            clock.save()
    os.killpg(os.getpgid(0), signal.SIGKILL)


@contextlib.contextmanager
def _report_out_of_memory():
    """Turns out-of-memory errors of TensorFlow and Python into a one-line DetectionError."""
    import tensorflow as tf

    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        traceback.print_exc()
        raise DetectionError(f"out of memory ({' '.join(str(error).split())[:150] or type(error).__name__})") from error


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the sweep, which stops its stages.
    sys.exit(main(sys.argv[1]))
