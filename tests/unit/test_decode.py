"""Claims about the codec beyond the golden vectors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.model.quality import Quality
from substations.decode import Codec, EncodeError, Overflow
from substations.registers import BoundPoint
from substations.wiretypes import Order, Table, WireType
from tests.fakes_substations import make_entry

GOOD = np.zeros(1, dtype=np.uint8)


def one(wire_type: WireType = WireType.INT16, **fields: object) -> Codec:
    return Codec([make_entry(1, Table.INPUT_REGISTER, 0, wire_type, **fields)], 0, 6)


def image(codec: Codec) -> np.ndarray:
    return np.zeros(codec.raw_size, dtype=np.uint8)


def test_scale_and_add_make_engineering_units() -> None:
    codec = one(scale=0.1, add=-40.0)
    raw = image(codec)
    codec.encode(np.array([25.3]), GOOD, raw)
    assert raw[:2].tobytes() == (653).to_bytes(2, "big")
    assert codec.decode(raw)[0][0] == pytest.approx(25.3)


@pytest.mark.parametrize(
    ("wire_type", "value", "clipped"),
    [
        (WireType.INT16, 40000.0, 32767.0),
        (WireType.INT16, -40000.0, -32768.0),
        (WireType.UINT16, -1.0, 0.0),
        (WireType.INT32, 1e12, 2147483647.0),
        (WireType.UINT32, -5.0, 0.0),
        (WireType.INT64, 1e30, 2.0**63),
        (WireType.UINT64, 1e30, 2.0**64),
        (WireType.FLOAT32, 1e39, float(np.finfo(np.float32).max)),
        (WireType.BCD16, 10000.0, 9999.0),
        (WireType.BCD16, -1.0, 0.0),
        (WireType.BCD32, 1e9, 99999999.0),
        (WireType.INT16, float("inf"), 32767.0),
    ],
)
def test_a_value_too_large_is_refused_or_clipped_but_never_wraps(
    wire_type: WireType, value: float, clipped: float
) -> None:
    codec = one(wire_type)
    raw = image(codec)
    with pytest.raises(EncodeError, match="TN07/171/P1"):
        codec.encode(np.array([value]), GOOD, raw)
    assert not raw.any()
    where = codec.encode(np.array([value]), GOOD, raw, Overflow.CLIP)
    assert where.tolist() == [True]
    assert codec.decode(raw)[0].tolist() == [clipped]


def test_bits_too_narrow_for_the_value_are_refused() -> None:
    with pytest.raises(EncodeError):
        one(WireType.BITS, width=2).encode(np.array([4.0]), GOOD, np.zeros(12, dtype=np.uint8))


@pytest.mark.parametrize("printed", ["00 0a", "f0 00", "1b 34"])
def test_a_packed_decimal_with_a_digit_above_nine_is_no_number(printed: str) -> None:
    codec = Codec([make_entry(1, Table.INPUT_REGISTER, 0, WireType.BCD16)], 0, 1)
    values, _ = codec.decode(np.frombuffer(bytes.fromhex(printed), dtype=np.uint8))
    assert np.isnan(values[0])


@pytest.mark.parametrize("scale", [1.0, 0.1])
@pytest.mark.parametrize(
    ("wire_type", "printed"), [(WireType.FLOAT32, "7f 80 00 01"), (WireType.FLOAT64, "7f f0 00 00 00 00 00 01")]
)
def test_a_signalling_nan_is_no_number_and_no_warning(wire_type: WireType, printed: str, scale: float) -> None:
    data = bytes.fromhex(printed)
    codec = Codec([make_entry(1, Table.INPUT_REGISTER, 0, wire_type, scale=scale)], 0, len(data) // 2)
    values, _ = codec.decode(np.frombuffer(data, dtype=np.uint8))
    assert np.isnan(values[0])


def test_no_number_cannot_become_an_integer() -> None:
    with pytest.raises(EncodeError):
        one().encode(np.array([np.nan]), GOOD, np.zeros(12, dtype=np.uint8))


def test_the_devices_invalid_value_is_invalid_quality_both_ways() -> None:
    codec = one(invalid=-32768.0, scale=0.1)
    raw = image(codec)
    codec.encode(np.array([3.0]), np.array([Quality.INVALID], dtype=np.uint8), raw)
    assert raw[:2].tobytes() == b"\x80\x00"
    assert codec.decode(raw)[1].tolist() == [Quality.INVALID]


def test_a_quality_register_carries_the_octet_of_all_its_points() -> None:
    entries = [make_entry(n, Table.INPUT_REGISTER, n, WireType.INT16, quality_address=0) for n in (1, 2)]
    codec = Codec(entries, 0, 3)
    raw = image(codec)
    codec.encode(np.array([5.0, 6.0]), np.array([Quality.NOT_TOPICAL, Quality.BLOCKED], dtype=np.uint8), raw)
    values, quality = codec.decode(raw)
    assert raw.tobytes() == bytes([0, 0x50, 0, 5, 0, 6])
    assert (values.tolist(), quality.tolist()) == ([5.0, 6.0], [0x50, 0x50])


def test_bits_of_one_register_are_written_without_touching_the_others() -> None:
    entries = [make_entry(n, Table.HOLDING_REGISTER, 3, WireType.BITS, bit=n * 2, width=2) for n in range(3)]
    codec = Codec(entries, 3, 1)
    raw = np.array([0xFF, 0xC0], dtype=np.uint8)
    codec.encode(np.array([2.0, 1.0, 0.0]), np.zeros(3, dtype=np.uint8), raw)
    assert raw.tolist() == [0xFF, 0b1100_0110]


def test_a_short_answer_is_an_error_not_a_value() -> None:
    with pytest.raises(ValueError, match="10 bytes where 12 belong"):
        one().decode(np.zeros(10, dtype=np.uint8))


def test_an_entry_outside_the_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.0"):
        Codec([make_entry(1, Table.INPUT_REGISTER, 0, WireType.FLOAT32)], 0, 1)


def test_entries_of_two_tables_are_refused() -> None:
    entries = [make_entry(1, Table.INPUT_REGISTER, 0, WireType.INT16)]
    entries.append(make_entry(2, Table.HOLDING_REGISTER, 1, WireType.INT16))
    with pytest.raises(ValueError, match="another table"):
        Codec(entries, 0, 2)


@st.composite
def entry_lists(draw: st.DrawFn) -> list[BoundPoint]:
    """Entries side by side, of every type and order."""
    types = [each for each in WireType if each is not WireType.BIT]
    entries, address = [], draw(st.integers(0, 100))
    for number in range(draw(st.integers(1, 20))):
        wire_type = draw(st.sampled_from(types))
        width = draw(st.integers(1, 16)) if wire_type is WireType.BITS else 1
        order = draw(st.sampled_from(Order))
        fields = {"order": order, "width": width, "add": float(draw(st.integers(-3, 3)))}
        entries.append(make_entry(number, Table.INPUT_REGISTER, address, wire_type, **fields))
        address += wire_type.registers + draw(st.integers(0, 2))
    return entries


@given(entry_lists(), st.data())
def test_what_is_encoded_is_decoded(entries: list[BoundPoint], data: st.DataObject) -> None:
    start = entries[0].address
    codec = Codec(entries, start, entries[-1].address + entries[-1].size - start)
    wanted = []
    for each in codec.entries:
        high = 2**each.width - 1 if each.type is WireType.BITS else 9999 if each.type.decimal_digits else 32767
        wanted.append(float(data.draw(st.integers(0, high))) + each.add)
    raw = image(codec)
    codec.encode(np.array(wanted), np.zeros(len(wanted), dtype=np.uint8), raw)
    assert codec.decode(raw)[0].tolist() == wanted
