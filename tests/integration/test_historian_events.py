"""The sequence of events in the real database: none merged, none lost, in the order of the source's time."""

from pathlib import Path

import numpy as np
import pytest

from historian.events import EventDatabase
from historian.sink import SinkLimits, TelemetrySink
from scada.model.cause import Cause
from scada.model.errors import RowsRejected
from scada.model.sample import SAMPLE
from scada.model.statusevent import STATUS_EVENT, StatusEventArray, status_events

pytestmark = pytest.mark.integration

NOON = 1_767_268_800_000_000
DAY = 86_400_000_000


def happened(*rows: tuple[int, int, float], received_at: int = NOON + 500) -> StatusEventArray:
    """Rows of (point, µs after noon, value)."""
    changes = np.array([(p, NOON + t, v, 0, int(Cause.SPONTANEOUS)) for p, t, v in rows], dtype=SAMPLE)
    return status_events(changes, received_at)


def database_of(dsn: str) -> EventDatabase:
    return EventDatabase(dsn, application="test", clock=lambda: NOON)


def told(events: StatusEventArray) -> list[tuple[int, int, float]]:
    return [(int(row["point"]), int(row["time"]) - NOON, float(row["value"])) for row in events]


def test_events_are_told_by_source_time_and_those_of_one_instant_as_they_arrived(database: str) -> None:
    with database_of(database) as store:
        store.write_samples("s", 1, happened((7, 30, 1.0), (8, 10, 1.0), (7, 10, 0.0)))
        store.write_samples("s", 2, happened((9, 20, 1.0), (6, 10, 2.0), received_at=NOON + 900))
        found = store.events_between(NOON, NOON + DAY)
    assert told(found) == [(8, 10, 1.0), (7, 10, 0.0), (6, 10, 2.0), (9, 20, 1.0), (7, 30, 1.0)]
    assert found["received_at"].tolist() == [NOON + 500, NOON + 500, NOON + 900, NOON + 900, NOON + 500]


def test_events_of_one_point_in_the_same_microsecond_are_not_merged(database: str) -> None:
    same = [(7, 10, 1.0), (7, 10, 0.0), (7, 10, 1.0), (7, 10, 1.0)]
    with database_of(database) as store:
        store.write_samples("s", 1, happened(*same))
        assert told(store.events_between(NOON, NOON + DAY, [7])) == same


def test_a_batch_sent_twice_is_stored_once(database: str) -> None:
    with database_of(database) as store:
        outcomes = [store.write_samples("s", 1, happened((7, 10, 1.0))) for _ in range(2)]
        assert (outcomes, store.counts()) == ([True, False], (1, 1))


def test_an_event_of_1970_is_refused_and_kept_for_inspection_while_the_others_are_stored(database: str) -> None:
    with database_of(database) as store:
        with pytest.raises(RowsRejected) as refused:
            store.write_samples("s", 1, happened((7, -NOON, 1.0), (7, 10, 0.0)))
        assert (refused.value.rejected, store.counts()) == (1, (1, 2))


def test_only_the_asked_points_and_the_newest_are_told(database: str) -> None:
    with database_of(database) as store:
        store.write_samples("s", 1, happened(*((7 + n % 2, n, float(n)) for n in range(10))))
        assert told(store.events_between(NOON, NOON + DAY, [8], limit=2)) == [(8, 7, 7.0), (8, 9, 9.0)]


def test_events_wait_on_the_disk_while_the_database_is_away_and_arrive_once(database: str, tmp_path: Path) -> None:
    away = database_of("postgresql://nobody:nothing@127.0.0.1:1/none")
    avalanche = happened(*((7, n, float(n % 2)) for n in range(5000)))
    first = TelemetrySink(
        away, tmp_path, name="e", clock=lambda: NOON, limits=SinkLimits(batch_rows=1000), rows=STATUS_EVENT
    )
    first.offer(avalanche)
    first.turn()
    assert first.close(1.0).spooled == 5000
    with database_of(database) as store:
        second = TelemetrySink(store, tmp_path, name="e", clock=lambda: NOON, rows=STATUS_EVENT)
        while second.stats().spooled:
            second.turn()
        second.close(1.0)
        assert store.counts() == (5000, 5000)
        assert np.array_equal(store.events_between(NOON, NOON + DAY), avalanche)
