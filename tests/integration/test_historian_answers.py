"""What the historian answers from a real database: courses, profiles, counts, meters, and the upkeep of its tables."""

import csv
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest

from historian import upkeep
from historian.history import AccountTotals, Counts, History
from historian.instants import instant, microseconds
from historian.migrate import Migration, MigrationError, migrate, migrations
from historian.registry import RegistryImport, import_meters
from historian.store import HistorianStore
from scada.model.errors import RowsRejected, StoreRejected, StoreUnavailable
from scada.model.point import Point, PointKind
from scada.model.ports import Quarantined
from scada.model.reading import READING, ReadingArray
from scada.model.sample import SAMPLE, SampleArray

pytestmark = pytest.mark.integration

DAY = 86_400_000_000
NOW = 1_767_225_600_000_000  # 2026-01-01 00:00 UTC


@pytest.fixture
def store(database: str) -> Iterator[HistorianStore]:
    with HistorianStore(database, worker="test", clock=lambda: NOW, quarantine_limit=5) as store:
        yield store


@pytest.fixture
def history(database: str) -> Iterator[History]:
    with History(database) as history:
        yield history


def samples(point: int, *times: int) -> SampleArray:
    batch = np.zeros(len(times), dtype=SAMPLE)
    batch["point"], batch["time"], batch["value"], batch["quality"] = point, times, np.arange(len(times)) / 4, 0x91
    return batch


def readings(meter: int, *values: tuple[int, int]) -> ReadingArray:
    batch = np.zeros(len(values), dtype=READING)
    for row, (time, energy) in zip(batch, values, strict=True):
        row["meter"], row["time"], row["import_wh"], row["voltage_dv"] = meter, time, energy, -5
    return batch


def test_a_points_course_comes_back_as_it_was_stored(store: HistorianStore, history: History) -> None:
    stored = samples(65_793, NOW - 3 * DAY, NOW - 5, NOW, NOW + 1, NOW + 2)
    store.write_samples("a", 1, stored[::-1].copy())
    store.write_samples("a", 2, samples(65_794, NOW))
    found = history.point_history(65_793, NOW, NOW + 2)
    assert (found.in_force.tolist(), found.samples.tolist()) == (stored[1:2].tolist(), stored[2:4].tolist())
    assert history.point_history(65_793, NOW, NOW + DAY, limit=2).samples.tolist() == stored[2:4].tolist()
    assert history.point_history(65_793, NOW - 4 * DAY, NOW).in_force.tolist() == []
    assert history.point_history(1, NOW, NOW + DAY).samples.tolist() == []


def test_a_load_profile_shows_what_was_known_on_a_day(store: HistorianStore, history: History, database: str) -> None:
    first = readings(1, (NOW, 100), (NOW + 1, 110))
    store.write_readings(first)
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    between = microseconds(row[0])
    store.write_readings(readings(1, (NOW, 101), (NOW + 2, 120)))
    store.write_readings(readings(1, (NOW, 102)))
    assert history.load_profile(1, NOW, NOW + 9)["import_wh"].tolist() == [102, 110, 120]
    assert history.load_profile(1, NOW, NOW + 9, as_of=between).tolist() == first.tolist()
    assert history.load_profile(1, NOW, NOW + 9, as_of=NOW - DAY).tolist() == []


def test_counts_account_and_sizes_agree(store: HistorianStore, history: History) -> None:
    store.write_samples("a", 1, samples(1, NOW, NOW + 1))
    store.write_readings(readings(1, (NOW, 1), (NOW + 1, 2)))
    store.write_readings(readings(1, (NOW, 1), (NOW + 1, 3)))
    store.write_readings(readings(2, (NOW - DAY, 1)))
    counts = Counts(samples=2, readings=3, revisions=1, meter_events=0, meters=0, meters_heard=1)
    assert history.counts(heard_since=NOW) == counts
    assert history.account() == AccountTotals(received=5, stored=3, revised=1, duplicate=1)
    sample, reading = history.storage()
    assert (sample.table, sample.rows, sample.chunks, reading.rows, reading.chunks) == ("sample", 2, 1, 3, 2)
    assert reading.bytes_per_row == (reading.table_bytes + reading.index_bytes) / 3


def test_an_empty_historian_answers_with_nothing(history: History) -> None:
    assert history.counts() == Counts(0, 0, 0, 0, 0, 0)
    assert history.account() == AccountTotals(0, 0, 0, 0)
    assert [storage.bytes_per_row for storage in history.storage()] == [0.0, 0.0]


def test_points_are_known_by_name_and_follow_their_files(store: HistorianStore, database: str) -> None:
    point = Point(65_793, "TN07/171/I", PointKind.MEASURED_VALUE, "Dòng điện", "Current", "A")
    other = Point(65_794, "TN07/171/P", PointKind.MEASURED_VALUE, "Công suất", "Power", "MW")
    store.write_points([point])
    store.write_points([Point(point.id, point.name, point.kind, "Dòng điện pha A", "Current", "A"), other])
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT * FROM point ORDER BY id").fetchall()
    assert rows == [
        (65_793, "TN07/171/I", "TN07", "171", "measured_value", "A", "Dòng điện pha A", "Current"),
        (65_794, "TN07/171/P", "TN07", "171", "measured_value", "MW", "Công suất", "Power"),
    ]
    with pytest.raises(StoreRejected):
        store.write_points([Point(65_795, point.name, point.kind, "", "")])


def test_the_quarantine_keeps_the_newest_and_the_account_counts_all(
    store: HistorianStore, history: History, database: str
) -> None:
    messages = [
        Quarantined(NOW + n, f"ami/{n}", "no_zone" if n % 2 else "not_json", n, n, b"x" * n) for n in range(1, 5)
    ]
    store.write_quarantine(messages)
    store.write_quarantine([Quarantined(NOW, "late\x00", "not_json", 1, 9000, b"y" * 9000)] * 3)
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT topic, rejected, size, length(payload) FROM quarantine ORDER BY id"
        ).fetchall()
    assert rows == [("ami/3", 3, 3, 3), ("ami/4", 4, 4, 4), *[("late\ufffd", 1, 9000, 4096)] * 3]
    assert history.account() == AccountTotals(13, 0, 0, 0, {"no_zone": 4, "not_json": 9})


def test_a_refused_sample_can_be_looked_at(store: HistorianStore, database: str) -> None:
    batch = samples(7, NOW, NOW + 1)
    batch["value"][1] = np.nan
    with pytest.raises(RowsRejected, match=r"sample_value_is_finite \(1 of 2 rows\)"):
        store.write_samples("run", 1, batch)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT topic, reason, payload FROM quarantine").fetchall() == [
            (
                "sample/run",
                "refused by the database: sample_value_is_finite",
                f"(7, {NOW + 1}, nan, 145, 0)".encode(),
            )
        ]
        assert connection.execute("SELECT sum(value) FROM sample").fetchone() == (0.0,)


def test_closed_days_get_their_index_once_and_open_ones_none(
    store: HistorianStore, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "historian.upkeep")
    for day in range(3):
        store.write_readings(readings(1, (NOW + day * DAY, day)))
    closed = upkeep.close_days(database, NOW + 2 * DAY)
    assert len(closed) == 2
    assert upkeep.close_days(database, NOW + 2 * DAY) == ()
    with psycopg.connect(database, autocommit=True) as connection:
        found = connection.execute(
            "SELECT tablename FROM pg_indexes WHERE tablename LIKE 'reading%' AND indexdef LIKE '%(meter, \"time\")'"
        ).fetchall()
        assert sorted(row[0] for row in found) == sorted(closed)
    assert caplog.messages == [f"Readings: 2 closed days indexed by meter, up to {closed[1]}"]


def test_an_index_left_unfinished_is_built_again(store: HistorianStore, database: str, superuser_dsn: str) -> None:
    store.write_readings(readings(1, (NOW, 1)))
    (chunk,) = upkeep.close_days(database, NOW + DAY)
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    with psycopg.connect(superuser_dsn, dbname=name, autocommit=True) as connection:
        mark = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass"
        connection.execute(mark, (f"day.{chunk}_meter_time",))
    assert upkeep.close_days(database, NOW + DAY) == (chunk,)
    assert upkeep.close_days(database, NOW + DAY) == ()


def test_old_days_go_with_their_revisions(store: HistorianStore, history: History, database: str) -> None:
    for time in (NOW, NOW + DAY):
        store.write_readings(readings(1, (time, 1)))
        store.write_readings(readings(1, (time, 2)))
    store.write_samples("a", 1, samples(1, NOW, NOW + DAY))
    assert len(upkeep.drop_before(database, upkeep.Hypertable.READING, NOW + DAY)) == 1
    assert upkeep.drop_before(database, upkeep.Hypertable.READING, NOW + DAY) == ()
    counts = history.counts()
    assert (counts.readings, counts.revisions, counts.samples) == (1, 1, 2)
    assert len(upkeep.drop_before(database, upkeep.Hypertable.SAMPLE, NOW + DAY)) == 1
    assert history.counts().samples == 1
    assert upkeep.forget_sample_batches(database, NOW) == 0
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE sample_batch SET written_at = %s", (instant(NOW - 1),))
    assert upkeep.forget_sample_batches(database, NOW) == 1


COLUMNS = (
    "serial",
    "metering_point",
    "unit",
    "concentrator",
    "feeder",
    "class",
    "installed_at",
    "multiplier",
    "digits",
)


def listed(path: Path, *meters: tuple[int, str, str]) -> Path:
    """A list of (serial, metering point, feeder)."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for serial, point, feeder in meters:
            writer.writerow((serial, point, "PN04", "", feeder, "pv", "2025-01-01T00:00:00+07:00", 1, 6))
    return path


def test_a_list_of_meters_becomes_the_registry_and_may_be_repeated(
    store: HistorianStore, database: str, tmp_path: Path
) -> None:
    path = listed(tmp_path / "meters.csv", (11, "A", "TN01/471"), (12, "B", "TN01/471"))
    assert import_meters(database, path) == RegistryImport(added=2, changed=0, unchanged=0, faults=())
    assert import_meters(database, path) == RegistryImport(added=0, changed=0, unchanged=2, faults=())
    listed(path, (13, "C", ""), (12, "B", "TN02/473"), (11, "A", "TN01/471"))
    assert import_meters(database, path) == RegistryImport(added=1, changed=1, unchanged=1, faults=())
    found = [(each.id, each.serial, each.metering_point, each.feeder) for each in store.registered_meters()]
    assert found == [(1, 11, "A", "TN01/471"), (2, 12, "B", "TN02/473"), (3, 13, "C", "")]


def test_a_list_that_contradicts_an_installation_costs_only_those_lines(database: str, tmp_path: Path) -> None:
    path = listed(tmp_path / "meters.csv", (11, "A", ""), (12, "B", ""))
    import_meters(database, path)
    listed(path, (11, "Z", ""), (99, "B", ""), (12, "A", ""), (13, "C", ""), (0, "D", ""))
    result = import_meters(database, path)
    assert (result.added, result.changed, result.unchanged) == (1, 0, 0)
    messages = [fault.message for fault in result.faults]
    assert messages[0] == "serial 11 is listed at metering point Z, but is installed at A"
    assert messages[1] == "serial 99 is listed at metering point B, where serial 12 is installed"
    assert messages[2].startswith("serial 12 is listed at metering point A, ")
    assert messages[3] == "serial '0' is no whole number from 1 to 9223372036854775807"


def test_migrating_twice_changes_nothing(database: str) -> None:
    assert migrate(database) == ()


def test_a_changed_migration_is_refused_by_name(database: str) -> None:
    first, *rest = migrations()
    tampered = (Migration(first.name, first.statements + b"\n-- harmless"), *rest)
    with pytest.raises(MigrationError, match=r"0001_points_and_samples\.sql has changed since it was applied"):
        migrate(database, tampered)


def test_a_failing_migration_leaves_no_trace(database: str) -> None:
    broken = Migration("9999_broken.sql", b"CREATE TABLE half (x int); SELECT 1 / 0;")
    with pytest.raises(MigrationError, match="a migration failed and was undone: division by zero"):
        migrate(database, (*migrations(), broken))
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT to_regclass('half')").fetchone() == (None,)
    assert migrate(database) == ()


def test_without_migrations_the_store_says_what_to_do_and_keeps_the_batch(superuser_dsn: str) -> None:
    with HistorianStore(superuser_dsn, worker="test", clock=lambda: NOW) as store:
        with pytest.raises(StoreUnavailable, match="its migrations have to be run"):
            store.write_samples("a", 1, samples(1, NOW))
        with pytest.raises(StoreUnavailable, match="its migrations have to be run"):
            store.write_readings(readings(1, (NOW, 1)))


def test_a_server_that_is_not_there_is_unavailable() -> None:
    store = HistorianStore("postgresql://nobody@127.0.0.1:1/none", worker="test", clock=lambda: NOW)
    with pytest.raises(StoreUnavailable, match="the database cannot be reached"):
        store.registered_meters()
