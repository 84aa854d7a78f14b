"""The way of a reading into the database: a guess that never loses a row."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from historian.routing import BACKLOG_ROWS, WATERMARK_METERS, Router
from scada.model.reading import READING, ReadingArray


def readings(*keys: tuple[int, int]) -> ReadingArray:
    """Readings of (meter, time)."""
    batch = np.zeros(len(keys), dtype=READING)
    for row, (meter, time) in zip(batch, keys, strict=True):
        row["meter"], row["time"] = meter, time
    return batch


def test_a_meter_never_seen_is_likely_new() -> None:
    routed = Router().route(readings((5000, 10), (1, 10)))
    assert routed.rows["meter"].tolist() == [1, 5000]
    assert routed.likely_new.tolist() == [True, True]


def test_a_reading_not_newer_than_its_meters_last_goes_through_staging() -> None:
    router = Router()
    router.stored(readings((1, 20), (2, 20)))
    routed = router.route(readings((1, 10), (1, 20), (1, 21), (3, 10)))
    assert routed.rows[["meter", "time"]].tolist() == [(1, 10), (3, 10), (1, 20), (1, 21)]
    assert routed.likely_new.tolist() == [False, True, False, True]


def test_a_late_reading_does_not_lower_the_watermark() -> None:
    router = Router()
    router.stored(readings((1, 20)))
    router.stored(readings((1, 10)))
    assert router.route(readings((1, 15))).likely_new.tolist() == [False]


def test_the_second_of_two_equal_keys_goes_through_staging() -> None:
    assert Router().route(readings((1, 10), (2, 10), (1, 10))).likely_new.tolist() == [True, False, True]


def test_a_meter_beyond_the_watermarks_always_goes_through_staging() -> None:
    router = Router()
    batch = readings((-1, 10), (WATERMARK_METERS, 10), (WATERMARK_METERS - 1, 10))
    assert sorted(router.route(batch).likely_new.tolist()) == [False, False, True]
    router.stored(batch)
    assert router.route(readings((WATERMARK_METERS - 1, 11))).likely_new.tolist() == [True]


@given(st.lists(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), max_size=8), max_size=6))
def test_a_likely_new_reading_is_always_new_to_this_process(batches: list[list[tuple[int, int]]]) -> None:
    router = Router()
    seen: set[tuple[int, int]] = set()
    for keys in batches:
        routed = router.route(readings(*keys))
        assert sorted(routed.rows[["meter", "time"]].tolist()) == sorted(keys)
        new = routed.rows[routed.likely_new][["meter", "time"]].tolist()
        assert len(set(new)) == len(new)
        assert not seen & set(new)
        router.stored(routed.rows)
        seen |= set(keys)


def test_a_backlog_older_than_what_is_stored_goes_by_copy_all_the_same() -> None:
    router = Router()
    meters = range(1, BACKLOG_ROWS + 1)
    router.stored(router.route(readings(*((meter, 100) for meter in meters))).rows)
    day_before = [(meter, 50) for meter in meters]
    assert router.route(readings(*day_before, day_before[0])).likely_new.tolist() == [
        True,
        False,
        *([True] * (BACKLOG_ROWS - 1)),
    ]
    assert not router.route(readings(*day_before[1:])).likely_new.any()
