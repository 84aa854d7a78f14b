"""One process of meters that each hold their own MQTT connection: thousands of sockets, one poll, one thread.

Knows sockets, when a modem connects (with jitter: all at once overflow the broker's listen queue) and what becomes of
its connection. Who reports what is ``simulators.fleet_reporting``, as for shared connections; a meter whose modem is
not connected is held back. These modems hear no requests.

Started by ``simulators.own_connections``: the plan is the only argument, as JSON. Tells a JSON line a second; a line on
standard input has it offer nothing new, deliver what it owes, tell a last line and end.
"""

import errno
import json
import os
import random
import select
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from scada.clock import now_us
from scada.stationfile import load_province
from simulators.fleet_energy import FleetEnergy
from simulators.fleet_messages import FleetMessages
from simulators.fleet_reporting import Report, Reporting, ReportingPlan
from simulators.meter_fleet import Fleet, feeders_of, make_fleet
from simulators.mqtt_packets import (
    CONNACK,
    NO_MATCHING_SUBSCRIBERS,
    PINGREQ,
    PUBACK,
    SUCCESS,
    Login,
    connack_reason,
    connect_packet,
    packets_in,
    puback_of,
    publish_packet,
)

NEVER = 4_102_444_800_000_000
"""2100-01-01: until then a meter whose modem is not connected is held back."""

PASSWORD_VARIABLE = "SCADA_FIELD_PASSWORD"
CONNECTS_PER_S = 600
KEEPALIVE_S = 120
UNHEARD_PAUSE_US = 1_000_000
LOOK_S = 0.05
TELL_S = 1.0
RESEND_US = 60_000_000
WINDOW_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class ModemPlan:
    """Meters ``first`` to ``after`` − 1 of a fleet, speaking from the loopback address ``source``."""

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
    drain_s: float = 60.0


@dataclass(frozen=True, slots=True)
class ModemState:
    """Figures of a process: readings are counted once, ``losses`` are connections lost, ``unheard`` found nobody."""

    connected: int = 0
    offered: int = 0
    acknowledged: int = 0
    losses: int = 0
    unheard: int = 0
    last: bool = False


@dataclass(slots=True)
class _Modem:
    meter: int
    connect_at: float
    link: socket.socket | None = None
    connected: bool = False
    received: bytes = b""
    spoke_at: float = 0.0
    packet_id: int = 0
    outstanding: dict[int, Report] = field(default_factory=dict)


class Modems:
    """The meters of one process. Not safe for several threads."""

    def __init__(self, plan: ModemPlan, fleet: Fleet, password: str, start: int) -> None:
        period_us = plan.capture_period_s * 1_000_000
        self._plan = plan
        self._login = Login(plan.host, plan.port, plan.username, password)
        self._reporting = Reporting(
            fleet, ReportingPlan(period_us, int(period_us * WINDOW_SHARE), RESEND_US), links=1, start=start
        )
        for sender in range(self._reporting.senders):
            self._reporting.hold_back(sender, NEVER)
        self._messages = FleetMessages(fleet, FleetEnergy(fleet), self._reporting)
        now = time.monotonic()
        self._modems = {
            meter: _Modem(meter, now + (meter - plan.first) / CONNECTS_PER_S) for meter in range(plan.first, plan.after)
        }
        self._by_descriptor: dict[int, _Modem] = {}
        self._poll = select.epoll()
        self._losses = self._unheard = 0

    def serve(self, wait_s: float) -> None:
        """Read and connect what is ready."""
        for descriptor, events in self._poll.poll(wait_s, 4000):
            modem = self._by_descriptor.get(descriptor)
            if modem is not None:
                self._serve(modem, events)

    def look(self, now: int) -> None:
        """Begin what is due: connections, reports, and a word of those that have long said nothing."""
        moment = time.monotonic()
        for modem in self._modems.values():
            if modem.link is None and moment >= modem.connect_at:
                self._begin(modem)
            elif modem.connected and moment > modem.spoke_at + KEEPALIVE_S / 2:
                self._send(modem, PINGREQ)
        self._reporting.pass_time(now)
        reports = self._reporting.due(0, now, len(self._modems))
        for report, message in zip(reports, self._messages.reports(reports), strict=True):
            modem = self._modems[report.sender]
            modem.packet_id = modem.packet_id % 65_535 + 1
            modem.outstanding[modem.packet_id] = report
            self._send(modem, publish_packet(message.topic, message.payload, modem.packet_id))

    def close(self) -> None:
        """Offer nothing new from now on."""
        self._reporting.close()

    def leave(self) -> None:
        """End all connections."""
        for modem in self._modems.values():
            if modem.link is not None:
                modem.link.close()
        self._poll.close()

    @property
    def owed(self) -> bool:
        """True while a meter has something undelivered, or is on its way back to the broker with it."""
        return self._reporting.owed

    def state(self, *, last: bool = False) -> ModemState:
        """The figures of this moment."""
        reporting = self._reporting
        connected = sum(modem.connected for modem in self._modems.values())
        offered, taken = reporting.readings_offered, reporting.readings_acknowledged
        return ModemState(connected, offered, taken, self._losses, self._unheard, last)

    def _begin(self, modem: _Modem) -> None:
        link = socket.socket()
        link.setblocking(False)  # noqa: FBT003  # the library's own
        link.bind((self._plan.source, 0))
        if link.connect_ex((self._login.host, self._login.port)) not in (0, errno.EINPROGRESS):
            link.close()
            self._again(modem)
            return
        modem.link, modem.received = link, b""
        self._by_descriptor[link.fileno()] = modem
        self._poll.register(link.fileno(), select.EPOLLOUT)

    def _serve(self, modem: _Modem, events: int) -> None:
        assert modem.link is not None
        if events & select.EPOLLOUT:
            self._poll.modify(modem.link.fileno(), select.EPOLLIN)
            self._send(modem, connect_packet(f"{self._plan.client_id}-{modem.meter}", self._login, KEEPALIVE_S))
            return
        try:
            received = modem.link.recv(4096)
        except OSError:
            received = b""
        if not received:
            self._lose(modem)
            return
        packets, modem.received = packets_in(modem.received + received)
        for kind, body in packets:
            if kind == CONNACK and connack_reason(body) == SUCCESS:
                modem.connected = True
                self._reporting.hold_back(modem.meter, 0)
            elif kind == PUBACK:
                self._settle(modem, *puback_of(body))

    def _settle(self, modem: _Modem, packet_id: int, reason: int) -> None:
        report = modem.outstanding.pop(packet_id, None)
        if report is None:
            return
        if reason == SUCCESS:
            self._reporting.acknowledged(report)
            return
        self._unheard += 1
        self._reporting.refused(report)
        if reason == NO_MATCHING_SUBSCRIBERS:
            self._reporting.hold_back(modem.meter, now_us() + UNHEARD_PAUSE_US)

    def _send(self, modem: _Modem, packet: bytes) -> None:
        if modem.link is None:
            return
        modem.spoke_at = time.monotonic()
        try:
            modem.link.sendall(packet)
        except OSError:
            self._lose(modem)

    def _lose(self, modem: _Modem) -> None:
        """The connection is gone: what was said lately is due again once it is back."""
        assert modem.link is not None
        self._losses += modem.connected
        del self._by_descriptor[modem.link.fileno()]
        modem.link.close()
        modem.link, modem.connected = None, False
        modem.outstanding.clear()
        self._reporting.sender_lost(modem.meter)
        self._reporting.hold_back(modem.meter, NEVER)
        self._again(modem)

    def _again(self, modem: _Modem) -> None:
        modem.connect_at = time.monotonic() + 0.5 + random.random() * len(self._modems) / CONNECTS_PER_S


def run(modems: Modems, plan: ModemPlan) -> None:
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
            told_at = moment
        if leave_at is None and commands.poll(0):
            modems.close()
            leave_at = moment + plan.drain_s
    modems.leave()
    _tell(modems.state(last=True))


def _tell(state: ModemState) -> None:
    sys.stdout.write(json.dumps(asdict(state)) + "\n")
    sys.stdout.flush()


def main() -> None:
    """The plan is the only argument; the broker's password is in the environment."""
    plan = ModemPlan(**json.loads(sys.argv[1]))
    fleet = make_fleet(
        feeders_of(load_province(Path(plan.stations))), meters=plan.meters, seed=plan.seed, direct_share=1.0
    )
    run(Modems(plan, fleet, os.environ.get(PASSWORD_VARIABLE, ""), now_us()), plan)


if __name__ == "__main__":
    main()
