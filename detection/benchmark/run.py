"""The work of `detection benchmark`: measures several detectors, one row each.

If there are several, each is measured in its own process, so that memory is that of one detector and a failure does not
affect the others.
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
    """What to measure: an export, or a config with the weights of a checkpoint (None: random weights)."""

    saved_model: str | None = None
    config: str | None = None
    checkpoint: str | None = None
    max_proposals: int | None = None  # of the first stage

    @property
    def label(self) -> str:
        """The name in progress lines and errors."""
        return str(self.saved_model or self.config) + (
            f" with {self.max_proposals} proposals" if self.max_proposals else ""
        )


@dataclasses.dataclass(frozen=True)
class BenchmarkRequest:
    """The values of all flags."""

    targets: tuple[Target, ...]
    options: BenchmarkOptions
    json: str | None = None  # file to write
    results: str | None = None  # file to which rows are appended
    allow_mixed_devices: bool = False


def targets(
    saved_models: Sequence[str], configs: Sequence[str], checkpoints: Sequence[str], max_proposals: Sequence[str] = ()
) -> tuple[Target, ...]:
    """Makes the targets: every SavedModel, and every config with each number of proposals.

    Args:
        saved_models: folders of exports.
        configs: config files.
        checkpoints: one for each config, or none.
        max_proposals: numbers of proposals of the first stage.

    Raises:
        ConfigError: the flags contradict each other.
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
    pairs = list(zip(configs, checkpoints or [None] * len(configs), strict=True))
    from_configs = [
        Target(config=config, checkpoint=weights, max_proposals=number)
        for config, weights in pairs
        for number in numbers
    ]
    return (*(Target(saved_model=folder) for folder in saved_models), *from_configs)


def run(request: BenchmarkRequest, write: Callable[[str], object]) -> int:
    """Measures all targets and writes the requested files and a table; without targets, only the table of the results.

    Args:
        request: what to do.
        write: receives text of several lines.

    Returns:
        0, or the exit code of the first error if there are several targets; each error is reported on one line, and the
            other targets are measured.

    Raises:
        ConfigError, DataError: the flags are wrong, or the only target cannot be measured.
    """
    request.options.check()
    previous = report.read(request.results) if request.results else []
    where = f"--results={request.results}"
    if not request.allow_mixed_devices:
        report.check_devices(previous, machine.device() if request.targets else None, where)
    if not request.targets and not previous:
        raise ConfigError(f"{where}: contains no rows yet; give --saved_model or --pipeline_config_path")
    measured, code = _measure(request, write)
    if request.json and measured:
        report.save(report.to_json(measured), request.json)
    if len(previous) + len(measured):
        write(report.text([*previous, *measured]))
    return code


def _measure(request: BenchmarkRequest, write: Callable[[str], object]) -> tuple[list[BenchmarkRow], int]:
    """Returns the rows and the exit code."""
    is_single, measured, code = len(request.targets) == 1, [], 0
    with Progress(len(request.targets), "detector", label="benchmark", every=0 if not is_single else 30) as progress:
        for target in request.targets:
            try:
                row = measure(target, request.options) if is_single else _in_process(target, request.options)
            except DetectionError as error:
                if is_single:
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
    """Measures one target in this process. Raises ConfigError or DataError."""
    options = dataclasses.replace(options, max_proposals=target.max_proposals)
    if target.saved_model:
        return rows.row_of_saved_model(target.saved_model, options)
    return rows.row_of_config(target.config, target.checkpoint, options)


def _in_process(target: Target, options: BenchmarkOptions) -> BenchmarkRow:
    """Measures one target in a new process.

    Raises:
        DetectionError: the error of that process.
        ConfigError: the process died, for example because memory ran out.
    """
    process = fresh_process.run("detection.benchmark.run", "main_of_process", (target, options))
    if process.returncode:
        raise ConfigError(f"{target.label}: the process that measured it ended: {fresh_process.why_ended(process)}")
    result = json.loads(process.stdout)
    if "error" in result:
        raise getattr(errors, result["error"])(result["message"])  # by the name that `main_of_process` gave it
    return result


def main_of_process() -> None:
    """Reads a pickled (Target, BenchmarkOptions) from stdin; writes a row or {"error", "message"} as JSON to stdout."""
    try:
        result = measure(*fresh_process.received())
    except DetectionError as error:
        # Subclasses that are private to a module are reported as their base class.
        kind = next(kind.__name__ for kind in type(error).__mro__ if hasattr(errors, kind.__name__))
        result = {"error": kind, "message": str(error)}
    sys.stdout.write(json.dumps(result))
