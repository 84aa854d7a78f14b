"""A process that answers for the stations of the avalanche and changes their values at a steady rate.

Every measured value is the moment of its change, in ms since the start, so that whoever reads it knows how old it is;
no point changes twice within a second. Every change of a contact is a record in its station's event buffer.

Talks in lines of JSON: prints the ports, reads the phases as (s, analog changes a second, status events a second),
prints how many changes it made, and ends when its standard input does.
"""

import asyncio
import json
import struct
import sys
import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from scada.clock import now_us
from tests.bench._busy_stations import ANALOG, BAYS, EVENTS, ROOM, STATIONS, STATUS
from tests.bench._modbus_server import listen

TICK_S = 0.02
RECORD: Final = np.dtype([("sequence", ">u4"), ("code", ">u2"), ("value", ">u2"), ("quality", ">u2"), ("time", ">u8")])
_HEAD: Final = EVENTS.records - EVENTS.next
_READ_BITS, _READ_HOLDING = 2, 3


class BusyDevice:
    """One station's tables."""

    def __init__(self) -> None:
        self.values = np.zeros(BAYS * ANALOG, dtype=">i4")
        self._contacts = np.zeros(BAYS * ROOM, dtype=np.uint8)
        self._buffer = np.zeros(_HEAD * 2 + EVENTS.capacity * RECORD.itemsize, dtype=np.uint8)
        self._records = self._buffer[_HEAD * 2 :].view(RECORD)
        self._next = self._acknowledged = 0
        self.overwritten = 0

    def read(self, function: int, start: int, count: int) -> bytes:
        if function == _READ_BITS:
            return np.packbits(self._contacts[start : start + count], bitorder="little").tobytes()
        if function == _READ_HOLDING:
            return struct.pack(">I", self._acknowledged)
        table = self.values.view(np.uint8) if start < EVENTS.next else self._buffer
        first = (start if start < EVENTS.next else start - EVENTS.next) * 2
        return table[first : first + count * 2].tobytes()

    def write(self, start: int, words: Sequence[int]) -> None:
        assert start == EVENTS.acknowledge
        self._acknowledged = words[0] << 16 | words[1]

    def toggle(self, contact: int, moment: int) -> None:
        """Contact number ``contact`` of the station changes; ``moment`` in ms since 1970."""
        bay, number = divmod(contact, STATUS)
        place = bay * ROOM + number
        self._contacts[place] ^= 1
        if self._next - self._acknowledged >= EVENTS.capacity:
            self.overwritten += 1
        code = (bay + 1) << 8 | (ANALOG + 1 + number)
        self._records[self._next % EVENTS.capacity] = (self._next, code, self._contacts[place], 0, moment)
        self._next += 1
        self._buffer[: _HEAD * 2] = np.frombuffer(struct.pack(">IH", self._next, 0), dtype=np.uint8)


class Changes:
    """Which point changes next: all in turn."""

    def __init__(self, devices: Sequence[BusyDevice], start_us: int) -> None:
        self._devices = devices
        self._start = start_us
        self.made = {"analog": 0, "status": 0}

    def analog(self, count: int) -> None:
        """The next ``count`` measured values change now."""
        size = BAYS * ANALOG
        moment = (now_us() - self._start) // 1000
        while count:
            device, first = divmod(self.made["analog"] % (size * len(self._devices)), size)
            some = min(count, size - first)
            self._devices[device].values[first : first + some] = moment
            self.made["analog"] += some
            count -= some

    def status(self, count: int) -> None:
        """The next ``count`` contacts change now."""
        for _ in range(count):
            contact, device = divmod(self.made["status"], len(self._devices))
            self._devices[device].toggle(contact % (BAYS * STATUS), now_us() // 1000)
            self.made["status"] += 1


async def _make(changes: Changes, phases: Sequence[tuple[float, float, float]]) -> None:
    begun = time.monotonic()
    since = 0.0
    for seconds, analog, status in phases:
        before = dict(changes.made)
        for tick in range(1, round(seconds / TICK_S) + 1):
            await asyncio.sleep(max(0.0, begun + since + tick * TICK_S - time.monotonic()))
            changes.analog(before["analog"] + int(tick * TICK_S * analog) - changes.made["analog"])
            changes.status(before["status"] + int(tick * TICK_S * status) - changes.made["status"])
        since += seconds


async def _main() -> None:
    devices = [BusyDevice() for _ in range(STATIONS)]
    ports = [(await listen(each))[1] for each in devices]
    print(json.dumps(ports), flush=True)
    plan = json.loads(await asyncio.to_thread(sys.stdin.readline))
    changes = Changes(devices, plan["start_us"])
    await _make(changes, plan["phases"])
    print(json.dumps(changes.made), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
