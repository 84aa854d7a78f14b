"""Rollups in the real database: right by hand, exact after late samples, equal to an independent aggregation."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import psycopg
import pytest

from historian.rollup import HOUR_US, MINUTE_US, RolledUp, Rollups, roll_up
from historian.store import HistorianStore
from scada.model.cause import Cause
from scada.model.quality import Quality
from scada.model.rollup import Level
from scada.model.sample import SampleArray, samples

pytestmark = pytest.mark.integration

NOON = 1_767_268_800_000_000
"""2026-01-01 12:00 UTC."""
SECOND = 1_000_000
POINT = 70_001
LATER = NOON + 3 * HOUR_US


@pytest.fixture
def store(database: str) -> Iterator[HistorianStore]:
    with HistorianStore(database, worker="test", clock=lambda: NOON) as opened:
        yield opened


class Writer:
    def __init__(self, store: HistorianStore) -> None:
        self._store = store
        self._sequence = 0

    def write(self, *rows: tuple[float, float] | tuple[float, float, int], point: int = POINT) -> None:
        """Rows of (seconds after noon, value, quality = good)."""
        times = np.array([NOON + int(row[0] * SECOND) for row in rows], dtype=np.int64)
        values = np.array([row[1] for row in rows])
        qualities = np.array([row[2] if len(row) == 3 else 0 for row in rows], dtype=np.uint8)
        points = np.full(len(rows), point, dtype=np.int32)
        self.write_batch(samples(points, times, values, qualities, Cause.SPONTANEOUS))

    def write_batch(self, batch: SampleArray) -> None:
        self._sequence += 1
        self._store.write_samples("test", self._sequence, batch)


def minutes(database: str, level: Level = Level.MINUTE) -> list[tuple[float, ...]]:
    """Of each bucket: minute after noon, count, minimum, maximum, mean, weighted mean, last, quality, valid seconds."""
    asked = Rollups(database)
    found = asked.between(level, POINT, NOON - HOUR_US, LATER)
    asked.close()
    names = ("count", "minimum", "maximum", "mean", "weighted_mean", "last", "quality", "valid_s")
    return [((int(row["time"]) - NOON) // MINUTE_US, *(round(float(row[each]), 6) for each in names)) for row in found]


def test_a_minute_is_aggregated_by_hand(store: HistorianStore, database: str) -> None:
    """10 from 0 s, 40 from 15 s, 20 from 45 s: by time (10·15 + 40·30 + 20·15) / 60 = 27.5, by samples 23.333."""
    Writer(store).write((0, 10.0), (15, 40.0), (45, 20.0))
    assert roll_up(database, LATER) == RolledUp(minutes=1, minute_rows=1, hours=1, hour_rows=1)
    assert minutes(database) == [(0, 3, 10.0, 40.0, 23.333333, 27.5, 20.0, 0, 60.0)]


def test_the_value_in_force_enters_the_next_minute_and_an_invalid_one_weighs_nothing(
    store: HistorianStore, database: str
) -> None:
    """Minute 1: 20 holds for 30 s, then invalid for 15 s, then 60 for 15 s: (20·30 + 60·15) / 45 = 33.333."""
    Writer(store).write((0, 20.0), (90, 0.0, Quality.INVALID), (105, 60.0))
    roll_up(database, LATER)
    assert minutes(database)[1] == (1, 2, 60.0, 60.0, 60.0, 33.333333, 60.0, Quality.INVALID, 45.0)


def test_an_hour_fills_the_minutes_without_a_sample_with_the_value_in_force(
    store: HistorianStore, database: str
) -> None:
    """0 for 30 minutes, 100 for 15, 40 for 15: 35."""
    Writer(store).write((0, 0.0), (1800, 100.0), (2700, 40.0))
    roll_up(database, LATER)
    (row,) = minutes(database, Level.HOUR)
    assert row == (0, 3, 0.0, 100.0, round(140 / 3, 6), 35.0, 40.0, 0, 3600.0)


def test_a_late_sample_aggregates_its_own_minute_and_the_one_it_enters_anew(
    store: HistorianStore, database: str
) -> None:
    writer = Writer(store)
    writer.write((0, 10.0), (90, 50.0))
    roll_up(database, LATER)
    assert [row[5] for row in minutes(database)] == [10.0, 30.0]
    writer.write((30, 70.0))
    assert roll_up(database, LATER) == RolledUp(minutes=1, minute_rows=2, hours=1, hour_rows=1)
    assert [row[5] for row in minutes(database)] == [40.0, 60.0]
    assert roll_up(database, LATER) == RolledUp()


def test_an_open_minute_waits_until_it_is_closed(store: HistorianStore, database: str) -> None:
    Writer(store).write((0, 10.0))
    assert roll_up(database, NOON + 59 * SECOND) == RolledUp()
    assert roll_up(database, NOON + 66 * SECOND).minutes == 1


def test_a_minute_whose_samples_may_be_dropped_is_left_as_it_is(store: HistorianStore, database: str) -> None:
    writer = Writer(store)
    writer.write((0, 10.0))
    roll_up(database, LATER)
    writer.write((30, 99.0))
    roll_up(database, LATER, keep_samples_since=NOON + HOUR_US)
    assert minutes(database)[0][5] == 10.0


def test_random_courses_in_random_order_give_what_an_independent_sum_gives(
    store: HistorianStore, database: str
) -> None:
    chance = np.random.default_rng(7)
    count = 400
    times = np.sort(chance.choice(3600 * 2, count, replace=False))
    values, doubtful = chance.uniform(-50, 50, count).round(3), chance.random(count) < 0.1
    rows = [
        (float(t), float(v), int(Quality.NOT_TOPICAL) if d else 0)
        for t, v, d in zip(times, values, doubtful, strict=True)
    ]
    writer = Writer(store)
    for part in np.array_split(chance.permutation(count), 5):
        writer.write(*(rows[index] for index in part))
        roll_up(database, LATER)
    expected = {}
    for (since, value, quality), (until, *_) in pairwise([*rows, (7200.0, 0.0, 0)]):
        second = since
        while second < until and not quality:
            end = min(until, (second // 60 + 1) * 60)
            weight, total = expected.get(second // 60, (0.0, 0.0))
            expected[second // 60] = (weight + end - second, total + value * (end - second))
            second = end
    for row in minutes(database):
        weight, total = expected.get(row[0], (0.0, 0.0))
        if row[0] * 60 > times[0]:
            assert row[8] == pytest.approx(weight)
            assert row[5] == pytest.approx(total / weight, abs=1e-5) if weight else np.isnan(row[5])
    hours: dict[float, tuple[float, float]] = {}
    for minute, (weight, total) in expected.items():
        before = hours.get(minute // 60, (0.0, 0.0))
        hours[minute // 60] = (before[0] + weight, before[1] + total)
    found = {row[0] // 60: row for row in minutes(database, Level.HOUR)}
    assert found.keys() == {0, 1}
    for hour, (weight, total) in hours.items():
        assert (found[hour][8], found[hour][5]) == (pytest.approx(weight), pytest.approx(total / weight, abs=1e-5))


def test_what_is_stored_while_others_are_aggregated_is_aggregated_next(store: HistorianStore, database: str) -> None:
    """A writer whose transaction is still open when the minute is taken makes it due again when it commits."""
    writer = Writer(store)
    writer.write((0, 10.0))
    with psycopg.connect(database) as open_writer:
        open_writer.execute("INSERT INTO sample VALUES (%s, 30, %s, 0, 3)", ("2026-01-01 12:00:30+00", POINT))
        open_writer.execute("INSERT INTO rollup_due VALUES ('minute', '2026-01-01 12:00+00')")
        roll_up(database, LATER)
        assert minutes(database)[0][1] == 1
    roll_up(database, LATER)
    assert minutes(database)[0][1] == 2
