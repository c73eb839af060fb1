"""Results of several runs of one sweep become one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from detection.errors import ConfigError
from detection.sweep import merge, results
from detection.sweep.results import SweepRow

ROOT = Path(__file__).resolve().parents[2]


def three(change: str) -> str:
    values = " ".join(f"values {{ name: '{number}' set: '{change}=0.{number}' }}" for number in (1, 2, 3))
    return f"bases {{ name: 'ssd' config: 'ssd.config' }} axes {{ name: 'd' prefix: 'd' {values} }} benchmark {{}}"


def part(folder: Path, *rows: SweepRow) -> str:
    folder.mkdir()
    for row in rows:
        (folder / "configs").mkdir(exist_ok=True)
        (folder / row.config).write_text(row.id, encoding="utf-8")
        results.append(folder / results.FILE, row)
    return str(folder)


def made(name: str, device: str = "this", **values) -> SweepRow:
    timed = {"device": device, "milliseconds": {"end_to_end": {"median": 1.0}}}
    train = {"steps": 1, "seconds": 1.0, "weights_of": None, "model_dir": f"models/{name}"}
    return SweepRow(
        **{
            "id": name,
            "key": f"key of {name}",
            "status": "done",
            "config": f"configs/{name}.config",
            "benchmark": timed,
            "train": train,
            **values,
        }
    )


def test_parts_become_one(tmp_path):
    one = part(tmp_path / "1", made("b"), made("c", status="failed", reason="killed", benchmark=None))
    two = part(tmp_path / "2", made("a"), made("c"))
    rows = merge.merge([one, two], tmp_path / "all")
    assert [(row.id, row.status) for row in rows] == [("a", "done"), ("b", "done"), ("c", "done")] and results.read(
        tmp_path / "all"
    ) == rows
    assert rows[0].train["model_dir"] == "../2/models/a" and (tmp_path / "all" / rows[0].config).read_text() == "a"
    before = (tmp_path / "all" / results.FILE).read_bytes()
    merge.merge([two, one, one], tmp_path / "all")
    assert (tmp_path / "all" / results.FILE).read_bytes() == before


def test_parts_are_added_to_what_is_there(tmp_path):
    one, two = part(tmp_path / "1", made("a")), part(tmp_path / "2", made("b", device="that"))
    merge.merge([one], tmp_path / "all")
    rows = merge.merge([two], tmp_path / "all", mixed_devices=True)
    assert [(row.id, row.train["model_dir"]) for row in rows] == [("a", "../1/models/a"), ("b", "../2/models/b")]
    three = part(tmp_path / "3", made("a", device="that"))  # The same configuration elsewhere is a row of its own.
    rows = merge.merge([three], tmp_path / "all", mixed_devices=True)
    assert [(row.id, row.device) for row in rows] == [("a", "that"), ("a", "this"), ("b", "that")] and results.read(
        tmp_path / "all"
    ) == rows


def test_the_command_line(tmp_path):
    def call(*words: str) -> tuple[int, str]:
        command = [sys.executable, str(ROOT / "scripts" / "sweep.py"), *words]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        return done.returncode, done.stdout + done.stderr

    parts = [part(tmp_path / "1", made("a")), part(tmp_path / "2", made("b", status="failed", reason="killed"))]
    assert call("merge", f"--output={tmp_path / 'all'}", *parts) == (
        0,
        f"2 rows, 1 of them done, in {tmp_path / 'all'}\n",
    )
    assert call("merge", *parts) == (2, "error: usage: sweep.py merge --output=ALL PART1 PART2 ...\n")
    code, said = call(f"--grid={tmp_path / 'none'}", f"--output={tmp_path / 'out'}")
    assert code == 2 and said.count("\n") == 1 and "cannot be read: No such file" in said
    assert call("--grid=x")[0] == 2


def test_what_cannot_be_compared_is_not_merged(tmp_path):
    one, two = part(tmp_path / "1", made("a")), part(tmp_path / "2", made("b", device="another"))
    with pytest.raises(ConfigError, match="times of another and of this cannot be compared"):
        merge.merge([one, two], tmp_path / "all")
    assert not (tmp_path / "all").exists() and len(merge.merge([one, two], tmp_path / "all", mixed_devices=True)) == 2
    three = part(tmp_path / "3", made("a", key="another key"))
    with pytest.raises(ConfigError, match="a was run with other settings in"):
        merge.merge([one, three], tmp_path / "all")
    with pytest.raises(ConfigError, match="no parts are given"):
        merge.merge([], tmp_path / "all")
