"""The text of a report, `README.md`: frontier, figures, the survey's relations with our numbers, timing conditions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from detection.errors import number_of
from detection.markdown import code, words
from detection.sweep.frontier import critical, frontier, points
from detection.sweep.quantities import (
    EXTRACTORS,
    METAS,
    TIME,
    devices,
    extractor_name,
    memory,
    meta_name,
    milliseconds,
    number,
)
from detection.sweep.report import figures
from detection.sweep.report.relations import by_extractor, loads, most_proposals, relations, shares
from detection.sweep.results import SweepRow
from detection.tools import tables

CAPTIONS = {
    "fig2a_map_time_meta": (
        "mAP against time, by meta-architecture, with the optimality frontier and its critical points"
    ),
    "fig2b_map_time_extractor": "The same, by feature extractor",
    "fig3_memory_time": "Memory against time",
    "fig4a_object_size": "mAP by size of objects",
    "fig4b_small_large": "mAP of small against large objects, by resolution",
    "fig5_top1": "mAP against the top-1 accuracy of the extractor on ImageNet",
    "fig6_proposals": "Fewer proposals: mAP and time",
}


def markdown(
    rows: Sequence[SweepRow], drawn: figures.DrawnFigures, *, command: str = "", heading: str = "A sweep"
) -> str:
    """The Markdown text of the report.

    Args:
        rows: of one device.
        drawn: the figures.
        command: the command that makes this report; may be empty.
        heading: its title.
    """
    blocks = [f"# {heading}", _measured(rows)]
    if command:
        blocks += [f"Made by\n\n```bash\n{command}\n```"]
    blocks += [
        "[index.html](index.html) is an interactive version: download it, it works offline.",
        "## The optimality frontier",
        frontier_table(rows),
    ]
    pictures = {path.stem: path for path in drawn.paths if path.suffix == ".png"}
    blocks += ["## Figures"] + [
        f"![{CAPTIONS[name]}](figures/{path.name})\n\n{CAPTIONS[name]}." for name, path in pictures.items()
    ]
    blocks += (
        ["\n".join(f"- `{name}` is omitted: {reason}" for name, reason in drawn.left_out.items())]
        if drawn.left_out
        else []
    )
    blocks += ["## The survey's relations", relations_table(rows)]
    blocks += [savings_table(rows)] if by_extractor(rows) else []
    blocks += ["## Post-processing", shares_table(rows)] if shares(rows) else []
    blocks += ["## Times", times_table(rows)] if any(milliseconds(row) for row in rows) else []
    failed = [row for row in rows if not row.done]
    blocks += (
        ["## Failed", tables.markdown(("configuration", "reason"), [(code(row.id), row.reason) for row in failed])]
        if failed
        else []
    )
    return "\n\n".join(blocks) + "\n"


def frontier_table(rows: Iterable[SweepRow]) -> str:
    """The frontier as a table like the survey's Table 3: each configuration with its costs and accuracy."""
    frontier_points = frontier(points(rows))
    if not frontier_points:
        return "No row has both mAP and time: nothing was trained and evaluated here."
    names = {point.row.id: name for name, point in critical(frontier_points).named()}
    lines = []
    for point in frontier_points:
        row = point.row
        what = (
            meta_name(row),
            extractor_name(row.feature_extractor),
            row.resolution,
            row.stride or "",
            "" if row.proposals is None else row.proposals,
        )
        costs = (_shown(memory(row)), _shown(number(row.benchmark, "gflops")))
        lines.append((f"{point.value:.3f}", *what, _shown(point.cost), *costs, names.get(row.id, ""), code(row.id)))
    head = (
        "mAP",
        "meta-architecture",
        "feature extractor",
        "px",
        "stride",
        "proposals",
        "ms",
        "MiB",
        "GFLOPs",
        "",
        "id",
    )
    return tables.markdown(head, lines, right={0, 3, 4, 5, 6, 7, 8})


def relations_table(rows: Iterable[SweepRow]) -> str:
    """The paper's numbers beside ours; ours are means over pairs of rows that differ in nothing else."""
    return tables.markdown(
        ("relation", "paper", "here", "pairs"),
        [(relation.what, relation.paper, relation.ours, relation.pairs) for relation in relations(rows)],
        right={3},
    )


def savings_table(rows: Iterable[SweepRow]) -> str:
    """Time and mAP with 50 proposals relative to the largest number, for each extractor."""
    rows = list(rows)
    shown = [
        (*line[:3], *("–" if share is None else f"{100 * share:.0f} %" for share in line[3:]))
        for line in by_extractor(rows)
    ]
    head = (f"{most_proposals(rows)} to 50 proposals", "feature extractor", "pairs", "of the time", "of the mAP")
    return tables.markdown(head, shown, right={2, 3, 4})


def shares_table(rows: Iterable[SweepRow]) -> str:
    """The time of post-processing, by meta-architecture.

    The paper's NMS took about 40 ms and limited all detectors to 25 images per second.
    """
    lines = [
        (
            share.meta,
            share.rows,
            _shown(share.median_milliseconds),
            _shown(share.worst_milliseconds),
            f"{share.median_share:.1%}",
            f"{share.worst_share:.1%}",
        )
        for share in shares(rows)
    ]
    intro = (
        "The time saved if the served graph ended before decoding and suppression; for two-stage detectors slower than"
        " a quarter of a second, the time of both called alone.\n\n"
    )
    return intro + tables.markdown(
        ("meta-architecture", "rows", "ms, median", "ms, most", "share, median", "share, most"),
        lines,
        right={1, 2, 3, 4, 5},
    )


def times_table(rows: Iterable[SweepRow]) -> str:
    """Milliseconds by extractor (lines) and by meta-architecture and resolution (columns).

    Shows the largest number of proposals and the largest stride.
    """
    selected: dict[tuple, SweepRow] = {}
    for row in rows:
        if row.done and milliseconds(row) is not None:
            key = (row.meta_architecture, row.resolution, row.feature_extractor)
            previous = selected.get(key)
            if previous is None or (row.proposals or 0, row.stride) > (previous.proposals or 0, previous.stride):
                selected[key] = row
    metas, extractors = list(METAS), list(EXTRACTORS)
    columns = sorted(
        {key[:2] for key in selected}, key=lambda key: (metas.index(key[0]) if key[0] in metas else len(metas), key)
    )
    names = sorted(
        {key[2] for key in selected},
        key=lambda name: (extractors.index(name) if name in extractors else len(extractors), name),
    )
    head = (TIME.unit, *(f"{METAS.get(meta, meta)} {resolution}" for meta, resolution in columns))
    lines = [
        (
            extractor_name(name),
            *(
                _shown(milliseconds(selected[*column, name])) if (*column, name) in selected else ""
                for column in columns
            ),
        )
        for name in names
    ]
    counts = sorted({row.proposals for row in selected.values() if row.proposals is not None})
    intro = (
        f"Median per image end to end{f', with {counts[-1]} proposals' if counts else ''}, at the largest stride.\n\n"
    )
    return intro + tables.markdown(head, lines, right=set(range(1, len(head))))


def _measured(rows: Sequence[SweepRow]) -> str:
    """A paragraph about the number of configurations and the conditions of the measurements."""
    done = [row for row in rows if row.done]
    kinds = Counter(meta_name(row) for row in done)
    counts = ", ".join(f"{count} {words(name)}" for name, count in kinds.items())
    sentences = [f"{number_of(len(done), 'configuration')} ({counts}), {len(rows) - len(done)} failed."]
    if devices(done):
        sentences.append(
            f"Timed on {words('; '.join(devices(done)))}: {words(_timing_notes(done))}; times are medians of one"
            " image end to end."
        )
    load = loads(done)
    if load:
        sentences.append(
            f"Load of the machine while timing: {load[0]:.1f} to {load[1]:.1f} processes (above the number of cores,"
            " times are too long)."
        )
    trainings = {row.train.get("weights_of") or row.id: row.train for row in done if row.train}
    steps = {int(train["steps"]) for train in trainings.values() if train.get("steps") is not None}
    if steps:
        sentences.append(
            f"{len(trainings)} trainings of {min(steps)}{f' to {max(steps)}' if len(steps) > 1 else ''} steps."
        )
    evaluated = {row.images_evaluated for row in done if row.images_evaluated}
    if evaluated:
        sentences.append(f"mAP is COCO's, on {' or '.join(str(count) for count in sorted(evaluated))} images.")
    return " ".join(sentences)


def _timing_notes(rows: Sequence[SweepRow]) -> str:
    parts = []
    timed = [row.benchmark for row in rows if row.benchmark]
    images = "{} runs on one image of noise" if timed and all(row_.get("noise") for row_ in timed) else "{} images"
    for key, form in (("batch", "batch {}"), ("images", images), ("tensorflow", "TensorFlow {}"), ("precision", "{}")):
        values = sorted({row.benchmark[key] for row in rows if row.benchmark and row.benchmark.get(key) is not None})
        # Slow detectors are timed on as many images as their time limit allows.
        is_range = len(values) > 2 and not isinstance(values[0], str)
        parts += (
            [form.format(f"{values[0]} to {values[-1]}" if is_range else " or ".join(map(str, values)))]
            if values
            else []
        )
    has_weights = any(row.train or row.benchmark.get("checkpoint") for row in rows if row.benchmark)
    return ", ".join(parts if has_weights else [*parts, "random weights"])


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
