"""The telemetry pipe as ``scada run`` composes it, with a stop-watch at every link.

Knows the order station → scan → image → sink. Does not know what is judged.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np

from historian.sink import SinkLimits, SinkStats, TelemetrySink
from historian.store import HistorianStore
from scada.clock import now_us
from scada.image import ProcessImage
from scada.model.cause import Cause
from scada.model.sample import SampleArray
from substations.adapters import open_link
from substations.link import LinkCounts, ScanAnswer, StationLink
from substations.scan import StationScan, scan_stations
from substations.scancounts import LinkState
from tests.bench._field import RunningField
from tests.bench._house import House


@dataclass(slots=True)
class Laps:
    """What the stop-watch took down: duration of every scan (s), and the moment it ended, per period and station."""

    durations: list[float] = field(default_factory=list)
    ends: dict[tuple[str, float], list[float]] = field(default_factory=dict)

    def clear(self) -> None:
        """Begin anew: what happened while links were being opened is not the pipe at work."""
        self.durations.clear()
        self.ends.clear()

    def duration_s(self, quantile: float) -> float:
        """A quantile of the durations."""
        return float(np.quantile(self.durations, quantile)) if self.durations else 0.0

    def jitter_s(self, quantile: float) -> float:
        """A quantile of how far from their period two scans of a station ended apart."""
        apart = [
            np.abs(np.diff(moments) - period_s) for (_, period_s), moments in self.ends.items() if len(moments) > 1
        ]
        return float(np.quantile(np.concatenate(apart), quantile)) if apart else 0.0


class TimedLink:
    """A StationLink that notes how long each scan takes."""

    def __init__(self, station: str, link: StationLink, laps: Laps) -> None:
        self._station = station
        self._link = link
        self._laps = laps

    @property
    def periods(self) -> tuple[float, ...]:
        return self._link.periods

    @property
    def counts(self) -> LinkCounts:
        return self._link.counts

    async def open(self) -> None:
        await self._link.open()

    async def scan(self, period_s: float, cause: Cause) -> ScanAnswer:
        begun = time.monotonic()
        answer = await self._link.scan(period_s, cause)
        ended = time.monotonic()
        self._laps.durations.append(ended - begun)
        self._laps.ends.setdefault((self._station, period_s), []).append(ended)
        return answer

    async def close(self) -> None:
        await self._link.close()


@dataclass(frozen=True, slots=True)
class Pipe:
    """A running pipe."""

    image: ProcessImage
    sink: TelemetrySink
    scans: tuple[StationScan, ...]
    laps: Laps

    @property
    def samples(self) -> int:
        """Samples received from the stations so far."""
        return sum(scan.statistics.samples for scan in self.scans)

    @property
    def overruns(self) -> int:
        """Scans left out so far because an earlier one was late."""
        return sum(scan.statistics.overruns for scan in self.scans)

    async def until_up(self, *, within_s: float = 60.0) -> None:
        """Wait until every station answers. Raises TimeoutError."""
        for _ in range(int(within_s * 10)):
            if all(scan.statistics.state is LinkState.UP for scan in self.scans):
                return
            await asyncio.sleep(0.1)
        raise TimeoutError(f"not every station answers within {within_s:.0f} s")


@contextlib.asynccontextmanager
async def telemetry_sink(house: House, number: int = 0) -> AsyncIterator[TelemetrySink]:
    """A sink in front of the database; at the end of the block everything offered is stored, or counted as not."""
    settings = house.config.historian
    limits = SinkLimits(settings.batch_rows, int(settings.batch_age_s * 1e6))
    with HistorianStore(house.dsn, worker=f"bench {number}", clock=now_us) as store:
        sink = TelemetrySink(
            store, house.folder / f"spool-{number}", name=f"bench-{number}", clock=now_us, limits=limits
        )
        sink.start()
        try:
            yield sink
        finally:
            await asyncio.to_thread(sink.close, 30.0)


@contextlib.asynccontextmanager
async def telemetry_pipe(house: House, field_process: RunningField, number: int = 0) -> AsyncIterator[Pipe]:
    """Scan all stations at their periods until the block ends; then everything offered is stored."""
    async with telemetry_sink(house, number) as sink:
        image = ProcessImage([point for station in field_process.stations for point in station.points])
        laps = Laps()

        def take(batch: SampleArray) -> None:
            delta = image.apply(batch)
            if len(delta):
                sink.offer(delta)

        scans = tuple(
            StationScan(
                station.code,
                station.points,
                TimedLink(station.code, open_link(station, field_process.maps, now_us), laps),
                take,
                house.config.scan,
            )
            for station in field_process.stations
        )
        scanning = asyncio.create_task(scan_stations(scans), name="scan")
        try:
            yield Pipe(image, sink, scans, laps)
        finally:
            scanning.cancel()
            await asyncio.gather(scanning, return_exceptions=True)


def unaccounted(stats: SinkStats) -> int:
    """Samples offered that are not stored."""
    return stats.offered + stats.recovered - stats.stored
