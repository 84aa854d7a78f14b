"""Refused rows are found, and only they are left out."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from historian.isolation import BatchRefused, Rows, store_all_but_refused

NUMBERED = np.dtype([("number", "<i4")])


@given(st.integers(0, 60), st.sets(st.integers(0, 59)))
def test_everything_but_the_refused_rows_is_stored(size: int, bad: set[int]) -> None:
    stored: list[int] = []

    def store(rows: Rows) -> None:
        if bad & set(rows["number"].tolist()):
            raise BatchRefused("odd", "number is odd")
        stored.extend(rows["number"].tolist())

    rows = np.arange(size).astype(NUMBERED)
    refused = store_all_but_refused(rows, store)
    assert [(item.row["number"].tolist(), item.reason) for item in refused] == [
        ([n], "odd") for n in sorted(bad) if n < size
    ]
    assert stored == [n for n in range(size) if n not in bad]


def test_one_bad_row_costs_two_calls_per_halving() -> None:
    calls = 0

    def store(rows: Rows) -> None:
        nonlocal calls
        calls += 1
        if 777 in rows["number"]:
            raise BatchRefused("odd", "number is odd")

    store_all_but_refused(np.arange(4096).astype(NUMBERED), store)
    assert calls == 1 + 2 * math.log2(4096)
