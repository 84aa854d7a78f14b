"""Telemetry on its way to the historian: every sample is somewhere, and the scan never waits."""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from historian.sink import SinkLimits, SinkStats, TelemetrySink
from historian.spool import Spool, SpooledBatch
from scada.model.errors import StoreRejected
from scada.model.sample import SAMPLE, SampleArray
from tests.fakes_historian import FakeHistorian

NOW = 1_767_225_600_000_000
SECOND = 1_000_000
LIMITS = SinkLimits(batch_rows=10, batch_age_us=SECOND // 2, waiting_rows=50, spool_bytes=2**20)


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def batch(first: int, rows: int) -> SampleArray:
    """Rows whose points are first, first + 1, …: each sample of a test is one of a kind."""
    samples = np.zeros(rows, dtype=SAMPLE)
    samples["point"] = np.arange(first, first + rows)
    samples["time"] = NOW
    return samples


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def store() -> FakeHistorian:
    return FakeHistorian()


@pytest.fixture
def sink(store: FakeHistorian, tmp_path: Path, clock: Hand) -> Iterator[TelemetrySink]:
    sink = TelemetrySink(store, tmp_path / "spool", name="telemetry", clock=clock, limits=LIMITS)
    yield sink
    store.is_away = False
    sink.close(0)


def stats(**changes: object) -> SinkStats:
    fields: dict[str, object] = dict.fromkeys(
        ("offered", "recovered", "stored", "spooled", "waiting", "rejected", "dropped"), 0
    )
    return SinkStats(**{**fields, "last_error": "", "since": None, "lag_s": 0.0, **changes})  # type: ignore[arg-type]  # a test names its own fields


def points(store: FakeHistorian) -> list[int]:
    return sorted(int(str(row[0])) for row in store.samples)


def test_samples_wait_until_the_oldest_is_due(sink: TelemetrySink, store: FakeHistorian, clock: Hand) -> None:
    sink.offer(batch(1, 3))
    clock.now += SECOND // 4
    assert sink.turn() == NOW + SECOND // 2
    assert sink.stats() == stats(offered=3, waiting=3, lag_s=0.25)
    clock.now += SECOND // 4
    assert sink.turn() is None
    assert sink.stats() == stats(offered=3, stored=3)
    assert points(store) == [1, 2, 3]


def test_a_full_batch_is_stored_at_once(sink: TelemetrySink, store: FakeHistorian) -> None:
    sink.offer(batch(1, 12))
    assert sink.turn() == NOW + SECOND // 2
    assert sink.stats() == stats(offered=12, stored=10, waiting=2)
    assert len(store.batches) == 1


def test_samples_are_spooled_while_the_database_is_away_and_replayed_in_order(
    sink: TelemetrySink, store: FakeHistorian, clock: Hand, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO)
    store.is_away = True
    sink.offer(batch(1, 10))
    assert sink.turn() == NOW + SECOND // 2
    clock.now += SECOND // 4
    sink.offer(batch(11, 10))
    sink.turn()
    away = stats(offered=20, spooled=20, last_error="the database is away", since=NOW, lag_s=0.25)
    assert sink.stats() == away
    store.is_away = False
    clock.now += 42 * SECOND - SECOND // 4
    while sink.stats().spooled:
        assert sink.turn() in (None, clock.now)
    assert sink.stats() == stats(offered=20, stored=20)
    assert [sequence for _, sequence in store.batches] == [1, 2]
    assert caplog.messages == [
        f"Historian lost: the database is away; telemetry is spooled to {tmp_path}/spool",
        "Historian back after 42 s; 10 spooled samples to replay",
        "Spool replayed: all spooled telemetry is stored",
    ]


def test_the_database_is_tried_again_with_growing_pauses(
    sink: TelemetrySink, store: FakeHistorian, clock: Hand
) -> None:
    store.is_away = True
    sink.offer(batch(1, 10))
    pauses = []
    for _ in range(7):
        due = sink.turn()
        assert due is not None
        pauses.append((due - clock.now) / SECOND)
        clock.now = due
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10]


def test_fresh_samples_are_stored_before_the_spool_is_through(
    sink: TelemetrySink, store: FakeHistorian, clock: Hand
) -> None:
    store.is_away = True
    for first in (1, 11, 21):
        sink.offer(batch(first, 10))
        sink.turn()
    store.is_away = False
    clock.now += 10 * SECOND
    sink.offer(batch(31, 10))
    sink.turn()
    assert [sequence for _, sequence in store.batches] == [4, 1]


def test_a_commit_whose_answer_was_lost_is_not_stored_twice(
    sink: TelemetrySink, store: FakeHistorian, clock: Hand
) -> None:
    store.forgets_answers = True
    sink.offer(batch(1, 10))
    sink.turn()
    assert sink.stats().spooled == 10
    clock.now += SECOND
    sink.turn()
    assert sink.stats() == stats(offered=10, stored=10)
    assert points(store) == list(range(1, 11))


def test_refused_samples_are_counted_apart(sink: TelemetrySink, store: FakeHistorian) -> None:
    samples = batch(1, 10)
    samples["value"][4] = np.nan
    sink.offer(samples)
    sink.turn()
    assert sink.stats() == stats(offered=10, stored=9, rejected=1)
    assert points(store) == [1, 2, 3, 4, 6, 7, 8, 9, 10]


def test_a_batch_refused_as_a_whole_is_counted_and_does_not_stop_the_others(
    sink: TelemetrySink, store: FakeHistorian, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: str, sequence: int, rows: SampleArray) -> bool:
        raise StoreRejected("no")

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_samples", refuse)
        sink.offer(batch(1, 10))
        sink.turn()
    sink.offer(batch(11, 10))
    sink.turn()
    assert sink.stats() == stats(offered=20, stored=10, rejected=10)


def test_samples_are_held_in_memory_and_then_dropped_when_the_disk_refuses_too(
    store: FakeHistorian, tmp_path: Path, clock: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spool").write_text("")
    refusal = f"the spool folder {tmp_path}/spool cannot be used: File exists"
    store.is_away = True
    sink = TelemetrySink(store, tmp_path / "spool", name="telemetry", clock=clock, limits=LIMITS)
    for first in range(1, 71, 10):
        sink.offer(batch(first, 10))
        sink.turn()
    held = stats(offered=70, waiting=50, dropped=20, last_error="the database is away", since=NOW)
    assert sink.stats() == held
    store.is_away = False
    clock.now += 10 * SECOND
    sink.turn()
    sink.offer(batch(71, 10))
    sink.turn()
    assert sink.stats() == stats(offered=80, stored=60, dropped=20, last_error=refusal)
    assert points(store) == [*range(1, 51), *range(71, 81)]
    assert caplog.messages == [
        f"Spool refused: {refusal}; telemetry is held in memory",
        f"Historian lost: the database is away; telemetry is spooled to {tmp_path}/spool",
        "Telemetry is being dropped: 50 samples wait in memory, the database is away",
        "Telemetry is taken again; 20 samples have been dropped in all",
    ]
    sink.close(0)


def test_what_was_held_is_spooled_when_the_disk_serves_again(store: FakeHistorian, tmp_path: Path, clock: Hand) -> None:
    (tmp_path / "spool").write_text("")
    store.is_away = True
    sink = TelemetrySink(store, tmp_path / "spool", name="telemetry", clock=clock, limits=LIMITS)
    sink.offer(batch(1, 10))
    sink.turn()
    (tmp_path / "spool").unlink()
    clock.now += 10 * SECOND
    sink.turn()
    assert sink.stats() == stats(offered=10, spooled=10, last_error="the database is away", since=NOW, lag_s=10.0)
    sink.close(0)


def test_a_full_spool_is_no_error_any_more_once_it_is_replayed(
    store: FakeHistorian, tmp_path: Path, clock: Hand
) -> None:
    limits = SinkLimits(batch_rows=10, waiting_rows=50, spool_bytes=400)
    store.is_away = True
    sink = TelemetrySink(store, tmp_path / "spool", name="telemetry", clock=clock, limits=limits)
    for first in (1, 11):
        sink.offer(batch(first, 10))
        sink.turn()
    assert (sink.stats().spooled, sink.stats().waiting) == (10, 10)
    store.is_away = False
    clock.now += 10 * SECOND
    sink.turn()
    assert sink.stats() == stats(offered=20, stored=20)
    sink.close(0)


def test_a_spool_of_an_earlier_run_is_stored_under_its_own_name(
    store: FakeHistorian, tmp_path: Path, clock: Hand
) -> None:
    earlier = Spool(tmp_path, limit_bytes=2**20)
    earlier.append(SpooledBatch("telemetry/earlier", 7, NOW - 5 * SECOND, batch(1, 10)))
    earlier.close()
    sink = TelemetrySink(store, tmp_path, name="telemetry", clock=clock, limits=LIMITS)
    assert sink.stats() == stats(recovered=10, spooled=10, lag_s=5.0)
    sink.turn()
    assert sink.stats() == stats(recovered=10, stored=10)
    assert store.batches == [("telemetry/earlier", 7)]
    sink.close(0)


def test_rows_the_disk_lost_are_counted_as_dropped(
    sink: TelemetrySink, store: FakeHistorian, clock: Hand, tmp_path: Path
) -> None:
    store.is_away = True
    for first in (1, 11):
        sink.offer(batch(first, 10))
        sink.turn()
    (file,) = (tmp_path / "spool").glob("*.spool")
    content = bytearray(file.read_bytes())
    content[40] ^= 1
    file.write_bytes(bytes(content))
    store.is_away = False
    clock.now += 10 * SECOND
    sink.turn()
    assert sink.stats() == stats(offered=20, stored=10, dropped=10)


def test_close_stores_what_waits(sink: TelemetrySink, store: FakeHistorian) -> None:
    sink.offer(batch(1, 23))
    assert sink.close(1) == stats(offered=23, stored=23)


def test_close_spools_what_waits_when_the_database_is_away(
    sink: TelemetrySink, store: FakeHistorian, tmp_path: Path, clock: Hand
) -> None:
    store.is_away = True
    sink.offer(batch(1, 23))
    closed = sink.close(1)
    assert (closed.spooled, closed.waiting) == (23, 0)
    store.is_away = False
    again = TelemetrySink(store, tmp_path / "spool", name="telemetry", clock=clock, limits=LIMITS)
    while again.stats().spooled:
        again.turn()
    assert points(store) == list(range(1, 24))
    again.close(0)


def test_two_runs_never_use_the_same_source(store: FakeHistorian, tmp_path: Path, clock: Hand) -> None:
    for _ in range(2):
        sink = TelemetrySink(store, tmp_path, name="telemetry", clock=clock, limits=LIMITS)
        sink.offer(batch(1, 1))
        sink.close(0)
    assert len(store.samples) == len(set(store.batches)) == 2


def test_the_thread_stores_without_being_asked(store: FakeHistorian, tmp_path: Path) -> None:
    clock = Hand()
    sink = TelemetrySink(store, tmp_path, name="telemetry", clock=clock, limits=LIMITS)
    sink.start()
    for first in range(1, 1001, 10):
        sink.offer(batch(first, 10))
    assert sink.close(30).stored + sink.stats().dropped == 1000
    assert len(points(store)) == sink.stats().stored


def test_a_bug_in_one_round_does_not_end_the_thread(
    store: FakeHistorian, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(source: str, sequence: int, rows: SampleArray) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(store, "write_samples", fail)
    sink = TelemetrySink(store, tmp_path, name="telemetry", clock=Hand(), limits=LIMITS)
    sink.offer(batch(1, 10))
    assert sink._guarded_turn() == NOW + 10 * SECOND
    assert sink.stats() == stats(offered=10, waiting=10)
    assert caplog.messages == ["Telemetry sink: a round of work failed and is repeated"]
    monkeypatch.undo()
    assert sink.close(0).stored == 10


class AnyWeather(RuleBasedStateMachine):
    """Whatever happens in whatever order, every sample is accounted for and none is stored twice."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()  # hypothesis' machines take no fixtures
        self.clock = Hand()
        self.store = FakeHistorian()
        self.first = 1
        self.dropped = 0
        self.start()

    def start(self) -> None:
        path = Path(self.folder.name) / "spool"
        self.sink = TelemetrySink(self.store, path, name="telemetry", clock=self.clock, limits=LIMITS)

    @rule(rows=st.integers(0, 15))
    def offer(self, rows: int) -> None:
        self.sink.offer(batch(self.first, rows))
        self.first += rows

    @rule(pause=st.integers(0, 5 * SECOND))
    def work(self, pause: int) -> None:
        self.clock.now += pause
        self.sink.turn()

    @rule()
    def lose_the_database(self) -> None:
        self.store.is_away = True

    @rule()
    def restore_the_database(self) -> None:
        self.store.is_away = False

    @rule()
    def lose_an_answer(self) -> None:
        self.store.forgets_answers = True

    @rule()
    def restart(self) -> None:
        before = self.sink.close(0)
        assert before.waiting == 0
        self.dropped += before.dropped
        self.start()
        assert self.sink.stats().recovered == before.spooled

    @invariant()
    def every_sample_is_somewhere(self) -> None:
        now = self.sink.stats()
        somewhere = now.stored + now.spooled + now.waiting + now.rejected + now.dropped
        assert now.offered + now.recovered == somewhere

    def teardown(self) -> None:
        self.store.is_away = self.store.forgets_answers = False
        self.clock.now += 60 * SECOND
        while self.sink.stats().spooled or self.sink.stats().waiting:
            self.sink.turn()
            self.clock.now += SECOND
        self.sink.close(0)
        self.folder.cleanup()
        stored = points(self.store)
        assert len(stored) == len(set(stored)) == self.first - 1 - self.dropped - self.sink.stats().dropped


TestAnyWeather = AnyWeather.TestCase
TestAnyWeather.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
