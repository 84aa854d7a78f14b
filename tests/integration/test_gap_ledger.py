"""A ledger of several hundred thousand gaps: gone through in blocks, stopped between two of them, nothing half done."""

from collections.abc import Callable, Sequence

import psycopg
import pytest

from historian import gaps
from historian.deliveries import Deliveries
from historian.gapreport import GapReport
from historian.gaps import GAPS_AT_ONCE, OPEN, GapStore
from meters.gaps import GapPolicy
from meters.request import Answered
from meters.requestqueue import Ending, Result
from scada import gapfinding
from scada.chasing import BLOCKS_A_ROUND, ChaseTotals, GapChaser
from scada.config import HeadEndConfig
from scada.gapfinding import GapFinder
from scada.gapledgers import GapLedgers
from scada.meterjobs import forget_gaps
from scada.model.errors import StoreUnavailable
from scada.model.gap import GapState

pytestmark = pytest.mark.integration

METERS = 100_000
GAPS = 2 * METERS
PERIOD_S = 60
PERIOD = PERIOD_S * 1_000_000
BEGIN = 1_767_225_600_000_000
"""2026-01-01 00:00 UTC, the first interval's end."""

POLICY = GapPolicy(period=PERIOD, grace=PERIOD, per_request=3)
NOW = BEGIN + 40 * PERIOD
ROUND = BLOCKS_A_ROUND * GAPS_AT_ONCE


def test_a_large_ledger_is_gone_through_a_bounded_part_at_a_time_and_a_stop_is_heeded_between_blocks(
    database: str,
) -> None:
    fleet(database, METERS)
    lacking(database, GAPS)
    stopping = StopsAfter(10**9)
    with gap_tools(database, stopping) as (_, __, chaser):
        assert len(chaser.requests(NOW, ())) == ROUND
        assert states(database) == {GapState.MISSING: GAPS - ROUND, GapState.REQUESTED: ROUND}
        read(database, 1)
        assert chaser.close_arrived(OPEN, NOW) == ROUND

        later = NOW + 2 * POLICY.answer_limit
        stopping.blocks = 1
        assert len(chaser.requests(later, ())) == GAPS_AT_ONCE, "the stop is heeded after one block"
        before = states(database)
        much_later = later + 2 * POLICY.answer_limit
        chaser.expire(much_later)
        assert (chaser.requests(much_later, ()), chaser.close_arrived(OPEN, much_later)) == ((), 0)
        assert states(database) == before, "once stopped, no step does anything"

        stopping.blocks = 10**9
        chaser.expire(much_later)
        assert states(database) == {GapState.MISSING: GAPS - ROUND, GapState.RECOVERED: ROUND}
        assert chaser.close_arrived(OPEN, NOW) == METERS - ROUND, "it goes on where it was"
        assert sum(chaser.close_arrived(OPEN, NOW) for _ in range(3)) == 0, "and begins again at the first"


@pytest.mark.parametrize("blocks", [1, 3, 5])
def test_a_search_that_is_stopped_has_entered_nothing_and_finds_the_same_next_time(
    database: str, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked five times: before the search, before two blocks of meters, before two blocks of gaps."""
    monkeypatch.setattr(gapfinding, "METERS_AT_ONCE", 100)
    monkeypatch.setattr(gaps, "GAPS_AT_ONCE", 100)
    fleet(database, 200)
    read(database, 0)
    stopping = StopsAfter(blocks - 1)
    with gap_tools(database, stopping) as (store, finder, _):
        assert (finder.find(BEGIN + 5 * PERIOD), store.watch(), states(database)) == (0, None, {})
        stopping.blocks = 5
        assert (finder.find(BEGIN + 5 * PERIOD), states(database)) == (200, {GapState.MISSING: 200})


def test_who_is_registered_late_owes_all_that_was_watched_even_if_the_database_was_away_meanwhile(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet(database, 2)
    for interval in range(30):
        read(database, interval)
    with gap_tools(database, lambda: False) as (store, finder, _):
        now = BEGIN + 30 * PERIOD
        assert finder.find(now) == 0
        fleet(database, 3)
        with monkeypatch.context() as away, pytest.raises(StoreUnavailable):
            away.setattr(store, "add", is_away)
            finder.find(now)
        assert finder.find(now) == 4, "29 intervals in stretches of 8"
        assert sum((int(g["last"]) - int(g["first"])) // PERIOD + 1 for g in store.open_gaps()) == 30
        assert finder.find(now) == 0


def test_what_a_meter_says_it_lacks_counts_for_what_it_was_asked_and_never_more(database: str) -> None:
    fleet(database, 3)
    read(database, 0)
    with gap_tools(database, lambda: False) as (_, finder, chaser):
        assert finder.find(BEGIN + 5 * PERIOD) == 3
        requests = sorted(chaser.requests(BEGIN + 5 * PERIOD, ()), key=lambda each: each.asked.serial)
        ages = [(-(10**17), 10**17), (BEGIN + 3 * PERIOD, BEGIN + PERIOD), (BEGIN + 2 * PERIOD, 10**17)]
        answers = [Answered(each.asked.serial, empty=(empty,)) for each, empty in zip(requests, ages, strict=True)]
        results = [Result(each, Ending.DONE, "", answer) for each, answer in zip(requests, answers, strict=True)]
        chaser.note(results, BEGIN + 6 * PERIOD)
    assert lengths(database, GapState.NO_DATA) == {1: (60, 4), 3: (60, 3)}


def test_what_is_half_forgotten_is_asked_for_from_the_first_interval_that_is_remembered(database: str) -> None:
    fleet(database, 1)
    read(database, 0)
    with gap_tools(database, lambda: False) as (_, finder, chaser):
        finder.find(BEGIN + 8 * PERIOD)
        (request,) = chaser.requests(BEGIN + POLICY.memory + 2 * PERIOD + 1, ())
    assert (request.asked.first, request.asked.last) == (BEGIN + 3 * PERIOD, BEGIN + 7 * PERIOD)


def test_every_meter_owes_the_intervals_of_its_own_model(database: str) -> None:
    config = HeadEndConfig(capture_period_s=PERIOD_S, gap_grace_s=PERIOD_S)
    fleet(database, 4)
    of_model(database, "QUICK", PERIOD_S // 2, meter=2)
    of_model(database, "SLOW", 3 * PERIOD_S, meter=3)
    of_model(database, "SAME", PERIOD_S, meter=4)
    for half in range(2, 25):
        read(database, half / 2, [2, *([1, 4] if half % 2 == 0 else []), *([3] if half % 6 == 0 else [])])
    ledgers = GapLedgers(database, config, lambda: False)
    try:
        assert ledgers.find(BEGIN + 13 * PERIOD) == 0, "everybody has delivered what it owes"
        assert lengths(database) == {}
        assert ledgers.find(BEGIN + 19 * PERIOD) == 5, "twelve quick ones are two stretches"
        assert lengths(database) == {1: (60, 6), 2: (30, 12), 3: (180, 2), 4: (60, 6)}
        requests = ledgers.requests(BEGIN + 19 * PERIOD, ())
        assert sorted(int(each.reference) for each in requests) == [1, 2, 2, 3, 4]
        read(database, 15, [1, 2, 3, 4])
        assert ledgers.close_arrived(OPEN, BEGIN + 19 * PERIOD) == 4
        assert ledgers.totals == ChaseTotals(asked=5, closed=4)
    finally:
        ledgers.close()
    with GapReport(database) as report:
        assert {period_s: (each.until - BEGIN) // PERIOD for period_s, each in report.watches().items()} == {
            30: 18,
            60: 18,
            180: 18,
        }


def test_of_one_concentrator_only_one_ledger_asks_at_a_time(database: str) -> None:
    config = HeadEndConfig(capture_period_s=PERIOD_S, gap_grace_s=PERIOD_S)
    fleet(database, 4)
    of_model(database, "SLOW", 3 * PERIOD_S, meter=3)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE meter SET concentrator = 'DCU00001'")
    read(database, 0)
    now = BEGIN + 10 * PERIOD
    ledgers = GapLedgers(database, config, lambda: False)
    try:
        assert ledgers.find(now) == 7, "of nine intervals in two stretches, and of three"
        assert {each.reference for each in ledgers.requests(now, ())} == {"1", "2", "4"}
        assert ledgers.requests(now, ["DCU00001"]) == ()
        assert [each.reference for each in ledgers.requests(now, ())] == ["3"]
    finally:
        ledgers.close()


def test_who_comes_to_intervals_of_another_length_owes_those_and_no_others(database: str) -> None:
    config = HeadEndConfig(capture_period_s=PERIOD_S, gap_grace_s=PERIOD_S)
    fleet(database, 3)
    of_model(database, "SLOW", 3 * PERIOD_S, meter=2)
    for interval in range(0, 10, 3):
        read(database, interval)
    now = BEGIN + 10 * PERIOD
    ledgers = GapLedgers(database, config, lambda: False)
    try:
        assert ledgers.find(now) == 8, "one gap of two was found in two stretches"
        of_model(database, "SLOW", 3 * PERIOD_S, meter=3)
        assert ledgers.find(now) == 0, "it has every interval of three minutes"
        assert lengths(database) == {1: (60, 6), 3: (60, 6)}
        told = forget_gaps(database, PERIOD_S, lambda: now)
        assert told == "0 recovered gaps forgotten, 4 of intervals of another length"
        assert lengths(database) == {1: (60, 6)}
    finally:
        ledgers.close()


def is_away(*_: object) -> bool:
    raise StoreUnavailable("the server is shut down")


class StopsAfter:
    """Says to stop once it was asked ``blocks`` times."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks

    def __call__(self) -> bool:
        self.blocks -= 1
        return self.blocks < 0


class gap_tools:  # noqa: N801  # reads as the with-statement it is used in
    """Store, finder and chaser of one database, closed together."""

    def __init__(self, dsn: str, stopping: Callable[[], bool]) -> None:
        self._store = GapStore(dsn, period_s=PERIOD_S)
        self._deliveries = Deliveries(dsn, period_s=PERIOD_S)
        self._finder = GapFinder(self._store, self._deliveries, POLICY, stopping)
        self._chaser = GapChaser(self._store, self._deliveries, POLICY, stopping)

    def __enter__(self) -> tuple[GapStore, GapFinder, GapChaser]:
        return self._store, self._finder, self._chaser

    def __exit__(self, *_: object) -> None:
        self._store.close()
        self._deliveries.close()


def fleet(dsn: str, meters: int) -> None:
    """Meters up to ``meters`` that are not there yet, all with their own modem."""
    statement = (
        "INSERT INTO meter "
        "(serial, metering_point, unit, concentrator, feeder, class, multiplier, digits, installed_at) "
        "SELECT 2600000000 + n, 'P' || n, 'PN01', '', 'TN01/471', 'residential', 1, 6, '2025-01-01Z' "
        "FROM generate_series((SELECT count(*) FROM meter) + 1, %s) n"
    )
    with psycopg.connect(dsn) as connection:
        connection.execute(statement, (meters,))


def lacking(dsn: str, count: int) -> None:
    """Every other interval of every meter is missing: 1, 3, 5, …"""
    statement = (
        "INSERT INTO gap (meter, first_end, last_end, period_s, state, cause, attempts, next_try, detected_at) "
        "SELECT m.id, t, t, %s, 1, 1, 0, t, t FROM generate_series(1, %s, 2) n, "
        "LATERAL (SELECT to_timestamp(%s + n * %s) AS t) i, (SELECT id FROM meter ORDER BY id) m"
    )
    with psycopg.connect(dsn) as connection:
        connection.execute(statement, (PERIOD_S, 2 * count // METERS - 1, BEGIN / 1e6, PERIOD_S))


def read(dsn: str, interval: float, meters: Sequence[int] = ()) -> None:
    """Some meters' readings of one interval, or all."""
    statement = (
        "INSERT INTO reading "
        "(time, import_wh, export_wh, import_varh, meter, power_w, voltage_dv, status, flag, method) "
        "SELECT to_timestamp(%s), 1, 0, 0, id, 1, 2300, 0, 65, 0 FROM meter WHERE id = ANY(%s) OR %s"
    )
    with psycopg.connect(dsn) as connection:
        connection.execute(statement, (BEGIN / 1e6 + interval * PERIOD_S, list(meters), not meters))


def of_model(dsn: str, code: str, period_s: int, *, meter: int) -> None:
    """Let a meter have a model."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO meter_model (code, digits, wrap_kwh, capture_period_s, rates) "
            "VALUES (%s, 6, 1000000, %s, '{}') ON CONFLICT DO NOTHING",
            (code, period_s),
        )
        connection.execute("UPDATE meter SET model = %s WHERE id = %s", (code, meter))


def lengths(dsn: str, *states: GapState) -> dict[int, tuple[int, int]]:
    """For each meter with gaps in some states, else open, the length of its intervals, and how many are missing."""
    statement = (
        "SELECT meter, min(period_s), sum(extract(epoch FROM last_end - first_end)::int / period_s + 1)::int "
        "FROM gap WHERE state = ANY(%s) GROUP BY meter"
    )
    wanted = [int(each) for each in states or set(GapState) - {GapState.RECOVERED}]
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(statement, (wanted,)).fetchall()
    return {meter: (period_s, count) for meter, period_s, count in rows}


def states(dsn: str) -> dict[GapState, int]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT state, count(*) FROM gap GROUP BY state").fetchall()
    return {GapState(state): count for state, count in rows}
