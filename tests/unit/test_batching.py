"""Collecting rows into batches, and sorting them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from historian.batching import Batcher, sort_by
from scada.model.sample import SAMPLE, SampleArray


def rows(*points: int) -> SampleArray:
    batch = np.zeros(len(points), dtype=SAMPLE)
    batch["point"] = points
    return batch


def batcher() -> Batcher:
    return Batcher(SAMPLE, max_rows=5, max_age_us=100)


def test_nothing_is_due_while_nothing_waits() -> None:
    empty = batcher()
    empty.add(rows(), 7)
    assert (empty.due_at(), empty.oldest, empty.rows, len(empty.take())) == (None, None, 0, 0)


def test_a_batch_is_due_when_its_oldest_row_has_waited_long_enough() -> None:
    waiting = batcher()
    waiting.add(rows(1), 1000)
    waiting.add(rows(2), 1050)
    assert (waiting.due_at(), waiting.oldest, waiting.rows) == (1100, 1000, 2)


def test_a_full_batch_is_due_at_once() -> None:
    full = batcher()
    full.add(rows(1, 2, 3, 4, 5), 1000)
    assert full.due_at() == 0


def test_a_batch_takes_the_oldest_rows_and_leaves_the_rest_with_its_age() -> None:
    waiting = batcher()
    waiting.add(rows(1, 2, 3), 1000)
    waiting.add(rows(4, 5, 6, 7), 1050)
    assert waiting.take()["point"].tolist() == [1, 2, 3, 4, 5]
    assert (waiting.rows, waiting.oldest, waiting.due_at()) == (2, 1050, 1150)
    assert waiting.take()["point"].tolist() == [6, 7]
    assert waiting.take().dtype == SAMPLE


@given(st.lists(st.lists(st.integers(1, 9), max_size=12), max_size=12))
def test_every_row_is_taken_once_and_in_order(pieces: list[list[int]]) -> None:
    waiting = batcher()
    for piece in pieces:
        waiting.add(rows(*piece), 0)
    taken: list[int] = []
    while waiting.rows:
        batch = waiting.take()
        assert 0 < len(batch) <= 5
        taken += batch["point"].tolist()
    assert taken == [point for piece in pieces for point in piece]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3)), max_size=20))
def test_sorting_follows_the_keys_and_keeps_the_order_of_equals(keys: list[tuple[int, int]]) -> None:
    batch = rows(*(point for point, _ in keys))
    batch["time"] = [time for _, time in keys]
    batch["value"] = np.arange(len(keys))
    expected = sorted(batch.tolist(), key=lambda row: (row[1], row[0]))
    assert sort_by(batch, "time", "point").tolist() == expected
