"""Parallel work with results in order and a bounded number of pending items."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from detection.tools.parallel import in_order


def test_results_are_in_order_and_few_are_pending():
    taken = []

    def items():
        for number in range(20):
            taken.append(number)
            yield number

    with ThreadPoolExecutor(4) as pool:
        results = in_order(pool, lambda number: number * number, items(), 3)
        assert next(results) == 0 and len(taken) <= 3
        assert list(results) == [number * number for number in range(1, 20)]


def test_an_error_comes_where_its_result_would():
    with ThreadPoolExecutor(2) as pool:
        results = in_order(pool, lambda number: 1 // number, [1, 0, 1], 3)
        assert next(results) == 1
        with pytest.raises(ZeroDivisionError):
            next(results)
