"""Validation of proposals: what training would refuse is a fault, what it would put right is a note, each by shard,
record and image."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from detection.data.reading.input import eval_dataset
from detection.data.reading.iteration import iterate
from detection.data.resize import FixedShapeResizer
from detection.data.validation.validate import validate_records
from detection.errors import ConfigError, DataError
from detection.proposals import proposal_files
from detection.proposals.check import KnownProposals
from detection.proposals.input_sources import FileProposals, RecordProposals
from detection.proposals.proposal_files import ProposalFile
from tests.helpers.records import example, input_options, write_shard

GOOD = (0.1, 0.2, 0.5, 0.6)
KEYS = [f"image__proposal__bbox__{side}" for side in ("ymin", "xmin", "ymax", "xmax")]
# Boxes beside a good one, and the fault they make; None where there is none.
CASES = {
    "good": ((0, 0, 1, 1), 0.5, None),
    "nan": ((0.1, float("nan"), 0.5, 0.6), 0.5, "proposal_unreadable"),
    "nan score": ((0.1, 0.2, 0.5, 0.6), float("nan"), "proposal_unreadable"),
    "inverted": ((0.5, 0.2, 0.1, 0.6), 0.5, "proposal_unreadable"),
    "far outside": ((0.1, 0.2, 1.3, 0.6), 0.5, "proposal_outside"),
    "sticks out": ((0.1, 0.2, 1.05, 0.6), 0.5, "proposal_clipped"),
    "just outside": ((1.01, 0.2, 1.05, 0.6), 0.5, "proposal_empty"),
    "no area": ((0.1, 0.2, 0.1, 0.6), 0.5, "proposal_empty"),
}


def beside(path, identity: str, boxes, scores, size=(20, 30)) -> str:
    boxes = np.asarray(boxes, float).reshape(-1, 4) * [20, 30, 20, 30]
    sizes = None if size is None else np.array([size])
    proposal_files.write(
        path, [ProposalFile("", (identity,), np.array([0, len(boxes)]), boxes, np.asarray(scores), sizes)]
    )
    return str(path)


def known(*patterns: str) -> KnownProposals:
    return KnownProposals.read(patterns, "--proposals_path")


@pytest.fixture(scope="module", params=[True, False], ids=["inside", "beside"])
def shard(request, tmp_path_factory):
    """A shard whose record has its proposals inside, or beside it in a file that holds those of every case, each under
    its name; and the pipeline that reads it, traced once for all of them."""
    folder = tmp_path_factory.mktemp("proposals")
    path, file, source = folder / "data.record", None, RecordProposals()
    if not request.param:
        file = str(folder / "p.npz")
        entries = [ProposalFile("", (case,), *_columns(box, score)) for case, (box, score, _) in CASES.items()]
        proposal_files.write(file, entries)
        source = FileProposals((file,))
    write_shard(path, example())
    settings = input_options(str(path), proposals=source, max_number_of_proposals=4)
    dataset = eval_dataset(settings, FixedShapeResizer(), 1)
    return SimpleNamespace(path=path, file=file, check=known(file) if file else None, read=(dataset, settings))


def _columns(box, score) -> tuple[np.ndarray, ...]:
    """Offsets, boxes in pixels, scores and image sizes of a file's one entry: a good box, and this one."""
    return np.array([0, 2]), np.array([GOOD, box]) * [20, 30, 20, 30], np.array([0.9, score]), np.array([[20, 30]])


@pytest.mark.parametrize("case", CASES)
def test_validation_agrees_with_training(shard, case):
    box, score, kind = CASES[case]
    columns = dict(zip(KEYS, np.array([GOOD, box]).T.tolist(), strict=True))
    given = {} if shard.file else {**columns, "image__proposal__score": [0.9, score]}
    write_shard(shard.path, example(image__source_id=case, **given))
    faults = validate_records([str(shard.path)], proposals=shard.check).faults
    found = [fault for fault in faults if fault.kind.startswith("proposal")]
    assert [fault.kind for fault in found] == ([kind] if kind else [])
    if kind:
        assert str(found[0]).startswith(f"{shard.path}: record 0 ({case}), ")
        assert "1 of 2, first: number 1" in found[0].value
        assert not shard.file or shard.file in found[0].value
    refused = False
    try:
        next(iterate(*shard.read))
    except DataError:
        refused = True
    assert refused == bool(found and found[0].bad)


def test_faults_of_whole_entries(write, tmp_path):
    path = write(example(), example(image__source_id="8"))
    other = validate_records([path], proposals=known(beside(tmp_path / "a.npz", "7", [GOOD], [1.0]))).faults
    assert [(fault.kind, fault.bad) for fault in other if "proposal" in fault.kind] == [("proposal_missing", True)]
    assert "record 1 (8)" in str(other[-1]) and "no entry for '8' (file 'seven.png')" in str(other[-1])
    (by_name,) = validate_records(
        [write(example())], proposals=known(beside(tmp_path / "b.npz", "seven", [GOOD], [1.0], (10, 15)))
    ).faults
    assert by_name.kind == "proposal_size" and "is of an image of 15x10 pixels, this one has 30x20" in by_name.value
    (none,) = validate_records([write(example())], proposals=known(beside(tmp_path / "c.npz", "7", [], []))).faults
    assert none.kind == "proposal_none" and not none.bad
    with pytest.raises(ConfigError, match="--proposals_path 'nowhere' matches no file"):
        known("nowhere")


def test_lists_of_unequal_length(write):
    columns = {key: [0.1, 0.2] for key in KEYS}
    for change in ({KEYS[1]: [0.1]}, {"image__proposal__score": [0.5]}):
        (fault,) = validate_records([write(example(**{**columns, **change}))]).faults
        assert fault.kind == "field_length" and "image/proposal/*" in fault.item and "ymin 2" in fault.value
    (wrong,) = (fault for fault in validate_records([write(example(image__proposal__score=[1, 2]))]).faults)
    assert wrong.kind == "field_type" and "image/proposal/score" in wrong.item
    assert not validate_records([write(example())]).faults  # records without the keys are as good as ever
