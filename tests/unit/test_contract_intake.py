"""What cannot be meant is refused before it is rendered, signed and archived for good."""

from dataclasses import replace

import pytest

from scada.contracts.intake import application_faults, change_faults, effective_faults, meter_faults
from scada.model.contract import Customer, MeterInstallation, Supply
from tests.fakes_contracts import BUYER, NOW, SELLER, SUPPLY

METER = MeterInstallation(7, {"1.8.0": 5}, "", NOW)
DAY_US = 86_400_000_000


def test_what_people_mean_is_taken() -> None:
    assert application_faults(BUYER, SUPPLY) == []
    assert application_faults(replace(SELLER, identity="MST:0000000000-001"), replace(SUPPLY, phases=3)) == []
    assert change_faults("", "business") == []
    assert meter_faults(METER, NOW) == []
    assert meter_faults(replace(METER, photo_sha256="a" * 64, start_registers={"1.8.0": 0}), NOW) == []
    assert effective_faults(NOW + 30 * DAY_US, NOW) == []


@pytest.mark.parametrize(
    ("customer", "supply", "fault"),
    [
        (replace(BUYER, name=" "), SUPPLY, "name is missing"),
        (replace(BUYER, name="Kh\0"), SUPPLY, "name has characters that cannot be printed"),
        (replace(BUYER, name="A\ud800"), SUPPLY, "name has characters that cannot be printed"),
        (replace(BUYER, name="A\u202eB"), SUPPLY, "name has characters that cannot be printed"),
        (replace(BUYER, address="x" * 301), SUPPLY, "address is longer than 300 characters"),
        (
            replace(BUYER, identity="CCCD:٠٠١٠٠٠٠٠٠٠٠١"),
            SUPPLY,
            "identity is CCCD: and 12 digits, or MST: and a tax code",
        ),
        (BUYER, replace(SUPPLY, metering_point=""), "metering_point is missing"),
        (BUYER, replace(SUPPLY, phases=2), "phases are 1 or 3, not 2"),
        (BUYER, replace(SUPPLY, contracted_kw=-5), "contracted_kw is not within 1 and 1000000"),
        (BUYER, replace(SUPPLY, households=10**30), "households is not within 1 and 1000000"),
    ],
)
def test_what_cannot_be_meant_in_an_application_is_told(customer: Customer, supply: Supply, fault: str) -> None:
    assert application_faults(customer, supply) == [fault]


def test_a_meter_that_would_bill_what_nobody_used_is_told() -> None:
    assert meter_faults(replace(METER, start_registers={"1.8.0": -5}), NOW) == [
        "start register '1.8.0' is not within 0 and 1000000000000000"
    ]
    assert meter_faults(replace(METER, start_registers={}), NOW) == [
        "start registers are missing: the first bill begins with them"
    ]
    assert [fault.split(" ")[0] for fault in meter_faults(MeterInstallation(0, {"x": 1}, "zz", 10**30), NOW)] == [
        "serial", "photo_sha256", "installed_at"
    ]  # fmt: skip


@pytest.mark.parametrize("time", [NOW - DAY_US, -1, 10**18, 10**30])
def test_a_contract_is_not_signed_for_a_day_that_has_passed_or_that_no_calendar_has(time: int) -> None:
    assert len(effective_faults(time, NOW)) == 1


def test_the_day_of_signing_in_vietnam_has_not_passed() -> None:
    midnight = 1_789_923_600_000_000
    assert effective_faults(midnight, NOW) == []
    assert effective_faults(midnight - 1, NOW) == ["the effective day 2026-09-20 has passed"]


def test_a_change_to_a_name_that_cannot_be_printed_is_told() -> None:
    assert change_faults("A\nB", "") == ["customer_name has characters that cannot be printed"]
