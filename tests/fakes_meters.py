"""Stores, messages and a broker for the head-end's tests: what is shared by its unit and integration tests."""

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from socket import create_connection, socket
from typing import Any

import numpy as np

from meters.message import Message
from meters.packed import BatchHeader, encode_batch, pack_records
from meters.payload import EventMessage, ProfileReading, ProfileValues, encode_message, point_check
from meters.registers import RegisterMessage, encode_registers
from meters.topic import Subject, batch_topic, meter_topic
from scada.model.errors import StoreRejected, StoreUnavailable
from scada.model.ports import MeterEventOutcome, Quarantined, ReadingOutcome, RegisteredMeter
from scada.model.reading import MeterEventArray, ReadingArray, RegisterArray, RegisterKind

NOW = 1_748_748_600_000_000
"""2025-06-01 10:30:00 in Viet Nam (03:30 UTC), in µs; a multiple of 30 min."""

INTERVAL = 1_800_000_000
VIET_NAM = timezone(timedelta(hours=7))


def serial_of(number: int) -> int:
    return 240_000_000_000 + number


def point_of(number: int) -> str:
    return f"PC01{number:09d}"


def meters(count: int, *, feeder: str = "TN01/471") -> list[RegisteredMeter]:
    """Meters 1..count with ids 1..count."""
    return [RegisteredMeter(n, serial_of(n), point_of(n), feeder) for n in range(1, count + 1)]


def profile(number: int, time: int = NOW, **changes: object) -> ProfileReading:
    """A good reading of a meter; ``changes`` replace fields of the message."""
    fields: dict[str, object] = {
        "serial": str(serial_of(number)),
        "point": point_of(number),
        "time": datetime.fromtimestamp(time / 1e6, VIET_NAM),
        "interval_s": 1800,
        "seq": 1,
        "values": ProfileValues(1000 + number, 10, 100, 512.0, 230.1),
    }
    return ProfileReading(**{**fields, **changes})  # type: ignore[arg-type]  # a test names its own fields


def profile_message(number: int, time: int = NOW, **changes: object) -> Message:
    topic = meter_topic("PC01", "direct", serial_of(number), Subject.PROFILE)
    return Message(topic, encode_message(profile(number, time, **changes)), NOW)


def event_message(number: int, code: int = 99, time: int = NOW, **changes: object) -> Message:
    fields: dict[str, object] = {
        "serial": str(serial_of(number)),
        "point": point_of(number),
        "time": datetime.fromtimestamp(time / 1e6, VIET_NAM),
        "seq": 1,
        "code": code,
    }
    event = EventMessage(**{**fields, **changes})  # type: ignore[arg-type]  # a test names its own fields
    return Message(meter_topic("PC01", "direct", serial_of(number), Subject.EVENT), encode_message(event), NOW)


def register_message(number: int, values: dict[str, int], time: int = NOW, **changes: object) -> Message:
    """Registers a meter says of a moment; ``changes`` replace fields of the message."""
    fields: dict[str, object] = {
        "serial": str(serial_of(number)),
        "point": point_of(number),
        "kind": RegisterKind.ON_DEMAND.name.lower(),
        "time": datetime.fromtimestamp(time / 1e6, VIET_NAM),
        "seq": 1,
        "values": values,
    }
    registers = RegisterMessage(**{**fields, **changes})  # type: ignore[arg-type]  # a test names its own fields
    topic = meter_topic("PC01", "direct", serial_of(number), Subject.REGISTER)
    return Message(topic, encode_registers(registers), NOW)


def batch_payload(numbers: Sequence[int], time: int = NOW, *, energy: int = 1000) -> bytes:
    """A good packed batch of one interval of several meters."""
    records = pack_records(
        serial=np.array([serial_of(n) for n in numbers]),
        time=time,
        point_check=np.array([point_check(point_of(n)) for n in numbers]),
        import_wh=np.array(numbers) + energy,
        export_wh=10,
        import_varh=100,
        power_w=512,
        voltage_dv=2301,
    )
    return encode_batch(BatchHeader(interval_s=1800, seq=1), records)


def batch_message(numbers: Sequence[int], time: int = NOW) -> Message:
    return Message(batch_topic("PC01", "DCU0001"), batch_payload(numbers, time), NOW)


@dataclass
class FakeStore:
    """A MeterStore in memory: same key and value is a duplicate, another value a revision. Any thread may call."""

    registered: list[RegisteredMeter] = field(default_factory=list)
    rows: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)
    revisions: list[tuple[int, int]] = field(default_factory=list)
    events: set[tuple[int, int, int]] = field(default_factory=set)
    quarantine: list[Quarantined] = field(default_factory=list)
    poisoned: set[int] = field(default_factory=set)
    """Meter ids whose rows the database refuses for good."""
    refuses_all: bool = False
    calls: int = 0
    registers: dict[tuple[int, ...], tuple[int, ...]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    registry_reads: int = 0
    is_away: threading.Event = field(default_factory=threading.Event)
    away_on_calls: set[int] = field(default_factory=set)
    """Numbers of calls (from 1) that find the database away."""

    def write_readings(self, batch: ReadingArray) -> ReadingOutcome:
        self._arrive()
        if self.refuses_all or self.poisoned & set(batch["meter"].tolist()):
            raise StoreRejected("value out of range")
        with self.lock:
            revised = len(self.revisions)
            stored, duplicate = self._note(batch.tolist(), self.rows, 2)
            revised = len(self.revisions) - revised
        return ReadingOutcome(stored, revised, duplicate)

    def write_registers(self, batch: RegisterArray) -> ReadingOutcome:
        self._arrive()
        rows = batch[["time", "meter", "obis", "kind", "taken_at", "value", "status", "flag", "method"]].tolist()
        with self.lock:
            stored, duplicate = self._note(rows, self.registers, 4)
        return ReadingOutcome(stored, len(batch) - stored - duplicate, duplicate)

    def write_meter_events(self, batch: MeterEventArray) -> MeterEventOutcome:
        self._arrive()
        before = len(self.events)
        self.events.update(batch.tolist())
        stored = len(self.events) - before
        return MeterEventOutcome(stored, len(batch) - stored)

    def write_quarantine(self, rows: Sequence[Quarantined]) -> None:
        self._arrive()
        assert len({row.kind for row in rows}) == 1, "one account at a time"
        self.quarantine += rows

    def registered_meters(self) -> Sequence[RegisteredMeter]:
        self._arrive()
        self.registry_reads += 1
        return list(self.registered)

    def _note(self, rows: list[Any], kept: dict[Any, Any], width: int) -> tuple[int, int]:
        """Rows whose first ``width`` columns are their key; how many were new, and how many known."""
        stored = duplicate = 0
        for row in rows:
            key, value = row[:width], row[width:]
            stored += key not in kept
            duplicate += kept.get(key) == value
            if key in kept and kept[key] != value:
                self.revisions.append(key)
            kept[key] = value
        return stored, duplicate

    def _arrive(self) -> None:
        with self.lock:
            self.calls += 1
        if self.is_away.is_set() or self.calls in self.away_on_calls:
            raise StoreUnavailable("connection refused")


class Mosquitto:
    """A broker of the test's own on a free loopback port, the same over restarts; ``kill`` is SIGKILL."""

    def __init__(self, folder: Path, *, autosave_s: int = 1800) -> None:
        self.port = _free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
            f"persistence true\npersistence_location {folder}/\nautosave_interval {autosave_s}\nuser root\n"
            "max_queued_messages 0\nmax_inflight_messages 0\nlog_dest none\n"
        )

    def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self._process = subprocess.Popen(
            [program, "-c", str(self._settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "the broker does not start"
                time.sleep(0.02)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def save(self) -> None:
        """Write sessions and what waits in them to the disk now, as every ``autosave_s``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR1)
        until((self._folder / "mosquitto.db").exists, "the broker's database")

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


def until(condition: Callable[[], bool], what: str, *, timeout: float = 60) -> None:
    """Look again and again; a deadline that is never reached costs nothing."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.01)


def _free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
