"""A process that answers for many Modbus stations with two sets of values in turn: a field that costs next to nothing.

Knows the station files, their maps and plausible values. No plant, no orders. Every measured value changes by more than
its deadband each time the sets change.

Arguments: how many stations, and the points each shall have at least, 0 for those of the files as they are. Prints one
line of JSON, the port of each station, and ends when its standard input does.
"""

import asyncio
import json
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scada.model.point import PointKind
from scada.model.quality import Quality
from substations.adapters import load_maps
from substations.decode import Codec, Overflow
from substations.modbus_frames import FUNCTIONS
from substations.registers import BoundPoint, StationRegisters, bind_registers
from substations.wiretypes import Table
from tests.bench._modbus_server import listen
from tests.bench._stations import FOLDER, stations

TURN_S = 1.0


class StillDevice:
    """The tables of one station as bytes, two sets of them."""

    def __init__(self, registers: StationRegisters) -> None:
        self._sets = [{FUNCTIONS[table]: _cells(table, registers, turn) for table in Table} for turn in range(2)]
        self._shown = 0
        self._answers: dict[tuple[int, int, int], bytes] = {}

    def turn(self) -> None:
        """Show the other set."""
        self._shown = 1 - self._shown
        self._answers.clear()

    def read(self, function: int, start: int, count: int) -> bytes:
        asked = (function, start, count)
        if asked not in self._answers:
            cells = self._sets[self._shown][function]
            bits = function <= FUNCTIONS[Table.DISCRETE_INPUT]
            part = cells[start : start + count] if bits else cells[start * 2 : (start + count) * 2]
            self._answers[asked] = np.packbits(part, bitorder="little").tobytes() if bits else part.tobytes()
        return self._answers[asked]

    def write(self, start: int, words: Sequence[int]) -> None:
        raise AssertionError(f"nothing is to be written here, but {len(words)} registers at {start} were")


def _cells(table: Table, registers: StationRegisters, turn: int) -> NDArray[np.uint8]:
    cells = np.zeros(65536 if table.of_bits else 131072, dtype=np.uint8)
    mine = [each for each in registers.points if each.table is table]
    if mine:
        codec = Codec(mine, 0, 65536)
        values = np.array([_value(each, turn) for each in codec.entries])
        codec.encode(values, np.full(len(mine), Quality.GOOD, dtype=np.uint8), cells, Overflow.CLIP)
    return cells


def _value(each: BoundPoint, turn: int) -> float:
    point = each.point
    if point.kind is PointKind.MEASURED_VALUE:
        middle = ((point.low or 0.0) + (point.high or 10.0)) / 2
        return middle + turn * (2.0 * point.deadband + 2.0 * abs(each.scale))
    return 1.0 if point.kind is PointKind.STEP_POSITION else float(point.kind is PointKind.DOUBLE_POINT) * 2.0


async def _serve(count: int, points: int) -> None:
    maps = load_maps(FOLDER / "maps").registers
    devices = [StillDevice(bind_registers(station, maps, [])) for station in stations(count, points)]
    listening = [await listen(each) for each in devices]
    print(json.dumps([port for _, port in listening]), flush=True)
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    while not ended.done():
        await asyncio.wait([ended], timeout=TURN_S)
        for device in devices:
            device.turn()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
