"""Work spread over threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_order(pool: ThreadPoolExecutor, function: Callable[[_T], _R], items: Iterable[_T], ahead: int) -> Iterator[_R]:
    """As `pool.map`, but works on no more than `ahead` items beyond the one taken, so that results do not pile up in
    memory."""
    waiting: deque[Future[_R]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
