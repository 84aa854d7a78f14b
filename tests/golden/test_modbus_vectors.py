"""Register images made by other means than our codec: struct, and byte strings printed in documents."""

import struct

import numpy as np
import pytest

from substations.decode import Codec
from substations.layout import RawArray
from substations.wiretypes import Order, Table, WireType
from tests.fakes_substations import make_entry

FORMATS = {
    WireType.INT16: "h",
    WireType.UINT16: "H",
    WireType.INT32: "i",
    WireType.UINT32: "I",
    WireType.INT64: "q",
    WireType.UINT64: "Q",
    WireType.FLOAT32: "f",
    WireType.FLOAT64: "d",
}
VALUES = {
    WireType.INT16: (-12345, 32767, -32768, 1),
    WireType.UINT16: (54321, 65535, 0, 258),
    WireType.INT32: (-1234567890, 2147483647, -2147483648, 66051),
    WireType.UINT32: (3456789012, 4294967295, 0, 66051),
    WireType.INT64: (-1234567890123456, 9007199254740991, -9223372036854775808, 283686952306183),
    WireType.UINT64: (1234567890123457, 9007199254740992, 0, 283686952306183),
    WireType.FLOAT32: (123.456, -0.001, 1.17e-38, 3.4e38),
    WireType.FLOAT64: (110.523456789, -1e-300, 1e300, 0.1),
}


def on_the_wire(wire_type: WireType, order: Order, value: float) -> bytes:
    """The value as its device sends it: big-endian registers, then words and bytes exchanged as the order says."""
    packed = struct.pack(">" + FORMATS[wire_type], value)
    words = [packed[at : at + 2] for at in range(0, len(packed), 2)]
    if order in (Order.CDAB, Order.DCBA):
        words.reverse()
    if order in (Order.BADC, Order.DCBA):
        words = [word[::-1] for word in words]
    return b"".join(words)


def raw(data: bytes) -> RawArray:
    return np.frombuffer(data, dtype=np.uint8).copy()


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("wire_type", FORMATS)
def test_every_type_and_order_is_what_struct_packs(wire_type: WireType, order: Order) -> None:
    for value in VALUES[wire_type]:
        data = on_the_wire(wire_type, order, value)
        expected = struct.unpack(">" + FORMATS[wire_type], struct.pack(">" + FORMATS[wire_type], value))[0]
        codec = Codec([make_entry(1, Table.INPUT_REGISTER, 7, wire_type, order=order)], 7, wire_type.registers)
        values, quality = codec.decode(raw(data))
        assert values.tolist() == [float(expected)]
        assert quality.tolist() == [0]
        image = np.zeros(len(data), dtype=np.uint8)
        codec.encode(values, quality, image)
        assert image.tobytes() == data


@pytest.mark.parametrize(
    ("wire_type", "order", "printed", "value"),
    [
        (WireType.FLOAT32, Order.ABCD, "42 f6 e9 79", 123.456),  # IEEE 754 examples in vendors' manuals
        (WireType.FLOAT32, Order.CDAB, "e9 79 42 f6", 123.456),
        (WireType.FLOAT32, Order.BADC, "f6 42 79 e9", 123.456),
        (WireType.FLOAT32, Order.DCBA, "79 e9 f6 42", 123.456),
        (WireType.FLOAT32, Order.ABCD, "47 f1 20 00", 123456.0),
        (WireType.INT32, Order.ABCD, "ae 41 56 52", -1371449774),
        (WireType.UINT32, Order.CDAB, "56 52 ae 41", 2923517522),
        (WireType.UINT16, Order.BADC, "41 ae", 0xAE41),
        (WireType.FLOAT64, Order.ABCD, "40 09 21 fb 54 44 2d 18", 3.141592653589793),
        (WireType.FLOAT64, Order.CDAB, "2d 18 54 44 21 fb 40 09", 3.141592653589793),
        (WireType.FLOAT64, Order.BADC, "09 40 fb 21 44 54 18 2d", 3.141592653589793),
        (WireType.FLOAT64, Order.DCBA, "18 2d 44 54 fb 21 09 40", 3.141592653589793),
        (WireType.BCD16, Order.ABCD, "12 34", 1234),  # packed decimal: the digits are those one reads in hexadecimal
        (WireType.BCD16, Order.BADC, "34 12", 1234),
        (WireType.BCD16, Order.ABCD, "99 99", 9999),
        (WireType.BCD32, Order.ABCD, "12 34 56 78", 12345678),
        (WireType.BCD32, Order.CDAB, "56 78 12 34", 12345678),
        (WireType.BCD32, Order.DCBA, "09 07 00 99", 99000709),
        (WireType.INT64, Order.CDAB, "32 10 76 54 ba 98 fe dc", -0x0123456789ABCDF0),
    ],
)
def test_printed_bytes_mean_the_printed_value(wire_type: WireType, order: Order, printed: str, value: float) -> None:
    data = bytes.fromhex(printed)
    codec = Codec([make_entry(1, Table.HOLDING_REGISTER, 0, wire_type, order=order)], 0, len(data) // 2)
    values, quality = codec.decode(raw(data))
    assert values[0] == pytest.approx(value, rel=1e-7)
    again = np.zeros(len(data), dtype=np.uint8)
    codec.encode(values, quality, again)
    assert again.tobytes() == data


def test_bits_of_a_word_count_from_the_least_significant() -> None:
    """0b1010_0110_0000_0001: a bit 0, two bits 9 and 10, three bits 13 to 15."""
    entries = [
        make_entry(1, Table.INPUT_REGISTER, 0, WireType.BITS),
        make_entry(2, Table.INPUT_REGISTER, 0, WireType.BITS, bit=9, width=2),
        make_entry(3, Table.INPUT_REGISTER, 0, WireType.BITS, bit=13, width=3),
        make_entry(4, Table.INPUT_REGISTER, 0, WireType.BITS, bit=1),
    ]
    codec = Codec(entries, 0, 1)
    values, _ = codec.decode(raw(struct.pack(">H", 0b1010_0110_0000_0001)))
    found = {each.point.name: value for each, value in zip(codec.entries, values.tolist(), strict=True)}
    assert found == {"TN07/171/P1": 1.0, "TN07/171/P2": 3.0, "TN07/171/P3": 5.0, "TN07/171/P4": 0.0}


def test_a_double_point_of_two_inputs_is_open_contact_first() -> None:
    """IEC 60870-5-101, 7.2.6.2: 0 intermediate, 1 off, 2 on, 3 faulty; the first input is the OPEN contact."""
    codec = Codec([make_entry(1, Table.DISCRETE_INPUT, 4, WireType.BIT, width=2)], 4, 2)
    states = [codec.decode(np.array(inputs, dtype=np.uint8))[0][0] for inputs in ((0, 0), (1, 0), (0, 1), (1, 1))]
    assert states == [0.0, 1.0, 2.0, 3.0]
