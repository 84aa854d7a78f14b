"""An avalanche: 7,500 analog changes and 83 status events a second for ten minutes, then 10,000 and 500 for one.

The changes are made in another process, in four stations of 2,730 points, and come over Modbus TCP through everything
``scada run`` puts between a station and the database: adapter, supervised scan, process image, events, sinks. A lean
server answers for the stations: the simulators top out at some 13,000 transactions a second and would be measured.

Every measured value is the moment of its change, every event has its own, so the delay of each is known; each change
must become a row: lost and duplicated are counted in the tables. SECONDS shortens both parts alike.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from subprocess import Popen

import numpy as np
import psutil

from historian.events import EventDatabase
from historian.sink import SinkLimits, TelemetrySink
from historian.store import HistorianStore
from scada.clock import now_us
from scada.files import Installation
from scada.model.cause import Cause
from scada.model.sample import SampleArray
from scada.model.station import Province
from scada.model.statusevent import STATUS_EVENT
from scada.running import ControlRoom
from substations.adapters import Maps
from substations.scan import scan_stations
from substations.scancounts import LinkState
from tests.bench._busy_stations import ANALOG, BAYS, PERIOD_S, STATIONS, register_maps, stations
from tests.bench._field import end_process, start_talking
from tests.bench._house import House, private_services
from tests.bench.result import Result, say

SECONDS = 660.0
LOAD, BURST = (7_500, 83), (10_000, 500)
"""Analog changes and status events a second."""
LONGEST_MS = 60_000


class Delays:
    """How long changes took, in ms: a histogram, so that an hour of them needs no more memory than a second."""

    def __init__(self, start_us: int) -> None:
        self._start = start_us
        self._counts = np.zeros(LONGEST_MS + 1, dtype=np.int64)

    def note(self, batch: SampleArray, now: int) -> None:
        """Every change in ``batch`` has arrived ``now``; what is no change is left out."""
        changes = batch[(batch["cause"] == Cause.SPONTANEOUS) & (batch["point"] >> 8 & 0xFF <= BAYS)]
        analog = changes["point"] & 0xFF <= ANALOG
        changes, analog = (each[~analog | (changes["value"] > 0)] for each in (changes, analog))
        made = np.where(analog, self._start + changes["value"].astype(np.int64) * 1000, changes["time"])
        self._counts += np.bincount(np.clip((now - made) // 1000, 0, LONGEST_MS), minlength=LONGEST_MS + 1)

    @property
    def count(self) -> int:
        """Changes noted."""
        return int(self._counts.sum())

    def quantile_s(self, quantile: float) -> float:
        """A quantile, in s."""
        reached = np.cumsum(self._counts)
        return float(np.searchsorted(reached, quantile * reached[-1])) / 1000 if reached[-1] else 0.0


class TimedStore:
    """A SampleStore that notes when rows are committed."""

    def __init__(self, store: HistorianStore, delays: Delays) -> None:
        self._store = store
        self._delays = delays

    def write_samples(self, source: str, sequence: int, batch: SampleArray) -> bool:
        stored = self._store.write_samples(source, sequence, batch)
        self._delays.note(batch, now_us())
        return stored


class TimedRoom(ControlRoom):
    """The control room, with a stop-watch behind the process image."""

    def __init__(self, installation: Installation, delays: Delays) -> None:
        self._delays = delays
        super().__init__(installation)

    def take(self, batch: SampleArray) -> None:
        delta = self.following.take(batch)
        self._delays.note(delta, now_us())
        self.report(delta)


@dataclass(frozen=True, slots=True)
class Watched:
    """A room at work, with its stop-watches and the size of its process, MiB, every half second."""

    room: TimedRoom
    in_image: Delays
    in_row: Delays
    memory: list[float]


async def run(seconds: float | None) -> Result:
    """Ten parts of load, one of burst."""
    result = Result("avalanche")
    with private_services() as house:
        field = start_talking(["-m", "tests.bench._busy_field"])
        try:
            assert field.stdout is not None
            ports = json.loads(await asyncio.to_thread(field.stdout.readline))
            await _avalanche(house, field, ports, seconds or SECONDS, result)
        finally:
            end_process(field, 10.0)
    return result


async def _avalanche(house: House, field: Popen[str], ports: list[int], seconds: float, result: Result) -> None:
    start_us = now_us()
    async with _watched(house, ports, start_us) as watched:
        begun, cpu = time.monotonic(), time.process_time()
        field_before = psutil.Process(field.pid).cpu_times()
        made = await _made(field, seconds, start_us)
        elapsed, cpu = time.monotonic() - begun, time.process_time() - cpu
        field_after = psutil.Process(field.pid).cpu_times()
        await _until_read(watched, made["analog"] + made["status"])
        overruns = sum(scan.statistics.overruns for scan in watched.room.scans)
    rows = _count(house, made, result)
    memory = watched.memory
    result.figures |= {
        "stations": STATIONS,
        "scan_period_s": PERIOD_S,
        "analog_changes": made["analog"],
        "status_events": made["status"],
        "changes_per_s": (made["analog"] + made["status"]) / elapsed,
        "rows": rows,
        "overruns": overruns,
        "image_p50_s": watched.in_image.quantile_s(0.5),
        "image_p99_s": watched.in_image.quantile_s(0.99),
        "row_p50_s": watched.in_row.quantile_s(0.5),
        "row_p99_s": watched.in_row.quantile_s(0.99),
        "cpu_share": cpu / elapsed,
        "field_cpu_share": (field_after.user + field_after.system - field_before.user - field_before.system) / elapsed,
        "rss_mib": memory[-1],
        "rss_growth": memory[-1] / memory[len(memory) // 5],
    }
    say(f"{made['analog']:,} + {made['status']:,} changes, p99 to the row {result.figures['row_p99_s']:.2f} s")


@asynccontextmanager
async def _watched(house: House, ports: list[int], start_us: int) -> AsyncIterator[Watched]:
    """A control room that scans the stations behind ``ports``; at the end of the block all is stored."""
    found = tuple(stations(ports))
    installation = Installation(house.config, Province(found, (), ()), found, Maps(register_maps(), {}))
    watched = Watched(TimedRoom(installation, in_image := Delays(start_us)), in_image, Delays(start_us), [])
    settings = house.config.historian
    limits = SinkLimits(settings.batch_rows, int(settings.batch_age_s * 1e6))
    event_store = EventDatabase(house.dsn, application="bench events", clock=now_us)
    with HistorianStore(house.dsn, worker="bench", clock=now_us) as store:
        timed = TimedStore(store, watched.in_row)
        sink = TelemetrySink(timed, house.folder / "spool", name="bench", clock=now_us, limits=limits)
        events = TelemetrySink(
            event_store, house.folder / "spool-events", name="events", clock=now_us, limits=limits, rows=STATUS_EVENT
        )
        watched.room.sink, watched.room.following.events = sink, events
        sink.start()
        events.start()
        tasks = [asyncio.create_task(scan_stations(watched.room.scans), name="scan")]
        try:
            await _until_up(watched.room)
            tasks.append(asyncio.create_task(_watch_memory(watched.memory), name="memory"))
            yield watched
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(asyncio.to_thread(sink.close, 60.0), asyncio.to_thread(events.close, 60.0))
            event_store.close()


async def _until_up(room: ControlRoom) -> None:
    async with asyncio.timeout(60.0):
        while any(scan.statistics.state is not LinkState.UP for scan in room.scans):  # noqa: ASYNC110 -- other tasks' state
            await asyncio.sleep(0.1)


async def _until_read(watched: Watched, made: int) -> None:
    """The last changes were made this moment: wait for the scans that bring them, but not for ever."""
    for _ in range(50):
        if watched.in_image.count >= made:
            return
        await asyncio.sleep(0.1)


async def _made(field: Popen[str], seconds: float, start_us: int) -> dict[str, int]:
    """Let the changes be made; how many were."""
    assert field.stdin is not None
    assert field.stdout is not None
    plan = {"start_us": start_us, "phases": [(seconds * 10 / 11, *LOAD), (seconds / 11, *BURST)]}
    field.stdin.write(json.dumps(plan) + "\n")
    field.stdin.flush()
    made: dict[str, int] = json.loads(await asyncio.to_thread(field.stdout.readline))
    return made


def _count(house: House, made: dict[str, int], result: Result) -> int:
    """What the tables hold of the changes; an analog one is known by its value, an event by its time."""
    analog = f"FROM sample WHERE point & 255 <= {ANALOG} AND point >> 8 & 255 <= {BAYS} AND value > 0"
    spontaneous = f"{analog} AND cause = {int(Cause.SPONTANEOUS)}"
    # Sorted, not hashed: the planner takes five million of them for 40,000 and would spill a hash table for minutes.
    changes = "SELECT count(*) FROM (SELECT DISTINCT ON (point, value) point {} ORDER BY point, value) AS change"
    rows = house.number(f"SELECT count(*) {spontaneous}")
    distinct = house.number(changes.format(analog))
    told = house.number(changes.format(spontaneous))
    events = house.number("SELECT count(*) FROM status_event")
    each = house.number("SELECT count(*) FROM (SELECT DISTINCT point, time, value FROM status_event) AS change")
    result.lost += made["analog"] - distinct + made["status"] - each
    result.duplicated += rows - told + events - each
    return rows + events


async def _watch_memory(memory: list[float]) -> None:
    process = psutil.Process()
    while True:
        memory.append(process.memory_info().rss / 2**20)
        await asyncio.sleep(0.5)
