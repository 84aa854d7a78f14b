"""Gaps on real servers: 2 % lost, 1 % repeated, three dead concentrators: explained while it lasts, then complete."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from historian.exchange import import_exchanges
from historian.gapreport import GapReport
from historian.gaps import ALL, GapStore
from historian.registry import import_meters
from historian.requests import MeterRequests
from historian.store import HistorianStore
from meters.connection import Broker
from meters.headend import HeadEnd
from meters.requestqueue import Priority
from scada.clock import now_us
from scada.config import SOURCE_ROOT, HeadEndConfig
from scada.metertalk import MeterTalk
from scada.model.gap import GapCause, GapState
from scada.model.station import CustomerShares
from scada.services.endpoints import Endpoints, Role
from scada.stationfile import load_province
from simulators.fleet_energy import FleetEnergy
from simulators.fleet_faults import FleetFaults
from simulators.fleet_mqtt import FleetPublisher
from simulators.fleet_run import fleet_of
from simulators.fleet_scenario import FaultKind, FleetFault
from simulators.meter_fleet import FeederShare, Fleet, make_fleet
from simulators.own_connections import OwnConnections, parts
from simulators.own_modems import ModemPlan
from simulators.registry_file import join_truths, write_exchanges, write_registry

pytestmark = pytest.mark.integration

METERS = 1080
MODEMS = 60
PERIOD_S = 2
PERIOD = PERIOD_S * 1_000_000
DEAD_S = 9.0
FEEDERS = (
    FeederShare("TN01/471", "PN01", 6.0, CustomerShares(residential=0.8, production=0.1, business=0.1, pv=0.1)),
    FeederShare("TN21/473", "PN09", 6.0, CustomerShares(residential=0.8, production=0.1, business=0.1, pv=0.1)),
)
CONFIG = HeadEndConfig(
    client_id="gap-chase",
    capture_period_s=PERIOD_S,
    batch_age_s=0.05,
    memory_days=62,
    gap_grace_s=3.0,
    gap_look_s=0.5,
    gap_answer_s=3.0,
    gap_first_pause_s=1.0,
    gap_longest_pause_s=2.0,
    registry_reload_s=1.0,
)
UNHURRIED = replace(CONFIG, gap_grace_s=600.0, gap_answer_s=60.0)
"""What is late on a busy machine is no gap yet: nobody is asked for it beside what a test asks."""


@pytest.fixture
def fleet(database: str, tmp_path: Path) -> Fleet:
    made = make_fleet(FEEDERS, meters=METERS, seed=11)
    write_registry(made, tmp_path / "meters.csv")
    assert import_meters(database, tmp_path / "meters.csv").faults == ()
    return made


@pytest.fixture
def config() -> HeadEndConfig:
    return CONFIG


@pytest.fixture
def head_end(config: HeadEndConfig, endpoints: Endpoints, database: str) -> Iterator[MeterTalk]:
    """A working head-end on the shared broker; yields the part of it that speaks."""
    credential = endpoints.mqtt_credentials[Role.HEADEND]
    broker = Broker(endpoints.mqtt_host, endpoints.mqtt_port, credential.username, credential.password)
    ending = threading.Event()
    with HistorianStore(database, worker="gap-chase", clock=now_us) as store:
        reader = HeadEnd(config, broker, [store], now_us)
        reading = threading.Thread(target=reader.run, args=(ending,))
        reading.start()
        talk = MeterTalk(config, broker, database, now_us)
        talk.start()
        until(lambda: reader.stats().connected and talk.stats().requester.connected, "the head-end listens")
        yield talk
        talk.stop()
        ending.set()
        reading.join()


def publisher(fleet: Fleet, endpoints: Endpoints, *faults: FleetFault) -> FleetPublisher:
    credential = endpoints.mqtt_credentials[Role.FIELD]
    return FleetPublisher(
        fleet,
        endpoints.mqtt_host,
        endpoints.mqtt_port,
        credential.username,
        credential.password,
        capture_period_s=PERIOD_S,
        connections=2,
        client_id="gap-fleet",
        faults=faults,
    )


def until(condition: Callable[[], bool], what: str, *, timeout: float = 80) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.05)


def count(dsn: str, statement: str, *about: object) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(statement, about).fetchone()  # type: ignore[arg-type]  # a test names its own query
    assert row is not None
    return int(row[0])


def test_every_missing_interval_is_explained_and_after_recovery_stored_is_expected(
    fleet: Fleet, head_end: MeterTalk, endpoints: Endpoints, database: str
) -> None:
    field = publisher(
        fleet,
        endpoints,
        FleetFault(FaultKind.LOST, share=0.02),
        FleetFault(FaultKind.DUPLICATED, share=0.01),
        FleetFault(FaultKind.DEAD, count=3, until_s=DEAD_S),
    )
    field.start()
    first_end = field.truth().first_end
    with GapStore(database, period_s=PERIOD_S) as ledger, GapReport(database) as report:
        until(lambda: sum(each.gaps for each in report.summary(0, now_us())) > 3 * 180, "the dead are noticed")
        explained(ledger, database, first_end)
        last = now_us() // PERIOD * PERIOD
        until(lambda: (ledger.watch() or NEVER).until >= last, "all intervals so far are looked at")
        until(lambda: not [g for g in ledger.open_gaps() if g["first"] <= last], "nothing so far is missing")
        silent = [each for each in report.summary(0, last) if each.cause is GapCause.CONCENTRATOR_SILENT]
    field.stop(drain_s=3.0)
    stored = "SELECT count(*) FROM reading WHERE time <= to_timestamp(%s)"
    assert count(database, stored, last / 1e6) == METERS * ((last - first_end) // PERIOD + 1)
    assert {each.state for each in silent} == {GapState.RECOVERED}
    assert sum(each.meters for each in silent) >= 3 * 180
    assert field.stats().reports_lost > 0
    assert head_end.stats().requester.answers_unread == 0


@pytest.fixture
def modems(endpoints: Endpoints, database: str, tmp_path: Path) -> Callable[[str], OwnConnections]:
    """Sixty registered meters with connections of their own, in two processes, under a scenario."""
    stations = SOURCE_ROOT / "substations"
    made = fleet_of(load_province(stations), meters=MODEMS, seed=5, own_connections=True)
    write_registry(made, tmp_path / "meters.csv")
    assert import_meters(database, tmp_path / "meters.csv").faults == ()
    credential = endpoints.mqtt_credentials[Role.FIELD]
    address = (endpoints.mqtt_host, endpoints.mqtt_port, credential.username, "")

    def started(scenario: str) -> OwnConnections:
        file = tmp_path / "scenario.toml"
        file.write_text(scenario, encoding="utf-8")
        plan = ModemPlan(MODEMS, 5, 0, MODEMS, *address, PERIOD_S, "own-modem", str(stations), now_us(), str(file))
        plan = replace(plan, truth_file=str(tmp_path / "truth"), drain_s=5.0)
        return OwnConnections(parts(plan, 2), credential.password)

    return started


async def test_meters_with_own_connections_lose_repeat_and_fall_silent_and_their_gaps_are_filled(
    modems: Callable[[str], OwnConnections], head_end: MeterTalk, database: str, tmp_path: Path
) -> None:
    # counted from before the processes start: long enough for several intervals after that, however busy it is here
    until_s = 8.0 + 4 * await asyncio.to_thread(start_of_a_process_s)
    scenario = (
        '[[fault]]\nkind = "lost"\nshare = 0.1\n[[fault]]\nkind = "duplicated"\nshare = 0.1\n'
        f'[[fault]]\nkind = "dead"\ncount = 3\nuntil_s = {until_s:.1f}\n'
    )
    async with modems(scenario) as crowd:
        with GapStore(database, period_s=PERIOD_S) as ledger:

            def dead() -> int:
                lacking: Counter[int] = Counter()
                for gap in ledger.open_gaps():
                    lacking[int(gap["meter"])] += int(gap["last"] - gap["first"]) // PERIOD + 1
                return sum(intervals >= 2 for intervals in lacking.values())

            await asyncio.to_thread(until, lambda: dead() >= 3, "the dead are noticed")
            last = now_us() // PERIOD * PERIOD
            await asyncio.to_thread(until, lambda: (ledger.watch() or NEVER).until >= last, "all so far is looked at")
            await asyncio.to_thread(
                until, lambda: not [g for g in ledger.open_gaps() if g["first"] <= last], "nothing so far is missing"
            )
        told = await crowd.finish()
    join_truths([tmp_path / "truth.0", tmp_path / "truth.1"], tmp_path / "truth.json")
    first_end = json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))["first_end"]
    stored = "SELECT count(*) FROM reading WHERE time <= to_timestamp(%s)"
    assert count(database, stored, last / 1e6) == MODEMS * ((last - first_end) // PERIOD + 1)
    assert told.reports_lost > 3
    assert count(database, "SELECT coalesce(sum(duplicate), 0) FROM ingest_account WHERE kind = 'reading'") > 0
    assert head_end.stats().requester.answers_unread == 0


def start_of_a_process_s() -> float:
    """How long it takes here until a process of modems has begun."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import simulators.own_modems"], cwd=SOURCE_ROOT, check=True)
    return time.monotonic() - began


@pytest.mark.parametrize("config", [UNHURRIED])
async def test_meters_with_own_connections_answer_what_they_are_asked(
    modems: Callable[[str], OwnConnections], head_end: MeterTalk, database: str
) -> None:
    async with modems('[[fault]]\nkind = "clock_off"\nshare = 1.0\nseconds = 12\n') as crowd:
        await asyncio.to_thread(until, lambda: crowd.state.connected == MODEMS, "all are connected")
        serial = count(database, "SELECT min(serial) FROM meter")
        answers = [
            await asyncio.to_thread(answer_of, database, kind, serial)
            for kind in ("disconnect", "read", "reconnect", "clock", "clock", "events")
        ]
        told = await crowd.finish()
    assert [answer["state"] for answer in answers[:3]] == ["DISCONNECTED", "DISCONNECTED", "CONNECTED"]
    assert sorted(answers[1]["registers"]) == ["1-0:1.8.0", "1-0:2.8.0", "1-0:3.8.0"]
    assert [answer.get("clock_off_s", 0.0) for answer in answers[3:5]] == [12.0, 0.0]
    assert answers[5].get("events", []) == []
    assert told.requests_answered == 6
    assert head_end.stats().requester.answers_unread == 0


def answer_of(database: str, kind: str, serial: int) -> dict[str, Any]:
    """Ask one meter, and wait until it has answered."""
    now = now_us()
    with MeterRequests(database) as desk:
        asked = desk.enter(
            kind,
            [serial],
            priority=Priority.ON_DEMAND,
            requested_by="test",
            expires_at=now + 60_000_000,
            parameters={"first": now - 10**12, "last": now} if kind == "events" else {},
        )
        number = asked[serial]
        assert number is not None
        until(lambda: bool(desk.endings([number])[0].ending), f"{kind} has ended")
        (ended,) = desk.endings([number])
    assert ended.ending == "done", ended.why
    return dict(ended.answer or {})


def explained(ledger: GapStore, database: str, first_end: int) -> None:
    """Expected = stored + what the ledger says is not there, up to where it has looked."""
    watch = ledger.watch()
    assert watch is not None
    assert watch.since == first_end - PERIOD
    # in one statement, so of one moment: readings go on being stored and gaps being found and closed
    counted = (
        "SELECT extract(epoch FROM checked_until) * 1000000, "
        "(SELECT count(*) FROM reading WHERE time <= checked_until), "
        "(SELECT count(*) FROM gap g, generate_series(g.first_end, g.last_end, g.period_s * interval '1 s') AS missing "
        "WHERE missing <= checked_until "
        "AND NOT EXISTS (SELECT FROM reading r WHERE r.meter = g.meter AND r.time = missing)) FROM gap_watch"
    )
    with psycopg.connect(database) as connection:
        row = connection.execute(counted).fetchone()
    assert row is not None
    until, stored, missing = map(int, row)
    assert stored + missing == METERS * ((until - first_end) // PERIOD + 1)


class _Never:
    until = 0


NEVER = _Never()


@pytest.mark.parametrize("config", [UNHURRIED])
def test_meters_answer_on_demand_and_say_how_it_ended(
    fleet: Fleet, head_end: MeterTalk, endpoints: Endpoints, database: str
) -> None:
    one_dead = FleetFault(FaultKind.DEAD, count=1)
    field = publisher(fleet, endpoints, one_dead)
    field.start()
    until(lambda: field.stats().connections_up == 2, "the fleet listens")
    serials = [int(serial) for serial in fleet.serial]
    behind = serials[:900]
    faults = FleetFaults([one_dead], fleet, 0)
    unreachable = [serials[row] for row in range(900) if faults.is_dead(int(fleet.concentrator[row]), 0)]
    with MeterRequests(database) as desk:
        expires_at = now_us() + 60_000_000
        asked = {
            kind: desk.enter(
                kind,
                [serials[-1], 4711] if kind == "read" else [serials[-1]],
                priority=Priority.ON_DEMAND,
                requested_by="test",
                expires_at=expires_at,
                parameters={"first": expires_at - 10**12, "last": expires_at} if kind == "events" else {},
            )
            for kind in ("disconnect", "read", "clock", "events")
        }
        everyone = {}
        for whom, within_s in ((set(unreachable), 8), (set(behind) - set(unreachable), 60)):
            everyone |= desk.enter(
                "read",
                sorted(whom),
                priority=Priority.ON_DEMAND,
                requested_by="t",
                expires_at=now_us() + within_s * 1_000_000,
            )
        assert asked["read"].pop(4711) is None
        ids = [number for group in (*asked.values(), everyone) for number in group.values() if number is not None]
        until(lambda: all(each.ending for each in desk.endings(ids)), "every request has ended")
        endings = {each.id: each for each in desk.endings(ids)}
    field.stop(drain_s=3.0)
    switched, read, clock, events = (endings[number] for number in (g[serials[-1]] for g in asked.values()) if number)
    assert (switched.ending, (switched.answer or {})["state"]) == ("done", "DISCONNECTED")
    assert (read.ending, sorted((read.answer or {})["registers"])) == ("done", ["1-0:1.8.0", "1-0:2.8.0", "1-0:3.8.0"])
    assert (read.answer or {})["state"] == "DISCONNECTED"
    assert (clock.ending, events.ending) == ("done", "done")
    ended = {serial: endings[number].ending for serial, number in everyone.items() if number}
    assert {serial for serial, ending in ended.items() if ending == "done"} == set(behind) - set(unreachable)
    # a request that found its dead concentrator busy with another never left: refused, not unknown
    assert {ended[serial] for serial in unreachable} <= {"unknown", "refused"}
    assert (len(unreachable), len(ended)) == (180, 900)


@pytest.mark.parametrize("config", [UNHURRIED])
def test_what_a_meter_says_it_does_not_have_is_never_asked_for_again(
    fleet: Fleet, head_end: MeterTalk, endpoints: Endpoints, database: str
) -> None:
    """The head-end believes meters remember 62 days; this one remembers 60 and says so."""
    field = publisher(fleet, endpoints)
    field.start()
    with GapStore(database, period_s=PERIOD_S) as ledger, GapReport(database) as report:
        until(lambda: ledger.watch() is not None, "the ledger looks")
        forgotten = (now_us() - 61 * 86_400_000_000) // PERIOD * PERIOD
        insert = (
            "INSERT INTO gap (meter, first_end, last_end, period_s, state, cause, attempts, next_try, detected_at) "
            "SELECT id, to_timestamp(%s), to_timestamp(%s), 2, 1, 1, 0, now(), now() FROM meter ORDER BY id LIMIT 1 "
            "RETURNING meter"
        )
        count(database, insert, forgotten / 1e6, forgotten / 1e6)
        until(lambda: len(ledger.open_gaps((GapState.NO_DATA,))) == 1, "the meter has said so")
        lines = report.lines(0, now_us(), ALL, limit=10)
    field.stop(drain_s=3.0)
    assert (lines[0].first, lines[0].state, lines[0].attempts) == (forgotten, GapState.NO_DATA, 1)
    until(lambda: head_end.stats().gaps.without_data == 1, "it is counted")


def test_the_registry_learns_of_an_exchange_by_import_and_nothing_is_lost_meanwhile(
    fleet: Fleet, head_end: MeterTalk, endpoints: Endpoints, database: str, tmp_path: Path
) -> None:
    """Readings of the new meters wait in quarantine, or are asked for; the old ones end with the exchange."""
    field = publisher(fleet, endpoints, FleetFault(FaultKind.EXCHANGE, share=0.05, from_s=4.0))
    field.start()
    unknown = "SELECT count(*) FROM quarantine WHERE reason = 'unknown_meter'"
    until(lambda: count(database, unknown) > 0, "new meters report that nobody knows")
    file = tmp_path / "exchanges.csv"
    exchanged = field.exchanged()
    assert write_exchanges(fleet, exchanged, file) > 20
    done = import_exchanges(database, file)
    assert (done.done, done.faults) == (len(exchanged), ())
    until(lambda: count(database, unknown) == 0, "the quarantine has let them go")
    last = now_us() // PERIOD * PERIOD
    with GapStore(database, period_s=PERIOD_S) as ledger:
        until(lambda: (ledger.watch() or NEVER).until >= last, "all intervals so far are looked at")
        until(lambda: not [g for g in ledger.open_gaps() if g["first"] <= last], "nothing so far is missing")
    truth = field.truth()
    field.stop(drain_s=3.0)
    stored = "SELECT count(*) FROM reading WHERE time <= to_timestamp(%s)"
    assert count(database, stored, last / 1e6) == METERS * ((last - truth.first_end) // PERIOD + 1)
    used = (
        "SELECT sum((old.end_registers->>'1-0:1.8.0')::int8 - first.import_wh + r.import_wh "
        "- (new.start_registers->>'1-0:1.8.0')::int8)::int8 "
        "FROM meter old "
        "JOIN meter new ON new.metering_point = old.metering_point AND new.installed_at = old.removed_at "
        "JOIN reading first ON first.meter = old.id AND first.time = to_timestamp(%s) "
        "JOIN reading r ON r.meter = new.id AND r.time = to_timestamp(%s)"
    )
    rows = np.array([each.row for each in exchanged])
    energy = FleetEnergy(fleet)
    honest = energy.registers(rows, last)[0] - energy.registers(rows, truth.first_end)[0]
    assert count(database, used, truth.first_end / 1e6, last / 1e6) == int(honest.sum())
