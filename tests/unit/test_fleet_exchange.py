"""Meters exchanged and tampered with: no energy is lost or made by an exchange, and tampering shows where it should."""

import json
from pathlib import Path

import numpy as np
import pytest

from historian.exchange import COLUMNS, read_exchanges
from meters.packed import decode_batch
from meters.rejection import Rejected
from meters.request import Asked, RequestKind
from scada.model.station import CustomerShares
from simulators.fleet_answers import FleetAnswers
from simulators.fleet_energy import FleetEnergy
from simulators.fleet_exchange import Exchange, Identities
from simulators.fleet_faults import FleetFaults
from simulators.fleet_messages import FleetMessages
from simulators.fleet_reporting import Notice, NoticeKind, Report, Reporting, ReportingPlan
from simulators.fleet_scenario import FaultKind, FleetFault
from simulators.fleet_tamper import TamperForm
from simulators.meter_fleet import FeederShare, Fleet, make_fleet
from simulators.registry_file import EXCHANGE_COLUMNS, write_exchanges

START = 1_780_000_200_000_000
PERIOD = 1_800_000_000
SECOND = 1_000_000
MEMORY = 60 * 86_400 * SECOND
AT = START + 2 * PERIOD
LATER = AT + 48 * PERIOD
MIXED = CustomerShares(residential=0.7, production=0.1, business=0.1, pv=0.1)


class Handled:
    """A fleet in which the scenario's exchanges and tamperings happen."""

    def __init__(self, *faults: FleetFault) -> None:
        self.fleet: Fleet = make_fleet((FeederShare("TN01/471", "PN01", 6.0, MIXED),), meters=2000, seed=5)
        scenario = FleetFaults(faults, self.fleet, START)
        self.exchanges: tuple[Exchange, ...] = scenario.exchanges(PERIOD)
        self.tamperings = scenario.tamperings()
        self.identities = Identities(self.fleet, self.exchanges)
        self.energy = FleetEnergy(self.fleet, (*self.tamperings, *self.exchanges))
        self.reporting = Reporting(self.fleet, ReportingPlan(PERIOD, 0, 60 * SECOND), links=1, start=START)
        self.messages = FleetMessages(self.fleet, self.energy, self.reporting, self.identities)

    def answers(self, *asked: Asked, kind: RequestKind = RequestKind.PROFILE) -> list[tuple[int, int, object]]:
        events = [event for each in self.tamperings for event in each.events()]
        field = FleetAnswers(
            self.fleet, self.energy, PERIOD, MEMORY, self.messages.clock_off_us, self.identities, events
        )
        found = field.answer(kind, asked, np.full(len(self.fleet), LATER), LATER)
        return [(each.serial, each.sent, each.empty or each.events) for each in found.answers]


def exchange(share: float = 0.1, *, after: int = 2) -> FleetFault:
    return FleetFault(FaultKind.EXCHANGE, share=share, from_s=after * 1800.0 - 7.0)


def tampered(uncounted: float = 0.6) -> FleetFault:
    return FleetFault(
        FaultKind.TAMPERED, share=0.1, form=TamperForm.STRONG_FIELD, uncounted=uncounted, from_s=600.0, until_s=7200.0
    )


@pytest.mark.parametrize("faults", [(exchange(),), (exchange(), exchange(1.0, after=5)), (tampered(), exchange())])
def test_no_energy_is_lost_or_made_by_an_exchange(faults: tuple[FleetFault, ...]) -> None:
    """Use = (end of the old − R0) + (R1 − start of the new) = what the same customers use without an exchange."""
    done = Handled(*faults)
    same = Handled(*(each for each in faults if each.kind is not FaultKind.EXCHANGE))
    records = done.identities.exchanged(LATER, done.energy.before)
    used = np.zeros(len(done.fleet), dtype=np.int64)
    for each in records:
        used[each.row] += each.end_import_wh - each.start_import_wh
    rows = np.arange(len(done.fleet))
    used += done.energy.registers(rows, LATER)[0] - done.energy.registers(rows, START)[0]
    assert np.array_equal(used, same.energy.registers(rows, LATER)[0] - same.energy.registers(rows, START)[0])
    assert min(each.start_import_wh for each in records) > 0


def test_the_old_meter_counts_to_the_exchange_and_the_new_one_from_there() -> None:
    done = Handled(exchange())
    record = done.identities.exchanged(AT, done.energy.before)[0]
    assert done.identities.exchanged(AT - 1, done.energy.before) == []
    last, first = (done.energy.readings(np.array([record.row]), end, PERIOD) for end in (AT, AT + PERIOD))
    assert record.end_import_wh == last["import_wh"][0]
    assert record.start_import_wh <= first["import_wh"][0] < record.start_import_wh + 100_000
    assert (record.new_serial - record.old_serial, record.at) == (5_000_000_000, AT)


def test_messages_bear_the_number_of_the_meter_that_counted() -> None:
    done = Handled(exchange(1.0))
    for sender in (0, done.reporting.concentrators):
        row = int(done.reporting.rows_of(sender)[0])
        told = []
        for end in (AT, AT + PERIOD):
            (message,) = done.messages.reports([Report(sender, end, end, historical=False)])
            assert f"/{done.identities.serial(row, end)}/" in message.topic or sender == 0
            told.append(first_serial(message.payload))
        assert told == [int(done.fleet.serial[row]), int(done.fleet.serial[row]) + 5_000_000_000]
    event = done.messages.notice(Notice(NoticeKind.EVENT, 1999, AT + 1, 1))
    assert f"/{int(done.fleet.serial[1999]) + 5_000_000_000}/" in event.topic


def first_serial(payload: bytes) -> int:
    if payload[:1] == b"{":
        return int(json.loads(payload)["serial"])
    batch = decode_batch(payload)
    assert not isinstance(batch, Rejected)
    return int(batch.rows["serial"][0])


def test_a_removed_meter_is_remembered_by_its_concentrator_and_by_nobody_else() -> None:
    done = Handled(exchange(1.0))
    span = (AT - PERIOD, AT + PERIOD)
    ask = [
        Asked(int(done.fleet.serial[row]) + added, done.fleet.metering_point(row), *span)
        for row in (0, 1999)
        for added in (0, 5_000_000_000)
    ]
    behind, own = int(done.fleet.serial[0]), int(done.fleet.serial[1999])
    assert done.answers(*ask) == [
        (behind, 2, ((AT + PERIOD, AT + PERIOD),)),
        (behind + 5_000_000_000, 1, ((AT - PERIOD, AT),)),
        (own + 5_000_000_000, 1, ((AT - PERIOD, AT),)),
    ]
    assert [serial for serial, *_ in done.answers(*ask, kind=RequestKind.READ)] == [
        behind + 5_000_000_000,
        own + 5_000_000_000,
    ]


def test_what_must_be_stored_is_told_for_both_meters() -> None:
    done = Handled(exchange())
    ends = np.full(len(done.fleet), LATER)
    truth = done.identities.truth(PERIOD, START, ends, ends, places=range(len(done.fleet)))
    assert len(truth.serial) == len(set(truth.serial.tolist())) == len(done.fleet) + len(done.exchanges[0].rows)
    assert truth.readings.sum() == len(done.fleet) * ((LATER - START) // PERIOD + 1)
    assert sorted(set(truth.readings.tolist())) == [3, 48, 51]
    row = int(done.exchanges[0].rows[0])
    part = done.identities.truth(PERIOD, START, ends, ends, places=[row])
    assert part.serial.tolist() == [each.serial for each in done.identities.installations(row)]
    assert part.readings.sum() == 51


def test_what_fitters_write_down_can_be_imported(tmp_path: Path) -> None:
    done = Handled(exchange())
    path = tmp_path / "exchanges.csv"
    records = done.identities.exchanged(LATER, done.energy.before)
    assert write_exchanges(done.fleet, records, path) == len(records) > 100
    assert EXCHANGE_COLUMNS == COLUMNS
    rows, faults = read_exchanges(path)
    assert (len(rows), faults) == (len(records), [])
    assert [row["end_import_wh"] for _, row in rows] == [each.end_import_wh for each in records]


def test_a_tampered_meter_misses_its_share_while_it_lasts_and_never_runs_backwards() -> None:
    done, honest = Handled(tampered(0.6)), Handled()
    rows = done.tamperings[0].rows
    times = range(START, START + 8 * PERIOD, PERIOD // 3)
    shown = np.array([done.energy.registers(rows, time)[0] for time in times])
    used = np.array([honest.energy.registers(rows, time)[0] for time in times])
    assert np.all(np.diff(shown, axis=0) >= 0)
    begun, ended = (honest.energy.registers(rows, START + s * SECOND)[0] for s in (600, 7200))
    assert np.array_equal(used[-1] - shown[-1], np.floor((ended - begun) * 0.6))
    assert np.array_equal(shown[:2], used[:2])
    power = [each.energy.readings(rows, START + 2 * PERIOD, PERIOD)["power_w"] for each in (done, honest)]
    assert np.allclose(power[0], power[1] * 0.4, atol=1)
    others = np.setdiff1d(np.arange(len(done.fleet)), rows)
    assert np.array_equal(
        done.energy.readings(others, START + PERIOD, PERIOD), honest.energy.readings(others, START + PERIOD, PERIOD)
    )


def test_tampering_stands_in_the_event_log_with_begin_and_end() -> None:
    done = Handled(tampered())
    row = int(done.tamperings[0].rows[0])
    asked = Asked(int(done.fleet.serial[row]), done.fleet.metering_point(row), START, LATER)
    expected = ((START + 600 * SECOND, 42), (START + 7200 * SECOND, 43))
    assert done.answers(asked, kind=RequestKind.EVENTS) == [(asked.serial, 0, expected)]
    done.reporting.event(row, *expected[0])
    told = [done.reporting.next_notice(0, START) for _ in range(len(done.fleet.concentrators) + 1)]
    assert told[-1] == Notice(NoticeKind.EVENT, row, *expected[0])
