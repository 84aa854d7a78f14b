"""Scenarios of the fleet: what a file may say, and that what it does is the same each time."""

from pathlib import Path

import numpy as np
import pytest

from meters.packed import decode_batch
from meters.payload import decode_profile
from meters.rejection import Reason, Rejected
from meters.request import Asked, ControlState, RequestKind, decode_response, encode_request
from scada.model.errors import ConfigurationError
from scada.model.reading import EventCode
from scada.model.station import CustomerShares
from simulators.fleet_answers import BAD_SPAN, WRONG_POINT, Answering, FleetAnswers, Question
from simulators.fleet_energy import FleetEnergy
from simulators.fleet_faults import Fate, FleetFaults, near_rollover, spoilt
from simulators.fleet_messages import FleetMessages
from simulators.fleet_reporting import Report, Reporting, ReportingPlan
from simulators.fleet_scenario import PREFIX, SCENARIOS, FaultKind, FleetFault, load_scenario
from simulators.meter_fleet import FeederShare, Fleet, make_fleet

START = 1_780_000_200_000_000
PERIOD = 1_800_000_000
SECOND = 1_000_000
MEMORY = 60 * 86_400 * SECOND
FEEDERS = (
    FeederShare("TN01/471", "PN01", 6.0, CustomerShares(residential=0.8, production=0.1, business=0.1, pv=0.1)),
    FeederShare("TN21/473", "PN09", 6.0, CustomerShares(residential=0.8, production=0.1, business=0.1, pv=0.1)),
)


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return make_fleet(FEEDERS, meters=2000, seed=5)


def report(sender: int, interval: int = 1) -> Report:
    end = START + interval * PERIOD
    return Report(sender, end, end, historical=False)


@pytest.mark.parametrize("name", sorted(path.stem.removeprefix(PREFIX) for path in SCENARIOS.glob(f"{PREFIX}*.toml")))
def test_shipped_scenarios_can_be_used(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.fault
    assert scenario.title_vi and scenario.title_en


def test_a_scenario_tells_all_its_faults_at_once(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(
        '[[fault]]\nkind = "lost"\n[[fault]]\nkind = "ded"\ncount = 3\n[[fault]]\nkind = "dead"\ncount = 1\n'
        "from_s = 9.0\nuntil_s = 3.0\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigurationError) as told:
        load_scenario(str(file))
    assert [fault.key for fault in told.value.faults] == ["fault[2].kind"]
    file.write_text(file.read_text(encoding="utf-8").replace('"ded"', '"dead"'), encoding="utf-8")
    with pytest.raises(ConfigurationError) as told:
        load_scenario(str(file))
    assert [fault.key for fault in told.value.faults] == ["fault[1].share", "fault[3].until_s"]


def test_the_share_of_lost_reports_is_as_asked_and_the_same_each_time(fleet: Fleet) -> None:
    faults = [FleetFaults([FleetFault(FaultKind.LOST, share=0.02)], fleet, START) for _ in range(2)]
    fates = [[each.fate(report(sender, n), START) for sender in range(200) for n in range(50)] for each in faults]
    assert fates[0] == fates[1]
    assert 0.016 < sum(fate.copies == 0 for fate in fates[0]) / 10_000 < 0.024


def test_other_faults_change_a_report_as_they_say(fleet: Fleet) -> None:
    def fate(*faults: FleetFault) -> Fate:
        return FleetFaults(faults, fleet, START).fate(report(3), START)

    assert fate() == Fate()
    assert fate(FleetFault(FaultKind.DUPLICATED, share=1.0)) == Fate(copies=2)
    assert fate(FleetFault(FaultKind.CORRUPTED, share=1.0)) == Fate(corrupted=True)
    assert fate(FleetFault(FaultKind.LATE, share=1.0, delay_s=5.0)) == Fate(delay_us=5 * SECOND)
    assert 0 < fate(FleetFault(FaultKind.REORDERED, delay_s=5.0)).delay_us < 5 * SECOND


def test_a_fault_holds_from_its_begin_to_its_end(fleet: Fleet) -> None:
    faults = FleetFaults([FleetFault(FaultKind.LOST, share=1.0, from_s=10.0, until_s=20.0)], fleet, START)
    times = (9.9, 10.0, 19.9, 20.0)
    assert [faults.fate(report(1), START + round(s * 1e6)).copies for s in times] == [1, 0, 0, 1]


def test_as_many_concentrators_are_dead_as_asked_and_no_other_sender(fleet: Fleet) -> None:
    faults = FleetFaults([FleetFault(FaultKind.DEAD, count=3)], fleet, START)
    concentrators = len(fleet.concentrators)
    dead = [c for c in range(concentrators) if faults.is_dead(c, START)]
    silent = [s for s in range(concentrators + 20) if faults.fate(report(s), START).copies == 0]
    assert (len(dead), silent) == (3, dead)


def test_a_concentrator_with_a_backlog_says_nothing_and_then_everything(fleet: Fleet) -> None:
    faults = FleetFaults([FleetFault(FaultKind.BACKLOG, count=1, until_s=86_400.0)], fleet, START)
    ((held, until),) = faults.held_back()
    reporting = Reporting(fleet, ReportingPlan(PERIOD, 0, 60 * SECOND), links=1, start=START)
    reporting.hold_back(held, until)
    before = {each.sender for each in reporting.due(0, until - SECOND, 10_000)}
    after = [each for each in reporting.due(0, until, 10_000) if each.sender == held]
    assert held not in before
    assert [(each.historical, each.last_end - each.first_end) for each in after] == [(True, 9 * PERIOD)]


def test_a_clock_that_is_off_tells_the_wrong_time_of_the_right_interval(fleet: Fleet) -> None:
    energy = FleetEnergy(fleet)
    reporting = Reporting(fleet, ReportingPlan(PERIOD, 0, 60 * SECOND), links=1, start=START)
    messages = FleetMessages(fleet, energy, reporting)
    (right,) = messages.reports([report(0)])
    messages.clock_off_us = FleetFaults([FleetFault(FaultKind.CLOCK_OFF, seconds=20)], fleet, START).clock_off_us()
    (wrong,) = messages.reports([report(0)])
    told, meant = decode_batch(wrong.payload), decode_batch(right.payload)
    assert not isinstance(told, Rejected) and not isinstance(meant, Rejected)
    assert np.all(told.rows["time"] - meant.rows["time"] == 20 * SECOND)
    assert np.array_equal(told.rows["import_wh"], meant.rows["import_wh"])


def test_a_register_near_its_end_begins_again_within_three_periods(fleet: Fleet) -> None:
    faults = FleetFaults([FleetFault(FaultKind.ROLLOVER, share=0.1)], fleet, START)
    rows = faults.rolling_over()
    high = FleetEnergy(near_rollover(fleet, rows, START, PERIOD))
    before, after = high.registers(rows, START)[0], high.registers(rows, START + 12 * 3 * PERIOD)[0]
    assert 0.05 < len(rows) / len(fleet) < 0.15
    assert np.all(before > 0.9 * fleet.wrap_wh[rows])
    assert np.mean(after < before) > 0.9
    assert near_rollover(fleet, rows[:0], START, PERIOD) is fleet


def test_spoilt_payloads_are_recognised_as_such(fleet: Fleet) -> None:
    reporting = Reporting(fleet, ReportingPlan(PERIOD, 0, 60 * SECOND), links=1, start=START)
    messages = FleetMessages(fleet, FleetEnergy(fleet), reporting)
    batch, single = messages.reports([report(0), report(reporting.concentrators)])
    bad, cut = decode_batch(spoilt(batch.payload)), decode_profile(spoilt(single.payload))
    assert isinstance(bad, Rejected) and bad.reason is Reason.BAD_CHECKSUM
    assert isinstance(cut, Rejected) and cut.reason is Reason.NOT_JSON


class Meters:
    """The answering side of a fleet without a wire."""

    def __init__(self, fleet: Fleet, *faults: FleetFault) -> None:
        self.fleet = fleet
        self.energy = FleetEnergy(fleet)
        reporting = Reporting(fleet, ReportingPlan(PERIOD, 0, 60 * SECOND), links=1, start=START)
        self.messages = FleetMessages(fleet, self.energy, reporting)
        self.answers = FleetAnswers(fleet, self.energy, PERIOD, MEMORY, self.messages.clock_off_us)
        self.answering = Answering(fleet, self.answers, self.messages, FleetFaults(faults, fleet, START))
        self.acknowledged = np.full(len(fleet), START)

    def asked(self, row: int, first: int = 0, last: int = 0, *, point: str = "") -> Asked:
        return Asked(int(self.fleet.serial[row]), point or self.fleet.metering_point(row), first, last)


def test_an_interval_asked_for_again_is_the_same_to_the_byte(fleet: Fleet) -> None:
    meters = Meters(fleet)
    asked = [meters.asked(row, START - 2 * PERIOD, START) for row in (0, 1, 1999)]
    found = meters.answers.answer(RequestKind.PROFILE, tuple(asked), meters.acknowledged, START)
    assert [each.sent for each in found.answers] == [3, 3, 3]
    for end in (START - 2 * PERIOD, START - PERIOD, START):
        expected = meters.energy.readings(np.array([0, 1, 1999]), end, PERIOD)
        assert np.array_equal(found.readings[found.readings["time"] == end], expected)


def test_what_left_the_memory_is_empty_and_what_is_not_reported_yet_comes_by_itself(fleet: Fleet) -> None:
    meters = Meters(fleet)
    oldest = (START - MEMORY) // PERIOD * PERIOD
    asked = (meters.asked(0, oldest - 3 * PERIOD, oldest + PERIOD), meters.asked(1, START, START + 5 * PERIOD))
    found = meters.answers.answer(RequestKind.PROFILE, asked, meters.acknowledged, START)
    assert found.answers[0].empty == ((oldest - 3 * PERIOD, oldest - PERIOD),)
    assert (found.answers[0].sent, found.answers[1].sent, found.answers[1].empty) == (2, 1, ())


def test_a_meter_refuses_for_another_point_and_for_no_span(fleet: Fleet) -> None:
    meters = Meters(fleet)
    asked = (meters.asked(0, START, START, point="PN01000000099"), meters.asked(1, START, START - PERIOD))
    found = meters.answers.answer(RequestKind.PROFILE, asked, meters.acknowledged, START)
    assert [each.refused for each in found.answers] == [WRONG_POINT, BAD_SPAN]


def test_who_is_unknown_or_without_supply_says_nothing(fleet: Fleet) -> None:
    meters = Meters(fleet)
    meters.energy.feeder_state(int(fleet.feeder[0]), START - SECOND, energised=False)
    asked = (meters.asked(0), Asked(1, "nowhere"))
    assert meters.answers.answer(RequestKind.READ, asked, meters.acknowledged, START).answers == ()


def test_the_disconnect_control_does_as_told_and_says_so(fleet: Fleet) -> None:
    meters = Meters(fleet)
    states = []
    for kind in (RequestKind.READ, RequestKind.DISCONNECT, RequestKind.READ, RequestKind.RECONNECT, RequestKind.READ):
        found = meters.answers.answer(kind, (meters.asked(7),), meters.acknowledged, START)
        states.append(found.answers[0].state)
    on, off = ControlState.CONNECTED, ControlState.DISCONNECTED
    assert states == [on, off, off, on, on]


def test_a_clock_tells_how_far_it_was_off_and_is_right_afterwards(fleet: Fleet) -> None:
    meters = Meters(fleet)
    meters.messages.clock_off_us[7] = 12 * SECOND
    told = [
        meters.answers.answer(RequestKind.CLOCK, (meters.asked(7),), meters.acknowledged, START).answers[0].clock_off_s
        for _ in range(2)
    ]
    assert told == [12.0, 0.0]


def test_the_event_log_tells_the_outages_of_its_time(fleet: Fleet) -> None:
    meters = Meters(fleet)
    feeder = int(fleet.feeder[7])
    for time, energised in ((-900, False), (-600, True), (-300, False), (-200, True)):
        meters.energy.feeder_state(feeder, START + time * SECOND, energised=energised)
    asked = meters.asked(7, START - 650 * SECOND, START)
    found = meters.answers.answer(RequestKind.EVENTS, (asked,), meters.acknowledged, START)
    assert found.answers[0].events == (
        (START - 600 * SECOND, EventCode.POWER_RETURNED),
        (START - 300 * SECOND, EventCode.POWER_FAILURE),
        (START - 200 * SECOND, EventCode.POWER_RETURNED),
    )


def test_readings_go_out_before_the_answer_that_announces_them(fleet: Fleet) -> None:
    meters = Meters(fleet)
    payload = encode_request(RequestKind.PROFILE, tuple(meters.asked(row, START - PERIOD, START) for row in (0, 5)))
    name = fleet.concentrators[0]
    question = Question(f"ami/v1/PN01/{name}/-/request", payload, f"ami/v1/PN01/{name}/-/response", b"mark")
    *data, answer = meters.answering.messages(question, meters.acknowledged, START)
    assert [each.topic.rsplit("/", 2)[1] for each in data] == ["batch", "batch"]
    told = decode_response(answer.payload)
    assert not isinstance(told, Rejected)
    assert ([each.sent for each in told], answer.topic) == ([2, 2], question.answer_topic)


def test_a_dead_concentrator_and_one_that_does_not_exist_are_silent(fleet: Fleet) -> None:
    everyone = FleetFault(FaultKind.DEAD, count=len(fleet.concentrators))
    meters = Meters(fleet, everyone)
    payload = encode_request(RequestKind.READ, (meters.asked(0),))
    for name in (fleet.concentrators[0], "DCU99999"):
        question = Question(f"ami/v1/PN01/{name}/-/request", payload, "ami/v1/PN01/x/-/response", b"mark")
        assert meters.answering.messages(question, meters.acknowledged, START) == []
