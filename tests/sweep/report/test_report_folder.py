"""A whole report, and what rows may make it read."""

from __future__ import annotations

import json
import re

import pytest

HOSTILE_ROW = {
    "id": "</script><script>alert(1)</script>",
    "key": "k9",
    "status": "done",
    "meta_architecture": "constructor",
    "feature_extractor": "resnet$\\frac{a}$<img src=x onerror=alert(2)>",
    "resolution": 300,
    "axes": {"`a|b`": "[x](javascript:alert(3))"},
    "reason": "a|b",
    "command": "rm -rf \x1b[2J $HOME",
    "metrics": {"DetectionBoxes_Precision/mAP": 0.5},
    "benchmark": {"device": "cpu\u202e<b>", "milliseconds": {"end_to_end": {"median": 5.0}}, "host_mib": 10},
}


def test_names_from_rows_are_text_in_page_report_and_figures(tmp_path):
    pytest.importorskip("matplotlib")
    from detection.sweep import results
    from detection.sweep.report import report_folder

    other = {
        **HOSTILE_ROW,
        "id": "b`c",
        "key": "k10",
        "status": "failed",
        "reason": "<script>|\n# no heading",
        "benchmark": None,
        "metrics": {},
    }
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (HOSTILE_ROW, other)))
    written = report_folder.write(results.read(tmp_path), tmp_path / "out", results=[str(tmp_path)])
    html, text = (tmp_path / "out" / "index.html").read_text(), (tmp_path / "out" / "README.md").read_text()
    assert html.count("<script") == html.count("</script>") == 2 and "<img" not in html and "\x1b" not in html
    assert not re.search(r"(?<![\\`])<(script|img|b)\b", re.sub(r"(`+).*?\1", "", text)) and "](javascript" not in text
    assert "\n# no heading" not in text and not re.search("[\x1b\u202e]", text)
    svg = next(path for path in written.paths if path.suffix == ".svg").read_text()
    assert "<img" not in svg and len(written.paths) > 2


ELSEWHERE = [
    "/etc/passwd",
    "../secret.config",
    "configs/../../secret.config",
    "link.config",
    "folder/secret.config",
    "loop.config",
]


@pytest.mark.parametrize("name", [*ELSEWHERE, "/".join(["x" * 250] * 20)])
def test_a_row_names_files_of_its_own_folder_only(tmp_path, name):
    """By its path, or by links to a file or a folder elsewhere."""
    from detection.errors import DataError
    from detection.sweep import config_texts, merge, results

    (tmp_path / "secret.config").write_text("root:x:0")
    folder = tmp_path / "swept"
    folder.mkdir()
    (folder / "link.config").symlink_to("../secret.config")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "loop.config").symlink_to("loop.config")
    (folder / "results.jsonl").write_text(json.dumps({"id": "a", "key": "k", "status": "done", "config": name}) + "\n")
    with pytest.raises(DataError, match="folder"):
        config_texts.read(results.read(folder), [str(folder)])
    with pytest.raises(DataError, match="folder"):
        merge.merge([str(folder)], tmp_path / "merged")
    assert not (tmp_path / "merged" / "results.jsonl").exists()


def test_a_config_that_is_none_by_its_size_is_not_read(tmp_path):
    from detection.errors import DataError
    from detection.sweep import config_texts, results

    (tmp_path / "a.config").write_bytes(bytes(5 << 20))
    (tmp_path / "results.jsonl").write_text(
        json.dumps({"id": "a", "key": "k", "status": "done", "config": "a.config"}) + "\n"
    )
    with pytest.raises(DataError, match="more than 4 MiB"):
        config_texts.read(results.read(tmp_path), [])
