"""Prints many variable names compactly: a tree by scope, in which siblings that differ only in numbers share a line.

 5         744  Conv2d_0                 [3, 3, 3, 24], BatchNorm
65      48,360  Conv2d_{1-13}_depthwise  depthwise [3, 3, 24-768, 1], BatchNorm
"""

from __future__ import annotations

import collections
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

Shapes = Mapping[str, tuple[int, ...]]
WIDTH = 100  # columns
_COLUMN = 44  # columns; longer scope names shift the rest of their line
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9])\d+(?![A-Za-z0-9])"
)  # Matches 13 in Conv2d_13_depthwise, but not the digits of block1 or Mixed_3b.
_NORM = {"gamma", "beta", "moving_mean", "moving_variance"}


class Line(NamedTuple):
    """A line of the tree: one scope, or several scopes of equal structure."""

    level: int  # nesting depth; 0 at the root
    scope: str  # the scope's own part of the name
    shapes: dict[str, tuple[int, ...]]  # shapes of all arrays in the scope, by full name
    details: str  # what the scope holds; "" where nested lines show it


def lines(shapes: Shapes, levels: int) -> list[Line]:
    """Returns a line for each scope down to depth `levels`, parents first, in natural order of their numbers."""
    return _lines({"": dict(shapes)}, 0, levels)


def table(shapes: Shapes, levels: int = 2, indent: str = "  ") -> list[str]:
    """Returns the tree as text lines with columns: arrays, elements in them, scope, contents of the scope."""
    rows = lines(shapes, levels)
    names = [f"{'  ' * row.level}{row.scope}" for row in rows]
    column = max(
        (len(name) for row, name in zip(rows, names, strict=True) if row.details and len(name) <= _COLUMN), default=0
    )
    texts = []
    for row, name in zip(rows, names, strict=True):
        text = f"{indent}{len(row.shapes):5d} {count(row.shapes):11,d}  {name:{column}}  {row.details}".rstrip()
        texts.append(text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…")
    return texts


def count(shapes: Shapes) -> int:
    """Returns the total number of elements in arrays of these shapes."""
    return sum(map(math.prod, shapes.values()))


def _lines(scopes: Mapping[str, Shapes], level: int, levels: int) -> list[Line]:
    """Returns the lines below scopes of equal structure, given as {name prefix: arrays with that prefix}."""
    if level == levels:
        return []
    groups: dict[tuple, dict[str, Shapes]] = {}
    for prefix, below in scopes.items():
        for scope, shapes in _children(prefix, below).items():
            inner = scope.removeprefix(prefix)
            structure = tuple(sorted(_NUMBER.sub("#", name.removeprefix(scope)) for name in shapes))
            groups.setdefault((_NUMBER.sub("#", inner), structure), {})[scope] = shapes
    found = []
    for alike in groups.values():
        inner = [next(scope.removeprefix(prefix) for prefix in scopes if scope.startswith(prefix)) for scope in alike]
        together = {name: shape for shapes in alike.values() for name, shape in shapes.items()}
        below = [] if _is_layer(alike) else _lines(alike, level + 1, levels)
        found += [Line(level, joined(inner).strip("/"), together, "" if below else _details(alike)), *below]
    return found


def _children(prefix: str, shapes: Shapes) -> dict[str, Shapes]:
    """Groups arrays by child scope of `prefix`; a scope whose only content is one child is merged with that child."""
    children: dict[str, dict[str, tuple[int, ...]]] = collections.defaultdict(dict)
    for name, shape in shapes.items():
        children[prefix + _segment(name.removeprefix(prefix))][name] = shape
    grown = {}
    for scope in sorted(children, key=_natural):
        below = children[scope]
        while scope.endswith("/") and not _is_layer({scope: below}):
            deeper = {f"{scope}{name.removeprefix(scope).partition('/')[0]}/" for name in below}
            if len(deeper) > 1:
                break
            (scope,) = deeper
        grown[scope] = below
    return grown


def _segment(name: str) -> str:
    """Returns the outermost scope with its slash; a feature extractor's scope includes that of its network."""
    first, slash, rest = name.partition("/")
    return f"{first}/{_segment(rest)}" if first.endswith("FeatureExtractor") and rest else f"{first}{slash}"


def _is_layer(alike: Mapping[str, Shapes]) -> bool:
    """Returns whether any of the scopes holds variables directly, not only nested scopes."""
    return any("/" not in name.removeprefix(scope) for scope, shapes in alike.items() for name in shapes)


def _details(alike: Mapping[str, Shapes]) -> str:
    """Describes the contents of scopes of equal structure: a layer's variables with shapes, or the nested scopes."""
    if not _is_layer(alike):
        segments: dict[str, dict[str, None]] = collections.defaultdict(dict)
        for scope, shapes in alike.items():
            for segment in sorted({name.removeprefix(scope).partition("/")[0] for name in shapes}, key=_natural):
                segments[_NUMBER.sub("#", segment)][segment] = None
        return ", ".join(map(joined, segments.values()))
    inner: dict[str, list[tuple[int, ...]]] = collections.defaultdict(list)
    for scope, shapes in alike.items():
        for name, shape in shapes.items():
            inner[name.removeprefix(scope)].append(shape)
    norms: dict[str, set[str]] = collections.defaultdict(set)
    for name in list(inner):
        parent, _, last = name.rpartition("/")
        if parent and last in _NORM:
            norms[parent].add(last)
            del inner[name]
    kernels = [_kernel(name, inner.pop(name)) for name in sorted(inner) if name.endswith("weights") or not name]
    return ", ".join([*kernels, *inner, *(_norm(parent, parts) for parent, parts in norms.items())])


def _kernel(name: str, shapes: Sequence[tuple[int, ...]]) -> str:
    return " ".join(word for word in (name.removesuffix("weights").strip("_"), _spans(shapes)) if word)


def _norm(scope: str, parts: set[str]) -> str:
    if parts == _NORM:
        return scope
    absent = sorted(_NORM - parts)
    return f"{scope} without {' and '.join(absent)}" if len(absent) == 1 else f"{scope}/{','.join(sorted(parts))}"


def _spans(shapes: Sequence[tuple[int, ...]]) -> str:
    """Formats the range of each dimension, as in `[3, 3, 24-768, 1]`."""
    if len({len(shape) for shape in shapes}) > 1:
        return ""
    sides = [(min(side), max(side)) for side in zip(*shapes, strict=True)]
    return f"[{', '.join(str(low) if low == high else f'{low}-{high}' for low, high in sides)}]"


def joined(names: Iterable[str]) -> str:
    """Merges names that differ only in numbers, as in `Conv2d_{1-13}_depthwise`."""
    names = list(names)
    numbers = [[int(number) for number in _NUMBER.findall(name)] for name in names]
    parts = _NUMBER.split(names[0])
    spans = [_range(sorted(set(column))) for column in zip(*numbers, strict=True)] if parts[1:] else []
    return "".join(part + span for part, span in zip(parts, [*spans, ""], strict=True))


def _range(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    return f"{{{numbers[0]}-{numbers[-1]}}}" if steps == {1} else f"{{{','.join(map(str, numbers))}}}"


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Returns a sort key that orders block2 before block10."""
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name) if part]
