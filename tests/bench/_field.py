"""The simulated field as a process of its own, and the stations as they are reached there.

Knows how it starts and ends. Does not know what is asked of it.
"""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from scada.config import SOURCE_ROOT
from scada.demo import free_base_port
from scada.model.station import Station
from scada.stationfile import load_province, readdressed
from substations.adapters import Maps, load_maps
from tests.bench._stations import FOLDER, stations
from tests.bench.result import say

READY_WITHIN_S = 120.0
STOPPED_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class RunningField:
    """Stations that answer now, and the process behind them."""

    stations: tuple[Station, ...]
    maps: Maps
    process: psutil.Process

    @property
    def points(self) -> int:
        """Points of all stations together."""
        return sum(len(station.points) for station in self.stations)

    def cpu_s(self) -> float:
        """Processor time the simulators have used so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@asynccontextmanager
async def simulated_field(folder: Path, options: Sequence[str] = ()) -> AsyncIterator[RunningField]:
    """All stations of the province on loopback, in another process; ``options`` are those of the simulators' field."""
    province = load_province(FOLDER)
    base_port = free_base_port([each.common_address for each in province.stations], random.Random())
    ready, log = folder / "field.ready", folder / "field.log"
    begun = time.monotonic()
    child = start_process(
        ["-m", "simulators", "field", "--base-port", str(base_port), "--ready-file", str(ready), *options], log
    )
    try:
        for _ in range(int(READY_WITHIN_S * 10)):
            if ready.exists():
                break
            if child.poll() is not None:
                raise RuntimeError(f"the simulated field did not start: {log.read_text(encoding='utf-8')[-500:]}")
            await asyncio.sleep(0.1)
        say(f"field: {len(province.stations)} stations answer after {time.monotonic() - begun:.1f} s")
        reached = readdressed(province, host="127.0.0.1", base_port=base_port)
        yield RunningField(reached.stations, load_maps(FOLDER / "maps"), psutil.Process(child.pid))
    finally:
        end_process(child, STOPPED_WITHIN_S)


@asynccontextmanager
async def still_field(count: int, points: int = 0) -> AsyncIterator[RunningField]:
    """``count`` Modbus stations on loopback, answered for by a lean process (``tests.bench._still_field``)."""
    child = start_talking(["-m", "tests.bench._still_field", str(count), str(points)])
    try:
        assert child.stdout is not None
        ports = json.loads(await asyncio.to_thread(child.stdout.readline))
        reached = tuple(
            replace(each, endpoint=replace(each.endpoint, host="127.0.0.1", port=port))
            for each, port in zip(stations(count, points), ports, strict=True)
        )
        say(f"lean field: {len(reached)} stations, {sum(len(each.points) for each in reached):,} points")
        yield RunningField(reached, load_maps(FOLDER / "maps"), psutil.Process(child.pid))
    finally:
        end_process(child, STOPPED_WITHIN_S)


def start_process(arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Our Python with ``arguments``, its words in ``log``."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *arguments], cwd=SOURCE_ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )


def start_talking(arguments: Sequence[str]) -> subprocess.Popen[str]:
    """Our Python with ``arguments``; it talks over its standard input and output, and ends when the input does."""
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=SOURCE_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def end_process(child: subprocess.Popen[bytes] | subprocess.Popen[str], within_s: float) -> None:
    """Ask it to end, and insist after a while."""
    child.terminate()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
    try:
        child.wait(within_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
