"""The survey's relations (Huang et al. 2017), computed from rows: what fewer proposals, half the resolution or half the
stride do to time and mAP.

Each compares rows that differ in one thing alone. A relation whose rows are missing is listed without a number, not
left out.
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
    ours: str  # `–` where no two rows show it
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
    """The survey's statements that rows of one device can show, with the paper's number in its words beside ours."""
    rows = [row for row in rows if row.done]
    heavy = _with(rows, meta="faster_rcnn", extractor="inception_resnet_v2")
    highest = max((row.resolution for row in heavy), default=0)
    heavy = [row for row in heavy if row.resolution == highest]
    most = most_proposals(rows)
    few, fewest = [_proposals(most, 50)], [_proposals(most, 10)]
    table = [
        _relation(
            f"Faster R-CNN Inception-ResNet v2, {most} to 50 proposals: time",
            "about 3 times faster",
            heavy,
            few,
            TIME,
            _times_faster,
        ),
        _relation("the same: mAP kept", "96 %", heavy, few, MEAN_AP, _kept),
        _relation(f"the same, {most} to 10 proposals: mAP kept", "82 % (29 of 35.4)", heavy, fewest, MEAN_AP, _kept),
    ]
    for meta, words in (("faster_rcnn", "–"), ("rfcn", "minimal savings")):
        mine = _with(rows, meta=meta)
        table.append(
            _relation(
                f"{METAS[meta]}, all extractors, {most} to 10 proposals: time", words, mine, fewest, TIME, _change
            )
        )
    (said, smaller), finer = _smaller(rows), _halved(rows, "stride", 16)
    table += [
        _relation(f"{said}: time", "-27.4 %", rows, smaller, TIME, _change),
        _relation(f"{said}: mAP", "-15.9 %", rows, smaller, MEAN_AP, _change),
        _relation("Stride 8 in place of 16: time", "+63 %", rows, finer, TIME, _change),
        _relation("Stride 8 in place of 16: mAP", "+5 %", rows, finer, MEAN_AP, _change),
    ]
    resnets = [row for row in rows if row.feature_extractor.startswith("resnet")]
    for quantity in (TIME, MEAN_AP):
        words = f"Faster R-CNN with 100 proposals over R-FCN with 300, ResNets: {'time' if quantity is TIME else 'mAP'}"
        table.append(_relation(words, "comparable", resnets, [_across_metas], quantity, _ratio))
    return table


def most_proposals(rows: Iterable[SweepRow]) -> int:
    """What fewer proposals are compared with: the survey's 300, or as many as there are."""
    return max((row.proposals for row in rows if row.done and row.proposals), default=300)


def by_extractor(rows: Iterable[SweepRow], fewer: int = 50) -> list[tuple[str, str, int, float | None, float | None]]:
    """The savings of Figure 6 in numbers: (meta-architecture, extractor, pairs, share of time kept, share of mAP kept)."""
    rows = [row for row in rows if row.done and row.proposals is not None]
    most, table = most_proposals(rows), []
    for meta in METAS:
        for extractor in sorted({row.feature_extractor for row in rows}):
            pairs = _pairs(_with(rows, meta=meta, extractor=extractor), _proposals(most, fewer))
            shares = [_shares(pairs, quantity) for quantity in (TIME, MEAN_AP)]
            if pairs:
                means = [statistics.fmean(of) if of else None for of in shares]
                table.append((METAS[meta], extractor_name(extractor), len(pairs), *means))
    return table


def shares(rows: Iterable[SweepRow]) -> list[Share]:
    """What post-processing takes of the whole, by meta-architecture."""
    found = []
    rows = [row for row in rows if row.done and milliseconds(row)]
    for meta in [*METAS, *sorted({row.meta_architecture for row in rows} - set(METAS))]:
        after = [(_after(row), milliseconds(row)) for row in rows if row.meta_architecture == meta]
        after = [(part, whole) for part, whole in after if part is not None]
        if after:
            times, parts = [part for part, _ in after], [part / whole for part, whole in after]
            found.append(
                Share(
                    METAS.get(meta, meta),
                    len(after),
                    statistics.median(times),
                    max(times),
                    statistics.median(parts),
                    max(parts),
                )
            )
    return found


def _after(row: SweepRow) -> float | None:
    """Milliseconds that postprocessing adds to the whole; in older rows what it takes when it is called alone."""
    share = number(row.benchmark, "postprocess_share")
    return milliseconds(row, "postprocess") if share is None else share * milliseconds(row)


def loads(rows: Iterable[SweepRow]) -> tuple[float, float] | None:
    """Least and most processes that wanted to run while rows were timed, where they say: above the cores, times are too
    long.
    """
    found = [load for load in (number(row.benchmark, "load_average") for row in rows) if load is not None]
    return (min(found), max(found)) if found else None


# What is changed between the two rows of a pair: of each row what both have in common, and 0 for the first and 1 for
# the second; None of other rows.
_Change = Callable[[SweepRow], tuple[tuple, int] | None]


def _with(rows: Sequence[SweepRow], *, meta: str | None = None, extractor: str | None = None) -> list[SweepRow]:
    return [row for row in rows if meta in (None, row.meta_architecture) and extractor in (None, row.feature_extractor)]


def _rest(row: SweepRow, *without: str) -> tuple:
    """All that tells configurations apart, but for some fields."""
    names = [
        name
        for name in ("meta_architecture", "feature_extractor", "resolution", "stride", "proposals")
        if name not in without
    ]
    return (*(getattr(row, name) for name in names), *other_axes(row).items())


def _proposals(most: int, fewer: int) -> _Change:
    return lambda row: (
        (_rest(row, "proposals"), (most, fewer).index(row.proposals)) if row.proposals in (most, fewer) else None
    )


def _halved(rows: Sequence[SweepRow], field: str, whole: int | None = None) -> list[_Change]:
    """One for every value that also occurs halved; of 600, 300 and 150 the one in the middle is both a whole and a
    half.
    """
    values = {getattr(row, field) for row in rows}
    wholes = sorted(
        value for value in values if value and value % 2 == 0 and value // 2 in values and whole in (None, value)
    )
    return [_from_to(field, value, value // 2) for value in wholes]


def _from_to(field: str, first: int, second: int) -> _Change:
    places = {first: 0, second: 1}
    return lambda row: (_rest(row, field), places[getattr(row, field)]) if getattr(row, field) in places else None


def _smaller(rows: Sequence[SweepRow]) -> tuple[str, list[_Change]]:
    """Half the resolution, and how that is said; where no two resolutions are whole and half, the largest and the
    smallest.
    """
    halves, values = _halved(rows, "resolution"), {row.resolution for row in rows if row.resolution}
    if halves or len(values) < 2:
        return "Half the resolution", halves
    first, second = max(values), min(values)
    return f"{first} to {second} pixels, {second / first:.2f} times the resolution", [
        _from_to("resolution", first, second)
    ]


def _across_metas(row: SweepRow) -> tuple[tuple, int] | None:
    place = {("rfcn", 300): 0, ("faster_rcnn", 100): 1}.get((row.meta_architecture, row.proposals))
    return None if place is None else (_rest(row, "meta_architecture", "proposals"), place)


def _pairs(rows: Sequence[SweepRow], change: _Change) -> list[tuple[SweepRow, SweepRow]]:
    sides: dict[tuple, dict[int, SweepRow]] = {}
    for row in rows:
        if (found := change(row)) is not None:
            sides.setdefault(found[0], {})[found[1]] = row
    return [(both[0], both[1]) for both in sides.values() if len(both) == 2]


def _shares(pairs: Sequence[tuple[SweepRow, SweepRow]], quantity: Quantity) -> list[float]:
    """The second's over the first's, of each pair that has both."""
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
    found = [share for change in changes for share in _shares(_pairs(rows, change), quantity)]
    return Relation(what, paper, words(statistics.fmean(found)) if found else "–", len(found))


def _times_faster(share: float) -> str:
    return f"{1 / share:.2f} times faster" if share else "–"


def _kept(share: float) -> str:
    return f"{100 * share:.0f} %"


def _change(share: float) -> str:
    return f"{100 * (share - 1):+.1f} %"


def _ratio(share: float) -> str:
    return f"{share:.2f} times"
