"""What a Modbus answer must look like: function codes, byte counts, and the bytes kept as bytes.

Knows the frames of reads and of the writes the scan needs. Does not know connections, deadlines or points.
"""

from typing import Final

import numpy as np
from pymodbus.pdu import ModbusPDU

from substations.layout import RawArray
from substations.wiretypes import Table

FUNCTIONS: Final = {
    Table.COIL: 1,
    Table.DISCRETE_INPUT: 2,
    Table.HOLDING_REGISTER: 3,
    Table.INPUT_REGISTER: 4,
}
"""Read function of each table (Modbus Application Protocol V1.1b3, 6.1 to 6.4)."""
_WRITES: Final = (5, 16)
"""One coil, several registers (Modbus Application Protocol V1.1b3, 6.5 and 6.12)."""
_HEADER: Final = 8
"""MBAP header and function code (Modbus Messaging on TCP/IP V1.0b, 3.1.3)."""


class NotUsable(Exception):
    """An answer came that cannot be one to the question."""


class RawAnswer(ModbusPDU):
    """An answer kept as bytes: the library would take 12 µs per 100 registers for a list of numbers nobody wants."""

    data = b""
    complete = False

    def decode(self, data: bytes) -> None:
        self.data = data[1:]
        self.complete = len(data) > 0 and data[0] == len(self.data)

    def encode(self) -> bytes:
        return bytes([len(self.data)]) + self.data


class RawCoils(RawAnswer):
    """Answer to function 1."""

    function_code = 1


class RawDiscreteInputs(RawAnswer):
    """Answer to function 2."""

    function_code = 2


class RawHoldingRegisters(RawAnswer):
    """Answer to function 3."""

    function_code = 3


class RawInputRegisters(RawAnswer):
    """Answer to function 4."""

    function_code = 4


ANSWERS: Final = (RawCoils, RawDiscreteInputs, RawHoldingRegisters, RawInputRegisters)


def is_modbus(data: bytes) -> bool:
    """False for received bytes that are no answer to anything we ask; too few to tell count as one."""
    if len(data) < _HEADER:
        return True
    return data[2:4] == b"\0\0" and data[7] & 0x7F in (*FUNCTIONS.values(), *_WRITES)


def raw_of(table: Table, count: int, response: ModbusPDU) -> RawArray:
    """Bytes of ``count`` registers, or as many bits as bytes of 0 and 1. Raises NotUsable."""
    if not isinstance(response, RawAnswer) or response.function_code != FUNCTIONS[table]:
        raise NotUsable("an answer to another question")
    wanted = (count + 7) // 8 if table.of_bits else count * 2
    if not response.complete:
        raise NotUsable("a byte count that does not fit the bytes")
    if len(response.data) != wanted:
        raise NotUsable(f"{len(response.data)} bytes where {wanted} belong")
    raw = np.frombuffer(response.data, dtype=np.uint8)
    return np.unpackbits(raw, count=count, bitorder="little") if table.of_bits else raw
