"""``scada run``: the control room's core as a process: scan, process image, telemetry to the historian, state door.

The composition root of the telemetry pipe: station → scan → image → delta → historian, in one direction. Knows who gets
what. Does not know protocols or SQL. Works without the database: the sink spools, the schema is looked after when the
database answers.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from historian.sink import SinkLimits, TelemetrySink
from historian.store import HistorianStore
from scada.clock import now_us
from scada.config import HistorianConfig
from scada.files import Installation
from scada.hmi.door import Answer, StateDoor, write_last_state
from scada.image import ProcessImage
from scada.model.point import Point
from scada.model.sample import SampleArray
from scada.schema import bring_up_to_date
from scada.services.endpoints import Endpoints
from substations.adapters import station_scans
from substations.scan import scan_stations

NAME = "run"
CLOSE_WITHIN_S = 20.0


class ControlRoom:
    """What ``scada run`` holds while it runs, and what it tells of itself."""

    def __init__(self, installation: Installation, sink: TelemetrySink) -> None:
        self._stations = installation.stations
        points = [point for station in self._stations for point in station.points]
        self.image = ProcessImage(points)
        self.points: Mapping[str, Point] = {point.name: point for point in points}
        self.sink = sink
        self.scans = station_scans(self._stations, installation.maps, self._take, installation.config.scan)
        self._since = now_us()

    def _take(self, batch: SampleArray) -> None:
        delta = self.image.apply(batch)
        if len(delta):
            self.sink.offer(delta)

    def state(self, _: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Everything ``scada status`` and the overview show."""
        titles = {station.code: station for station in self._stations}
        return {
            "process": NAME,
            "pid": os.getpid(),
            "since": self._since,
            "now": now_us(),
            "points": len(self.image),
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
            "samples": asdict(self.sink.stats()),
        }

    def station_points(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Present value of every point of one station. Raises KeyError with a sentence for an unknown one."""
        code = parameters["code"]
        station = next((each for each in self._stations if each.code == code), None)
        if station is None:
            raise KeyError(f"no station {code!r} here")
        present = self.image.read([point.name for point in station.points])
        return {
            "station": code,
            "now": now_us(),
            "points": [
                {
                    "name": point.name,
                    "value": float(row["value"]),
                    "quality": int(row["quality"]),
                    "time": int(row["time"]),
                    "cause": int(row["cause"]),
                }
                for point, row in zip(station.points, present, strict=True)
            ],
        }


async def run(installation: Installation, endpoints: Endpoints, stop: asyncio.Event) -> None:
    """Scan all stations until ``stop`` is set; what was scanned is then in the database or in the spool.

    Raises OSError when the state door's port is taken, MigrationError when the database is of another version.
    """
    config = installation.config
    limits = _limits(config.historian)
    with HistorianStore(endpoints.postgres_dsn, worker=NAME, clock=now_us) as store:
        sink = TelemetrySink(store, config.var / "spool", name=NAME, clock=now_us, limits=limits)
        room = ControlRoom(installation, sink)
        answers: dict[str, Answer] = {
            "/api/v1/state": room.state,
            "/api/v1/stations/{code}/points": room.station_points,
        }
        async with StateDoor(NAME, answers, config.http, config.var):
            sink.start()
            await _scan_until(stop, room, endpoints.postgres_dsn)
        await asyncio.to_thread(sink.close, CLOSE_WITHIN_S)
        write_last_state(config.var, NAME, room.state())


def _limits(config: HistorianConfig) -> SinkLimits:
    return SinkLimits(
        batch_rows=config.batch_rows,
        batch_age_us=int(config.batch_age_s * 1e6),
        spool_bytes=config.spool_mib * 2**20,
    )


async def _scan_until(stop: asyncio.Event, room: ControlRoom, dsn: str) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(scan_stations(room.scans), name="scan"),
            group.create_task(bring_up_to_date(dsn, stop, tuple(room.points.values())), name="schema"),
        ]
        await stop.wait()
        for task in tasks:
            task.cancel()
