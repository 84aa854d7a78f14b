"""``kill -9`` of head-ends and of the database in the middle of a burst: nothing is lost, nothing is stored twice.

Two real ``scada collect`` share one subscription, and the burst goes on while they and their database are killed.
"""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from historian.migrate import migrate
from scada.clock import now_us
from scada.config import SOURCE_ROOT, Config
from scada.services import postgres, supervisor
from scada.services.endpoints import Endpoints, Role
from scada.services.installation import load
from tests.fakes_meters import INTERVAL, batch_payload, meters

pytestmark = pytest.mark.integration

CONCENTRATORS, PER_CONCENTRATOR = 5, 40
METERS = CONCENTRATORS * PER_CONCENTRATOR
MOST_INTERVALS = 800
"""Sixteen seconds at least: the burst goes on for longer than what is done to it."""

PACE_S = 0.02


def until(condition: Callable[[], bool], what: str, *, within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)


class Burst(threading.Thread):
    """Concentrators that send interval after interval at a pace, one message in ten twice, until it is enough."""

    def __init__(self, endpoints: Endpoints) -> None:
        super().__init__(name="burst")
        self.intervals = self.repeated = 0
        self.enough = threading.Event()
        self._first = now_us() // INTERVAL * INTERVAL - MOST_INTERVALS * INTERVAL
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        credential = endpoints.mqtt_credentials[Role.FIELD]
        self._client.username_pw_set(credential.username, credential.password)
        self._client.connect(endpoints.mqtt_host, endpoints.mqtt_port)
        self._client.loop_start()

    def run(self) -> None:
        while not self.enough.is_set() and self.intervals < MOST_INTERVALS:
            sent = []
            for each in range(CONCENTRATORS):
                numbers = range(each * PER_CONCENTRATOR + 1, (each + 1) * PER_CONCENTRATOR + 1)
                payload = batch_payload(numbers, self._first + self.intervals * INTERVAL)
                again = (self.intervals * CONCENTRATORS + each) % 10 == 0
                self.repeated += again
                sent += [
                    self._client.publish(f"ami/v1/PC01/DCU{each:04d}/batch/profile", payload, qos=1)
                    for _ in range(1 + again)
                ]
            for message in sent:
                message.wait_for_publish(60)
                assert message.is_published()
            self.intervals += 1
            time.sleep(PACE_S)
        self._client.disconnect()
        self._client.loop_stop()


class Worker:
    """One ``scada collect`` in a folder of its own, on the servers of the test."""

    def __init__(self, name: str, folder: Path, endpoints: Endpoints) -> None:
        folder.mkdir()
        credential = endpoints.mqtt_credentials[Role.HEADEND]
        broker = f"mqtt://{credential.username}:{credential.password}@{endpoints.mqtt_host}:{endpoints.mqtt_port}"
        self._file = folder / "config.toml"
        self._file.write_text(
            f'var = "var"\n[stations]\nfolder = {json.dumps(str(SOURCE_ROOT / "substations"))}\n'
            f'[head_end]\nclient_id = "{name}"\nshared_group = "head-ends"\nbatch_rows = 400\nbatch_age_s = 0.02\n'
            f'[services.postgres]\nurl = "{endpoints.postgres_dsn}"\n[services.mqtt]\nurl = "{broker}"\n'
        )
        self._log = folder / "collect.log"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "scada.cli", "--config", str(self._file), "collect"]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=SOURCE_ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """Ask it to end; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def times_connected(self) -> int:
        """How often one of its runs has reached the broker."""
        return sum(line.endswith(" connected") for line in self.log().splitlines())


def ask(dsn: str, question: str) -> tuple[int, ...]:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row is not None
    return tuple(int(each) for each in row)


def stored(dsn: str) -> int:
    return ask(dsn, "SELECT count(*) FROM reading")[0]


def accounted(dsn: str) -> int:
    return ask(dsn, "SELECT coalesce(sum(received), 0) FROM ingest_account")[0]


def register(dsn: str) -> None:
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO meter (serial, metering_point, unit, concentrator, feeder, class, multiplier, digits,"
            " installed_at) VALUES (%s, %s, 'PC01', 'DCU', '', 'residential', 1, 6, '2024-01-01')",
            [(each.serial, each.metering_point) for each in meters(METERS)],
        )


@pytest.fixture
def services(own_services: Config) -> Config:
    dsn = supervisor.endpoints(own_services).postgres_dsn
    migrate(dsn)
    register(dsn)
    return own_services


def kill_the_database(config: Config) -> None:
    installation = load(config.var)
    assert installation is not None
    server = postgres.find_process(installation)
    assert server is not None
    server.kill()
    server.wait(10)


def test_head_ends_and_the_database_may_be_killed_in_a_burst_and_nothing_is_lost_or_twice(
    services: Config, tmp_path: Path
) -> None:
    endpoints = supervisor.endpoints(services)
    dsn = endpoints.postgres_dsn
    workers = [Worker(name, tmp_path / name, endpoints) for name in ("head-end-1", "head-end-2")]
    burst = Burst(endpoints)
    try:
        until(lambda: all(each.times_connected() for each in workers), "both listen")
        burst.start()
        until(lambda: stored(dsn) > 5 * METERS, "the burst is being stored")
        workers[0].kill()
        before = stored(dsn)
        until(lambda: stored(dsn) > before, "the other goes on alone")
        kill_the_database(services)
        until(lambda: "Database away" in workers[1].log(), "it notices")
        assert burst.is_alive()
        burst.enough.set()
        workers[0].start()
        supervisor.ensure(services)
        burst.join(60)
        offered = burst.intervals * METERS
        sent = offered + burst.repeated * PER_CONCENTRATOR
        until(lambda: workers[0].times_connected() == 2, "the first is back")
        until(lambda: stored(dsn) >= offered and accounted(dsn) >= sent, f"all {offered} are stored, and {sent} read")
        assert [worker.end() for worker in workers] == [0, 0]
    finally:
        burst.enough.set()
        for worker in workers:
            worker.kill()
    assert ask(dsn, "SELECT count(*), count(DISTINCT (time, meter)) FROM reading") == (offered, offered)
    assert ask(dsn, "SELECT count(*) FROM reading_revision") == (0,)
    account = "SELECT sum(stored), sum(revised), sum(rejected), sum(received - stored - duplicate) FROM ingest_account"
    assert ask(dsn, account) == (offered, 0, 0, 0)
    again = ask(dsn, "SELECT sum(duplicate) FROM ingest_account")[0]
    assert again >= burst.repeated * PER_CONCENTRATOR, "what was sent twice, and what came again after the kills"
