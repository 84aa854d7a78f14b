"""Claims about a set-point on the wire: one frame for a value, or a refusal; never another value.

The expected registers are packed with ``struct``: not with the code under test.
"""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.model.commandlink import NotCarried
from substations.setpoint import Form, nearness
from substations.wiretypes import Order

INT16 = Form(np.dtype("<i2"), 0.01, 0.0)
FLOAT32 = Form(np.dtype("<f4"), 1.0, 0.0)


def words(data: bytes) -> list[int]:
    return list(struct.unpack(f">{len(data) // 2}H", data))


@pytest.mark.parametrize(
    ("form", "value", "order", "expected"),
    [
        (INT16, 23.1, Order.ABCD, struct.pack(">h", 2310)),
        (INT16, -0.01, Order.ABCD, struct.pack(">h", -1)),
        (INT16, 23.1, Order.BADC, struct.pack("<h", 2310)),
        (Form(np.dtype("<u2"), 0.1, -40.0), 25.5, Order.ABCD, struct.pack(">H", 655)),
        (Form(np.dtype("<i4"), -0.001, 0.0), 23.101, Order.ABCD, struct.pack(">i", -23101)),
        (Form(np.dtype("<u4"), 1.0, 0.0), 4294967295.0, Order.CDAB, struct.pack(">HH", 0xFFFF, 0xFFFF)),
        (Form(np.dtype("<u4"), 1.0, 0.0), 66051.0, Order.CDAB, struct.pack(">HH", 0x0203, 0x0001)),
        (FLOAT32, 23.1, Order.ABCD, struct.pack(">f", 23.1)),
        (FLOAT32, 23.1, Order.DCBA, struct.pack("<f", 23.1)),
        (Form(np.dtype("<f8"), 1.0, 0.0), 23.1, Order.ABCD, struct.pack(">d", 23.1)),
    ],
)
def test_a_value_becomes_the_registers_struct_packs(form: Form, value: float, order: Order, expected: bytes) -> None:
    assert form.words(value, order) == words(expected)


@pytest.mark.parametrize(
    ("form", "value", "why"),
    [
        (INT16, 327.68, "327.68 does not fit int16 with scale 0.01"),
        (INT16, -327.69, "does not fit int16"),
        (INT16, 23.105, "23.105 lies between two steps of 0.01"),
        (INT16, math.nan, "nan does not fit"),
        (INT16, math.inf, "inf does not fit"),
        (Form(np.dtype("<u2"), 1.0, 0.0), -1.0, "does not fit uint16"),
        (FLOAT32, 3.5e38, "does not fit float32"),
        (FLOAT32, math.nan, "nan does not fit float32"),
        (FLOAT32, -math.inf, "does not fit float32"),
    ],
)
def test_what_has_no_frame_of_its_own_is_refused(form: Form, value: float, why: str) -> None:
    with pytest.raises(NotCarried, match=why):
        form.words(value, Order.ABCD)


@given(raw=st.integers(-32768, 32767), scale=st.sampled_from([0.001, 0.01, 0.1, 0.25, 1.0, 5.0]))
def test_every_step_of_an_integer_is_told_exactly_as_it_is_typed(raw: int, scale: float) -> None:
    assert Form(np.dtype("<i2"), scale, 0.0).raw(round(raw * scale, 6)) == raw


def test_the_neighbour_of_a_value_does_not_tell_it() -> None:
    near = nearness(INT16, INT16, 23.1)
    assert abs(2310 * 0.01 - 23.1) <= near < abs(2311 * 0.01 - 23.1)
    near = nearness(FLOAT32, FLOAT32, 23.1)
    assert abs(float(np.float32(23.1)) - 23.1) <= near < 1e-5
    assert nearness(FLOAT32, INT16, 23.1) < 0.0051, "half a step of what is shown"
