"""Claims about a simulated Modbus device: which addresses exist, what they hold, and what writing one orders.

The expected registers are written out by hand or packed with ``struct``: not with the codec under test.
"""

import struct
from dataclasses import replace

import numpy as np
import pytest

from scada.model.addcause import AddCause
from scada.model.point import Point, PointKind
from simulators.orders import Action
from simulators.register_image import Denied, RegisterImage
from substations.registermap import CommandEntry
from substations.registers import BoundCommand, BoundFreeze, BoundPoint, StationRegisters
from substations.wiretypes import Order, Table, WireType

SECOND = 1_000_000
NOW = 1_795_410_000_000_000
INPUTS, HOLDING = Table.INPUT_REGISTER, Table.HOLDING_REGISTER


class Bay:
    """Stands for the plant: notes orders and answers as told."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, Action]] = []
        self.answer: AddCause | None = None

    def __call__(self, command: str, action: Action, now: int) -> AddCause | None:
        self.orders.append((command, action))
        return self.answer


def point(number: int, address: int, wire_type: WireType, **more: object) -> BoundPoint:
    place = {"order": Order.ABCD, "bit": 0, "width": 1, "scale": 1.0, "gap": 0, "table": INPUTS} | more
    return BoundPoint(
        point=Point(number, f"TN99/171/p{number}", PointKind.MEASURED_VALUE, "", ""),
        unit=1,
        address=address,
        type=wire_type,
        add=0.0,
        invalid=None,
        quality_address=None,
        period_s=1.0,
        **place,  # type: ignore[arg-type]  # names and types as in BoundPoint
    )


POINTS = (
    point(1, 100, WireType.BITS, width=2),
    point(2, 101, WireType.FLOAT32, order=Order.CDAB, gap=4),
    point(3, 105, WireType.INT16, scale=0.1, gap=4),
    point(4, 112, WireType.UINT32, gap=4),
)
BREAKER = CommandEntry(
    name="171.operate",
    table=HOLDING,
    operate=22,
    values={"open": 0x6501, "close": 0x0102},
    select=20,
    echo=21,
    result=23,
)
RECLOSE = CommandEntry(name="autoreclose.operate", table=HOLDING, operate=22, values={"open": 513}, result=23)


@pytest.fixture
def bay() -> Bay:
    return Bay()


@pytest.fixture
def image(bay: Bay) -> RegisterImage:
    commands = (
        BoundCommand("TN99/171/171.operate", 1, BREAKER, operate=222, select=220, echo=221, result=223),
        BoundCommand("TN99/171/autoreclose.operate", 1, RECLOSE, operate=222, select=None, echo=None, result=223),
    )
    made = RegisterImage(StationRegisters("TN99", POINTS, commands), bay)
    refresh(made, NOW)
    return made


def refresh(image: RegisterImage, now: int) -> None:
    values = np.array([2.0, 114.7, -3.3, 314_806_032.0])
    image.refresh(np.array([1, 2, 3, 4], dtype=np.int32), values, np.zeros(4, dtype=np.uint8), now)


def result(image: RegisterImage) -> int:
    answer = image.read(INPUTS, 223, 1)
    assert isinstance(answer, list)
    return answer[0]


def echo(image: RegisterImage) -> int:
    answer = image.read(INPUTS, 221, 1)
    assert isinstance(answer, list)
    return answer[0]


def test_registers_hold_the_values_as_the_map_says(image: RegisterImage) -> None:
    high, low = struct.unpack(">HH", struct.pack(">f", 114.7))
    assert image.read(INPUTS, 100, 3) == [2, low, high]
    assert image.read(INPUTS, 105, 1) == [struct.unpack(">H", struct.pack(">h", -33))[0]]
    assert image.read(INPUTS, 112, 2) == list(struct.unpack(">HH", struct.pack(">I", 314_806_032)))


def test_a_gap_may_be_read_over_only_where_both_sides_allow_it(image: RegisterImage) -> None:
    assert image.read(INPUTS, 101, 5) == [*image.read(INPUTS, 101, 2), 0, 0, *image.read(INPUTS, 105, 1)]  # type: ignore[misc]  # both exist
    assert image.read(INPUTS, 105, 9) is Denied.ADDRESS


@pytest.mark.parametrize("address", [0, 99, 106, 114, 65535])
def test_an_address_outside_the_map_does_not_exist(image: RegisterImage, address: int) -> None:
    assert image.read(INPUTS, address, 1) is Denied.ADDRESS
    assert image.read(HOLDING, 100, 1) is Denied.ADDRESS
    assert image.read(Table.COIL, address, 1) is Denied.ADDRESS


def test_select_is_echoed_and_operate_is_carried_out_once(image: RegisterImage, bay: Bay) -> None:
    assert image.write(HOLDING, 220, [0x6501], NOW) is None
    assert (echo(image), bay.orders) == (0x6501, [])
    assert image.write(HOLDING, 222, [0x6501], NOW + SECOND) is None
    assert (echo(image), result(image), bay.orders) == (0, 0, [("TN99/171/171.operate", "open")])
    assert image.write(HOLDING, 222, [0x6501], NOW + SECOND) is Denied.REFUSED
    assert result(image) == AddCause.OBJECT_NOT_SELECTED


def test_the_echo_is_empty_once_the_selection_has_expired(image: RegisterImage, bay: Bay) -> None:
    image.write(HOLDING, 220, [0x6501], NOW)
    refresh(image, NOW + 29 * SECOND)
    assert echo(image) == 0x6501
    refresh(image, NOW + 30 * SECOND)
    assert echo(image) == 0
    assert image.write(HOLDING, 222, [0x6501], NOW + 31 * SECOND) is Denied.REFUSED
    assert bay.orders == []


def test_a_set_point_is_echoed_in_all_its_registers_and_carried_out_as_its_value(bay: Bay) -> None:
    entry = CommandEntry(
        name="set",
        table=HOLDING,
        operate=2,
        select=0,
        echo=4,
        type=WireType.INT32,
        order=Order.CDAB,
        scale=0.001,
        set_point=True,
    )
    command = BoundCommand("TN99/171/set", 1, entry, operate=202, select=200, echo=204, result=None)
    image = RegisterImage(StationRegisters("TN99", POINTS, (command,)), bay)
    high, low = struct.unpack(">HH", struct.pack(">i", 231_017))
    assert image.write(HOLDING, 200, [low, high], NOW) is None
    assert (image.read(INPUTS, 204, 2), bay.orders) == ([low, high], [])
    assert image.write(HOLDING, 202, [low], NOW) is Denied.ADDRESS
    assert image.write(HOLDING, 202, [low, high], NOW + SECOND) is None
    assert bay.orders == [("TN99/171/set", pytest.approx(231.017))]
    assert image.read(INPUTS, 204, 2) == [0, 0]


def test_writing_the_cancel_value_withdraws_the_selection(image: RegisterImage, bay: Bay) -> None:
    image.write(HOLDING, 220, [0x6501], NOW)
    assert image.write(HOLDING, 220, [0], NOW) is None
    assert echo(image) == 0
    assert image.write(HOLDING, 222, [0x6501], NOW) is Denied.REFUSED
    assert bay.orders == []


def test_commands_that_share_a_register_are_told_apart_by_value(image: RegisterImage, bay: Bay) -> None:
    assert image.write(HOLDING, 222, [513], NOW) is None
    assert bay.orders == [("TN99/171/autoreclose.operate", "open")]
    assert image.write(HOLDING, 222, [514], NOW) is Denied.VALUE


def test_a_refusal_of_the_bay_is_told_with_its_cause(image: RegisterImage, bay: Bay) -> None:
    bay.answer = AddCause.BLOCKED_BY_INTERLOCKING
    image.write(HOLDING, 220, [0x0102], NOW)
    assert image.write(HOLDING, 222, [0x0102], NOW) is Denied.REFUSED
    assert result(image) == 10


def test_values_cannot_be_written(image: RegisterImage) -> None:
    assert image.write(HOLDING, 100, [1], NOW) is Denied.ADDRESS
    assert image.write(INPUTS, 100, [1], NOW) is Denied.ADDRESS
    assert image.write(HOLDING, 222, [513, 513], NOW) is Denied.ADDRESS


def test_a_freeze_keeps_the_total_of_its_moment_beside_the_running_one() -> None:
    frozen = replace(POINTS[3], address=130)
    freeze = BoundFreeze("TN99/171 freeze", 1, HOLDING, 57, 1, (frozen,))
    image = RegisterImage(StationRegisters("TN99", POINTS, (), freezes=(freeze,)), Bay())
    refresh(image, NOW)
    assert image.write(HOLDING, 57, [2], NOW) is Denied.VALUE
    assert image.read(INPUTS, 130, 2) == [0, 0]
    assert image.write(HOLDING, 57, [1], NOW) is None
    later = np.array([2.0, 114.7, -3.3, 314_806_099.0])
    image.refresh(np.array([1, 2, 3, 4], dtype=np.int32), later, np.zeros(4, dtype=np.uint8), NOW + SECOND)
    assert image.read(INPUTS, 130, 2) == list(struct.unpack(">HH", struct.pack(">I", 314_806_032)))
    assert image.read(INPUTS, 112, 2) == list(struct.unpack(">HH", struct.pack(">I", 314_806_099)))
