"""Fixtures of the whole suite."""

from __future__ import annotations

import gc
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

# Read by TensorFlow when it is imported, and inherited by the processes that tests start. One thread an operation: two
# workers share two cores, networks this small lose a tenth of their time to handing work over, and the order in which
# numbers are added stays the same. Two operations at a time: with one, an operation that waits for another never ends.
os.environ |= {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "2"}
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# What is compiled here runs once or twice: LLVM's optimisations take a third of the time of such a test.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import pytest

from tests.helpers import forked

# Files whose tests take a minute or more, the longest first.
_LONGEST = (
    "test_every_detector.py",
    "feature_extractors/test_contract.py",
    "test_every_two_stage_detector.py",
    "train/test_main.py",
    "sweep/test_run.py",
    "train/test_loop.py",
    "train/test_stops.py",
    "meta_architectures/test_two_stage_parity.py",
    "train/test_evaluation.py",
    "checkpoints/test_restore.py",
    "benchmarks/test_network_times.py",
    "networks/test_resnet_v1.py",
    "test_end_to_end.py",
    "test_your_own_parts.py",
    "export/test_fast_rcnn_life.py",
    "proposals/test_input_sources.py",
)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data that lies beside a developer's checkout; tests that use it skip elsewhere."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "parity" / "manifest.json").exists():
        pytest.skip("the reference data beside the checkout is absent")
    return folder


@pytest.fixture(scope="session")
def server() -> Iterator[forked.Server]:
    """Starts programs as processes of their own that need not import TensorFlow first."""
    with forked.Server() as server:
        yield server


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Weights drawn without a seed are the same in every run: a test's seed is its name's."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(zlib.crc32(item.nodeid.encode()))


def _iterate_without_autotuner() -> None:
    """Data sets that tests make are iterated as the package's own are, see `batching.dataset_options`: deleting an
    iterator of one with tf.data's autotuner can take up to a minute."""
    dataset = sys.modules["tensorflow"].data.Dataset
    options = sys.modules["tensorflow"].data.Options()
    options.autotune.enabled = False
    iterate = dataset.__iter__

    def iterate_so(self):
        undecided = self.options().autotune.enabled is None
        return iterate(self.with_options(options) if undecided else self)

    dataset.__iter__ = iterate_so


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first; and what takes minutes is left out unless it is asked for: `pytest -m long`."""
    if "tensorflow" in sys.modules:
        _iterate_without_autotuner()
    # What was imported stays for good: the garbage collector need not walk over TensorFlow's modules again and again,
    # nor start for every 700 objects where a traced graph makes a hundred thousand.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    place = {Path(__file__).parent / name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))
    if "long" not in config.option.markexpr:
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes minutes: pytest -m long"))
