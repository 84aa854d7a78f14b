"""``scada collect`` as a coroutine: readings through the real broker into the real database, and its own failures."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from historian.migrate import MigrationError
from historian.store import HistorianStore
from meters.payload import encode_message
from meters.topic import Subject, meter_topic
from scada import metertalk
from scada.clock import now_us
from scada.collecting import collect
from scada.config import Config, HeadEndConfig
from scada.gapfinding import GapFinder
from scada.services.endpoints import Endpoints, Role
from tests.fakes_meters import meters, profile, register_message, serial_of

pytestmark = pytest.mark.integration

COUNT = 20
PERIOD = 10_000_000


@pytest.fixture
def config(tmp_path: Path) -> Config:
    head_end = HeadEndConfig(client_id=f"test-{uuid4().hex[:8]}", capture_period_s=10)
    return Config(var=tmp_path / "var", head_end=head_end, time_zone="UTC")


@pytest.fixture
def registered(database: str) -> str:
    """The database with ``COUNT`` meters."""
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO meter (serial, metering_point, unit, concentrator, feeder, class, multiplier, digits,"
            " installed_at) VALUES (%s, %s, 'PC01', '', %s, 'residential', 1, 6, now())",
            [(each.serial, each.metering_point, each.feeder) for each in meters(COUNT)],
        )
    return database


def at(endpoints: Endpoints, dsn: str) -> Endpoints:
    return replace(endpoints, postgres_dsn=dsn, postgres_reader_dsn=dsn)


def publish(endpoints: Endpoints, messages: Sequence[tuple[str, bytes]]) -> None:
    """As the field: QoS 1, every message acknowledged by the broker."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    credential = endpoints.mqtt_credentials[Role.FIELD]
    client.username_pw_set(credential.username, credential.password)
    client.connect(endpoints.mqtt_host, endpoints.mqtt_port)
    client.loop_start()
    for topic, payload in messages:
        (sent := client.publish(topic, payload, qos=1)).wait_for_publish(60)
        assert sent.is_published()
    client.disconnect()
    client.loop_stop()


def readings(end: int) -> list[tuple[str, bytes]]:
    return [
        (
            meter_topic("PC01", "direct", serial_of(n), Subject.PROFILE),
            encode_message(profile(n, end, interval_s=10)),
        )
        for n in range(1, COUNT + 1)
    ]


class Head:
    """A running ``scada collect``, asked over its door."""

    def __init__(self, var: Path, task: asyncio.Task[None]) -> None:
        self._var = var
        self.task = task

    async def state(self) -> dict[str, Any]:
        place = self._var / "run" / "collect.json"
        async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False, timeout=60) as client:
            while not place.exists():  # noqa: ASYNC110  # the file is how others find it too
                await asyncio.sleep(0.01)
            state: dict[str, Any] = (await client.get(json.loads(place.read_text())["url"] + "/api/v1/state")).json()
        return state

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(60):
            while True:
                state = await self.state()
                if condition(state):
                    return state
                await asyncio.sleep(0.02)

    async def when(self, **wanted: object) -> dict[str, Any]:
        def reached(state: dict[str, Any]) -> bool:
            return all(state["readings"][name] == value for name, value in wanted.items())

        found: dict[str, Any] = (await self.until(reached))["readings"]
        return found


@asynccontextmanager
async def collecting(config: Config, endpoints: Endpoints) -> AsyncIterator[Head]:
    stop = asyncio.Event()
    head = Head(config.var, asyncio.create_task(collect(config, endpoints, stop)))
    try:
        yield head
    finally:
        stop.set()
        await head.task


async def test_readings_go_through_and_the_last_state_says_what_the_database_holds(
    config: Config, endpoints: Endpoints, registered: str
) -> None:
    end = now_us() // PERIOD * PERIOD
    async with collecting(config, at(endpoints, registered)) as head:
        await head.when(connected=True, meters_registered=COUNT)
        await asyncio.to_thread(publish, endpoints, [*readings(end), *readings(end)])
        found = await head.when(received=2 * COUNT, in_hand=0)
    assert (found["stored"], found["duplicate"], found["rejected"]) == (COUNT, COUNT, {})
    assert (found["meters_heard"], found["database_available"]) == (COUNT, True)
    last = json.loads((config.var / "run" / "collect.last.json").read_text())
    assert last["readings"]["received"] == 2 * COUNT
    assert last["capture_period_s"] == 10
    assert not (config.var / "run" / "collect.json").exists()
    with psycopg.connect(registered) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT meter) FROM reading").fetchone() == (COUNT, COUNT)


async def test_the_door_tells_of_registers_and_of_rejected_events(
    config: Config, endpoints: Endpoints, registered: str
) -> None:
    bad = (meter_topic("PC01", "direct", serial_of(1), Subject.EVENT), b"gasp")
    registers = register_message(1, {"1-0:1.8.0": 5, "1-0:1.8.1": 3}, now_us() // PERIOD * PERIOD)
    async with collecting(config, at(endpoints, registered)) as head:
        await head.when(connected=True, meters_registered=COUNT)
        await asyncio.to_thread(publish, endpoints, [bad, (registers.topic, registers.payload), *readings(now_us())])
        found = await head.when(received=COUNT, in_hand=0)
    assert (found["events"]["received"], found["events"]["rejected"]) == (1, {"not_json": 1})
    assert (found["registers"]["received"], found["registers"]["stored"]) == (2, 2)
    with psycopg.connect(registered) as connection:
        account = connection.execute(
            "SELECT kind, received, stored, rejected FROM ingest_account ORDER BY kind, stored"
        )
        assert ("meter_event", 1, 0, 1) in (booked := account.fetchall())
        assert ("register", 2, 2, 0) in booked


async def test_what_is_published_between_two_runs_is_read_by_the_second(
    config: Config, endpoints: Endpoints, registered: str
) -> None:
    async with collecting(config, at(endpoints, registered)) as head:
        await head.when(connected=True, meters_registered=COUNT)
    await asyncio.to_thread(publish, endpoints, readings(now_us() // PERIOD * PERIOD))
    async with collecting(config, at(endpoints, registered)) as head:
        await head.when(stored=COUNT)


async def test_without_a_database_nothing_is_acknowledged_and_stopping_is_possible(
    config: Config, endpoints: Endpoints
) -> None:
    nowhere = at(endpoints, "postgresql://nobody:nothing@127.0.0.1:1/none")
    async with collecting(config, nowhere) as head:
        assert (await head.state())["readings"]["received"] == 0


async def test_a_bug_in_the_head_end_ends_the_process_so_that_it_is_started_again(
    config: Config, endpoints: Endpoints, registered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: HistorianStore) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(HistorianStore, "registered_meters", broken)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        await asyncio.wait_for(collect(config, at(endpoints, registered), asyncio.Event()), 60)
    assert not (config.var / "run" / "collect.json").exists()
    assert not (config.var / "run" / "collect.last.json").exists(), "totals of a crash are not final"


async def test_a_bug_in_the_chase_of_gaps_is_told_and_tried_again_and_reading_goes_on(
    config: Config, endpoints: Endpoints, registered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = GapFinder.find
    failing = True

    def broken(finder: GapFinder, now: int) -> int:
        if failing:
            raise ZeroDivisionError("a slip")
        return find(finder, now)

    monkeypatch.setattr(metertalk, "FAULT_PAUSE_S", 1.0)
    monkeypatch.setattr(GapFinder, "find", broken)
    async with collecting(config, at(endpoints, registered)) as head:
        await head.until(lambda state: state["requests"]["last_error"] == "a fault of ours: ZeroDivisionError: a slip")
        await asyncio.to_thread(publish, endpoints, readings(now_us() // PERIOD * PERIOD))
        await head.when(stored=COUNT)
        failing = False
        await head.until(lambda state: state["requests"]["last_error"] == "")


async def test_a_database_of_another_version_is_one_refusal(
    config: Config, endpoints: Endpoints, database: str
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO schema_migration (name, sha256) VALUES ('9999_from_tomorrow.sql', 'x')")
    with pytest.raises(MigrationError, match=r"9999_from_tomorrow\.sql was applied to this database"):
        await collect(config, at(endpoints, database), asyncio.Event())
