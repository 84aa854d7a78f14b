"""Figures, snapshots, outages and exchanges in the real database."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import psycopg
import pytest
from pyarrow import parquet

from historian.exchange import ExchangeImport, Installation, import_exchanges, installations
from historian.export import export_month, month_bounds, verify_month
from historian.figures import Grouping, MeterFigures, Snapshot
from historian.models import MeterModel, import_models, known_models
from historian.outages import OutageStore, StoredOutage
from historian.registers import RegisterHistory, Whose
from historian.registry import import_meters
from historian.store import HistorianStore
from meters.obis import BY_NUMBER
from scada.meterjobs import NEAREST_S, forget_gaps, group_outages, keep_snapshots, midnights
from scada.model.errors import ConfigurationError, Fault
from scada.model.ports import NOT_REMOVED
from scada.model.reading import METER_EVENT, READING, REGISTER, RegisterKind

pytestmark = pytest.mark.integration

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
MIDNIGHT = round(datetime(2026, 5, 31, 17, tzinfo=UTC).timestamp()) * 1_000_000
"""1 June 2026, 00:00 in Viet Nam."""
HALF_HOUR = 1_800_000_000
NOW = MIDNIGHT + 9 * 3_600_000_000
CODES = {number: each.code for number, each in BY_NUMBER.items()}
HEADER = "serial,metering_point,unit,concentrator,feeder,class,multiplier,digits,installed_at,transformer\n"


@pytest.fixture
def meters(database: str, tmp_path: Path) -> str:
    """Ten meters of two units: 1–4 behind D1, 5–8 behind D2, 9 and 10 with own modem; ids as numbers."""
    rows = []
    for number in range(1, 11):
        unit, concentrator = ("PN01", f"D{(number + 3) // 4}") if number < 9 else ("PN02", "")
        kind = "residential" if number % 2 else "business"
        transformer = "" if number == 10 else f"T{(number + 1) // 2}"
        rows.append(
            f"{number},P{number:04d},{unit},{concentrator},TN01/471,{kind},1,6,2025-01-01T00:00:00+07:00,{transformer}\n"
        )
    file = tmp_path / "meters.csv"
    file.write_text(HEADER + "".join(rows), encoding="utf-8")
    assert import_meters(database, file).added == 10
    return database


def store_readings(dsn: str, *rows: tuple[int, int, int], status: int = 0) -> None:
    """Readings of (meter, time, import_wh)."""
    batch = np.zeros(len(rows), dtype=READING)
    batch["status"] = status
    for row, (meter, time, energy) in zip(batch, rows, strict=True):
        row["meter"], row["time"], row["import_wh"], row["import_varh"], row["flag"] = meter, time, energy, 1, 65
    with HistorianStore(dsn, worker="test", clock=lambda: NOW) as store:
        store.write_readings(batch)


def store_registers(dsn: str, *rows: tuple[int, int, int, int]) -> None:
    """Registers of (meter, obis, time, value), as a meter says them at a month's end."""
    batch = np.zeros(len(rows), dtype=REGISTER)
    for row, (meter, obis, time, value) in zip(batch, rows, strict=True):
        row["meter"], row["obis"], row["time"], row["taken_at"], row["value"] = meter, obis, time, time, value
        row["kind"], row["flag"] = RegisterKind.MONTH_END, 65
    with HistorianStore(dsn, worker="test", clock=lambda: NOW) as store:
        store.write_registers(batch)


def test_collection_is_told_by_unit_class_and_concentrator(meters: str, tmp_path: Path) -> None:
    ends = [MIDNIGHT + n * HALF_HOUR for n in range(1, 5)]
    store_readings(meters, *((meter, end, 5) for meter in (1, 2, 9) for end in ends[: 4 if meter < 9 else 1]))
    listed = tmp_path / "customers.csv"
    listed.write_text(
        "metering_point,unit,class\n" + "".join(f"P{n:04d},PN01,residential\n" for n in range(1, 17)), encoding="utf-8"
    )
    with MeterFigures(meters) as figures:
        before = figures.collection(Grouping.UNIT, MIDNIGHT, ends[-1], period_s=1800)
        assert [each.customers for each in before] == [None, None]
        assert figures.list_customers(listed) == 16
        units = figures.collection(Grouping.UNIT, MIDNIGHT, ends[-1], period_s=1800)
        parts = figures.collection(Grouping.CONCENTRATOR, MIDNIGHT, ends[-1], period_s=1800)
        classes = figures.collection(Grouping.CLASS, MIDNIGHT, ends[-1], period_s=1800)
    assert [(e.part, e.points, e.delivering, e.owed, e.stored, e.customers) for e in units] == [
        ("PN01", 8, 2, 32, 8, 16),
        ("PN02", 2, 1, 8, 1, 0),
    ]
    assert (units[0].exploitation, units[0].collection, units[0].completeness) == (0.5, 0.25, 0.25)
    assert units[1].exploitation is None
    assert [(e.part, e.delivering, e.points) for e in parts] == [("D1", 2, 4), ("D2", 0, 4), ("own modem", 1, 2)]
    assert [(e.part, e.delivering) for e in classes] == [("business", 1), ("residential", 2)]


def test_a_meter_owes_the_intervals_of_its_model_that_began_while_it_was_installed(meters: str, tmp_path: Path) -> None:
    of_models(meters, tmp_path, {900: 1, 3600: 2})
    with psycopg.connect(meters) as connection:
        connection.execute("UPDATE meter SET installed_at = to_timestamp(%s) WHERE id = 3", (MIDNIGHT / 1e6 + 600,))
    hour = 2 * HALF_HOUR
    store_readings(meters, *((1, MIDNIGHT + n * 900_000_000, 5) for n in range(1, 9)), (2, MIDNIGHT + hour, 5))
    with MeterFigures(meters) as figures:
        until = MIDNIGHT + hour + HALF_HOUR
        (first, _, _) = figures.collection(Grouping.CONCENTRATOR, MIDNIGHT, until, period_s=1800)
        (later, _, _) = figures.collection(Grouping.CONCENTRATOR, MIDNIGHT + HALF_HOUR, until, period_s=1800)
    # a quarter-hour, an hourly meter, one installed ten minutes after midnight, and one as configured
    assert (first.owed, first.stored) == (6 + 1 + 2 + 3, 6 + 1)
    assert (later.owed, later.stored) == (4 + 1 + 2 + 2, 4 + 1)


def of_models(dsn: str, folder: Path, periods: dict[int, int]) -> None:
    """Let a meter have the model of each capture period."""
    file = folder / "models.csv"
    lines = [f"M{period_s},6,,{period_s},1-0:1.8.2=CD\n" for period_s in periods]
    file.write_text("code,digits,wrap_kwh,capture_period_s,rates\n" + "".join(lines), encoding="utf-8")
    assert import_models(dsn, file).done == len(periods)
    with psycopg.connect(dsn) as connection:
        for period_s, meter in periods.items():
            connection.execute("UPDATE meter SET model = %s WHERE id = %s", (f"M{period_s}", meter))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("metering_point,unit\nP1,PN01\n", "class: the column is missing"),
        ("metering_point,unit,class\nP1,PN01,\n", "line 2: a field is empty"),
        ("metering_point,unit,class\nP1,U,c\nP1,U,c\n", "line 3: metering point P1 stands twice"),
    ],
)
def test_a_list_of_customers_with_a_fault_leaves_the_old_one(
    meters: str, tmp_path: Path, text: str, fault: str
) -> None:
    file = tmp_path / "customers.csv"
    file.write_text(text, encoding="utf-8")
    with MeterFigures(meters) as figures, pytest.raises(ConfigurationError, match=fault):
        figures.list_customers(file)


def registers_at_midnight(dsn: str, meter: int) -> list[tuple[int, int, str, bool]]:
    """What is known of the imported energy: value, minutes from midnight, source, in force."""
    with psycopg.connect(dsn) as connection:
        (serial,) = connection.execute("SELECT serial FROM meter WHERE id = %s", (meter,)).fetchone() or (0,)
    with RegisterHistory(dsn) as history:
        known = history.registers(Whose(serial=serial), between=(MIDNIGHT, MIDNIGHT + 1), revisions=True)
    return [(e.value, (e.taken_at - MIDNIGHT) // 60_000_000, e.source, e.in_force) for e in known if e.obis == 1]


def test_a_snapshot_is_exact_nearest_or_missing_and_gets_better_never_worse(meters: str) -> None:
    near = MIDNIGHT + HALF_HOUR
    store_readings(
        meters, (1, MIDNIGHT, 100), (1, near, 150), (2, near, 250), (3, MIDNIGHT - 5 * HALF_HOUR, 1), (9, near, 9)
    )
    with MeterFigures(meters) as figures:
        assert figures.take_snapshot(MIDNIGHT, NEAREST_S) == (6, 0)  # import and reactive of three meters
        assert figures.snapshot(MIDNIGHT) == (Snapshot("PN01", 8, 1, 1, 6, 1800), Snapshot("PN02", 2, 0, 1, 1, 1800))
        assert figures.take_snapshot(MIDNIGHT, NEAREST_S) == (0, 0)
        store_readings(meters, (2, MIDNIGHT, 200))
        assert figures.take_snapshot(MIDNIGHT, NEAREST_S) == (0, 2)
        assert figures.take_snapshot(MIDNIGHT, NEAREST_S) == (0, 0)
        assert figures.snapshot(MIDNIGHT)[0] == Snapshot("PN01", 8, 2, 0, 6, 0)
        assert figures.snapshots(0, NOW) == (MIDNIGHT,)
    assert registers_at_midnight(meters, 1) == [(100, 0, "", True)]
    assert registers_at_midnight(meters, 2) == [(250, 30, "", False), (200, 0, "snapshot", True)]


def test_a_midnight_follows_the_reading_that_is_in_force_and_forgets_nothing(meters: str) -> None:
    near = MIDNIGHT + HALF_HOUR
    store_readings(meters, (1, MIDNIGHT, 100), (1, near, 150), (2, MIDNIGHT, 300))
    store_readings(meters, (1, MIDNIGHT, 110))  # the same interval, said again and otherwise
    with MeterFigures(meters) as figures:
        assert figures.take_snapshot(MIDNIGHT, NEAREST_S) == (4, 0)
        assert registers_at_midnight(meters, 1) == [(110, 0, "", True)]
        store_readings(meters, (1, MIDNIGHT, 120), (2, MIDNIGHT, 310))
        assert figures.take_snapshot(MIDNIGHT, NEAREST_S) == (0, 2)
        assert registers_at_midnight(meters, 1) == [(110, 0, "", False), (120, 0, "snapshot", True)]
        store_readings(meters, (1, MIDNIGHT, 120), status=2)  # unusable, says the meter later
        assert figures.take_snapshot(MIDNIGHT, NEAREST_S) == (0, 2)
        assert registers_at_midnight(meters, 1)[-1] == (150, 30, "snapshot", True)
        assert figures.snapshot(MIDNIGHT)[0] == Snapshot("PN01", 8, 1, 1, 6, 1800)


def test_a_midnight_whose_readings_were_dropped_stays_what_it_was(meters: str) -> None:
    store_readings(meters, (1, MIDNIGHT, 100), (1, MIDNIGHT + HALF_HOUR, 150))
    with MeterFigures(meters) as figures:
        assert figures.take_snapshot(MIDNIGHT, NEAREST_S) == (2, 0)
        with psycopg.connect(meters) as connection:
            connection.execute("DELETE FROM reading WHERE time = to_timestamp(%s)", (MIDNIGHT / 1e6,))
        assert figures.take_snapshot(MIDNIGHT, NEAREST_S) == (0, 0)
    assert registers_at_midnight(meters, 1) == [(100, 0, "", True)]


def test_a_register_the_meter_itself_doubts_stands_for_no_midnight(meters: str) -> None:
    store_readings(meters, (1, MIDNIGHT, 100))
    with psycopg.connect(meters, autocommit=True) as connection:
        connection.execute("UPDATE reading SET status = 2")
    with MeterFigures(meters) as figures:
        assert figures.take_snapshot(MIDNIGHT, NEAREST_S) == (0, 0)


def test_the_job_keeps_the_last_midnights(meters: str) -> None:
    day = 86_400_000_000
    store_readings(meters, (1, MIDNIGHT, 100), (1, MIDNIGHT - 6 * day, 40), (1, MIDNIGHT - 7 * day, 30))
    assert keep_snapshots(meters, ZONE, lambda: NOW) == "4 registers kept, 0 revised"
    assert midnights(NOW, ZONE, 2) == (MIDNIGHT - day, MIDNIGHT)
    assert midnights(MIDNIGHT - 1, ZONE, 1) == (MIDNIGHT - day,)


def test_what_meters_say_of_their_supply_becomes_outages(meters: str) -> None:
    second = 1_000_000
    events = [(5, 0, 99), (6, 10, 1), (5, 600, 2), (6, 620, 2), (10, 3600, 99), (9, 7200, 1)]
    batch = np.array([(meter, MIDNIGHT + s * second, code) for meter, s, code in events], dtype=METER_EVENT)
    with HistorianStore(meters, worker="test", clock=lambda: NOW) as store:
        store.write_meter_events(batch)
    store_readings(meters, (9, MIDNIGHT + 5 * HALF_HOUR, 9))
    assert group_outages(meters, lambda: NOW) == "3 outages in 30 days, 1 of them not over"
    group_outages(meters, lambda: NOW)
    with OutageStore(meters) as outages:
        found = outages.outages(MIDNIGHT - 1, NOW)
        assert outages.outages(MIDNIGHT + 4000 * second, MIDNIGHT + 4001 * second) == (found[1],)
    assert found == (
        StoredOutage("TN01/471", "T5", MIDNIGHT + 7200 * second, MIDNIGHT + 5 * HALF_HOUR, 1, 0),
        StoredOutage("TN01/471", "", MIDNIGHT + 3600 * second, None, 1, 1),
        StoredOutage("TN01/471", "T3", MIDNIGHT, MIDNIGHT + 620 * second, 2, 0),
    )


EXCHANGES = "metering_point,old_serial,end_import_wh,new_serial,start_import_wh,multiplier,digits,exchanged_at\n"


def test_an_exchange_keeps_both_registers_and_both_meters(meters: str, tmp_path: Path) -> None:
    file = tmp_path / "exchanges.csv"
    file.write_text(
        EXCHANGES
        + "P0001,1,99850000,77,120000,1,6,2026-05-20T09:00:00+07:00\n"
        + "P0002,1,5,78,0,1,6,2026-05-20T09:00:00+07:00\n"
        + "P0003,3,5,4,0,1,6,2026-05-20T09:00:00+07:00\n"
        + "P0005,5,-5,79,0,1,6,2026-05-20T09:00:00+07:00\n"
        + "P0006,6,5,80,0,1,6,2026-05-20T09:00:00\n"
        + "P0007,7,5,81,0,1,6,2024-05-20T09:00:00+07:00\n",
        encoding="utf-8",
    )
    name = str(file)
    expected = ExchangeImport(
        1,
        (
            Fault(name, "line 3", "serial 1 is not installed at P0002 before that time"),
            Fault(name, "line 4", "serial 4 stands at P0004 at that time"),
            Fault(name, "line 5", "end_import_wh '-5' is no whole number from 0 to 1000000000000000"),
            Fault(name, "line 6", "exchanged_at '2026-05-20T09:00:00' has no zone"),
            Fault(name, "line 7", "serial 7 is not installed at P0007 before that time"),
        ),
    )
    assert import_exchanges(meters, file, dry_run=True) == expected
    assert len(installations(meters, "P0001")) == 1
    assert import_exchanges(meters, file) == expected
    at = round(datetime(2026, 5, 20, 2, tzinfo=UTC).timestamp()) * 1_000_000
    installed = round(datetime(2024, 12, 31, 17, tzinfo=UTC).timestamp()) * 1_000_000
    assert installations(meters, "P0001") == (
        Installation(1, installed, at, 1, 6, {}, {"1-0:1.8.0": 99_850_000}),
        Installation(77, at, None, 1, 6, {"1-0:1.8.0": 120_000}, {}),
    )
    with HistorianStore(meters, worker="test", clock=lambda: NOW) as store:
        known = {each.serial: (each.installed_at, each.removed_at) for each in store.registered_meters()}
    assert (known[1], known[77]) == ((installed, at), (at, NOT_REMOVED))


def test_models_ratios_and_schedules_are_kept_and_contradictions_told(meters: str, tmp_path: Path) -> None:
    models = tmp_path / "models.csv"
    models.write_text(
        "code,digits,wrap_kwh,capture_period_s,rates\nM6,6,,1800,1-0:1.8.1=BT\nM5,5,50000,1800,\nM6,7,,1800,\n",
        encoding="utf-8",
    )
    assert import_models(meters, models, dry_run=True).done == 2
    assert known_models(meters) == ()
    assert import_models(meters, models).faults == (Fault(str(models), "line 4", "model M6 stands in line 2 already"),)
    assert known_models(meters) == (
        MeterModel("M5", 5, 50_000, 1800, {}),
        MeterModel("M6", 6, 1_000_000, 1800, {"1-0:1.8.1": "BT"}),
    )
    file = tmp_path / "again.csv"
    begun = "2025-01-01T00:00:00+07:00"
    file.write_text(
        HEADER.strip() + ",model,ct,vt,schedule,schedule_since\n"
        f"1,P0001,PN01,D1,TN01/471,residential,1,6,{begun},T1,M6,1,1,BT-CD-TD,\n"
        f"2,P0002,PN01,D1,TN01/471,business,1,6,{begun},T1,M7,,,,\n"
        f"3,P0003,PN01,D1,TN01/471,residential,1,6,{begun},T2,M5,,,,\n"
        f"4,P0004,PN01,D1,TN01/471,business,40,6,{begun},T2,,,,,\n"
        f"5,P0005,PN01,D2,TN01/471,residential,1,7,{begun},T3,,,,,\n",
        encoding="utf-8",
    )
    done = import_meters(meters, file)
    assert (done.added, done.changed, done.unchanged) == (0, 1, 0)
    assert [(each.key, each.message) for each in done.faults] == [
        ("line 3", "model 'M7' is not in the list of models"),
        ("line 4", "digits 6, but model M5 has 5"),
        ("line 5", "multiplier 40 is listed, 1 is installed: an exchange changes it"),
        ("line 6", "digits 7 are listed, 6 are installed: an exchange changes them"),
    ]
    file.write_text(
        HEADER.strip() + ",model,ct,vt,schedule,schedule_since\n"
        f"1,P0001,PN01,D1,TN01/471,residential,1,6,{begun},T1,M6,,,1G,2026-05-01T00:00:00+07:00\n",
        encoding="utf-8",
    )
    assert import_meters(meters, file).unchanged == 1
    transformers = tmp_path / "ct.csv"
    transformers.write_text(
        EXCHANGES.strip() + ",model,ct,vt\nP0001,1,700,1,700,40,6,2026-05-20T09:00:00+07:00,M6,40,1\n", encoding="utf-8"
    )
    assert import_exchanges(meters, transformers).faults == ()
    installed, may, at = (
        round(datetime.fromisoformat(f"{day}:00:00+07:00").timestamp()) * 1_000_000
        for day in ("2025-01-01T00", "2026-05-01T00", "2026-05-20T09")
    )
    ended = {"1-0:1.8.0": 700}
    programmes = (("BT-CD-TD", installed), ("1G", may))
    assert installations(meters, "P0001") == (
        Installation(1, installed, at, 1, 6, {}, ended, "M6", 1, 1, programmes),
        Installation(1, at, None, 40, 6, ended, {}, "M6", 40, 1, ()),
    )


def test_a_dry_run_tells_the_same_and_changes_nothing(meters: str, tmp_path: Path) -> None:
    file = tmp_path / "more.csv"
    file.write_text(HEADER + "11,P0011,PN01,,,pv,1,6,2026-01-01T00:00:00+07:00,\n", encoding="utf-8")
    assert import_meters(meters, file, dry_run=True).added == 1
    assert import_meters(meters, file).added == 1


def test_a_closed_month_is_exported_whole_with_its_revisions_and_proven_by_its_manifest(
    meters: str, tmp_path: Path
) -> None:
    first, following = month_bounds(date(2026, 5, 1), ZONE)
    assert following == MIDNIGHT
    # an interval that ends at midnight belongs to the month before
    store_readings(meters, (1, first, 1), (1, first + HALF_HOUR, 2), (2, MIDNIGHT, 3), (2, MIDNIGHT + HALF_HOUR, 4))
    store_readings(meters, (2, MIDNIGHT, 30))
    of_models(meters, tmp_path, {1800: 2})
    # the register at midnight that ends the month is of this month, the one that began it is not
    store_registers(meters, (1, 1, first, 1), (1, 1, MIDNIGHT, 2), (2, 3, MIDNIGHT, 7), (2, 1, MIDNIGHT + HALF_HOUR, 9))
    store_registers(meters, (2, 3, MIDNIGHT, 8))
    done = export_month(meters, date(2026, 5, 1), ZONE, tmp_path / "out", codes=CODES, now=NOW)
    assert [(each.name, each.rows) for each in done.files] == [
        ("meters-2026-05.parquet", 10),
        ("readings-2026-05.parquet", 2),
        ("revisions-2026-05.parquet", 1),
        ("registers-2026-05.parquet", 2),
        ("register-revisions-2026-05.parquet", 1),
    ]
    registers = parquet.read_table(tmp_path / "out" / "registers-2026-05.parquet").to_pylist()
    assert [(each["meter"], each["code"], each["rate"], each["value"], each["time"]) for each in registers] == [
        (1, "1-0:1.8.0", "", 2, datetime(2026, 5, 31, 17, tzinfo=UTC)),
        (2, "1-0:1.8.2", "CD", 7, datetime(2026, 5, 31, 17, tzinfo=UTC)),
    ]
    (revised,) = parquet.read_table(tmp_path / "out" / "register-revisions-2026-05.parquet").to_pylist()
    assert (revised["value"], revised["rate"]) == (8, "CD")
    assert revised["known_at"] >= registers[1]["known_at"]
    whose = parquet.read_table(tmp_path / "out" / "meters-2026-05.parquet").to_pylist()
    assert (whose[1]["model"], json.loads(whose[1]["rates"])) == ("M1800", {"1-0:1.8.2": "CD"})
    table = parquet.read_table(tmp_path / "out" / "readings-2026-05.parquet")
    assert table.column("import_wh").to_pylist() == [2, 3]
    assert table.column("time").to_pylist()[1] == datetime(2026, 5, 31, 17, tzinfo=UTC)
    assert (done.import_wh_sum, len(table.column("known_at"))) == (5, 2)
    manifest = tmp_path / "out" / "manifest-2026-05.json"
    assert verify_month(manifest) == []
    (tmp_path / "out" / "meters-2026-05.parquet").unlink()
    (tmp_path / "out" / "readings-2026-05.parquet").write_bytes(b"other")
    assert verify_month(manifest) == [
        "meters-2026-05.parquet is missing",
        "readings-2026-05.parquet has changed since it was written",
    ]
    assert list((tmp_path / "out").glob("*.part")) == []


def test_a_month_that_is_not_over_is_not_exported(meters: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2026-06 is not over"):
        export_month(meters, date(2026, 6, 1), ZONE, tmp_path, codes=CODES, now=NOW)


def test_only_old_recovered_gaps_are_forgotten(meters: str) -> None:
    with psycopg.connect(meters) as connection:
        for state, days in ((3, 401), (3, 399), (4, 402)):
            end = datetime.fromtimestamp(NOW / 1e6, UTC) - timedelta(days=days)
            connection.execute(
                "INSERT INTO gap (meter, first_end, last_end, period_s, state, cause, attempts, next_try, detected_at)"
                " VALUES (1, %s, %s, 1800, %s, 1, 1, now(), now())",
                (end, end, state),
            )
    told = "{} recovered gaps forgotten, 0 of intervals of another length"
    assert forget_gaps(meters, 1800, lambda: NOW) == told.format(1)
    assert forget_gaps(meters, 1800, lambda: NOW) == told.format(0)
