"""The vocabulary of quantities."""

import pytest

from scada.model.point import PointKind
from scada.model.quantity import MEANINGS, Quantity, Role


def test_every_quantity_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Quantity)


@pytest.mark.parametrize(
    ("quantity", "role", "kind", "unit", "normal"),
    [
        (Quantity.POSITION, Role.POSITION, PointKind.DOUBLE_POINT, "", 0.0),
        (Quantity.TAP_POSITION, Role.POSITION, PointKind.STEP_POSITION, "", 0.0),
        (Quantity.ACTIVE_POWER, Role.MEASUREMENT, PointKind.MEASURED_VALUE, "MW", 0.0),
        (Quantity.ENERGY_EXPORT, Role.COUNTER, PointKind.INTEGRATED_TOTAL, "kWh", 0.0),
        (Quantity.F21_ZONE_1, Role.PROTECTION, PointKind.SINGLE_POINT, "", 0.0),
        (Quantity.WINDING_TEMPERATURE_TRIP, Role.PROTECTION, PointKind.SINGLE_POINT, "", 0.0),
        (Quantity.LOCAL_REMOTE, Role.STATUS, PointKind.SINGLE_POINT, "", 1.0),
        (Quantity.NETWORK_FAULT, Role.STATUS, PointKind.SINGLE_POINT, "", 0.0),
    ],
)
def test_a_quantity_tells_role_kind_unit_and_normal_value(
    quantity: Quantity, role: Role, kind: PointKind, unit: str, normal: float
) -> None:
    meaning = MEANINGS[quantity]

    assert (meaning.role, meaning.kind, meaning.unit, meaning.normal) == (role, kind, unit, normal)


def test_every_protection_function_is_quiet_in_a_healthy_bay() -> None:
    assert {each.normal for each in MEANINGS.values() if each.role is Role.PROTECTION} == {0.0}
