"""``scada run``: the control room's core as a process: scan, process image, telemetry to the historian, state door.

The composition root of the telemetry pipe: station → scan → image → delta → historian, in one direction. Knows who gets
what. Does not know protocols or SQL. Works without the database: the sink spools, the schema is looked after when the
database answers.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib import import_module
from typing import Any

from historian.events import EventDatabase
from historian.journal import JournalArchive
from historian.requests import MeterRequests
from historian.sink import SinkLimits, TelemetrySink
from historian.store import HistorianStore
from scada.asking import RequestedSupply
from scada.clock import now_us
from scada.config import HistorianConfig
from scada.control.interlocking import TopologyInterlocking
from scada.control.tenure import Tenure
from scada.controlling import ControlLost, DeskRoom, beating, take_control
from scada.files import Installation
from scada.following import Following
from scada.garbage import leave_out_what_stands
from scada.hashchain import ChainError
from scada.hmi.control_door import control_routes
from scada.hmi.door import Answer, StateDoor, write_last_state
from scada.image import ProcessImage
from scada.journalcopy import JournalCopy
from scada.model.cause import Cause
from scada.model.errors import GridScadaError, StoreUnavailable
from scada.model.point import Point
from scada.model.quality import Quality
from scada.model.sample import SampleArray
from scada.model.station import Province
from scada.model.statusevent import STATUS_EVENT
from scada.model.switching import WhatIf
from scada.operatorfiles import OperatorFolder
from scada.overriding import OverrideKeeper
from scada.schema import bring_up_to_date
from scada.services.endpoints import Endpoints
from substations.adapters import station_scans
from substations.scan import scan_stations

NAME = "run"
STANDBY = "standby"
CLOSE_WITHIN_S = 20.0
CUSTOMERS_EVERY_S = 600.0
JOURNAL_EVERY_S = 2.0

log = logging.getLogger(__name__)


class NothingOperated(GridScadaError):
    """There was no control desk, only stations to look at; the message says why."""


class ControlRoom:
    """What ``scada run`` holds while it runs, and what it tells of itself."""

    def __init__(self, installation: Installation, sink: TelemetrySink | None = None) -> None:
        self._stations = installation.stations
        points = [point for station in self._stations for point in station.shown_points]
        self.image = ProcessImage(points)
        self.points: Mapping[str, Point] = {point.name: point for point in points}
        self.following = Following(self._stations, self.image)
        self.sink = sink
        self.desk: DeskRoom | None = None
        self.no_desk = ""
        self.overrides: OverrideKeeper | None = None
        self.scans = station_scans(
            self._stations, installation.maps, self.take, installation.config.scan, tell=self.take
        )
        self._scan_of = {each.common_address: scan for each, scan in zip(self._stations, self.scans, strict=True)}
        self.following.leave_to_devices([scan.frozen for scan in self.scans])
        self._since = now_us()

    def freeze(self, moment: int) -> None:
        """Have the devices freeze their integrated totals."""
        for scan in self.scans:
            scan.freeze(moment)

    def take(self, batch: SampleArray) -> None:
        self.report(self.following.take(batch))

    def take_past_the_scan(self, batch: SampleArray) -> None:
        """What the control desk has read itself: a scan under way brings nothing newer of these points."""
        self.take(batch)
        for address in {point >> 16 for point in batch["point"].tolist()}:
            self._scan_of[address].supersede(batch["point"])

    def report(self, delta: SampleArray) -> None:
        """Bring what is to be reported to the historian and to the control desk."""
        if not len(delta):
            return
        if self.sink is not None:
            self.sink.offer(delta)
        if self.desk is not None:
            self.desk.desk.observe(delta)

    def take_over(self, sink: TelemetrySink) -> None:
        """From now on telemetry goes to ``sink``, beginning with the present state of every point heard of.

        The desk begins with it too: what moves from there is a movement.
        """
        self.sink = sink
        present = self.image.snapshot()
        present = present[present["quality"] & Quality.NOT_TOPICAL == 0]
        present["cause"] = Cause.BACKGROUND_SCAN
        if len(present):
            sink.offer(present)
            if self.desk is not None:
                self.desk.desk.observe(present)

    def state(self, _: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Everything ``scada status`` and the overview show."""
        titles = {station.code: station for station in self._stations}
        return {
            "process": NAME,
            "pid": os.getpid(),
            "since": self._since,
            "now": now_us(),
            "points": sum(len(station.points) for station in self._stations),
            "derived": sum(len(station.derived) for station in self._stations),
            "stations": [
                {
                    "code": scan.code,
                    "title_vi": titles[scan.code].title_vi,
                    "title_en": titles[scan.code].title_en,
                    "protocol": titles[scan.code].endpoint.protocol.value,
                    **asdict(scan.statistics),
                }
                for scan in self.scans
            ],
            "image": asdict(self.image.counts),
            "totals_frozen": self.following.totals_frozen,
            "samples": {} if self.sink is None else asdict(self.sink.stats()),
            "events": {} if self.following.events is None else asdict(self.following.events.stats()),
            "overrides": [] if self.overrides is None else self.overrides.state(),
            "control": None if self.desk is None else self.desk.state(),
            "no_desk": self.no_desk,
        }

    def station_points(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Present value of every point of one station. Raises KeyError with a sentence for an unknown one."""
        code = parameters["code"]
        station = next((each for each in self._stations if each.code == code), None)
        if station is None:
            raise KeyError(f"no station {code!r} here")
        shown = station.shown_points
        present = self.image.read([point.name for point in shown])
        return {
            "station": code,
            "now": now_us(),
            "alarms": [] if self.desk is None else self.desk.alarms(code),
            "points": [
                {
                    "name": point.name,
                    "value": float(row["value"]),
                    "quality": int(row["quality"]),
                    "time": int(row["time"]),
                    "cause": int(row["cause"]),
                }
                for point, row in zip(shown, present, strict=True)
            ],
        }


async def run(installation: Installation, endpoints: Endpoints, stop: asyncio.Event, *, standby: bool = False) -> None:
    """Scan all stations and be the control desk until ``stop`` is set; what was scanned is then stored or spooled.

    A ``standby`` only scans, until the process in control ends or falls silent. Raises ControlHeld when another process
    is in control, ControlLost when one took it, NothingOperated at the end when the journal could not be continued and
    stations were only watched, DoorTaken when the state door's port is taken, MigrationError when the
    database is of another version.
    """
    # The load flow's native library dies with the thread that loads it first: that has to be this one.
    import_module("scada.control.whatif")
    room = ControlRoom(installation)
    if standby:
        tenure = await _stand_by(installation, room, stop)
    else:
        tenure = await take_control(installation.config, stop, standby=False)
    if tenure is not None:
        await _run_in_control(installation, endpoints, stop, room, tenure)


async def _stand_by(installation: Installation, room: ControlRoom, stop: asyncio.Event) -> Tenure | None:
    """Scan, so that the process image is warm, until control may be had."""
    config = installation.config
    async with StateDoor(STANDBY, _answers(room), replace(config.http, port=0), config.var):
        scan = asyncio.create_task(scan_stations(room.scans), name="scan")
        tenure: Tenure | None = None
        try:
            tenure = await take_control(config, stop, standby=True)
            return tenure
        finally:
            # To take leave of a station that is gone takes its time-out; another standby would not wait so long.
            with contextlib.nullcontext() if tenure is None else beating(tenure):
                scan.cancel()
                await asyncio.gather(scan, return_exceptions=True)


async def _run_in_control(
    installation: Installation, endpoints: Endpoints, stop: asyncio.Event, room: ControlRoom, tenure: Tenure
) -> None:
    config = installation.config
    limits = _limits(config.historian)
    customers: dict[str, int] = {}
    province = installation.province
    requests = MeterRequests(endpoints.postgres_dsn, application=f"{NAME} supply")
    supply = RequestedSupply(requests, now_us)
    desk_room: DeskRoom | None = None
    try:
        with beating(tenure):
            desk_room = DeskRoom(
                installation,
                tenure,
                room.image,
                room.take_past_the_scan,
                TopologyInterlocking(province),
                lambda: _what_if(province, customers),
                supply,
            )
    except ChainError as broken:
        # Who cannot operate must still see, and what is seen must be kept.
        log.error("Stations are watched, nothing is operated: %s", broken)
        room.no_desk = str(broken)
        tenure.release()
    routes = control_routes(
        lambda: None if desk_room is None or tenure.lost else desk_room.desk,
        lambda: room.no_desk,
        config.language,
    )
    with requests, HistorianStore(endpoints.postgres_dsn, worker=NAME, clock=now_us) as store:
        sink = TelemetrySink(store, config.var / "spool", name=NAME, clock=now_us, limits=limits)
        event_store = EventDatabase(endpoints.postgres_dsn, application=f"{NAME} events", clock=now_us)
        events = TelemetrySink(
            event_store,
            config.var / "spool-events",
            name=f"{NAME} events",
            clock=now_us,
            limits=limits,
            rows=STATUS_EVENT,
        )
        async with (
            desk_room or contextlib.nullcontext(),
            StateDoor(NAME, _answers(room), config.http, config.var, routes),
        ):
            room.desk = desk_room
            room.take_over(sink)
            room.following.events = events
            room.overrides = OverrideKeeper(
                room.image,
                room.points,
                OperatorFolder(config.var),
                lambda taken: room.report(room.following.follow(taken)),
            )
            room.overrides.restore()
            sink.start()
            events.start()
            # Points, maps and the network: no collection walks through them while an order waits.
            leave_out_what_stands()
            try:
                await _scan_until(stop, room, endpoints.postgres_dsn, customers)
            finally:
                await asyncio.gather(
                    asyncio.to_thread(sink.close, CLOSE_WITHIN_S), asyncio.to_thread(events.close, CLOSE_WITHIN_S)
                )
                event_store.close()
        write_last_state(config.var, NAME, room.state())
    if room.no_desk:
        raise NothingOperated(room.no_desk)
    if tenure.lost and not stop.is_set():
        raise ControlLost("another process has taken control; start this one again with --standby")


def _answers(room: ControlRoom) -> dict[str, Answer]:
    return {"/api/v1/state": room.state, "/api/v1/stations/{code}/points": room.station_points}


def _what_if(province: Province, customers: Mapping[str, int]) -> WhatIf:
    """Built in the thread that will use it; not imported above, because every command would wait 0.6 s for it."""
    found: WhatIf = import_module("scada.control.whatif").LoadFlowWhatIf(province)
    found.customers = customers  # type: ignore[attr-defined]  # filled when the database has answered
    return found


def _limits(config: HistorianConfig) -> SinkLimits:
    return SinkLimits(
        batch_rows=config.batch_rows,
        batch_age_us=int(config.batch_age_s * 1e6),
        spool_bytes=config.spool_mib * 2**20,
    )


async def _scan_until(stop: asyncio.Event, room: ControlRoom, dsn: str, customers: dict[str, int]) -> None:
    ends = [asyncio.create_task(stop.wait(), name="stop")]
    if room.desk is not None:
        ends.append(asyncio.create_task(room.desk.lost.wait(), name="control lost"))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(scan_stations(room.scans), name="scan"),
                group.create_task(_look_after_database(stop, room, dsn, customers), name="schema"),
                group.create_task(room.following.freeze_every_hour(room.report, room.freeze), name="freeze"),
            ]
            if room.overrides is not None:
                tasks.append(group.create_task(room.overrides.keep(dsn), name="overrides"))
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
    except ExceptionGroup as group_of:
        refusals, bugs = group_of.split(GridScadaError)
        if bugs is not None or refusals is None:
            raise
        raise refusals.exceptions[0] from None
    finally:
        for end in ends:
            end.cancel()


async def _look_after_database(stop: asyncio.Event, room: ControlRoom, dsn: str, customers: dict[str, int]) -> None:
    """Bring the schema up to date; then copy the desk's journal, and count which feeder supplies how many."""
    if not await bring_up_to_date(dsn, stop, tuple(room.points.values())):
        return
    copy = None if room.desk is None else JournalCopy(room.desk.folder)
    counted_at = -CUSTOMERS_EVERY_S
    while True:
        with contextlib.suppress(StoreUnavailable):
            if time.monotonic() - counted_at >= CUSTOMERS_EVERY_S:
                await asyncio.to_thread(_count_customers, dsn, customers)
                counted_at = time.monotonic()
            if copy is not None:
                await asyncio.to_thread(_forward, copy, dsn)
        await asyncio.sleep(JOURNAL_EVERY_S)


def _forward(copy: JournalCopy, dsn: str) -> None:
    """Opened and closed by one thread: who is stopped meanwhile leaves no connection behind."""
    with JournalArchive(dsn) as archive:
        copy.forward(archive)


def _count_customers(dsn: str, customers: dict[str, int]) -> None:
    with HistorianStore(dsn, worker="customers", clock=now_us) as store:
        counted = Counter(meter.feeder for meter in store.registered_meters() if meter.feeder)
    customers.clear()
    customers.update(counted)
