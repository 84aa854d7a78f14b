"""What the Modbus data model is made of: tables, types, and the order of bytes on the wire.

Knows the standard's words. Does not know maps, points or sockets.
"""

from enum import StrEnum
from typing import Any, Final

import numpy as np

HIGHEST_ADDRESS: Final = 65535


class Table(StrEnum):
    """The four tables of the Modbus data model (Modbus Application Protocol V1.1b3, 4.3)."""

    COIL = "coil"
    DISCRETE_INPUT = "discrete_input"
    INPUT_REGISTER = "input_register"
    HOLDING_REGISTER = "holding_register"

    @property
    def of_bits(self) -> bool:
        """True when one address is one bit, False when it is a register of 16."""
        return self in (Table.COIL, Table.DISCRETE_INPUT)


class WireType(StrEnum):
    """How a value lies in the table. BIT: in a table of bits; BITS: some bits of one register; BCD: a decimal digit in
    every four bits, without sign."""

    BIT = "bit"
    BITS = "bits"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BCD16 = "bcd16"
    BCD32 = "bcd32"

    @property
    def registers(self) -> int:
        """Registers the value takes; BIT and BITS count as one."""
        return 4 if self.value.endswith("64") else 2 if self.value.endswith("32") else 1

    @property
    def decimal_digits(self) -> int:
        """Digits of a binary-coded decimal; 0 for every other type."""
        return self.registers * 4 if self in (WireType.BCD16, WireType.BCD32) else 0


class Order(StrEnum):
    """Order of the bytes of a 32-bit value on the wire, A the most significant. ABCD is Modbus' own order; CDAB swaps
    the words, BADC the bytes of each word, DCBA both. 16 and 64 bits follow the same two swaps."""

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"

    @property
    def words_swapped(self) -> bool:
        """True when the least significant register comes first."""
        return self in (Order.CDAB, Order.DCBA)

    @property
    def bytes_swapped(self) -> bool:
        """True when the least significant byte of each register comes first."""
        return self in (Order.BADC, Order.DCBA)


DTYPES: Final[dict[WireType, np.dtype[Any]]] = {
    WireType.BITS: np.dtype("<u2"),
    WireType.INT16: np.dtype("<i2"),
    WireType.UINT16: np.dtype("<u2"),
    WireType.INT32: np.dtype("<i4"),
    WireType.UINT32: np.dtype("<u4"),
    WireType.INT64: np.dtype("<i8"),
    WireType.UINT64: np.dtype("<u8"),
    WireType.FLOAT32: np.dtype("<f4"),
    WireType.FLOAT64: np.dtype("<f8"),
    WireType.BCD16: np.dtype("<u2"),
    WireType.BCD32: np.dtype("<u4"),
}
"""How the gathered bytes of a type are viewed; BIT is a byte for itself."""


def wire_bytes(registers: int, order: Order) -> tuple[int, ...]:
    """Where on the wire the bytes of a value lie, least significant first, as offsets from its first byte."""
    places = []
    for significance in range(registers * 2):
        word, low = divmod(significance, 2)
        register = word if order.words_swapped else registers - 1 - word
        places.append(register * 2 + (low if order.bytes_swapped else 1 - low))
    return tuple(places)
