"""Claims about judging a device's answer: what is implausible, and whose order of words is wrong."""

import struct
from dataclasses import replace

import numpy as np
import pytest

from substations.polling import ReadBlock, plan_reads
from substations.registers import BoundPoint
from substations.verification import Finding, Verification, Weight, judge_registers, judge_value
from substations.wiretypes import Order, Table, WireType
from tests.fakes_substations import make_entry

VALUES = (112.4, 113.1, 63.5, -12.25, 50.02)


def floats(order: Order, *, low: float | None = -250.0, high: float | None = 250.0) -> list[BoundPoint]:
    entries = [make_entry(n, Table.INPUT_REGISTER, 2 * n, WireType.FLOAT32, order=order) for n in range(len(VALUES))]
    return [replace(each, point=replace(each.point, low=low, high=high, unit="kV")) for each in entries]


def block(entries: list[BoundPoint]) -> ReadBlock:
    (read,) = plan_reads(entries)
    return read


def swapped(*values: float) -> np.ndarray:
    """Floats as a device sends them that puts the low word first: by ``struct``, not by our codec."""
    words = b""
    for value in values:
        packed = struct.pack(">f", value)
        words += packed[2:] + packed[:2]
    return np.frombuffer(words, dtype=np.uint8)


def test_a_map_that_fits_has_no_findings() -> None:
    assert judge_registers(block(floats(Order.CDAB)), swapped(*VALUES)) == []


def test_a_wrong_word_order_is_named_with_the_right_one() -> None:
    findings = judge_registers(block(floats(Order.ABCD)), swapped(*VALUES))
    assert findings[-1] == Finding(
        Weight.FAULT,
        "input_register 0..9",
        "order ABCD makes 5 of 5 values implausible, CDAB only 0: the map's order is wrong",
    )


def test_swapped_values_within_the_limits_but_too_small_to_be_measured_are_found() -> None:
    """60.0 and 50.0 swapped are below 1e-40: inside every limit, and no measurement."""
    entries = floats(Order.ABCD, low=0.0, high=250.0)[:2]
    assert abs(struct.unpack(">f", swapped(60.0).tobytes())[0]) < 1e-40
    findings = judge_registers(block(entries), swapped(60.0, 50.0))
    assert [each.sentence for each in findings] == [
        "order ABCD makes 2 of 2 values implausible, CDAB only 0: the map's order is wrong"
    ]


def test_one_broken_sensor_is_not_taken_for_a_wrong_order() -> None:
    findings = judge_registers(block(floats(Order.CDAB)), swapped(112.4, 1e9, 63.5, -12.25, 50.02))
    assert [each.where for each in findings] == ["TN07/171/P1"]


def test_a_dead_bay_of_zeros_is_plausible_in_every_order() -> None:
    assert judge_registers(block(floats(Order.ABCD)), np.zeros(20, dtype=np.uint8)) == []


def test_a_value_the_device_itself_calls_invalid_is_not_judged() -> None:
    entry = make_entry(0, Table.INPUT_REGISTER, 0, WireType.INT16, invalid=32767.0)
    entry = replace(entry, point=replace(entry.point, low=0.0, high=100.0))
    assert judge_registers(block([entry]), np.frombuffer(struct.pack(">h", 32767), dtype=np.uint8)) == []


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (300.0, "shows 300 kV, outside 0 … 250 kV"),
        (-1.0, "shows -1 kV, outside 0 … 250 kV"),
        (float("nan"), "shows nan, which is no number"),
        (float("inf"), "shows inf, which is no number"),
    ],
)
def test_an_impossible_value_is_a_sentence(value: float, sentence: str) -> None:
    assert judge_value("P", value, 0.0, 250.0, "kV") == Finding(Weight.FAULT, "P", sentence)


def test_a_possible_value_is_none() -> None:
    assert judge_value("P", 250.0, 0.0, 250.0, "kV") is None
    assert judge_value("P", 1e12, None, None, "") is None


def test_notes_are_no_faults() -> None:
    findings = (Finding(Weight.NOTE, "a", "b"), Finding(Weight.FAULT, "c", "d"))
    assert Verification(2, findings).faults == 1
