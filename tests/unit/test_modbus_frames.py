"""Claims about the frames of a Modbus read: what goes out is what the library would send, what came is taken whole."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU, bit_message, register_message

from substations.modbus_frames import NotUsable, Refusal, answer_in, is_modbus, question, raw_of
from substations.wiretypes import Table

LIBRARY = {
    Table.COIL: bit_message.ReadCoilsRequest,
    Table.DISCRETE_INPUT: bit_message.ReadDiscreteInputsRequest,
    Table.HOLDING_REGISTER: register_message.ReadHoldingRegistersRequest,
    Table.INPUT_REGISTER: register_message.ReadInputRegistersRequest,
}
NUMBER, UNIT = 0x1234, 7


def frame(pdu: bytes, number: int = NUMBER, unit: int = UNIT) -> bytes:
    return struct.pack(">HHHB", number, 0, len(pdu) + 1, unit) + pdu


REGISTERS = b"\x03\x06\x02\x2b\x00\x00\x00\x64"
"""The answer printed in the Modbus Application Protocol V1.1b3, 6.3: registers 108 to 110 hold 555, 0 and 100."""


@given(st.sampled_from(Table), st.integers(1, 0xFFFF), st.integers(0, 255), st.integers(0, 65410), st.integers(1, 125))
def test_a_question_is_what_the_library_sends(table: Table, number: int, unit: int, start: int, count: int) -> None:
    request = LIBRARY[table](dev_id=unit, transaction_id=number, address=start, count=count)
    assert question(number, unit, table, start, count) == FramerSocket(DecodePDU(is_server=False)).buildFrame(request)


def test_the_answer_printed_in_the_standard_is_read() -> None:
    answer = answer_in(frame(REGISTERS), NUMBER, UNIT)
    assert answer == REGISTERS
    assert raw_of(Table.HOLDING_REGISTER, 3, answer).view(">u2").tolist() == [555, 0, 100]


def test_bits_printed_in_the_standard_are_read_lowest_first() -> None:
    """Modbus Application Protocol V1.1b3, 6.1: coils 20 to 38."""
    bits = raw_of(Table.COIL, 19, b"\x01\x03\xcd\x6b\x05")
    assert "".join(map(str, bits.tolist())) == "1011001111010110101"


def test_part_of_an_answer_is_none_yet() -> None:
    whole = frame(REGISTERS)
    assert [answer_in(whole[:size], NUMBER, UNIT) for size in range(len(whole))] == [None] * len(whole)


@pytest.mark.parametrize(
    "other",
    [frame(REGISTERS, number=NUMBER - 1), frame(REGISTERS, unit=8), struct.pack(">HHH", 9, 0, 0)],
    ids=["another number", "another unit", "nothing in it"],
)
def test_what_answers_another_question_is_passed_over(other: bytes) -> None:
    assert answer_in(other * 2, NUMBER, UNIT) is None
    assert answer_in(other * 2 + frame(REGISTERS), NUMBER, UNIT) == REGISTERS


def test_a_device_that_repeats_no_number_is_heard() -> None:
    assert answer_in(frame(REGISTERS, number=0), NUMBER, UNIT) == REGISTERS


def test_a_number_is_needed_to_tell_the_answers_of_several_questions_apart() -> None:
    assert answer_in(frame(REGISTERS, number=0), NUMBER, UNIT, alone=False) is None
    assert answer_in(frame(REGISTERS, number=0) + frame(REGISTERS), NUMBER, UNIT, alone=False) == REGISTERS


def test_behind_what_is_no_modbus_nothing_is_an_answer() -> None:
    other = frame(REGISTERS, number=NUMBER + 1)
    assert answer_in(other[:2] + b"\0\1" + other[4:] + frame(REGISTERS), NUMBER, UNIT) is None


def test_an_exception_whose_length_forgets_its_code_is_read() -> None:
    answer = answer_in(struct.pack(">HHHBBB", NUMBER, 0, 2, UNIT, 0x83, 2), NUMBER, UNIT)
    assert answer == b"\x83\x02"
    with pytest.raises(Refusal) as refusal:
        raw_of(Table.HOLDING_REGISTER, 3, answer)
    assert refusal.value.code == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "an answer that says nothing"),
        (b"\x83", "an answer that says nothing"),
        (b"\x04" + REGISTERS[1:], "an answer to another question"),
        (REGISTERS[:-2], "a byte count that does not fit the bytes"),
        (b"\x03\x04" + REGISTERS[2:6], "4 bytes where 6 belong"),
    ],
)
def test_what_cannot_be_an_answer_is_told_with_its_reason(answer: bytes, reason: str) -> None:
    with pytest.raises(NotUsable, match=reason):
        raw_of(Table.HOLDING_REGISTER, 3, answer)


@pytest.mark.parametrize("function", [1, 2, 3, 4, 5, 6, 16, 0x81, 0x90])
def test_answers_to_what_is_asked_are_modbus(function: int) -> None:
    assert is_modbus(frame(bytes([function, 0])))


@pytest.mark.parametrize("came", [b"HTTP/1.0 400 Bad Request", frame(b"\x2a\0"), b"\0\1\0\2" + frame(b"\3\0")[4:]])
def test_another_protocol_and_functions_nobody_asked_for_are_not(came: bytes) -> None:
    assert not is_modbus(came)
    assert is_modbus(came[:7])
