"""Feeds damaged files to every reader and counts what comes out: only documented errors may, in bounded time and
memory.

    bash scripts/fuzz.sh                                                  the full run: 100,000 inputs a reader of text,
        10,000 of images and models
    bash scripts/fuzz.sh --inputs=1000 --seed=7 --readers=coco,jpeg       so many of some
    bash scripts/fuzz.sh --seconds=600                                    as many as fit into ten minutes, shared evenly
        among the readers
    bash scripts/fuzz.sh --readers=jpeg --reproduce=fuzz_failures/jpeg-17.bin

Equal seeds give equal inputs. Inputs that failed are kept in --failures, each with its traceback and the command that
runs it again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

for name, value in {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}.items():
    os.environ.setdefault(name, value)
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

_KEPT = 3  # inputs of one kind of failure at one place


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="another seed, other inputs")
    parser.add_argument(
        "--inputs", type=int, default=0, help="inputs a reader; 0: 100,000 of text, 10,000 of images and models"
    )
    parser.add_argument("--seconds", type=float, default=0, help="at most so long in all; 0: as long as it takes")
    parser.add_argument("--readers", default="", help="some of the readers, separated by commas")
    parser.add_argument("--jobs", type=int, default=1, help="readers at a time")
    parser.add_argument("--failures", default="fuzz_failures", help="folder for inputs that failed")
    parser.add_argument("--reproduce", default="", help="run this one file, in this process, with its traceback")
    given = parser.parse_args(argv)
    from absl import logging

    import detection.benchmark.report
    import detection.data.convert.conversion
    import detection.evaluate.stored
    import detection.export.predictor
    import detection.sweep.report.report_folder  # noqa: F401  (what is imported before processes are forked is imported once)
    from tests.fuzz import mutate, workers
    from tests.fuzz.readers import READERS

    logging.set_verbosity(logging.FATAL)
    names = [name.strip() for name in given.readers.split(",") if name.strip()] or list(READERS)
    unknown = [name for name in names if name not in READERS]
    if unknown:
        parser.error(f"no reader {unknown[0]!r}; there are: {', '.join(READERS)}")
    materials = {name: READERS[name].material() for name in names}
    if given.reproduce:
        return _reproduce(given.reproduce, READERS[names[0]])

    def one(name: str) -> tuple[str, workers.Done]:
        reader, material = READERS[name], materials[name]

        def prepare(folder: Path):
            run = reader.prepare(folder)
            return lambda number: run(mutate.make(material, f"{given.seed}:{name}:{number}"))

        deadline = time.monotonic() + given.seconds / len(names) * given.jobs if given.seconds else float("inf")
        return name, workers.run_range(prepare, 0, given.inputs or reader.inputs, deadline)

    failed = 0
    print(f"{'reader':20}{'inputs':>9}{'failed':>8}{'a second':>10}  what came out", flush=True)
    with ThreadPoolExecutor(given.jobs) as pool:
        for name, done in pool.map(one, names):
            failed += len(done.failures)
            came = ", ".join(
                f"{outcome} {count}" for outcome, count in sorted(done.outcomes.items(), key=lambda item: -item[1])
            )
            print(
                f"{name:20}{done.inputs:>9}{len(done.failures):>8}{done.inputs / max(done.seconds, 1e-9):>10.0f} "
                f" {came}",
                flush=True,
            )
            _keep(name, done.failures, materials[name], given.seed, Path(given.failures))
    print(f"{failed} failures" + (f"; see {given.failures}" if failed else ""))
    return 1 if failed else 0


def _keep(name: str, failures, material, seed: int, folder: Path) -> None:
    from tests.fuzz import mutate, workers

    seen: Counter[tuple[str, str]] = Counter()
    for failure in failures:
        seen[failure.kind, failure.place] += 1
        if seen[failure.kind, failure.place] <= _KEPT:
            path = workers.keep(folder, name, failure, mutate.make(material, f"{seed}:{name}:{failure.number}"))
            print(f"    {failure.kind} at {failure.place}: bash scripts/fuzz.sh --readers={name} --reproduce={path}")
    for (kind, place), count in seen.most_common():
        print(f"    {count} x {kind} at {place}", flush=True)


def _reproduce(path: str, reader) -> int:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        print(reader.prepare(Path(folder))(Path(path).read_bytes()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
