"""Billing registers of the fleet: one message of each meter at every local midnight, and none is forgotten."""

from datetime import datetime, timedelta, timezone

import numpy as np

from meters.obis import BY_CODE
from meters.registers import decode_registers
from meters.rejection import Rejected
from meters.topic import Subject, read_topic
from scada.model.reading import RegisterKind
from scada.model.station import CustomerShares
from simulators.fleet_energy import FleetEnergy
from simulators.fleet_messages import FleetMessages, Registers
from simulators.fleet_registers import AT_ONCE, BillingRegisters, boundaries
from simulators.fleet_reporting import Reporting, ReportingPlan
from simulators.meter_fleet import FeederShare, make_fleet

VIET_NAM = timezone(timedelta(hours=7))
SHARES = CustomerShares(residential=1.0)
FLEET = make_fleet((FeederShare("TN01/471", "PN01", 6.0, SHARES), FeederShare("TN02/471", "PN01", 6.0, SHARES)),
                   meters=1000)  # fmt: skip
PERIOD = 1_800_000_000


def local(day: int, hour: int = 0, month: int = 5) -> int:
    return round(datetime(2026, month, day, hour, tzinfo=VIET_NAM).timestamp()) * 1_000_000


def made(start: int) -> tuple[FleetEnergy, Reporting, BillingRegisters]:
    energy = FleetEnergy(FLEET)
    reporting = Reporting(FLEET, ReportingPlan(PERIOD, 0, 60_000_000), links=2, start=start)
    return energy, reporting, BillingRegisters(FLEET, energy, reporting, start)


def test_every_local_midnight_is_a_boundary_and_the_first_of_a_month_ends_a_month() -> None:
    assert boundaries(local(30, 23), local(1, 1, month=6)) == [
        (local(31), RegisterKind.DAILY),
        (local(1, month=6), RegisterKind.MONTH_END),
    ]
    assert boundaries(local(31), local(31, 23)) == []
    assert boundaries(local(31) - 1, local(31)) == [(local(31), RegisterKind.DAILY)]


def test_each_meter_with_supply_sends_its_registers_once_for_each_midnight() -> None:
    energy, reporting, billing = made(local(30, 23))
    energy.feeder_state(0, local(30, 23), energised=False)
    billing.pass_time(local(30, 23) + PERIOD)
    assert billing.take(0, 10_000) == []
    billing.pass_time(local(31))
    billing.pass_time(local(31) + PERIOD)
    taken = [each for link in (0, 1) for _ in range(10) for each in billing.take(link, 10_000)]
    supplied = [row for row in range(len(FLEET)) if FLEET.feeder[row] == 1]
    assert sorted(each.row for each in taken) == supplied
    assert {(each.time, each.kind) for each in taken} == {(local(31), RegisterKind.DAILY)}
    assert all(reporting.link_of(reporting.sender_of(each.row)) == 0 for each in taken[:AT_ONCE])


def test_only_as_many_as_there_is_room_for_are_taken_and_what_was_lost_is_next() -> None:
    _, __, billing = made(local(30, 23))
    billing.pass_time(local(31))
    first = billing.take(1, 3)
    billing.again(1, first)
    assert (len(first), billing.take(1, 3)) == (3, first)


def test_a_message_tells_the_registers_as_the_head_end_reads_them() -> None:
    energy, reporting, _ = made(local(30, 23))
    messages = FleetMessages(FLEET, energy, reporting)
    wanted = [Registers(0, local(31), RegisterKind.DAILY), Registers(999, local(1, month=6), RegisterKind.MONTH_END)]
    for each, message in zip(wanted, messages.registers(wanted), strict=True):
        topic = read_topic(message.topic)
        told = decode_registers(message.payload)
        assert not isinstance(told, Rejected) and topic is not None
        assert (topic.subject, topic.serial) == (Subject.REGISTER, int(FLEET.serial[each.row]))
        assert (told.serial, told.time, told.kind, told.unknown) == (topic.serial, each.time, each.kind, ())
        values = {value.obis: value.value for value in told.values}
        codes = ("1-0:1.8.0", "1-0:2.8.0", "1-0:3.8.0")
        shown = energy.registers(np.array([each.row]), each.time)[:, 0].tolist()
        assert values == dict(zip((BY_CODE[code].number for code in codes), shown, strict=True))
