"""The survey's relations (Huang et al. 2017) computed from rows.

They are the effects of fewer proposals, half the resolution or half the stride on time and mAP. Each compares rows that
differ only in that. A relation whose rows are missing is listed without a number.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from detection.sweep.quantities import MEAN_AP, METAS, TIME, Quantity, extractor_name, milliseconds, number, other_axes
from detection.sweep.results import SweepRow


class Relation(NamedTuple):
    """One line of the table."""

    what: str
    paper: str
    ours: str  # `–` if no two rows show it
    pairs: int


class Share(NamedTuple):
    """Post-processing of one meta-architecture."""

    meta: str
    rows: int
    median_milliseconds: float
    worst_milliseconds: float
    median_share: float  # of the time end to end
    worst_share: float


def relations(rows: Iterable[SweepRow]) -> list[Relation]:
    """The survey's statements, each with the paper's number, in its words, and ours, from rows of one device."""
    rows = [row for row in rows if row.done]
    largest = _select(rows, meta="faster_rcnn", extractor="inception_resnet_v2")
    highest = max((row.resolution for row in largest), default=0)
    largest = [row for row in largest if row.resolution == highest]
    max_proposals = most_proposals(rows)
    to_50, to_10 = [_proposals(max_proposals, 50)], [_proposals(max_proposals, 10)]
    table = [
        _relation(
            f"Faster R-CNN Inception-ResNet v2, {max_proposals} to 50 proposals: time",
            "about 3 times faster",
            largest,
            to_50,
            TIME,
            _times_faster,
        ),
        _relation("the same: mAP kept", "96 %", largest, to_50, MEAN_AP, _kept),
        _relation(
            f"the same, {max_proposals} to 10 proposals: mAP kept", "82 % (29 of 35.4)", largest, to_10, MEAN_AP, _kept
        ),
    ]
    for meta, words in (("faster_rcnn", "–"), ("rfcn", "minimal savings")):
        own_rows = _select(rows, meta=meta)
        table.append(
            _relation(
                f"{METAS[meta]}, all extractors, {max_proposals} to 10 proposals: time",
                words,
                own_rows,
                to_10,
                TIME,
                _change,
            )
        )
    (description, smaller), finer = _resolution_changes(rows), _halved(rows, "stride", 16)
    table += [
        _relation(f"{description}: time", "-27.4 %", rows, smaller, TIME, _change),
        _relation(f"{description}: mAP", "-15.9 %", rows, smaller, MEAN_AP, _change),
        _relation("Stride 8 in place of 16: time", "+63 %", rows, finer, TIME, _change),
        _relation("Stride 8 in place of 16: mAP", "+5 %", rows, finer, MEAN_AP, _change),
    ]
    resnets = [row for row in rows if row.feature_extractor.startswith("resnet")]
    for quantity in (TIME, MEAN_AP):
        words = f"Faster R-CNN with 100 proposals over R-FCN with 300, ResNets: {'time' if quantity is TIME else 'mAP'}"
        table.append(_relation(words, "comparable", resnets, [_across_metas], quantity, _ratio))
    return table


def most_proposals(rows: Iterable[SweepRow]) -> int:
    """The largest number of proposals of the rows, with which fewer are compared; 300 if there are none."""
    return max((row.proposals for row in rows if row.done and row.proposals), default=300)


def by_extractor(rows: Iterable[SweepRow], fewer: int = 50) -> list[tuple[str, str, int, float | None, float | None]]:
    """The savings of Figure 6 in numbers.

    Args:
        rows: of one device.
        fewer: the number of proposals that is compared with the largest one.

    Returns:
        (meta-architecture, extractor, pairs, fraction of the time, fraction of the mAP) for each.
    """
    rows = [row for row in rows if row.done and row.proposals is not None]
    max_proposals, table = most_proposals(rows), []
    for meta in METAS:
        for extractor in sorted({row.feature_extractor for row in rows}):
            pairs = _pairs(_select(rows, meta=meta, extractor=extractor), _proposals(max_proposals, fewer))
            shares = [_shares(pairs, quantity) for quantity in (TIME, MEAN_AP)]
            if pairs:
                means = [statistics.fmean(ratios) if ratios else None for ratios in shares]
                table.append((METAS[meta], extractor_name(extractor), len(pairs), *means))
    return table


def shares(rows: Iterable[SweepRow]) -> list[Share]:
    """The time of post-processing, by meta-architecture."""
    result = []
    rows = [row for row in rows if row.done and milliseconds(row)]
    for meta in [*METAS, *sorted({row.meta_architecture for row in rows} - set(METAS))]:
        pairs = [(_postprocess_milliseconds(row), milliseconds(row)) for row in rows if row.meta_architecture == meta]
        pairs = [(part, total) for part, total in pairs if part is not None]
        if pairs:
            times, parts = [part for part, _ in pairs], [part / total for part, total in pairs]
            result.append(
                Share(
                    METAS.get(meta, meta),
                    len(pairs),
                    statistics.median(times),
                    max(times),
                    statistics.median(parts),
                    max(parts),
                )
            )
    return result


def _postprocess_milliseconds(row: SweepRow) -> float | None:
    """Milliseconds that postprocessing adds; in rows of earlier versions, its time when called alone."""
    share = number(row.benchmark, "postprocess_share")
    return milliseconds(row, "postprocess") if share is None else share * milliseconds(row)


def loads(rows: Iterable[SweepRow]) -> tuple[float, float] | None:
    """Lowest and highest load average while rows were timed; None if the rows do not have it.

    Above the number of cores, times are too long.
    """
    averages = [load for load in (number(row.benchmark, "load_average") for row in rows) if load is not None]
    return (min(averages), max(averages)) if averages else None


# A change between the two rows of a pair: maps a row to what both have in common, and 0 for the first or 1 for the
# second; None for other rows.
_Change = Callable[[SweepRow], tuple[tuple, int] | None]


def _select(rows: Sequence[SweepRow], *, meta: str | None = None, extractor: str | None = None) -> list[SweepRow]:
    return [row for row in rows if meta in (None, row.meta_architecture) and extractor in (None, row.feature_extractor)]


def _other_fields(row: SweepRow, *without: str) -> tuple:
    """All fields and axes that distinguish configurations, except some fields."""
    names = [
        name
        for name in ("meta_architecture", "feature_extractor", "resolution", "stride", "proposals")
        if name not in without
    ]
    return (*(getattr(row, name) for name in names), *other_axes(row).items())


def _proposals(most: int, fewer: int) -> _Change:
    return lambda row: (
        (_other_fields(row, "proposals"), (most, fewer).index(row.proposals))
        if row.proposals in (most, fewer)
        else None
    )


def _halved(rows: Sequence[SweepRow], field: str, only: int | None = None) -> list[_Change]:
    """A change for every value whose half occurs too; of 600, 300 and 150, the middle one is used in both roles."""
    values = {getattr(row, field) for row in rows}
    doubles = sorted(
        value for value in values if value and value % 2 == 0 and value // 2 in values and only in (None, value)
    )
    return [_from_to(field, value, value // 2) for value in doubles]


def _from_to(field: str, first: int, second: int) -> _Change:
    positions = {first: 0, second: 1}
    return lambda row: (
        (_other_fields(row, field), positions[getattr(row, field)]) if getattr(row, field) in positions else None
    )


def _resolution_changes(rows: Sequence[SweepRow]) -> tuple[str, list[_Change]]:
    """The changes of resolution with their description: to half, or else from the largest to the smallest."""
    halves, values = _halved(rows, "resolution"), {row.resolution for row in rows if row.resolution}
    if halves or len(values) < 2:
        return "Half the resolution", halves
    first, second = max(values), min(values)
    return f"{first} to {second} pixels, {second / first:.2f} times the resolution", [
        _from_to("resolution", first, second)
    ]


def _across_metas(row: SweepRow) -> tuple[tuple, int] | None:
    position = {("rfcn", 300): 0, ("faster_rcnn", 100): 1}.get((row.meta_architecture, row.proposals))
    return None if position is None else (_other_fields(row, "meta_architecture", "proposals"), position)


def _pairs(rows: Sequence[SweepRow], change: _Change) -> list[tuple[SweepRow, SweepRow]]:
    sides: dict[tuple, dict[int, SweepRow]] = {}
    for row in rows:
        if (place := change(row)) is not None:
            sides.setdefault(place[0], {})[place[1]] = row
    return [(pair[0], pair[1]) for pair in sides.values() if len(pair) == 2]


def _shares(pairs: Sequence[tuple[SweepRow, SweepRow]], quantity: Quantity) -> list[float]:
    """The second number over the first, for each pair that has both."""
    numbers = [(quantity.read(first), quantity.read(second)) for first, second in pairs]
    return [second / first for first, second in numbers if first and second is not None]


def _relation(
    what: str,
    paper: str,
    rows: Sequence[SweepRow],
    changes: Sequence[_Change],
    quantity: Quantity,
    words: Callable[[float], str],
) -> Relation:
    ratios = [share for change in changes for share in _shares(_pairs(rows, change), quantity)]
    return Relation(what, paper, words(statistics.fmean(ratios)) if ratios else "–", len(ratios))


def _times_faster(share: float) -> str:
    return f"{1 / share:.2f} times faster" if share else "–"


def _kept(share: float) -> str:
    return f"{100 * share:.0f} %"


def _change(share: float) -> str:
    return f"{100 * (share - 1):+.1f} %"


def _ratio(share: float) -> str:
    return f"{share:.2f} times"
