"""Several detectors, one row each: what `detection benchmark` does.

Each of several is measured in a process of its own, so that memory is that of one detector and one that does not fit
costs no other its row.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence

from detection import errors
from detection.benchmark import machine, report, rows
from detection.benchmark.inputs import BenchmarkOptions
from detection.benchmark.rows import BenchmarkRow
from detection.errors import ConfigError, DetectionError
from detection.progress import Progress
from detection.tools import fresh_process


@dataclasses.dataclass(frozen=True)
class Target:
    """What is measured: an export, or a config with the weights of a checkpoint (None: random ones)."""

    saved_model: str | None = None
    config: str | None = None
    checkpoint: str | None = None
    max_proposals: int | None = None  # of the first stage

    @property
    def label(self) -> str:
        """For progress and errors."""
        return str(self.saved_model or self.config) + (
            f" with {self.max_proposals} proposals" if self.max_proposals else ""
        )


@dataclasses.dataclass(frozen=True)
class BenchmarkRequest:
    """All that the flags say."""

    targets: tuple[Target, ...]
    options: BenchmarkOptions
    json: str | None = None  # file that is written
    results: str | None = None  # file to which rows are added
    allow_mixed_devices: bool = False


def targets(
    saved_models: Sequence[str], configs: Sequence[str], checkpoints: Sequence[str], max_proposals: Sequence[str] = ()
) -> tuple[Target, ...]:
    """Every SavedModel, and every config with each number of proposals.

    Raises:
        ConfigError: flags that do not go together.
    """
    if checkpoints and len(checkpoints) != len(configs):
        raise ConfigError(
            f"--checkpoint is given {len(checkpoints)} times, --pipeline_config_path {len(configs)} times; give one for"
            " each config, or none"
        )
    if max_proposals and (saved_models or not configs):
        raise ConfigError(
            "--max_proposals: an exported model keeps its number of proposals; give --pipeline_config_path and"
            " --checkpoint instead"
        )
    try:
        numbers = [int(number) for number in max_proposals] or [None]
    except ValueError:
        raise ConfigError(f"--max_proposals={','.join(max_proposals)}: give whole numbers, e.g. 10,50,300") from None
    paired = list(zip(configs, checkpoints or [None] * len(configs), strict=True))
    from_configs = [
        Target(config=config, checkpoint=weights, max_proposals=number)
        for config, weights in paired
        for number in numbers
    ]
    return (*(Target(saved_model=folder) for folder in saved_models), *from_configs)


def run(request: BenchmarkRequest, write: Callable[[str], object]) -> int:
    """Measures everything, writes what the flags name, and a table; with no target, only the table of the results file.

    Args:
        request: what to do.
        write: takes text of several lines.

    Returns:
        0, or the exit code of the first error where several were to be measured; each is reported on one line and costs
            only its own row.

    Raises:
        ConfigError, DataError: nothing can be measured, or the one that was to be cannot.
    """
    request.options.check()
    known = report.read(request.results) if request.results else []
    where = f"--results={request.results}"
    if not request.allow_mixed_devices:
        report.check_devices(known, machine.device() if request.targets else None, where)
    if not request.targets and not known:
        raise ConfigError(f"{where}: holds no rows yet; give --saved_model or --pipeline_config_path")
    measured, code = _measure(request, write)
    if request.json and measured:
        report.save(report.to_json(measured), request.json)
    if len(known) + len(measured):
        write(report.text([*known, *measured]))
    return code


def _measure(request: BenchmarkRequest, write: Callable[[str], object]) -> tuple[list[BenchmarkRow], int]:
    """Rows, and the exit code."""
    alone, measured, code = len(request.targets) == 1, [], 0
    with Progress(len(request.targets), "detector", label="benchmark", every=0 if not alone else 30) as progress:
        for target in request.targets:
            try:
                row = measure(target, request.options) if alone else _in_process(target, request.options)
            except DetectionError as error:
                if alone:
                    raise
                progress.write(f"error: {error}")
                code = code or error.exit_code
            else:
                measured.append(row)
                if request.results:
                    report.append(request.results, row)
            progress.update(1, last=target.label)
    return measured, code


def measure(target: Target, options: BenchmarkOptions) -> BenchmarkRow:
    """One row, in this process. Raises ConfigError, DataError."""
    options = dataclasses.replace(options, max_proposals=target.max_proposals)
    if target.saved_model:
        return rows.row_of_saved_model(target.saved_model, options)
    return rows.row_of_config(target.config, target.checkpoint, options)


def _in_process(target: Target, options: BenchmarkOptions) -> BenchmarkRow:
    """The same in a new process, which says on standard error only what libraries say.

    Raises:
        DetectionError: as the process did; ConfigError where it ended without a word, as for want of memory.
    """
    done = fresh_process.run("detection.benchmark.run", "main_of_process", (target, options))
    if done.returncode:
        raise ConfigError(f"{target.label}: the process that measured it ended: {fresh_process.why_ended(done)}")
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["message"])  # by the name that `main_of_process` gave it
    return answer


def main_of_process() -> None:
    """A pickled (Target, Options) from standard input; a row, or {"error", "message"}, as json to standard output."""
    try:
        answer = measure(*fresh_process.received())
    except DetectionError as error:
        kind = next(
            kind.__name__ for kind in type(error).__mro__ if hasattr(errors, kind.__name__)
        )  # Not all are told apart outside their module.
        answer = {"error": kind, "message": str(error)}
    sys.stdout.write(json.dumps(answer))
