"""Every config of a folder lives through the commands: trained, evaluated, exported, served, restored.

    detection convert --voc_dir=bccd --set=trainval --output=cells/train.record --label_map_path=cells/label_map.pbtxt
    detection convert --voc_dir=bccd --set=test --output=cells/val.record --label_map_path=cells/label_map.pbtxt
    python -m tests.odapi.life_of_configs --configs=odapi_configs/samples --configs=odapi_configs/tf2
        --records=cells --pictures a.jpg b.jpg --sample_1_of_n=18 --output=table.md

One fresh process a stage, as the commands are; one row of JSON as soon as a config is done (`<output>.jsonl`): the
same command again skips configs that have one, and writes the table anew. Of a config are changed: paths, the number
of classes, the size of images and of batches, the number of steps, and how many regions a second stage looks at
(`stages_of_configs.adapt`); all else is as in the file.

    train     3 steps without a fine-tuning checkpoint; losses must be finite
    evaluate  a new detector, all of its variables from that checkpoint; metrics must be finite
    export    the same as a SavedModel
    detect    two pictures by the loaded SavedModel; boxes inside of them, scores in [0, 1], classes of the label map
    restore   the run resumed at its last step, then a new detector that starts from the checkpoint as
              fine_tune_checkpoint of type `detection`: every variable of its extractors must be restored, with the
              checkpoint's value
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.odapi.stages_of_configs import STAGES, Life, Setting

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

RunStage = Callable[[Life, str, float], dict[str, Any]]  # life, stage, seconds left -> what of it goes into the row
MARKER = "<!-- the tables: python -m tests.odapi.life_of_configs -->\n"


def understand(config: str) -> dict[str, Any]:
    """The first words of a row: what the config is of, and why it is refused where it is."""
    from detection import config as configs
    from detection.errors import DetectionError

    row: dict[str, Any] = {"config": Path(config).name, "stages": {}}
    try:
        message = configs.load(config)
        kind = message.model.WhichOneof("model")
        chosen = getattr(message.model, kind)
        regions = kind == "faster_rcnn" and chosen.second_stage_box_predictor.HasField("rfcn_box_predictor")
        row |= {"model": "rfcn" if regions else kind, "type": chosen.feature_extractor.type}
        configs.check(message, Path(config).name, check_paths=False)
    except DetectionError as error:
        row["refused"] = [line.removeprefix(f"{Path(config).name}: ") for line in error.lines()]
    return row


def live(config: str, row: dict[str, Any], setting: Setting, run_stage: RunStage) -> dict[str, Any]:
    """The finished row of one config.

    Args:
        row: as `understand` returns it.
        run_stage: `here`, or `alone`.
    """
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        life = Life(config, setting, Path(name))
        row |= {"checkpoint": life.format, "size": life.size}
        for stage in STAGES:
            found = run_stage(life, stage, setting.seconds - (time.monotonic() - begun))
            if "error" in found:
                row |= {"failed": stage, **found}
                break
            row["stages"][stage] = found
    return row | {"seconds": round(time.monotonic() - begun, 1)}


def here(life: Life, stage: str, seconds: float) -> dict[str, Any]:
    """What a stage says, with its seconds and the most memory that the process had until then; or its error."""
    del seconds  # A process does not end itself.
    begun = time.monotonic()
    try:
        found = getattr(life, stage)()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": round(time.monotonic() - begun, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mib": used.ru_maxrss >> 10,
        **found,
    }


def alone(life: Life, stage: str, seconds: float) -> dict[str, Any]:
    """The same in a process of its own, as the commands are; it is ended after so many seconds."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(here(life, stage, seconds)))
    process.start()
    sender.close()
    try:
        if receiver.poll(max(0.0, seconds)):
            return receiver.recv()
        return {"error": f"the config took over {life.setting.seconds:.0f} s"}
    except EOFError:
        process.join()
        return {"error": f"the process ended with {process.exitcode}"}
    finally:
        process.kill()
        process.join()


def run(configs: list[str], setting: Setting, rows: Path, again: bool = False) -> None:
    """Every stage in a process of its own, one after the other; a row a config is added to `rows`.

    Args:
        again: those that failed too.
    """
    import detection.builders.pipeline
    import detection.export.exporter
    import detection.train.loop  # noqa: F401  (imported once, before processes are forked)

    done = [row for row in read(rows) if not (again and "failed" in row)]
    names = {row["config"] for row in done}
    begun = [understand(config) for config in configs if Path(config).name not in names]
    paths = {Path(config).name: config for config in configs}
    for row in in_order(begun, done):
        if "refused" not in row:
            row = live(paths[row["config"]], row, setting, alone)
        with rows.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        print(f"{row['config']}: {_outcome(row)}", flush=True)


def in_order(rows: list[dict[str, Any]], done: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is refused first, then one config of each model and extractor that is not among `done`, then the others."""
    seen = {(row["model"], row["type"]) for row in done if "refused" not in row}
    refused = [row for row in rows if "refused" in row]
    first, rest = [], []
    for row in rows:
        if "refused" not in row:
            kind = row["model"], row["type"]
            (rest if kind in seen else first).append(row)
            seen.add(kind)
    return refused + first + rest


def read(rows: Path) -> list[dict[str, Any]]:
    """The rows that are there; of a config that has several, the last."""
    if not rows.exists():
        return []
    found = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    return list({row["config"]: row for row in found}.values())


def _outcome(row: dict[str, Any]) -> str:
    if "refused" in row:
        return f"refused: {row['refused'][0]}"
    return f"{row['failed']}: {row['error'][:300]}" if "failed" in row else "all stages"


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: what ran, then what is refused."""
    from detection import markdown

    ran = sorted(
        (row for row in rows if "refused" not in row), key=lambda row: (row["model"], row["type"], row["config"])
    )
    head = ["config", "model", "type", "checkpoint", "pixels", *STAGES]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in ran:
        cells = [_cell(row, stage) for stage in STAGES]
        words = [_name(row), row["model"], markdown.code(row["type"]), row["checkpoint"], row["size"], *cells]
        lines.append(f"| {' | '.join(words)} |")
    refused = sorted((row for row in rows if "refused" in row), key=lambda row: row["config"])
    if refused:
        lines += ["", "| refused by `detection check` | why |", "|---|---|"]
        lines += [f"| {_name(row)} | {_why(row)} |" for row in refused]
    return "\n".join(lines) + "\n"


def write(page: Path, text: str) -> None:
    """Puts the table behind the marker of a page that has one, else writes it alone."""
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    kept = before.partition(MARKER)[0] + MARKER if MARKER in before else ""
    page.write_text(kept + text, encoding="utf-8")


def _name(row: dict[str, Any]) -> str:
    from detection import markdown

    return markdown.words(row["config"].removesuffix(".config"))


def _why(row: dict[str, Any]) -> str:
    from detection import markdown

    return "<br>".join(markdown.words(line.split(";")[0]) for line in row["refused"])


def _cell(row: dict[str, Any], stage: str) -> str:
    from detection import markdown

    found = row["stages"].get(stage)
    if found is None:
        return f"failed: {markdown.words(row['error'][:120])}" if row.get("failed") == stage else "-"
    said = {
        "train": lambda: f"loss {found['losses'][0]:.3g}",
        "evaluate": lambda: f"loss {found['loss']:.3g}",
        "export": lambda: f"{found['MiB']:.0f} MiB",
        "detect": lambda: "+".join(map(str, found["detections"])),
        "restore": lambda: f"{found['restored']} of {found['variables']}",
    }[stage]()
    return f"{said}, {found['seconds']:.0f} s"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", action="append", required=True, help="a folder of configs, or one; repeatable")
    parser.add_argument("--records", type=Path, required=True, help="folder of train.record*, val.record*, label map")
    parser.add_argument("--pictures", nargs="+", required=True, help="pictures to detect on")
    parser.add_argument("--output", type=Path, required=True, help="the table; rows go beside it")
    parser.add_argument("--side", type=int, default=160, help="pixels of the shorter side of images")
    parser.add_argument("--sample_1_of_n", type=int, default=1, help="of the evaluation's images")
    parser.add_argument("--seconds", type=float, default=360, help="that a config may take")
    parser.add_argument("--again", action="store_true", help="configs that failed too")
    given = parser.parse_args(argv)
    folders = [Path(name) for name in given.configs]
    configs = [str(path) for each in folders for path in (sorted(each.glob("*.config")) if each.is_dir() else [each])]
    setting = Setting(given.records.resolve(), tuple(given.pictures), given.side, given.sample_1_of_n, given.seconds)
    rows = given.output.with_suffix(".jsonl")
    try:
        run(configs, setting, rows, given.again)
    finally:  # Of a run that is stopped too.
        found = read(rows)
        write(given.output, table(found))
    wanted = {Path(config).name for config in configs}
    failed = [row for row in found if "failed" in row and row["config"] in wanted]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
