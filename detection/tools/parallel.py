"""Parallel work on a pool of threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_order(pool: ThreadPoolExecutor, function: Callable[[_T], _R], items: Iterable[_T], ahead: int) -> Iterator[_R]:
    """Like `pool.map`, but with at most `ahead` items submitted at a time, so that results do not pile up in memory.

    Args:
        pool: runs the function.
        function: called with each item.
        items: read only as far as needed.
        ahead: items that may be submitted and not yet yielded.

    Yields:
        The results, in the order of the items.
    """
    waiting: deque[Future[_R]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
