"""The point-to-point test carried out: a station's link, a device that shows what it is told, and the process image.

Knows the order: show, scan, compare. Does not know which values prove what (``scada.pointtest``), nor any protocol.
"""

import asyncio
import contextlib
import json
import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from scada.clock import now_us
from scada.image import ProcessImage
from scada.model.cause import Cause
from scada.model.errors import GridScadaError, LinkError
from scada.model.point import Point
from scada.model.station import Protocol, Station
from scada.pointtest import PointVerdict, Seen, judge, matches, rounds_for
from substations.adapters import Maps, open_link
from substations.lastknown import LastKnown
from substations.link import StationLink

READY_WITHIN_S = 60.0
SHOWN_WITHIN_S = 15.0
SEEN_WITHIN_S = 4.0
STOP_WITHIN_S = 15.0
_LOOK_EVERY_S = 0.05

Progress = Callable[[int, int], None]
"""Rounds done, of how many."""


class NotTested(GridScadaError):
    """The test could not be carried out; says nothing about any point."""


class Simulated:
    """A simulator of one station that shows what ``show`` says."""

    def __init__(self, station: Station, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.station = station
        self._process = process
        self._file = folder / "stimuli.json"
        self._round = 0

    async def show(self, values: Mapping[str, float]) -> None:
        """Return once the station shows ``values``. Raises NotTested."""
        self._round += 1
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps({"round": self._round, "values": dict(values)}), encoding="utf-8")
        part.replace(self._file)
        done = self._file.with_suffix(".json.done")
        deadline = time.monotonic() + SHOWN_WITHIN_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise NotTested(f"the simulator of {self.station.code} ended with code {self._process.returncode}")
            with contextlib.suppress(FileNotFoundError):
                if json.loads(done.read_text(encoding="utf-8"))["round"] == self._round:
                    return
            await asyncio.sleep(_LOOK_EVERY_S)
        raise NotTested(f"the simulator of {self.station.code} did not show round {self._round}")


@contextlib.contextmanager
def simulated(station: Station, folder: Path) -> Iterator[Simulated]:
    """A simulator of ``station`` on a free port of this machine, while the block lasts. Raises NotTested."""
    port = "--modbus-port" if station.endpoint.protocol is Protocol.MODBUS else "--opcua-port"
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        command = [sys.executable, "-m", "simulators", "station", station.code, port, "0"]
        command += ["--stations", str(folder), "--stimuli", str(place / "stimuli.json")]
        command += ["--ready-file", str(place / "ready.json")]
        with (place / "log").open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        try:
            found = _ready(process, place)["stations"][station.code]
            end = replace(station.endpoint, host=str(found["host"]), port=int(str(found["port"])))
            yield Simulated(replace(station, endpoint=end), process, place)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(process: subprocess.Popen[bytes], place: Path) -> dict[str, dict[str, dict[str, object]]]:
    deadline = time.monotonic() + READY_WITHIN_S
    while not (place / "ready.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            said = (place / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise NotTested(f"the simulator did not start: {said[-1] if said else 'it said nothing'}")
        time.sleep(_LOOK_EVERY_S)
    found: dict[str, dict[str, dict[str, object]]] = json.loads((place / "ready.json").read_text(encoding="utf-8"))
    return found


class Centre:
    """The control centre's end: link, scan and image of one station. Raises LinkError when the station is silent."""

    def __init__(self, station: Station, maps: Maps) -> None:
        self._image = ProcessImage(station.points)
        self._last = LastKnown(station.points)
        self._link: StationLink = open_link(station, maps, now_us)
        self._points = station.points

    async def open(self) -> None:
        """Connect."""
        await self._link.open()

    async def close(self) -> None:
        """Disconnect."""
        await self._link.close()

    async def look(self) -> dict[str, Seen]:
        """A general interrogation, as the image shows it afterwards, by full name.

        A person at the device takes their time: a connection that has ended meanwhile is made again, once.
        """
        try:
            return await self._look()
        except LinkError:
            await self._link.close()
            await self._link.open()
            return await self._look()

    async def _look(self) -> dict[str, Seen]:
        for period_s in self._link.periods:
            answer = await self._link.scan(period_s, Cause.GENERAL_INTERROGATION)
            self._last.take(answer.batch)
            # What was not delivered this time must not pass for what came the last time.
            doubted = [self._last.doubted(each.points, each.quality, now_us()) for each in answer.failed]
            for batch in (answer.batch, *doubted):
                if len(batch):
                    self._image.apply(batch)
        names = [point.name for point in self._points]
        rows = self._image.read(names)
        return {
            name: Seen(float(row["value"]), int(row["quality"]), int(row["time"]))
            for name, row in zip(names, rows, strict=True)
        }

    async def look_until(self, values: Mapping[str, float], points: Mapping[str, Point]) -> dict[str, Seen]:
        """Look until everything is as expected, or for ``SEEN_WITHIN_S``."""
        deadline = time.monotonic() + SEEN_WITHIN_S
        while True:
            seen = await self.look()
            right = not any(matches(points[name], value, seen[name]) for name, value in values.items())
            if right or time.monotonic() > deadline:
                return seen
            await asyncio.sleep(_LOOK_EVERY_S)


async def walk(device: Simulated, maps: Maps, points: Sequence[Point], progress: Progress) -> tuple[PointVerdict, ...]:
    """Walk every round through device and centre and judge ``points``. Raises NotTested or LinkError."""
    known = {point.name: point for point in points}
    rounds = rounds_for(points)
    centre = Centre(device.station, maps)
    await centre.open()
    try:
        seen, times = [], []
        for number, values in enumerate(rounds, start=1):
            await device.show(values)
            seen.append(await centre.look_until(values, known))
            times.append(now_us())
            progress(number, len(rounds))
    finally:
        await centre.close()
    return judge(points, rounds, seen, times)


def tester_account() -> str:
    """Whose session this is, as the machine knows it."""
    return pwd.getpwuid(os.getuid()).pw_name
