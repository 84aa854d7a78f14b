"""An avalanche: 7,500 analog changes and 83 status events a second for ten minutes, then 10,000 and 500 for one.

The changes are made in another process and come over a socket as arrays, *not* through a field protocol: the simulated
servers top out at some 13,000 transactions or 20,000 changes a second, and a bench above that would measure them
(``figures.without_field_protocol`` says so). From the socket on it is the product: process image, sink, historian.

Every change differs from the point's last value by more than its deadband, so every one must become a row: lost and
duplicated are counted in the table. SECONDS shortens both parts alike.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import psutil

from historian.sink import SinkLimits, TelemetrySink
from historian.store import HistorianStore
from scada.clock import now_us
from scada.config import SOURCE_ROOT
from scada.image import ProcessImage
from scada.model.point import Point, PointKind
from scada.model.sample import SAMPLE, SampleArray
from scada.stationfile import load_province
from tests.bench._field import FOLDER
from tests.bench._house import House, private_services
from tests.bench._source import COUNT
from tests.bench.result import Result, say

SECONDS = 660.0
LOAD, BURST = (7_500, 83), (10_000, 500)
"""Analog changes and status events a second."""
LONGEST_MS = 60_000


class Delays:
    """How long changes took, in ms: a histogram, so that an hour of them needs no more memory than a second."""

    def __init__(self) -> None:
        self._counts = np.zeros(LONGEST_MS + 1, dtype=np.int64)

    def note(self, batch: SampleArray, now: int) -> None:
        """Every row of ``batch`` has arrived ``now``."""
        late_ms = np.clip((now - batch["time"]) // 1000, 0, LONGEST_MS)
        self._counts += np.bincount(late_ms, minlength=LONGEST_MS + 1)

    def quantile_s(self, quantile: float) -> float:
        """A quantile, in s."""
        reached = np.cumsum(self._counts)
        return float(np.searchsorted(reached, quantile * reached[-1])) / 1000 if reached[-1] else 0.0


class TimedStore:
    """A SampleStore that notes when rows are committed."""

    def __init__(self, store: HistorianStore) -> None:
        self._store = store
        self.delays = Delays()

    def write_samples(self, source: str, sequence: int, batch: SampleArray) -> bool:
        stored = self._store.write_samples(source, sequence, batch)
        self.delays.note(batch, now_us())
        return stored


async def run(seconds: float | None) -> Result:
    """Ten parts of load, one of burst."""
    span = seconds or SECONDS
    points = [point for station in load_province(FOLDER).stations for point in station.points]
    result = Result("avalanche")
    with private_services() as house:
        await _avalanche(house, points, span, result)
    return result


async def _avalanche(house: House, points: Sequence[Point], seconds: float, result: Result) -> None:
    image = ProcessImage(points)
    in_image = Delays()
    memory: list[float] = []
    with HistorianStore(house.dsn, worker="bench", clock=now_us) as real:
        store = TimedStore(real)
        settings = house.config.historian
        limits = SinkLimits(settings.batch_rows, int(settings.batch_age_s * 1e6))
        sink = TelemetrySink(store, house.folder / "spool", name="bench", clock=now_us, limits=limits)
        sink.start()

        def take(batch: SampleArray) -> None:
            delta = image.apply(batch)
            in_image.note(batch, now_us())
            sink.offer(delta)

        begun, cpu = time.monotonic(), time.process_time()
        watching = asyncio.create_task(_watch_memory(memory), name="memory")
        made = await _receive(points, seconds, take)
        watching.cancel()
        elapsed, cpu = time.monotonic() - begun, time.process_time() - cpu
        await asyncio.to_thread(sink.close, 60.0)
    sent = made["analog"] + made["status"]
    rows = house.number("SELECT count(*) FROM sample")
    distinct = house.number("SELECT count(*) FROM (SELECT DISTINCT point, time FROM sample) AS change")
    result.lost += sent - distinct
    result.duplicated += rows - distinct
    result.figures |= {
        "without_field_protocol": 1,
        "analog_changes": made["analog"],
        "status_events": made["status"],
        "changes_per_s": sent / elapsed,
        "rows": rows,
        "image_p99_s": in_image.quantile_s(0.99),
        "row_p50_s": store.delays.quantile_s(0.5),
        "row_p99_s": store.delays.quantile_s(0.99),
        "cpu_share": cpu / elapsed,
        "rss_mib": memory[-1],
        "rss_growth": memory[-1] / memory[len(memory) // 5],
    }
    say(f"{sent:,} changes, {rows:,} rows, p99 to the row {store.delays.quantile_s(0.99):.2f} s")


async def _receive(points: Sequence[Point], seconds: float, take: Callable[[SampleArray], None]) -> dict[str, int]:
    """Let the source run and take every frame it sends; what it says it made."""
    done = asyncio.Event()

    async def frames(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (count,) = COUNT.unpack(await reader.readexactly(COUNT.size))
                take(np.frombuffer(await reader.readexactly(count * SAMPLE.itemsize), dtype=SAMPLE))
        except asyncio.IncompleteReadError:
            done.set()
        finally:
            writer.close()

    server = await asyncio.start_server(frames, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        source = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench._source", str(port),
            cwd=SOURCE_ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            output, _ = await source.communicate(json.dumps(_plan(points, seconds)).encode() + b"\n")
        except BaseException:
            source.kill()
            raise
        await done.wait()
    made: dict[str, int] = json.loads(output)
    return made


def _plan(points: Sequence[Point], seconds: float) -> dict[str, object]:
    analog = [point for point in points if point.kind is PointKind.MEASURED_VALUE]
    return {
        "analog": [point.id for point in analog],
        "status": [p.id for p in points if p.kind in (PointKind.SINGLE_POINT, PointKind.DOUBLE_POINT)],
        "step": 2.0 * max(point.deadband for point in analog) + 1.0,
        "phases": [(seconds * 10 / 11, *LOAD), (seconds / 11, *BURST)],
    }


async def _watch_memory(memory: list[float]) -> None:
    process = psutil.Process()
    while True:
        memory.append(process.memory_info().rss / 2**20)
        await asyncio.sleep(0.5)
