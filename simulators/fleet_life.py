"""The life of a fleet: its meters count, lose their supply, are exchanged and tampered with, and have something to say.

Knows how the parts of a fleet belong together and what happens to it as time passes. Does not know wire, threads or the
clock.
"""

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from simulators.fleet_account import FleetTruth
from simulators.fleet_answers import Answering, FleetAnswers, Question
from simulators.fleet_energy import FleetEnergy
from simulators.fleet_exchange import ExchangeRecord, Identities
from simulators.fleet_faults import FleetFaults, near_rollover
from simulators.fleet_messages import FleetMessages, Message, Registers
from simulators.fleet_passage import Passage
from simulators.fleet_registers import BillingRegisters
from simulators.fleet_reporting import Notice, NoticeKind, Report, Reporting, ReportingPlan
from simulators.fleet_scenario import FleetFault
from simulators.meter_fleet import Fleet

log = logging.getLogger(__name__)


class FleetLife:
    """One fleet since ``start`` (µs) under a scenario. Not safe for several threads, except ``feeder_state``."""

    def __init__(self, fleet: Fleet, plan: ReportingPlan, faults: Sequence[FleetFault], links: int, start: int) -> None:
        scenario = FleetFaults(faults, fleet, start)
        period_us = plan.capture_period_us
        fleet = near_rollover(fleet, scenario.rolling_over(), start, period_us)
        exchanges, tamperings = scenario.exchanges(period_us), scenario.tamperings()
        self.fleet = fleet
        self.plan = plan
        self.energy = FleetEnergy(fleet, (*tamperings, *exchanges))
        self.reporting = Reporting(fleet, plan, links=links, start=start)
        self.held_back = dict(scenario.held_back())
        for sender, until in self.held_back.items():
            self.reporting.hold_back(sender, until)
        self._identities = Identities(fleet, exchanges)
        self.messages = FleetMessages(fleet, self.energy, self.reporting, self._identities)
        self.messages.clock_off_us = scenario.clock_off_us()
        self._logged = deque(sorted(event for each in tamperings for event in each.events()))
        answers = FleetAnswers(
            fleet,
            self.energy,
            period_us,
            plan.memory_us,
            self.messages.clock_off_us,
            self._identities,
            tuple(self._logged),
        )
        self._answering = Answering(fleet, answers, self.messages, scenario)
        self.passage = Passage(scenario)
        self.registers = BillingRegisters(fleet, self.energy, self.reporting, start)
        self._changes: deque[tuple[int, int, bool]] = deque()
        self._dead_since: dict[int, int] = {}
        self._feeder_numbers = {fleet.feeders[number].name: number for number in np.unique(fleet.feeder).tolist()}

    def feeder_state(self, feeder: str, now: int, *, energised: bool) -> bool:
        """Tell that a feeder (``TN07/473``) died or returned; it takes effect as time passes. Any thread.

        False when no meter of this fleet hangs there.
        """
        number = self._feeder_numbers.get(feeder)
        if number is None:
            return False
        self._changes.append((number, now, energised))
        return True

    def pass_time(self, now: int, *, is_closing: bool) -> None:
        """Let happen what is due. ``is_closing``: no new boundary counts any more."""
        while self._changes:
            self._change(*self._changes.popleft())
        while self._logged and self._logged[0][0] <= now:
            time, row, code = self._logged.popleft()
            self.reporting.event(row, time, code)
        self.reporting.pass_time(now)
        if not is_closing:
            self.registers.pass_time(now)

    def answers(self, question: Question, now: int) -> list[Message]:
        """What meters say to a question, readings first; silence is no message."""
        _, acknowledged = self.reporting.last_ends()
        return self._answering.messages(question, acknowledged, now)

    def reports(self, rooms: Mapping[int, int], now: int) -> Iterator[Message]:
        """What senders report now, as far as their links have room, as a scenario lets it through.

        Who sent one that vanishes believes it delivered.
        """
        reports = [report for link, room in rooms.items() for report in self.reporting.due(link, now, room)]
        for report, message in zip(reports, self.messages.reports(reports), strict=True):
            arriving = self.passage.let_through(report, message, now)
            if arriving is None:
                self.reporting.acknowledged(report)
            yield from arriving or ()

    def delayed(self, now: int, *, is_closing: bool) -> Iterator[Message]:
        """What a scenario has held up until now; at the end, everything."""
        while (held := self.passage.held()) is not None and (held[0] <= now or is_closing):
            yield self.passage.take()

    def sender_of(self, message: Message) -> int:
        """Who speaks; −1 for answers, which go out where their question came in."""
        content = message.content
        if isinstance(content, Report):
            return content.sender
        if isinstance(content, Registers):
            return self.reporting.sender_of(content.row)
        if isinstance(content, Notice):
            is_of_meter = content.kind is NoticeKind.EVENT
            return self.reporting.sender_of(content.index) if is_of_meter else content.index
        return -1

    def serials(self, row: int) -> tuple[int, ...]:
        """The meters that stand at a place one after the other."""
        return tuple(each.serial for each in self._identities.installations(row))

    def truth(self, rows: Sequence[int] | None = None) -> FleetTruth:
        """What must have arrived, of the meters at some places or at all."""
        return self._identities.truth(
            self.plan.capture_period_us,
            self.reporting.first_end,
            *self.reporting.last_ends(),
            places=range(len(self.fleet)) if rows is None else rows,
        )

    def exchanged(self, now: int) -> list[ExchangeRecord]:
        """What fitters have written down so far."""
        return self._identities.exchanged(now, self.energy.before)

    def _change(self, feeder: int, now: int, energised: bool) -> None:  # noqa: FBT001  # unpacked from the queue only
        if self.energy.energised(feeder) == energised:
            return
        time = self.reporting.feeder_state(feeder, now, energised=energised)
        self.energy.feeder_state(feeder, time, energised=energised)
        self.energy.forget_outages_before(time - self.plan.memory_us)
        name, meters = self.fleet.feeders[feeder].name, len(self.fleet.rows_of_feeder(feeder))
        if energised:
            dead_s = (time - self._dead_since.pop(feeder)) / 1e6
            log.info("%s energised again after %.0f s: %d meters report", name, dead_s, meters)
        else:
            self._dead_since[feeder] = time
            log.info("%s dead: %d meters send their last gasp and fall silent", name, meters)
