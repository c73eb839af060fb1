"""What sweeps, benchmarks, trainings and conversions leave."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

from tests.fuzz.mutate import Material
from tests.fuzz.reading import BRACES, TEXT, Reader, reading


def _rows() -> Material:
    times = {part: {"median": 5.0, "low": 4.5, "high": 6.0} for part in ("end_to_end", "preprocess", "first_stage")} | {
        "second_stage": None
    }
    timed = {
        "device": "a CPU",
        "milliseconds": times,
        "host_mib": 800.5,
        "gflops": 2.5,
        "parameters": 5000,
        "batch": 1,
        "images": 20,
        "tensorflow": "2.21.0",
    }
    row = {
        "id": "ssd-a-300",
        "key": "k1",
        "status": "done",
        "reason": "",
        "config": "configs/a.config",
        "command": "model_main.py --x=1",
    }
    row |= {
        "meta_architecture": "ssd",
        "feature_extractor": "resnet50",
        "resolution": 300,
        "stride": 0,
        "proposals": None,
        "axes": {"extractor": "resnet50"},
    }
    row |= {
        "train": {"steps": 5, "seconds": 1.5, "weights_of": None, "model_dir": "models/a"},
        "metrics": {"DetectionBoxes_Precision/mAP": 0.5, "Loss/x": 1.5},
    }
    row |= {"benchmark": timed, "images_evaluated": 72, "exporting": {"seconds": 1}}
    other = {
        **row,
        "id": "b",
        "key": "k2",
        "meta_architecture": "faster_rcnn",
        "feature_extractor": "inception_v2",
        "proposals": 50,
        "stride": 16,
    }
    failed = {
        **row,
        "id": "c",
        "key": "k3",
        "status": "failed",
        "reason": "out of memory",
        "benchmark": None,
        "metrics": {},
        "train": None,
    }
    lines = [json.dumps(one).encode() for one in (row, other, failed)]
    tokens = [json.dumps(name).encode() for name in (*row, *timed, "end_to_end", "median")]
    tokens += [
        b"null",
        b"NaN",
        b"[]",
        b"{}",
        b"\n",
        b'"/etc/passwd"',
        b'"../x"',
        b'"</script><script>"',
        b'"\\u001b[2J"',
        b'"\\ud800"',
        b'"$\\\\frac{a}"',
    ]
    return Material([b"\n".join(lines) + b"\n", lines[0], b"\n".join(lines[::-1])], tokens, BRACES)


def _read_rows(path: str) -> None:
    """Rows, the page and the tables of them."""
    from detection.sweep import config_texts, results
    from detection.sweep.report import page, readme

    rows = results.read(path)
    rows = config_texts.with_widths(rows, config_texts.read(rows, [path]))
    text = page.page(rows, {}, "fuzz")
    assert text.count("<script") == text.count("</script>") == 2, "a row got out of its script element"
    for table in (
        readme.frontier_table,
        readme.relations_table,
        readme.savings_table,
        readme.shares_table,
        readme.times_table,
    ):
        table(rows)
    for row in rows:
        results.SweepRow.from_json(row.to_json())


def _benchmarks() -> Material:
    times = {"median": 5.0, "low": 4.5, "high": 6.0, "mean": 5.0, "std": 0.5}
    parts = {part: times for part in ("end_to_end", "preprocess", "first_stage", "postprocess", "network")} | {
        "second_stage": None
    }
    row = {
        "saved_model": "",
        "config": "a.config",
        "checkpoint": None,
        "overrides": ["a.b=1"],
        "batch": 1,
        "size": 300,
        "images": 20,
    }
    row |= {
        "distinct_images": 1,
        "noise": True,
        "warmup": 3,
        "input": "uint8 [1]",
        "network_input": [1, 300, 300, 3],
        "proposals_given": None,
    }
    row |= {
        "milliseconds": parts,
        "outside_network": 0.1,
        "images_per_second": 200.0,
        "parameters": 5000,
        "gflops": 2.5,
        "not_counted": "crops",
    }
    row |= {
        "host_mib": 500.5,
        "model_host_mib": 100.0,
        "held_host_mib": 300.0,
        "device_mib": None,
        "file_mib": 12.5,
        "device": "a CPU",
        "cpus": 2,
    }
    row |= {"load_average": 0.5, "tensorflow": "2.21.0", "precision": "float32", "detections": 20.0}
    line = json.dumps(row).encode()
    return Material(
        [line + b"\n", line + b"\n" + line],
        [json.dumps(name).encode() for name in row] + [b"null", b"NaN", b"[]", b"{}"],
        BRACES,
    )


def _read_benchmarks(path: str) -> None:
    from detection.benchmark import report

    rows = report.read(path)
    if rows:
        report.text(rows)


def _metrics() -> Material:
    lines = [json.dumps({"step": step, "metrics": {"a": 0.5, "Loss/x": None}}).encode() for step in (1, 20, 300)]
    return Material(
        [b"\n".join(lines) + b"\n"], [b'"step"', b'"metrics"', b"null", b"NaN", b"[]", b"{}", b"\n"], BRACES
    )


def _read_metrics(path: str) -> None:
    from detection.evaluate import results

    folder = Path(path).parents[1]
    for entry in results.read_history(folder):
        json.dumps(entry, allow_nan=False)
    if zlib.crc32(Path(path).read_bytes()) % 50 == 0:
        results.write_metrics(folder, 5, {"a": 1.0})
        for copy in Path(path).parent.glob("*.damaged*"):
            copy.unlink()


def _manifests() -> Material:
    content = {"version": 1, "records": 3, "boxes": 2, "classes": [{"id": 1, "name": "cat", "boxes": 2}]}
    content["shards"] = [{"name": "x.record-00000-of-00001", "records": 3, "bytes": 20, "sha256": "ab"}]
    keys = [b'"shards"', b'"name"', b'"records"', b'"sha256"', b'"../x"', b'"/etc/passwd"', b"null", b"[]", b"{}"]
    return Material([json.dumps(content).encode()], keys, BRACES)


def _read_manifest(path: str) -> None:
    from detection.data import record_writer

    record_writer.read_manifest(path.removesuffix(".manifest.json") + "-00000-of-00001")


READERS = {
    "results_jsonl": Reader(_rows, reading("results.jsonl", _read_rows), TEXT),
    "benchmark_jsonl": Reader(_benchmarks, reading("rows.jsonl", _read_benchmarks), TEXT),
    "metrics_jsonl": Reader(_metrics, reading("eval/metrics.jsonl", _read_metrics), TEXT),
    "manifest": Reader(_manifests, reading("x.record.manifest.json", _read_manifest), TEXT),
}
