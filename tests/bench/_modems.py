"""A process of thousands of meters that each hold their own connection and report once a minute.

Knows one small life per meter: connect, report, say it again when the connection was lost, connect again with jitter.
Reports a JSON line a second: how many are connected, how many readings were made and acknowledged. ``stop`` on standard
input ends the making of new readings; it ends itself once all are acknowledged.
"""

import errno
import json
import os
import random
import select
import socket
import sys
import time
from dataclasses import dataclass, field

from simulators.mqtt_packets import CONNACK, PUBACK, Login, connect_packet, packets_in, publish_packet
from tests.bench._fleet import INTERVAL_US, single
from tests.bench._mqtt import refused
from tests.bench._publisher import PASSWORD_VARIABLE

REPORT_S = 60.0
SPREAD_PER_S = 600
"""Connections begun per second and process: all at once overflow the broker's listen queue."""
LEAVE_WITHIN_S = 60.0


@dataclass(slots=True)
class Modem:
    """One meter. ``made`` readings were begun; the newest is ``unacknowledged`` until the broker has it."""

    number: int
    link: socket.socket | None = None
    connected: bool = False
    received: bytes = b""
    made: int = 0
    unacknowledged: bool = False
    connect_at: float = 0.0
    report_at: float = 0.0


@dataclass(slots=True)
class Fleet:
    """All meters of this process and the one poll they share."""

    address: Login
    source: str
    start: int
    modems: list[Modem]
    poll: select.epoll = field(default_factory=select.epoll)
    by_descriptor: dict[int, Modem] = field(default_factory=dict)
    losses: int = 0
    refusals: int = 0
    is_making: bool = True

    def begin(self, modem: Modem) -> None:
        """Start to connect."""
        link = socket.socket()
        link.settimeout(0.0)
        link.bind((self.source, 0))
        problem = link.connect_ex((self.address.host, self.address.port))
        if problem not in (0, errno.EINPROGRESS):
            link.close()
            self.again(modem)
            return
        modem.link = link
        modem.received = b""
        self.by_descriptor[link.fileno()] = modem
        self.poll.register(link.fileno(), select.EPOLLOUT)

    def again(self, modem: Modem) -> None:
        """Lost, or refused: try later, each at another moment."""
        modem.connect_at = time.monotonic() + 0.5 + random.random() * len(self.modems) / SPREAD_PER_S

    def lose(self, modem: Modem) -> None:
        """The connection is gone."""
        assert modem.link is not None
        self.losses += modem.connected
        del self.by_descriptor[modem.link.fileno()]
        modem.link.close()
        modem.link, modem.connected = None, False
        self.again(modem)

    def serve(self, descriptor: int, events: int) -> None:
        """Do what one socket is ready for."""
        modem = self.by_descriptor[descriptor]
        assert modem.link is not None
        try:
            if events & select.EPOLLOUT:
                modem.link.sendall(connect_packet(f"modem-{modem.number}", self.address, 0))
                self.poll.modify(descriptor, select.EPOLLIN)
                return
            received = modem.link.recv(4096)
        except OSError:
            received = b""
        if not received:
            self.lose(modem)
            return
        packets, modem.received = packets_in(modem.received + received)
        for kind, body in packets:
            if kind == CONNACK:
                self.welcome(modem)
            elif kind == PUBACK:
                modem.unacknowledged = False
                self.refusals += refused(body)

    def welcome(self, modem: Modem) -> None:
        """Connected. What was said last is said again: the broker may have died with it."""
        modem.connected = True
        if modem.made:
            self.send(modem)

    def report(self, modem: Modem) -> None:
        """Make the next reading and send it."""
        modem.made += 1
        modem.report_at += REPORT_S
        self.send(modem)

    def send(self, modem: Modem) -> None:
        """Send the newest reading."""
        assert modem.link is not None
        modem.unacknowledged = True
        topic, payload = single(modem.number, self.start + modem.made * INTERVAL_US)
        try:
            modem.link.sendall(publish_packet(topic, payload, modem.made % 65_535 + 1))
        except OSError:
            self.lose(modem)

    def look(self, now: float) -> None:
        """Begin what is due: connections, and reports of those that have nothing outstanding."""
        for modem in self.modems:
            if modem.link is None:
                if now >= modem.connect_at:
                    self.begin(modem)
            elif self.is_making and modem.connected and not modem.unacknowledged and now >= modem.report_at:
                self.report(modem)

    def state(self) -> dict[str, int]:
        """The figures of this moment."""
        return {
            "connected": sum(modem.connected for modem in self.modems),
            "made": sum(modem.made for modem in self.modems),
            "unacknowledged": sum(modem.unacknowledged for modem in self.modems),
            "losses": self.losses,
            "refusals": self.refusals,
        }


def main() -> None:
    """The plan is the only argument, as JSON; the broker's password is in the environment."""
    plan = json.loads(sys.argv[1])
    address = Login(plan["host"], plan["port"], plan["username"], os.environ[PASSWORD_VARIABLE])
    now = time.monotonic()
    count = plan["count"]
    modems = [
        Modem(
            plan["first"] + each,
            connect_at=now + each / SPREAD_PER_S,
            report_at=now + count / SPREAD_PER_S + 2.0 + each / count * REPORT_S,
        )
        for each in range(count)
    ]
    fleet = Fleet(address, plan["source"], plan["start"], modems)
    commands = select.poll()
    commands.register(sys.stdin, select.POLLIN)
    told_at = looked_at = 0.0
    leave_at: float | None = None
    while leave_at is None or time.monotonic() < leave_at:
        for descriptor, events in fleet.poll.poll(0.02, 4000):
            fleet.serve(descriptor, events)
        now = time.monotonic()
        if now >= looked_at + 0.05:
            fleet.look(now)
            looked_at = now
        if leave_at is None and commands.poll(0):
            fleet.is_making = False
            leave_at = now + LEAVE_WITHIN_S
        if now >= told_at + 1.0 or leave_at is not None:
            state = fleet.state()
            if now >= told_at + 1.0:
                print(json.dumps(state), flush=True)
                told_at = now
            if leave_at is not None and not state["unacknowledged"] and state["connected"] == count:
                break
    print(json.dumps({**fleet.state(), "last": 1}), flush=True)


if __name__ == "__main__":
    main()
