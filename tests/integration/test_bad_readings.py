"""What meters and concentrators get wrong, against the real database: nothing is lost, mixed up or stored twice."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest

from historian.figures import Grouping, MeterFigures
from historian.registry import import_meters
from historian.routing import Router
from historian.store import HistorianStore
from meters.ingest import Accounts, take
from meters.message import Message
from meters.packed import BatchHeader, RecordArray, encode_batch, pack_records
from meters.payload import ProfileValues, point_check
from meters.registry import build_registry
from meters.rejection import Reason
from meters.settlement import Settlement
from meters.tally import Tally
from meters.topic import batch_topic
from meters.validate import Limits
from scada.model.errors import StoreUnavailable
from scada.model.ports import ReadingOutcome
from scada.model.reading import READING, ReadingArray
from tests.fakes_meters import INTERVAL, NOW, point_of, profile_message, serial_of

pytestmark = pytest.mark.integration

METERS = 5
DAY = 48 * INTERVAL
LIVE = BatchHeader(interval_s=1800, seq=1)
REPLAY = BatchHeader(interval_s=1800, seq=2, historical=True)
HEADER = "serial,metering_point,unit,concentrator,feeder,class,multiplier,digits,installed_at\n"


class Reader:
    """What a head-end does with messages, on one database."""

    def __init__(self, dsn: str, store: HistorianStore) -> None:
        self._dsn = dsn
        self._store = store
        self.tally = Tally()
        self.tally.adopt(build_registry(store.registered_meters()))

    def receive(self, *messages: Message) -> Accounts:
        intake = take(messages, self.tally.registry, Limits(NOW), 1 << 20)
        settlement = Settlement(messages, intake, self.tally.late(intake), self._store)
        settlement.advance()
        self.tally.settle(intake, settlement.accounts, len(messages), 0.0)
        return settlement.accounts

    def ask(self, question: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self._dsn) as connection:
            return connection.execute(question.encode()).fetchall()


@pytest.fixture
def reader(database: str, tmp_path: Path) -> Iterator[Reader]:
    rows = (
        f"{serial_of(n)},{point_of(n)},PC01,DCU1,,residential,1,6,2024-01-01T00:00:00+07:00\n"
        for n in range(1, METERS + 1)
    )
    (tmp_path / "meters.csv").write_text(HEADER + "".join(rows), encoding="utf-8")
    assert import_meters(database, tmp_path / "meters.csv").faults == ()
    with HistorianStore(database, worker="test", clock=lambda: NOW) as store:
        yield Reader(database, store)


def day_of_all(end: int) -> RecordArray:
    """48 intervals of all meters, the last one ending at ``end``; a register is what the time makes it."""
    times = np.repeat(end - np.arange(48)[::-1] * INTERVAL, METERS)
    numbers = np.tile(np.arange(1, METERS + 1), 48)
    return pack_records(
        serial=serial_of(0) + numbers,
        time=times,
        point_check=np.tile([point_check(point_of(n)) for n in range(1, METERS + 1)], 48),
        import_wh=times // INTERVAL,
        export_wh=0,
        import_varh=0,
        power_w=0,
        voltage_dv=2300,
    )


def batch(header: BatchHeader, records: RecordArray) -> Message:
    return Message(batch_topic("PC01", "DCU1"), encode_batch(header, records), NOW)


def test_a_concentrator_that_replays_last_month_changes_nothing_but_what_it_says_otherwise(reader: Reader) -> None:
    days = [day_of_all(NOW - age * DAY) for age in reversed(range(30))]
    for day in days:
        assert reader.receive(batch(LIVE, day)).readings.stored == len(day)
    newest = reader.tally.latest.time.copy()
    with_another_value = days[3].copy()
    with_another_value["import_wh"][7] += 1
    replayed = [*days[:3], with_another_value, *days[4:], day_of_all(NOW - 100 * DAY)]
    found = reader.receive(*[batch(REPLAY, day) for day in replayed])
    whole = 30 * 48 * METERS
    assert (found.readings.stored, found.readings.revised, found.readings.duplicate) == (0, 1, whole - 1)
    assert found.readings.rejected == {Reason.TOO_OLD: 48 * METERS}
    assert found.readings.late == whole - METERS
    assert np.array_equal(reader.tally.latest.time, newest), "a replay takes no meter back"
    assert reader.ask("SELECT count(*), (SELECT count(*) FROM reading_revision) FROM reading") == [(whole, 1)]


def test_of_two_meters_with_one_serial_only_the_one_at_its_point_is_believed(reader: Reader) -> None:
    impostor = profile_message(1, NOW, point="PC09999999999", values=ProfileValues(77, 0, 0, 0.0, 230.0))
    found = reader.receive(profile_message(1, NOW), impostor, profile_message(1, NOW - INTERVAL))
    assert (found.readings.stored, found.readings.revised) == (2, 0)
    assert found.readings.rejected == {Reason.WRONG_METERING_POINT: 1}
    assert reader.ask("SELECT DISTINCT import_wh FROM reading") == [(1001,)]
    assert reader.ask("SELECT reason, payload FROM quarantine") == [("wrong_metering_point", impostor.payload)]


def test_two_meters_that_claim_one_serial_and_one_point_are_told_by_their_revisions(reader: Reader) -> None:
    twin = profile_message(1, NOW, values=ProfileValues(77, 0, 0, 0.0, 230.0))
    found = reader.receive(profile_message(1, NOW), twin, profile_message(1, NOW), twin)
    assert (found.readings.stored, found.readings.revised, found.readings.duplicate) == (1, 1, 2)
    assert reader.ask("SELECT import_wh FROM reading UNION ALL SELECT import_wh FROM reading_revision") == [
        (1001,),
        (77,),
    ]


def test_a_reading_at_midnight_belongs_to_the_day_it_ends(reader: Reader, database: str) -> None:
    midnight = (NOW + 7 * 3_600_000_000) // DAY * DAY - 7 * 3_600_000_000
    reader.receive(batch(LIVE, day_of_all(midnight)), profile_message(1, midnight + INTERVAL))
    with MeterFigures(database) as figures:
        (yesterday,) = figures.collection(Grouping.UNIT, midnight - DAY, midnight, period_s=1800)
        (today,) = figures.collection(Grouping.UNIT, midnight, midnight + DAY, period_s=1800)
    assert (yesterday.stored, yesterday.owed, yesterday.completeness) == (48 * METERS, 48 * METERS, 1.0)
    assert (today.stored, today.delivering) == (1, 1)


def rows(meters: range, interval: int, energy: int) -> ReadingArray:
    made = np.zeros(len(meters), dtype=READING)
    made["meter"], made["time"], made["import_wh"], made["flag"] = meters, NOW + interval * INTERVAL, energy, 65
    return made


def persistently(store: HistorianStore, batches: list[ReadingArray]) -> None:
    for each in batches:
        while True:
            try:
                store.write_readings(each)
                break
            except StoreUnavailable:  # two that wait for each other: the database has ended one of them
                time.sleep(0.01)


def test_what_one_writer_stored_is_no_news_to_another_that_shares_its_router(database: str) -> None:
    """A COPY that stops at a known row leaves dead ones behind: the meter that is new would lie behind them."""
    router = Router()
    with (
        HistorianStore(database, worker="test", clock=lambda: NOW, router=router) as one,
        HistorianStore(database, worker="test", clock=lambda: NOW, router=router) as other,
    ):
        one.write_readings(rows(range(1, 6), 0, 1))
        assert other.write_readings(rows(range(1, 7), 0, 1)) == ReadingOutcome(stored=1, revised=0, duplicate=5)
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT ctid::text FROM reading WHERE meter = 6").fetchone()
    assert found == ("(0,6)",)


def test_writers_that_meet_the_same_readings_at_the_same_time_store_each_value_once(database: str) -> None:
    """Half of what each writes the other writes as well, in another order, some of it with another value."""
    shared = [rows(range(1, 201), interval, 1) for interval in range(40)]
    changed = [rows(range(1, 201), interval, 2) for interval in range(0, 40, 4)]
    own = {each: [rows(range(first, first + 200), i, 1) for i in range(40)] for each, first in ((0, 301), (1, 601))}
    stores = [HistorianStore(database, worker="test", clock=lambda: NOW) for _ in range(2)]
    writing = []
    for each, store in enumerate(stores):
        order = np.random.default_rng(each).permutation(40)
        batches = [np.concatenate([own[each][i], shared[i], *changed[: int(i) % 3]]) for i in order]
        writing.append(threading.Thread(target=persistently, args=(store, batches)))
    for thread in writing:
        thread.start()
    for thread in writing:
        thread.join()
    for store in stores:
        store.close()
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT (time, meter)) FROM reading").fetchone()
        revised = connection.execute("SELECT count(*) FROM reading_revision").fetchone()
        account = connection.execute("SELECT sum(stored), sum(revised) FROM ingest_account").fetchone()
    assert found == (40 * 600, 40 * 600)
    assert revised == (2 * 200,), "the second value of the first two intervals, whichever came first"
    assert account == (40 * 600, 2 * 200)
