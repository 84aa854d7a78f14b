"""The frames of a read over Modbus TCP: the question as bytes, and its answer found in what came.

Knows the header, function codes and byte counts. Does not know connections, deadlines or points.
"""

import struct
from typing import Final

import numpy as np

from substations.layout import RawArray
from substations.wiretypes import Table

FUNCTIONS: Final = {
    Table.COIL: 1,
    Table.DISCRETE_INPUT: 2,
    Table.HOLDING_REGISTER: 3,
    Table.INPUT_REGISTER: 4,
}
"""Read function of each table (Modbus Application Protocol V1.1b3, 6.1 to 6.4)."""
_WRITES: Final = (5, 6, 16)
"""One coil, one register, several registers (Modbus Application Protocol V1.1b3, 6.5, 6.6 and 6.12)."""
_ANSWERED: Final = frozenset(number | refused for number in (*FUNCTIONS.values(), *_WRITES) for refused in (0, 0x80))
_QUESTION: Final = struct.Struct(">HHHBBHH")
"""Header, function, first address, how many."""
_HEADER: Final = struct.Struct(">HHHB")
"""Number, protocol, length of what follows, unit (Modbus Messaging on TCP/IP V1.0b, 3.1.3)."""
_SHORTEST: Final = _HEADER.size + 1
_REFUSED: Final = 0x80
_EXCEPTION, _TOO_SHORT = 9, 2
"""Bytes of an exception's frame, and the length that some devices write into it: they forget the code."""


class NotUsable(Exception):
    """An answer came that cannot be one to the question."""


class Refusal(Exception):
    """The device's exception code for a request."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


def question(number: int, unit: int, table: Table, start: int, count: int) -> bytes:
    """The read of addresses [start, start + count)."""
    return _QUESTION.pack(number, 0, 6, unit, FUNCTIONS[table], start, count)


def is_modbus(data: bytes) -> bool:
    """False for received bytes that are no answer to anything we ask; too few to tell count as one."""
    return len(data) < _SHORTEST or (data[2:4] == b"\0\0" and data[7] in _ANSWERED)


def answer_in(data: bytes, number: int, unit: int, *, alone: bool = True) -> bytes | None:
    """What follows the header in the answer to question ``number``, None while it has not come whole.

    Answers to other questions and from other units are passed over. Devices that repeat no number send 0: that is an
    answer only to a question that was ``alone``.
    """
    at = 0
    while len(data) - at >= _SHORTEST:
        told, protocol, length, told_unit = _HEADER.unpack_from(data, at)
        if protocol:
            return None
        end = at + _HEADER.size - 1 + length
        if length == _TOO_SHORT and len(data) - at == _EXCEPTION:
            end += 1
        if len(data) < end:
            return None
        if told_unit == unit and (told == number or (alone and told == 0)):
            return data[at + _HEADER.size : end]
        at = end
    return None


def raw_of(table: Table, count: int, answer: bytes) -> RawArray:
    """Bytes of ``count`` registers, or as many bits as bytes of 0 and 1. Raises Refusal and NotUsable."""
    told = len(answer) - 2
    if told < 0:
        raise NotUsable("an answer that says nothing")
    function = answer[0]
    if function & _REFUSED:
        raise Refusal(answer[1])
    if function != FUNCTIONS[table]:
        raise NotUsable("an answer to another question")
    if answer[1] != told:
        raise NotUsable("a byte count that does not fit the bytes")
    wanted = (count + 7) // 8 if table.of_bits else count * 2
    if told != wanted:
        raise NotUsable(f"{told} bytes where {wanted} belong")
    raw = np.frombuffer(answer, dtype=np.uint8, offset=2)
    return np.unpackbits(raw, count=count, bitorder="little") if table.of_bits else raw
