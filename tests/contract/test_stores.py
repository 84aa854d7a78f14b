"""What a historian promises to whoever writes to it: the one in memory and the real one alike."""

from collections.abc import Iterator
from itertools import count
from typing import Protocol

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from historian.migrate import migrate
from historian.store import HistorianStore
from scada.model.errors import RowsRejected, StoreRejected
from scada.model.ports import (
    MeterEventOutcome,
    MeterStore,
    Quarantined,
    ReadingOutcome,
    SampleStore,
)
from scada.model.reading import (
    METER_EVENT,
    READING,
    REGISTER,
    MeterEventArray,
    ReadingArray,
    RegisterArray,
    RegisterKind,
)
from scada.model.sample import SAMPLE, SampleArray
from scada.services.endpoints import Endpoints
from tests.fakes_historian import FakeHistorian

NOW = 1_767_225_600_000_000
HALF_HOUR = 1_800_000_000


class Store(SampleStore, MeterStore, Protocol):
    """All of them."""


@pytest.fixture(scope="module")
def shared_database(endpoints: Endpoints, superuser_dsn: str) -> str:
    """One migrated database for all tests of this file, because making one takes longer than any of them."""
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE contract OWNER scada")
    dsn = psycopg.conninfo.make_conninfo(endpoints.postgres_dsn, dbname="contract")
    migrate(dsn)
    return dsn


@pytest.fixture(params=["in memory", pytest.param("real", marks=pytest.mark.integration)])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "in memory":
        yield FakeHistorian()
        return
    dsn = request.getfixturevalue("shared_database")
    with psycopg.connect(dsn) as connection:
        connection.execute("TRUNCATE sample, sample_batch, reading, reading_revision, meter_event, quarantine")
        connection.execute("TRUNCATE register, register_revision")
    with HistorianStore(dsn, worker="contract", clock=lambda: NOW) as real:
        yield real


def samples(*points: int) -> SampleArray:
    batch = np.zeros(len(points), dtype=SAMPLE)
    batch["point"], batch["time"], batch["cause"] = points, NOW, 3
    return batch


def readings(*rows: tuple[int, int, int]) -> ReadingArray:
    """Readings of (meter, interval, import_wh)."""
    batch = np.zeros(len(rows), dtype=READING)
    for row, (meter, interval, energy) in zip(batch, rows, strict=True):
        row["meter"], row["time"], row["import_wh"], row["flag"] = meter, NOW + interval * HALF_HOUR, energy, 65
    return batch


def registers(*rows: tuple[int, int, int, int]) -> RegisterArray:
    """Registers of (meter, obis, kind, value), all of one boundary."""
    batch = np.zeros(len(rows), dtype=REGISTER)
    for row, (meter, obis, kind, value) in zip(batch, rows, strict=True):
        row["meter"], row["obis"], row["kind"], row["value"] = meter, obis, kind, value
    batch["time"] = batch["taken_at"] = NOW
    batch["flag"] = 65
    return batch


def events(*rows: tuple[int, int, int]) -> MeterEventArray:
    return np.array([(meter, NOW + second * 1_000_000, code) for meter, second, code in rows], dtype=METER_EVENT)


def test_a_batch_of_samples_is_stored_once(store: Store) -> None:
    assert [store.write_samples("a", 1, samples(1, 2)) for _ in range(3)] == [True, False, False]


def test_a_batch_is_known_by_its_source_and_number_together(store: Store) -> None:
    names = [("a", 1), ("a", 2), ("b", 1)]
    assert [store.write_samples(source, number, samples(1)) for source, number in names] == [True, True, True]


def test_an_empty_batch_of_samples_is_stored_once(store: Store) -> None:
    assert [store.write_samples("a", 1, samples()), store.write_samples("a", 1, samples())] == [True, False]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_is_left_out_and_the_batch_settled(store: Store, value: float) -> None:
    batch = samples(1, 2, 3)
    batch["value"][1] = value
    with pytest.raises(RowsRejected) as refusal:
        store.write_samples("a", 1, batch)
    assert refusal.value.rejected == 1
    assert store.write_samples("a", 1, batch) is False


def test_new_readings_are_stored_and_the_same_again_are_duplicates(store: Store) -> None:
    batch = readings((1, 0, 100), (2, 0, 200), (1, 1, 150))
    assert store.write_readings(batch) == ReadingOutcome(stored=3, revised=0, duplicate=0)
    assert store.write_readings(batch) == ReadingOutcome(stored=0, revised=0, duplicate=3)


def test_a_late_reading_is_stored(store: Store) -> None:
    store.write_readings(readings((1, 5, 100)))
    assert store.write_readings(readings((1, 2, 90), (1, 6, 110))) == ReadingOutcome(2, 0, 0)


def test_another_value_is_a_revision_and_the_first_stays_known(store: Store) -> None:
    store.write_readings(readings((1, 0, 100)))
    assert store.write_readings(readings((1, 0, 101))) == ReadingOutcome(stored=0, revised=1, duplicate=0)
    assert store.write_readings(readings((1, 0, 101), (1, 0, 100))) == ReadingOutcome(0, 0, 2)


@pytest.mark.parametrize("column", [name for name in READING.names or () if name not in ("meter", "time")])
def test_a_difference_in_any_column_is_a_revision(store: Store, column: str) -> None:
    store.write_readings(readings((1, 0, 100)))
    changed = readings((1, 0, 100))
    changed[column] += 1
    assert store.write_readings(changed) == ReadingOutcome(stored=0, revised=1, duplicate=0)


def test_a_batch_may_repeat_and_revise_itself(store: Store) -> None:
    batch = readings((1, 0, 100), (1, 0, 100), (1, 0, 101), (1, 0, 101), (2, 0, 5))
    assert store.write_readings(batch) == ReadingOutcome(stored=2, revised=1, duplicate=2)


def test_no_readings_are_no_work(store: Store) -> None:
    assert store.write_readings(readings()) == ReadingOutcome(0, 0, 0)


@pytest.mark.parametrize(
    ("column", "value"),
    [("meter", 0), ("import_wh", -1), ("time", -(2**63)), ("time", 2**63 - 1), ("time", 0)],
)
def test_a_batch_with_a_reading_that_cannot_be_stored_is_refused_whole(store: Store, column: str, value: int) -> None:
    batch = readings((1, 0, 100), (2, 0, 100), (3, 0, 100))
    batch[column][1] = value
    with pytest.raises(StoreRejected):
        store.write_readings(batch)
    assert store.write_readings(batch[[0, 2]]) == ReadingOutcome(stored=2, revised=0, duplicate=0)


def test_a_refusal_is_the_same_for_readings_that_go_through_staging(store: Store) -> None:
    store.write_readings(readings((1, 5, 100)))
    with pytest.raises(StoreRejected):
        store.write_readings(readings((1, 2, -1)))
    assert store.write_readings(readings((1, 2, 1))) == ReadingOutcome(stored=1, revised=0, duplicate=0)


def test_a_midnight_may_have_registers_of_several_kinds_each_stored_once(store: Store) -> None:
    daily, monthly = RegisterKind.DAILY, RegisterKind.MONTH_END
    batch = registers((1, 1, daily, 500), (1, 1, monthly, 500), (1, 2, daily, 300), (2, 1, daily, 7))
    assert store.write_registers(batch) == ReadingOutcome(stored=4, revised=0, duplicate=0)
    assert store.write_registers(batch[[3, 0]]) == ReadingOutcome(stored=0, revised=0, duplicate=2)


@pytest.mark.parametrize("column", ["value", "taken_at", "status", "flag", "method"])
def test_another_value_of_a_register_is_a_revision_once(store: Store, column: str) -> None:
    store.write_registers(registers((1, 1, 1, 500)))
    changed = registers((1, 1, 1, 500), (1, 1, 1, 500))
    changed[column] += 1
    assert store.write_registers(changed) == ReadingOutcome(stored=0, revised=1, duplicate=1)


@pytest.mark.parametrize(("column", "value"), [("value", -1), ("meter", 0), ("time", 0), ("taken_at", 0)])
def test_registers_that_cannot_be_stored_are_refused_whole(store: Store, column: str, value: int) -> None:
    batch = registers((1, 1, 1, 500), (2, 1, 1, 500))
    batch[column][1] = value
    with pytest.raises(StoreRejected):
        store.write_registers(batch)
    assert store.write_registers(batch[:1]) == ReadingOutcome(1, 0, 0)


def test_a_meter_event_is_stored_once(store: Store) -> None:
    assert store.write_meter_events(events((1, 0, 1), (1, 0, 2), (1, 0, 1))) == MeterEventOutcome(2, 1)
    assert store.write_meter_events(events((1, 0, 1), (2, 0, 99), (1, 1, 1))) == MeterEventOutcome(2, 1)


def test_an_event_that_cannot_be_stored_refuses_its_batch(store: Store) -> None:
    with pytest.raises(StoreRejected):
        store.write_meter_events(events((1, 0, 1), (0, 0, 1)))
    assert store.write_meter_events(events((1, 0, 1))) == MeterEventOutcome(1, 0)


def test_the_quarantine_takes_any_bytes_and_texts(store: Store) -> None:
    odd = Quarantined(NOW, "ami/\x00\ud800/" + "x" * 70_000, "not_json\x00", 1, 70_000, bytes(range(256)) * 300)
    store.write_quarantine([odd])
    store.write_quarantine([])


def test_a_new_historian_knows_no_meters(store: Store) -> None:
    assert list(store.registered_meters()) == []


@pytest.fixture
def next_meters() -> Iterator[int]:
    """Meters for each example of a property, because the store is not emptied between them."""
    return count(10, 10)


ROWS = st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(0, 2))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batches=st.lists(st.lists(ROWS, max_size=8), max_size=5))
def test_stored_and_revised_are_the_distinct_values_in_whatever_order_they_come(
    store: Store, next_meters: Iterator[int], batches: list[list[tuple[int, int, int]]]
) -> None:
    base = next(next_meters)
    seen: set[tuple[int, int, int]] = set()
    for batch in batches:
        rows = [(base + meter, interval, energy) for meter, interval, energy in batch]
        outcome = store.write_readings(readings(*rows))
        new = set(rows) - seen
        new_keys = {row[:2] for row in new} - {row[:2] for row in seen}
        assert outcome == ReadingOutcome(len(new_keys), len(new) - len(new_keys), len(rows) - len(new))
        seen |= new
