"""Signed commands from request to frame and to the verified position, against all stations in another process.

- idle and under an avalanche (10,000 changes a second through image and desk beside the scan of all stations);
- the parts: what-if, verification of a message, verification of the journal, each beside its bare engine.

Commands open every feeder breaker and close it again with the emergency override, because a second person's time is no
figure; what-if then runs once the frame has left, as it does in ``scada run``. Stations of both protocols come in one
shuffled order, the same in every run, so that no phase has only one of them. Lost are commands that were not completed;
duplicated are orders the simulator counts beyond the frames that left.
"""

import asyncio
import itertools
import json
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from scada.clock import now_us
from scada.config import Config, ScanConfig
from scada.control.gate import Admitted, Gate
from scada.control.interlocking import TopologyInterlocking
from scada.control.jws import sign
from scada.control.message import US, Message, Wish, uuid7
from scada.control.policy import PointClass
from scada.control.proof import verify_journal
from scada.control.whatif import LoadFlowWhatIf
from scada.controlling import DeskRoom, take_control
from scada.files import Installation
from scada.garbage import leave_out_what_stands
from scada.hashchain import GENESIS, Entry, body_hash, entry_hash, line
from scada.image import ProcessImage
from scada.model.cause import Cause
from scada.model.commandlink import CommandLink, CommandLinks, DeviceAnswer
from scada.model.point import PointKind
from scada.model.quality import Quality
from scada.model.sample import SampleArray
from scada.model.switching import Action
from scada.stationfile import load_province
from substations.adapters import station_scans
from substations.scan import scan_stations
from tests.bench._field import FOLDER, RunningField, simulated_field
from tests.bench.result import Result, say
from tests.fakes_control import make_people, signer_of

SECONDS = 50.0
IDLE_SHARE = 0.7
"""About a hundred commands idle: of fewer, p99 is the slowest one."""
SEED = 5
JOURNAL_ENTRIES = 20_000
AVALANCHE_PER_S = 10_000


async def run(seconds: float | None) -> Result:
    """Most of ``seconds`` idle, the rest under the avalanche; the parts take a few seconds more."""
    span = seconds or SECONDS
    result = Result("command")
    with tempfile.TemporaryDirectory(prefix="gridscada-bench-") as name:
        folder = Path(name)
        state = folder / "field.state"
        async with simulated_field(folder, ["--state-file", str(state)]) as field, _room(folder, field) as bench:
            await _pipe(bench, span, result)
            await _parts(bench, result)
        orders = json.loads(state.read_text(encoding="utf-8"))["orders"]
        result.duplicated = max(0, orders - bench.frames)
        result.figures["commands"] = bench.frames
    result.ratios["verify_signature_to_bare"] = (
        result.figures["verify_signature_ms"] / result.limits["bare_signature_ms"]
    )
    return result


@dataclass
class Bench:
    """The desk with its image; ``sent_at``: monotonic time at which each command's frame was handed to the socket."""

    room: DeskRoom
    image: ProcessImage
    people: dict[str, Any]
    folder: Path
    orders: Iterator[tuple[str, Action]]
    frames: int = 0
    sent_at: float = 0.0
    delays: list[float] = field(default_factory=list)

    def take(self, batch: SampleArray) -> None:
        delta = self.image.apply(batch)
        if len(delta):
            self.room.desk.observe(delta)

    def document(self, target: str, action: Action = Action.OPEN) -> bytes:
        now = now_us()
        message = Message(
            id=uuid7(now, os.urandom(10)),
            do=Wish.OPERATE,
            issued=now,
            expires=now + 60 * US,
            originator="dispatcher-1",
            target=target,
            action=action,
            emergency=True,
            reason="bench",
        )
        return sign(message.payload, signer_of(self.people["dispatcher-1"]))


@dataclass
class _Timed:
    inner: CommandLink
    bench: Bench

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def operate(self, command: str, action: str) -> DeviceAnswer:
        self.bench.sent_at = time.monotonic()
        self.bench.frames += 1
        return await self.inner.operate(command, action)


@dataclass
class _TimedLinks:
    inner: CommandLinks
    bench: Bench

    def of(self, station: str) -> Any:
        return _Timed(self.inner.of(station), self.bench)


@asynccontextmanager
async def _room(folder: Path, field: RunningField) -> AsyncIterator[Bench]:
    config = replace(Config(), var=folder)
    people = make_people(folder)
    (folder / "control").mkdir()
    (folder / "authority.toml").rename(folder / "control" / "authority.toml")
    province = replace(load_province(FOLDER), stations=field.stations)
    installation = Installation(config, province, field.stations, field.maps)
    tenure = await take_control(config, asyncio.Event(), standby=False)
    assert tenure is not None
    image = ProcessImage([point for station in field.stations for point in station.points])
    held: list[Bench] = []
    room = DeskRoom(
        installation,
        tenure,
        image,
        lambda batch: held[0].take(batch),  # noqa: PLW0108  # held is filled after this
        TopologyInterlocking(province),
        lambda: LoadFlowWhatIf(province),
    )
    feeders = [
        target
        for target, each in room.desk._parts.controllables.items()
        if each.point_class is PointClass.CIRCUIT_BREAKER and each.bay.startswith("47")
    ]
    random.Random(SEED).shuffle(feeders)
    held.append(bench := Bench(room, image, people, folder, _orders(feeders)))
    world = room.desk._conduct.execution.world
    room.desk._conduct.execution.world = replace(world, links=_TimedLinks(world.links, bench))  # type: ignore[arg-type]  # same shape
    scans = station_scans(field.stations, field.maps, bench.take, ScanConfig())
    async with room:
        task = asyncio.create_task(scan_stations(scans), name="scan")
        try:
            await _until_up(bench)
            leave_out_what_stands()
            yield bench
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _orders(feeders: Sequence[str]) -> Iterator[tuple[str, Action]]:
    """All opened, then all closed, for ever."""
    return ((target, action) for action in itertools.cycle((Action.OPEN, Action.CLOSE)) for target in feeders)


async def _until_up(bench: Bench) -> None:
    """Until every point was heard of, every station can be operated, and a little longer."""
    for _ in range(600):
        heard = not (bench.image.snapshot()["quality"] & Quality.NOT_TOPICAL).any()
        if heard and not bench.room.state()["not_ready"]:
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(3.0)


async def _pipe(bench: Bench, span: float, result: Result) -> None:
    for name, share in (("idle", IDLE_SHARE), ("avalanche", 1.0 - IDLE_SHARE)):
        avalanche = asyncio.create_task(_avalanche(bench), name="avalanche") if name == "avalanche" else None
        to_frame, to_verified, late = await _commands(bench, span * share, result)
        if avalanche is not None:
            avalanche.cancel()
        result.figures[f"frame_p99_ms_{name}"] = _p99(to_frame) * 1000
        result.figures[f"frame_p50_ms_{name}"] = _median(to_frame) * 1000
        if name == "idle":
            result.figures["verified_p99_s"] = _p99(to_verified)
            result.figures["verified_p50_s"] = _median(to_verified)
        say(f"{name}: {len(to_frame)} commands, p99 to frame {_p99(to_frame) * 1000:.1f} ms; not completed: {late}")


async def _commands(bench: Bench, span: float, result: Result) -> tuple[list[float], list[float], int]:
    to_frame: list[float] = []
    to_verified: list[float] = []
    failed = 0
    end = time.monotonic() + span
    while time.monotonic() < end and failed < 5:
        document = bench.document(*next(bench.orders))
        begun = time.monotonic()
        report = await bench.room.desk.submit(document)
        if report["outcome"] != "completed":
            failed += 1
            say(f"not completed: {report['refusals']}")
            continue
        to_frame.append(bench.sent_at - begun)
        to_verified.append(time.monotonic() - begun)
        await asyncio.sleep(0.05)
    result.lost += failed
    return to_frame, to_verified, failed


async def _avalanche(bench: Bench) -> None:
    """Every measured value changes, in batches as scans bring them."""
    points = [p for s in bench.room.desk._parts.stations for p in s.points if p.kind is PointKind.MEASURED_VALUE]
    names = [point.name for point in points]
    rows = AVALANCHE_PER_S // 10
    place = 0
    due = time.monotonic()
    while True:
        batch = bench.image.read(names[place : place + rows])
        batch["value"] *= 1.001
        batch["time"] = now_us()
        batch["cause"] = Cause.SPONTANEOUS
        bench.take(batch)
        place = (place + rows) % max(1, len(names) - rows)
        due += 0.1
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def _parts(bench: Bench, result: Result) -> None:
    controllables = bench.room.desk._parts.controllables
    breakers = [each for each in controllables.values() if each.point_class is PointClass.CIRCUIT_BREAKER]
    times = []
    for each in breakers[:60]:
        # On the desk's own thread: the engine behind it wants to stay on one.
        begun = time.perf_counter()
        await bench.room._ask_what_if(each.operation(Action.OPEN))()
        times.append(time.perf_counter() - begun)
    result.figures["what_if_p99_ms"] = _p99(times[2:]) * 1000
    trust, table = bench.room.desk._parts.credentials(now_us())
    documents = [bench.document("TN01/471") for _ in range(200)]
    gate = Gate(trust, table, {})
    begun = time.perf_counter()
    for document in documents:
        assert isinstance(gate.admit(document, now_us()), Admitted)
    result.figures["verify_signature_ms"] = (time.perf_counter() - begun) / len(documents) * 1000
    key = ec.generate_private_key(ec.SECP256R1())
    signature, public = key.sign(b"x" * 300, ec.ECDSA(hashes.SHA256())), key.public_key()
    begun = time.perf_counter()
    for _ in range(500):
        public.verify(signature, b"x" * 300, ec.ECDSA(hashes.SHA256()))
    result.limits["bare_signature_ms"] = (time.perf_counter() - begun) / 500 * 1000
    result.figures["journal_entries_per_s"], result.limits["bare_json_entries_per_s"] = _journal(bench.folder)
    result.limits["fsync_ms"] = _fsync(bench.folder)
    result.limits["socket_round_trip_ms"] = await _round_trip()


def _journal(folder: Path) -> tuple[float, float]:
    place = folder / "long"
    (place / "journal").mkdir(parents=True)
    previous, lines = GENESIS, []
    for sequence in range(1, JOURNAL_ENTRIES + 1):
        body: dict[str, Any] = {"id": uuid7(now_us(), bytes(10)), "target": "TN01/471", "sentence": "TN01/471 is open"}
        if sequence == 1:
            body["previous"] = {"token": 0, "sequence": 0, "head": GENESIS}
        kind = "tenure" if sequence == 1 else "outcome"
        digest = entry_hash(sequence, 1, kind, body_hash(body), previous)
        lines.append(line(Entry(sequence, 1, kind, body, previous, digest, body_hash(body))))
        previous = digest
    (place / "journal" / "000001.jsonl").write_text("".join(lines), encoding="utf-8")
    begun = time.perf_counter()
    verdict = verify_journal(place)
    elapsed = time.perf_counter() - begun
    assert (verdict.broken, verdict.entries) == ("", JOURNAL_ENTRIES)
    begun = time.perf_counter()
    for text in lines:
        json.loads(text)
    return JOURNAL_ENTRIES / elapsed, JOURNAL_ENTRIES / (time.perf_counter() - begun)


async def _round_trip() -> float:
    """Twelve bytes, a Modbus write, to an echo on loopback and back; median, on the same loaded event loop."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while content := await reader.read(12):
            writer.write(content)
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        times = []
        for _ in range(200):
            begun = time.perf_counter()
            writer.write(bytes(12))
            await reader.readexactly(12)
            times.append(time.perf_counter() - begun)
        writer.close()
    return _median(times) * 1000


def _fsync(folder: Path) -> float:
    with (folder / "fsync").open("wb") as file:
        begun = time.perf_counter()
        for _ in range(50):
            file.write(b"x" * 1000)
            file.flush()
            os.fsync(file.fileno())
        return (time.perf_counter() - begun) / 50 * 1000


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else float("inf")


def _p99(values: list[float]) -> float:
    return float(np.quantile(values, 0.99)) if values else float("inf")
