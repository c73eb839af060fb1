"""One stage of one configuration, in a process of its own: `python -m detection.sweep.worker JOB.json`, started by
`detection.sweep.process`.

What it found goes into the job's `result` file, each part as soon as it is known; of an error the reason. Standard
input is a pipe that nobody writes to: it ends when the sweep dies, however it dies, and then this process ends too, so
that nothing trains or measures that nobody waits for.
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
SECONDS = "sweep.seconds"  # in a model_dir: how long its training has taken so far
_TICK = 2.0  # seconds between two notes of that


class Result:
    """A JSON object in a file, known to the sweep part by part."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self.values: dict[str, Any] = json_text.read_object(self._path, allow_nan=True) if self._path.exists() else {}

    def add(self, **values: Any) -> None:
        self.values |= values
        write_text(self._path, json.dumps(self.values) + "\n")


class Clock:
    """How long a training has taken, over all the processes that worked on it; noted in its model_dir, for the next
    one.
    """

    def __init__(self, model_dir: str | os.PathLike[str]) -> None:
        self._path, self._started, self._lock = Path(model_dir) / SECONDS, time.monotonic(), threading.Lock()
        self._before = _seconds_in(self._path)

    def seconds(self) -> float:
        return round(self._before + time.monotonic() - self._started, 1)

    def note(self) -> None:
        with self._lock:
            write_text(self._path, f"{self.seconds()}\n")


def _seconds_in(path: Path) -> float:
    """What the file says; 0 where it is not there, or says nothing that a training can have taken."""
    try:
        seconds = float(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0.0
    except ValueError:
        seconds = -1.0
    if 0.0 <= seconds < 1e9:
        return seconds
    sys.stderr.write(f"warning: {path}: is no number of seconds; the time of this training is counted from now on\n")
    return 0.0


def main(path: str) -> int:
    """Exit code of the job in the file at `path`."""
    job: Job = json.loads(Path(path).read_text(encoding="utf-8"))
    result = Result(job["result"])
    clock = Clock(job["model_dir"]) if job["stage"] == TRAIN else None
    threading.Thread(target=_live_as_long_as_the_sweep, args=(clock,), daemon=True).start()
    try:
        with _out_of_memory_is_an_error():
            if clock is not None:
                _train(job, result, clock)
            else:
                {EXPORT: _export, MEASURE: _measure, EVALUATE: _evaluate}[job["stage"]](job, result)
    except DetectionError as error:
        if error.exit_code < 128:  # Otherwise it was asked to stop, and will be asked to go on.
            result.add(failed=str(error))
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except Exception as error:
        place = files.explain(error)
        if place is not None:  # A full disk, say, on which the reason may not fit either.
            sys.stderr.write(f"error: {place}\n")
            with contextlib.suppress(OSError):
                result.add(failed=place)
            return ConfigError.exit_code
        traceback.print_exc()
        result.add(failed=f"internal error: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        return 1
    finally:
        if clock is not None:
            clock.note()
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
    """A process of its own, so that the one that measures holds nothing but what it serves."""
    from detection.benchmark import rows

    started, folder = time.monotonic(), Path(job["exported"])
    for old in folder.parent.glob(f"*{folder.name}*"):  # Of a process that was killed.
        shutil.rmtree(old, ignore_errors=True)
    partial = folder.with_name(f".{folder.name}-{os.getpid()}")
    rows.export(job["config"], job["checkpoint"], _options(job), partial)
    partial.rename(folder)
    result.add(exporting=_took(started))


def _measure(job: Job, result: Result) -> None:
    from detection.benchmark import rows

    started = time.monotonic()
    row = rows.row_of_saved_model(job["exported"], _options(job))
    result.add(benchmark=rows.of_config(row, job["config"], job["checkpoint"]), measuring=_took(started))


def _evaluate(job: Job, result: Result) -> None:
    from detection.builders import pipeline as pipelines
    from detection.train.evaluation import evaluate_checkpoints

    started = time.monotonic()
    pipeline = pipelines.load(job["config"], check_paths=False)
    metrics = evaluate_checkpoints(pipeline, job["checkpoint"], job["eval_dir"], run_once=True)
    result.add(**_evaluated(pipeline, metrics), evaluating=_took(started))


def _took(started: float) -> dict[str, float]:
    return {"seconds": round(time.monotonic() - started, 1), "cpu_seconds": round(time.process_time(), 1)}


def _options(job: Job) -> Any:
    from detection.benchmark import inputs

    asked = job["benchmark"]
    return inputs.BenchmarkOptions(
        images=tuple(asked["images"]),
        shorter_side=asked["size"] or None,
        warmup=asked["warmup"],
        runs=asked["num_images"],
        max_seconds=asked["max_seconds"],
        **({"proposals": asked["proposals"]} if asked["proposals"] else {}),
    )


def _evaluated(pipeline: Pipeline, metrics: dict[str, float]) -> dict[str, Any]:
    from detection.data.reading.streams import count_records

    return {
        "metrics": {tag: float(value) for tag, value in metrics.items()},
        "images": count_records(pipeline.eval_input),
    }


def _live_as_long_as_the_sweep(clock: Clock | None) -> None:
    """Ends this process, and what it started, when standard input ends."""
    while not select.select([sys.stdin], [], [], _TICK)[0] or os.read(sys.stdin.fileno(), 4096):
        if clock is not None:
            clock.note()
    os.killpg(os.getpgid(0), signal.SIGKILL)


@contextlib.contextmanager
def _out_of_memory_is_an_error():
    """Of TensorFlow and of Python: one line that says so."""
    import tensorflow as tf

    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        traceback.print_exc()
        raise DetectionError(f"out of memory ({' '.join(str(error).split())[:150] or type(error).__name__})") from error


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the sweep's, which asks its stages to stop.
    sys.exit(main(sys.argv[1]))
