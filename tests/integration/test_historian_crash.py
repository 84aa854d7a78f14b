"""A database that is killed, frozen or cut off in the middle of a commit costs nothing and counts nothing twice."""

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest

from historian.history import AccountTotals, History
from historian.migrate import migrate
from historian.sink import SinkLimits, SinkStats, TelemetrySink
from historian.store import HistorianStore
from scada.model.errors import StoreUnavailable
from scada.model.ports import Quarantined, ReadingOutcome
from scada.model.reading import METER_EVENT, READING, ReadingArray
from scada.model.sample import SAMPLE, SampleArray
from tests.cutting_proxy import Cut, CuttingProxy
from tests.temporary_postgres import TemporaryPostgres

pytestmark = pytest.mark.integration

NOW = 1_767_225_600_000_000
MINUTE = 60_000_000


def wall_clock() -> int:
    return time.time_ns() // 1000


@pytest.fixture(scope="module")
def postgres() -> Iterator[TemporaryPostgres]:
    server = TemporaryPostgres()
    yield server
    server.stop()


_names = (f"crash{number}" for number in itertools.count())


@pytest.fixture
def dsn(postgres: TemporaryPostgres) -> str:
    dsn = postgres.create(next(_names))
    migrate(dsn)
    return dsn


def samples(first: int, rows: int) -> SampleArray:
    batch = np.zeros(rows, dtype=SAMPLE)
    batch["point"] = np.arange(first, first + rows)
    batch["time"] = NOW
    return batch


def readings(interval: int, meters: int, *, energy: int = 100) -> ReadingArray:
    batch = np.zeros(meters, dtype=READING)
    batch["meter"] = np.arange(1, meters + 1)
    batch["time"] = NOW + interval * MINUTE
    batch["import_wh"] = energy
    batch["flag"] = 65
    return batch


def stored_points(dsn: str) -> tuple[int, int]:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT count(*), count(DISTINCT point) FROM sample").fetchone()
    assert row is not None
    return row


def account(dsn: str) -> tuple[AccountTotals, int]:
    with History(dsn) as history:
        return history.account(), history.counts().readings


KILLED_AT = (20, 40)
"""Batches of readings after which the server is killed."""


class Fleet(threading.Thread):
    """Writes batches of readings one after the other and repeats what the store did not take.

    It is never more than ten batches past a kill that is still to come: somebody may be slow to see that it is time.
    """

    def __init__(self, dsn: str, batches: int) -> None:
        super().__init__(daemon=True)
        self._store = HistorianStore(dsn, worker="collect", clock=wall_clock)
        self._batches = batches
        self.outcomes: list[ReadingOutcome] = []
        self.refusals = 0
        self.progress = threading.Semaphore(0)
        self.killed = threading.Semaphore(0)

    def run(self) -> None:
        for interval in range(self._batches):
            if interval - 10 in KILLED_AT:
                self.killed.acquire()
            # every third batch brings a part of the one before once more
            batch = np.concatenate([readings(interval, 2000), readings(interval - 1, 100 if interval % 3 == 2 else 0)])
            while len(self.outcomes) == interval:
                try:
                    self.outcomes.append(self._store.write_readings(batch))
                except StoreUnavailable:
                    self.refusals += 1
                    time.sleep(0.05)
            self.progress.release()
        self._store.close()


def test_killing_the_server_under_load_loses_nothing_and_stores_nothing_twice(
    postgres: TemporaryPostgres, dsn: str, tmp_path: Path
) -> None:
    limits = SinkLimits(batch_rows=500, batch_age_us=20_000, retry_first_us=50_000, retry_last_us=200_000)
    store = HistorianStore(dsn, worker="run", clock=wall_clock)
    sink = TelemetrySink(store, tmp_path / "spool", name="telemetry", clock=wall_clock, limits=limits)
    sink.start()
    fleet = Fleet(dsn, batches=60)
    fleet.start()
    first = 1
    for kill_at in (*KILLED_AT, None):
        while fleet.is_alive():
            sink.offer(samples(first, 100))
            first += 100
            fleet.progress.acquire(timeout=0.005)
            if kill_at is not None and len(fleet.outcomes) >= kill_at:
                break
        if kill_at is not None:
            postgres.kill()
            fleet.killed.release()
            for _ in range(20):
                sink.offer(samples(first, 100))
                first += 100
            postgres.start()
    fleet.join()
    offered = first - 1
    deadline = time.monotonic() + 60
    while sink.stats().stored < offered and time.monotonic() < deadline:
        sink.offer(samples(first, 0))
        time.sleep(0.05)
    closed = sink.close(60)
    store.close()

    assert closed == SinkStats(offered, 0, offered, 0, 0, 0, 0, "", None, 0.0)
    assert stored_points(dsn) == (offered, offered)
    assert fleet.refusals > 0
    total = AccountTotals(received=60 * 2000 + 20 * 100, stored=60 * 2000, revised=0, duplicate=20 * 100)
    assert account(dsn) == (total, total.stored)
    assert sum(outcome.stored for outcome in fleet.outcomes) == total.stored
    assert sum(outcome.duplicate for outcome in fleet.outcomes) == total.duplicate


def test_a_frozen_server_is_noticed_and_what_it_was_doing_is_settled_afterwards(
    postgres: TemporaryPostgres, dsn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with HistorianStore(dsn, worker="run", clock=wall_clock, limit_s=0.5) as store:
        settle(store, 1, samples(1, 10))
        with postgres.frozen():
            with pytest.raises(StoreUnavailable):
                store.write_samples("a", 2, samples(11, 10))
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                store.write_samples("a", 2, samples(11, 10))
        assert "Historian connection cut: no answer within 0 s" in caplog.text
        settle(store, 2, samples(11, 10))
    assert stored_points(dsn) == (20, 20)


def settle(store: HistorianStore, number: int, batch: SampleArray) -> None:
    """Write until the store has it: a healthy server on a busy machine may need more than its half a second."""
    while True:
        try:
            store.write_samples("a", number, batch)
            return
        except StoreUnavailable:
            time.sleep(0.05)


@pytest.fixture
def proxy(postgres: TemporaryPostgres) -> Iterator[CuttingProxy]:
    with CuttingProxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def store(proxy: CuttingProxy, dsn: str) -> Iterator[HistorianStore]:
    behind = psycopg.conninfo.make_conninfo(dsn, port=proxy.port, sslmode="disable")
    with HistorianStore(behind, worker="collect", clock=wall_clock) as store:
        yield store


@pytest.mark.parametrize("how", Cut)
def test_readings_whose_commit_is_in_doubt_are_counted_once(
    store: HistorianStore, proxy: CuttingProxy, dsn: str, how: Cut
) -> None:
    first = ReadingOutcome(stored=100, revised=0, duplicate=0)
    assert store.write_readings(readings(0, 100)) == first
    proxy.cut(b"COMMIT", how)
    with pytest.raises(StoreUnavailable):
        store.write_readings(readings(1, 100))
    assert store.write_readings(readings(1, 100)) == first
    assert store.write_readings(readings(1, 100)) == ReadingOutcome(stored=0, revised=0, duplicate=100)
    assert proxy.cuts == 1
    assert account(dsn) == (AccountTotals(received=300, stored=200, revised=0, duplicate=100), 200)


@pytest.mark.parametrize("how", Cut)
def test_the_account_stays_true_when_other_work_comes_between(
    store: HistorianStore, proxy: CuttingProxy, dsn: str, how: Cut
) -> None:
    proxy.cut(b"COMMIT", how)
    with pytest.raises(StoreUnavailable):
        store.write_readings(readings(0, 100))
    store.write_quarantine([Quarantined(NOW, "ami", "not_json", 3, 2, b"{}")])
    assert store.write_readings(readings(0, 100)) == ReadingOutcome(stored=100, revised=0, duplicate=0)
    expected = AccountTotals(received=103, stored=100, revised=0, duplicate=0, rejected={"not_json": 3})
    assert account(dsn) == (expected, 100)


def test_a_doubt_left_behind_by_other_readings_is_settled_in_the_account(
    store: HistorianStore, proxy: CuttingProxy, dsn: str
) -> None:
    proxy.cut(b"COMMIT", Cut.BEFORE_THE_CLIENT_HEARS)
    with pytest.raises(StoreUnavailable):
        store.write_readings(readings(0, 100))
    overlapping = np.concatenate([readings(0, 100), readings(1, 100)])
    assert store.write_readings(overlapping) == ReadingOutcome(stored=100, revised=0, duplicate=100)
    assert account(dsn) == (AccountTotals(received=300, stored=200, revised=0, duplicate=100), 200)


@pytest.mark.parametrize("how", Cut)
def test_events_and_rejections_whose_commit_is_in_doubt_are_counted_once(
    store: HistorianStore, proxy: CuttingProxy, dsn: str, how: Cut
) -> None:
    events = np.array([(1, NOW, 99), (2, NOW, 99)], dtype=METER_EVENT)
    rejected = [Quarantined(NOW, "ami", "no_zone", 5, 2, b"{}", "meter_event")]
    proxy.cut(b"COMMIT", how)
    with pytest.raises(StoreUnavailable):
        store.write_meter_events(events)
    assert store.write_meter_events(events).stored == 2
    proxy.cut(b"COMMIT", how)
    with pytest.raises(StoreUnavailable):
        store.write_quarantine(rejected)
    store.write_quarantine(rejected)
    with History(dsn) as history:
        found = history.account("meter_event")
    assert found == AccountTotals(received=7, stored=2, revised=0, duplicate=0, rejected={"no_zone": 5})
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM quarantine").fetchone() == (1,)


@pytest.mark.parametrize("how", Cut)
def test_samples_whose_commit_is_in_doubt_are_stored_once(
    store: HistorianStore, proxy: CuttingProxy, dsn: str, how: Cut
) -> None:
    proxy.cut(b"COMMIT", how)
    with pytest.raises(StoreUnavailable):
        store.write_samples("a", 1, samples(1, 100))
    assert store.write_samples("a", 1, samples(1, 100)) is (how is Cut.BEFORE_THE_SERVER_HEARS)
    assert stored_points(dsn) == (100, 100)
