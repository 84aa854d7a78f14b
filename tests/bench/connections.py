"""As many live MQTT connections as one broker process may open: held, then a broker that dies and comes back.

The simulated fleet of the product: each meter holds its own connection, in several processes and from several loopback
addresses, reports once a minute and hears requests. After the hold the broker is killed and started again; how long
until all are back, and is every reading there that the broker has acknowledged? The broker saves every five seconds, so
meters say again what they said in the last minute.

SECONDS is the length of the hold, 300 in full, and below 60 the number of connections shrinks with it.
"""

import asyncio
import csv
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import psycopg

from historian.registry import import_meters
from scada.clock import now_us
from scada.config import SOURCE_ROOT
from scada.services import supervisor
from scada.services.endpoints import Role
from scada.stationfile import load_province
from simulators.fleet_run import fleet_of
from simulators.own_connections import OwnConnections, parts
from simulators.own_modems import ModemPlan
from simulators.registry_file import join_truths, write_registry
from tests.bench._collector import collector
from tests.bench._house import House, private_services
from tests.bench.result import Result, say

SECONDS = 300.0
CONNECTIONS = 18_000
"""Of the 20,000 descriptors a process may open on this kind of machine."""
PROCESSES = 3
UP_WITHIN_S = 180.0
STATIONS = SOURCE_ROOT / "substations"


async def run(seconds: float | None) -> Result:
    """Hold, kill, come back, count."""
    span = seconds or SECONDS
    count = CONNECTIONS if span >= 60 else max(300, int(CONNECTIONS * span / 60))
    result = Result("connections")
    with private_services() as house:
        registry, truth = house.folder / "meters.csv", house.folder / "truth.json"
        write_registry(fleet_of(load_province(STATIONS), meters=count, seed=1, own_connections=True), registry)
        import_meters(house.dsn, registry)
        with collector(house) as head_end:
            empty_kib = house.broker().memory_info().rss / 1024
            plans = parts(_plan(house, count, truth), PROCESSES)
            async with OwnConnections(plans, house.credential(Role.FIELD).password) as crowd:
                took = await _until(lambda: crowd.state.connected == count, crowd)
                say(f"{count:,} connections after {took:.1f} s")
                full_kib = house.broker().memory_info().rss / 1024
                await asyncio.sleep(span)
                held = crowd.state.connected
                back_s = await _reconnect_storm(house, crowd, count)
                say(f"all back after {back_s:.1f} s")
                last = await crowd.finish()
            join_truths([Path(each.truth_file) for each in plans], truth)
            await asyncio.to_thread(_until_quiet, house, last.acknowledged)
            owed, stored = _owed(truth), _stored(house)
            duplicates = int(head_end.readings()["duplicate"])
    result.lost = sum(max(0, readings - stored.get(serial, 0)) for serial, readings in owed.items())
    result.duplicated = max(0, sum(stored.values()) - last.offered)
    result.figures = {
        "connections_held": held,
        "connect_s": took,
        "held_s": span,
        "broker_kb_per_connection": (full_kib - empty_kib) / count,
        "all_back_s": back_s,
        "readings_made": last.offered,
        "readings_stored": sum(stored.values()),
        "readings_said_again": duplicates,
        "refusals": last.unheard,
    }
    return result


def _plan(house: House, count: int, truth: Path) -> ModemPlan:
    endpoints, user = house.endpoints, house.credential(Role.FIELD).username
    address = (endpoints.mqtt_host, endpoints.mqtt_port, user, "")
    plan = ModemPlan(count, 1, 0, count, *address, 60, "modem", str(STATIONS), now_us())
    return replace(plan, truth_file=str(truth))


async def _until(condition: Callable[[], bool], crowd: OwnConnections) -> float:
    """Seconds until a condition holds. Raises TimeoutError."""
    begun = time.monotonic()
    for _ in range(int(UP_WITHIN_S * 10)):
        if condition():
            return time.monotonic() - begun
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{crowd.state.connected} are connected after {UP_WITHIN_S:.0f} s")


async def _reconnect_storm(house: House, crowd: OwnConnections, count: int) -> float:
    """Kill the broker and start it again; seconds from its death until all are back."""
    lost = crowd.state.losses + count
    begun = time.monotonic()
    house.broker().send_signal(signal.SIGKILL)
    await asyncio.sleep(0.5)
    supervisor.ensure(house.config)
    await _until(lambda: crowd.state.losses >= lost and crowd.state.connected == count, crowd)
    return time.monotonic() - begun


def _until_quiet(house: House, expected: int) -> None:
    """Wait until all readings are stored, or none has come for ten seconds."""
    before, since = -1, time.monotonic()
    while time.monotonic() < since + 10 and before < expected:
        rows = house.number("SELECT count(*) FROM reading")
        if rows != before:
            before, since = rows, time.monotonic()
        time.sleep(0.2)


def _owed(truth: Path) -> Mapping[int, int]:
    """How many readings of each meter the broker has acknowledged."""
    with truth.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return {int(row["serial"]): int(row["readings"]) for row in csv.DictReader(file)}


def _stored(house: House) -> Mapping[int, int]:
    """How many readings of each meter are stored."""
    with psycopg.connect(house.dsn) as connection:
        rows = connection.execute("SELECT serial, count(*) FROM reading r JOIN meter m ON m.id = r.meter GROUP BY 1")
        return dict(rows.fetchall())
