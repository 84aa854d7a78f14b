"""One process of meters that each hold their own MQTT connection.

Joins the life of a fleet (``simulators.fleet_life``, the same as behind shared connections: reports, events, billing
registers, answers, and what a scenario does to them) to the modems' connections (``simulators.modem_links``). Every
process knows the whole fleet and lets its own meters speak; one whose modem is not connected is held back.

Started by ``simulators.own_connections``: the plan is the only argument, as JSON. Tells a JSON line a second; when
standard input ends it offers nothing new, delivers what it owes, tells a last line and ends.
"""

import json
import os
import select
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from meters.topic import DIRECT, Subject, talk_topic
from scada.clock import now_us
from scada.stationfile import load_province
from simulators.fleet_answers import Question
from simulators.fleet_life import FleetLife
from simulators.fleet_messages import Message, Registers
from simulators.fleet_reporting import Report, ReportingPlan
from simulators.fleet_scenario import load_scenario
from simulators.meter_fleet import feeders_of, make_fleet
from simulators.modem_links import UNHEARD_PAUSE_S, Modem, ModemLinks
from simulators.mqtt_packets import Login
from simulators.registry_file import write_exchanges, write_truth

NEVER = 4_102_444_800_000_000
"""2100-01-01: until then a meter whose modem is not connected is held back."""

PASSWORD_VARIABLE = "SCADA_FIELD_PASSWORD"
LOOK_S = 0.05
TELL_S = 1.0
RESEND_US = 60_000_000
WINDOW_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class ModemPlan:
    """Meters ``first`` to ``after`` − 1 of a fleet, speaking from the loopback address ``source``.

    start: of the fleet, µs; the same for all its processes · scenario: as in ``simulators.fleet_scenario`` ·
    truth_file, exchange_file: of this part, as in ``simulators.registry_file``; '' for none, as of a scenario.
    """

    meters: int
    seed: int
    first: int
    after: int
    host: str
    port: int
    username: str
    source: str
    capture_period_s: int
    client_id: str
    stations: str
    start: int
    scenario: str = ""
    truth_file: str = ""
    exchange_file: str = ""
    drain_s: float = 60.0


@dataclass(frozen=True, slots=True)
class ModemState:
    """Figures of a process: readings are counted once, ``losses`` are connections lost, ``unheard`` found nobody.

    ``resent`` counts repetitions, ``reports_lost`` what a scenario swallowed; the others are messages.
    """

    connected: int = 0
    offered: int = 0
    acknowledged: int = 0
    losses: int = 0
    unheard: int = 0
    resent: int = 0
    reports_lost: int = 0
    requests_answered: int = 0
    registers_acknowledged: int = 0
    last: bool = False


class Modems:
    """The meters of one process. Not safe for several threads."""

    def __init__(self, plan: ModemPlan, life: FleetLife, password: str) -> None:
        self._life = life
        self._reporting = life.reporting
        for sender in range(self._reporting.senders):
            self._reporting.hold_back(sender, NEVER)
        topics = {meter: _topics(life, meter) for meter in range(plan.first, plan.after)}
        login = Login(plan.host, plan.port, plan.username, password)
        self._links = ModemLinks(topics, login, plan.source, plan.client_id, self)
        self._modems = self._links.modems
        self._questions: deque[tuple[Modem, Question]] = deque()
        self._is_closing = False
        self._losses = self._unheard = self._answered = self._registers = 0

    def serve(self, wait_s: float) -> None:
        """Read and connect what is ready."""
        self._links.serve(wait_s)

    def look(self, now: int) -> None:
        """Let happen what is due, and have said what there is to say."""
        self._links.look()
        self._life.pass_time(now, is_closing=self._is_closing)
        while (notice := self._reporting.next_notice(0, now)) is not None:
            self._say(self._life.messages.notice(notice))
        for message in self._life.reports({0: len(self._modems)}, now):
            self._say(message)
        for message in self._life.delayed(now, is_closing=self._is_closing):
            self._say(message)
        while self._questions:
            self._answer(*self._questions.popleft(), now)
        due = self._life.registers.take(0, len(self._modems))
        for message in self._life.messages.registers([each for each in due if each.row in self._modems]):
            self._say(message)

    def close(self) -> None:
        """Offer nothing new from now on."""
        self._reporting.close()
        self._is_closing = True

    def leave(self) -> None:
        """End all connections."""
        self._links.leave()

    @property
    def owed(self) -> bool:
        """True while something is undelivered, or its meter is on its way back to the broker with it."""
        under_way = any(each.outstanding or each.waiting for each in self._modems.values())
        held = self._life.passage.held() is not None or any(self._life.registers.waiting)
        return under_way or held or self._reporting.owed

    def state(self, *, last: bool = False) -> ModemState:
        """The figures of this moment."""
        reporting = self._reporting
        return ModemState(
            connected=sum(modem.connected for modem in self._modems.values()),
            offered=reporting.readings_offered,
            acknowledged=reporting.readings_acknowledged,
            losses=self._losses,
            unheard=self._unheard,
            resent=reporting.readings_resent,
            reports_lost=self._life.passage.lost,
            requests_answered=self._answered,
            registers_acknowledged=self._registers,
            last=last,
        )

    def _say(self, message: Message) -> None:
        """What meters of other processes have to say is said there."""
        modem = self._modems.get(self._life.sender_of(message))
        if modem is not None:
            self._links.say(modem, message)

    def _answer(self, modem: Modem, question: Question, now: int) -> None:
        said = self._life.answers(question, now)
        self._answered += bool(said)
        for message in said:
            self._links.say(modem, message)

    # -- what happens to the modems

    def modem_up(self, modem: Modem) -> None:
        """It may speak, unless a scenario holds it back."""
        self._reporting.hold_back(modem.meter, self._life.held_back.get(modem.meter, 0))

    def modem_down(self, modem: Modem, lost: Sequence[Message]) -> None:
        """What was said lately is due again once it is back."""
        self._losses += 1
        modem.waiting.extend(each for each in lost if not isinstance(each.content, Report))
        self._reporting.sender_lost(modem.meter)
        self._reporting.hold_back(modem.meter, NEVER)

    def asked(self, modem: Modem, question: Question) -> None:
        """Answered at the next look."""
        self._questions.append((modem, question))

    def settled(self, modem: Modem, message: Message, *, heard: bool) -> None:
        """What nobody heard is said again."""
        content = message.content
        if heard:
            self._registers += isinstance(content, Registers)
            if isinstance(content, Report):
                self._reporting.acknowledged(content)
            return
        self._unheard += 1
        if isinstance(content, Report):
            self._reporting.refused(content)
            held = self._life.held_back.get(modem.meter, 0)
            self._reporting.hold_back(modem.meter, max(held, now_us() + round(UNHEARD_PAUSE_S * 1e6)))
        else:
            modem.waiting.appendleft(message)


def _topics(life: FleetLife, meter: int) -> tuple[str, ...]:
    """Where the meters are asked that stand at a place one after the other."""
    unit = life.fleet.unit(meter)
    return tuple(talk_topic(unit, DIRECT, serial, Subject.REQUEST) for serial in life.serials(meter))


def make_life(plan: ModemPlan) -> FleetLife:
    """The fleet that all processes of a plan share. Raises ConfigurationError for a bad scenario."""
    feeders = feeders_of(load_province(Path(plan.stations)))
    period_us = plan.capture_period_s * 1_000_000
    return FleetLife(
        make_fleet(feeders, meters=plan.meters, seed=plan.seed, direct_share=1.0),
        ReportingPlan(period_us, int(period_us * WINDOW_SHARE), RESEND_US),
        load_scenario(plan.scenario).fault if plan.scenario else (),
        links=1,
        start=plan.start,
    )


def run(modems: Modems, plan: ModemPlan, life: FleetLife) -> None:
    """Report until told to stop, then deliver what is owed within ``drain_s``; a line a second meanwhile."""
    commands = select.poll()
    commands.register(sys.stdin, select.POLLIN | select.POLLHUP)
    looked_at = told_at = 0.0
    leave_at: float | None = None
    while leave_at is None or (time.monotonic() < leave_at and modems.owed):
        modems.serve(0.02)
        moment = time.monotonic()
        if moment >= looked_at + LOOK_S:
            modems.look(now_us())
            looked_at = moment
        if moment >= told_at + TELL_S:
            _tell(modems.state())
            _tell_exchanges(plan, life)
            told_at = moment
        if leave_at is None and commands.poll(0):
            modems.close()
            leave_at = moment + plan.drain_s
    modems.leave()
    if plan.truth_file:
        write_truth(life.truth(range(plan.first, plan.after)), Path(plan.truth_file))
    _tell(modems.state(last=True))


def _tell(state: ModemState) -> None:
    sys.stdout.write(json.dumps(asdict(state)) + "\n")
    sys.stdout.flush()


def _tell_exchanges(plan: ModemPlan, life: FleetLife) -> None:
    if plan.exchange_file and (exchanged := life.exchanged(now_us())):
        write_exchanges(life.fleet, exchanged, Path(plan.exchange_file))


def main() -> None:
    """The plan is the only argument; the broker's password is in the environment."""
    plan = ModemPlan(**json.loads(sys.argv[1]))
    life = make_life(plan)
    run(Modems(plan, life, os.environ.get(PASSWORD_VARIABLE, "")), plan, life)


if __name__ == "__main__":
    main()
