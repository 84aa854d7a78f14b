"""The MQTT connections of thousands of modems: a socket each, one poll, one thread.

Knows sockets and packets: when a modem connects (with jitter: all at once overflow the broker's listen queue), what is
on its way, and what waits for room. Does not know who reports what; whoever owns the modems is told what became of it.
"""

import errno
import logging
import random
import select
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from simulators.fleet_answers import Question
from simulators.fleet_messages import Message, OnRequest
from simulators.mqtt_packets import (
    CONNACK,
    KIND,
    PINGREQ,
    PUBACK,
    PUBLISH,
    SUBACK,
    SUCCESS,
    Login,
    connack_reason,
    connect_packet,
    packets_in,
    puback_of,
    puback_packet,
    publish_packet,
    published,
    suback_refuses,
    subscribe_packet,
)

CONNECTS_PER_S = 600
KEEPALIVE_S = 120
WINDOW = 20
"""Messages of a modem on their way: what fits its send buffer."""

UNHEARD_PAUSE_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Modem:
    """The modem of one meter (a row of the fleet). ``waiting``: said, but not sent yet."""

    meter: int
    topics: tuple[str, ...]
    connect_at: float
    link: socket.socket | None = None
    connected: bool = False
    received: bytes = b""
    spoke_at: float = 0.0
    quiet_until: float = 0.0
    packet_id: int = 0
    outstanding: dict[int, Message] = field(default_factory=dict)
    waiting: deque[Message] = field(default_factory=deque)


class ModemOwner(Protocol):
    """Who is told what happens to modems."""

    def modem_up(self, modem: Modem) -> None:
        """The broker has taken it."""
        ...

    def modem_down(self, modem: Modem, lost: Sequence[Message]) -> None:
        """Its connection is gone; ``lost``: what was on its way or waited, in its order."""
        ...

    def settled(self, modem: Modem, message: Message, *, heard: bool) -> None:
        """The broker has answered to a message; ``heard``: it took it, and somebody listens."""
        ...

    def asked(self, modem: Modem, question: Question) -> None:
        """Somebody asks the meter."""
        ...


class ModemLinks:
    """The modems of one process, speaking from the loopback address ``source``. Not safe for several threads.

    topics: of each meter, where it is asked.
    """

    def __init__(
        self, topics: Mapping[int, tuple[str, ...]], login: Login, source: str, client_id: str, owner: ModemOwner
    ) -> None:
        self._login = login
        self._source = source
        self._client_id = client_id
        self._owner = owner
        now = time.monotonic()
        self.modems = {
            meter: Modem(meter, of, now + number / CONNECTS_PER_S) for number, (meter, of) in enumerate(topics.items())
        }
        self._by_descriptor: dict[int, Modem] = {}
        self._poll = select.epoll()

    def serve(self, wait_s: float) -> None:
        """Read and connect what is ready."""
        for descriptor, events in self._poll.poll(wait_s, 4000):
            modem = self._by_descriptor.get(descriptor)
            if modem is not None:
                self._serve(modem, events)

    def look(self) -> None:
        """Begin what is due: connections, what waited, and a word of those that have long said nothing."""
        moment = time.monotonic()
        for modem in self.modems.values():
            if modem.link is None and moment >= modem.connect_at:
                self._begin(modem)
            elif modem.connected and modem.waiting:
                self._send_waiting(modem)
            elif modem.connected and moment > modem.spoke_at + KEEPALIVE_S / 2:
                self._send(modem, PINGREQ)

    def say(self, modem: Modem, message: Message) -> None:
        """Send a message after what waits already, at once if there is room."""
        modem.waiting.append(message)
        self._send_waiting(modem)

    def leave(self) -> None:
        """End all connections."""
        for modem in self.modems.values():
            if modem.link is not None:
                modem.link.close()
        self._poll.close()

    def _send_waiting(self, modem: Modem) -> None:
        if time.monotonic() < modem.quiet_until:
            return
        while modem.connected and modem.waiting and len(modem.outstanding) < WINDOW:
            message = modem.waiting.popleft()
            number = _next_id(modem)
            modem.outstanding[number] = message
            mark = message.content.correlation if isinstance(message.content, OnRequest) else b""
            self._send(modem, publish_packet(message.topic, message.payload, number, correlation=mark))

    def _begin(self, modem: Modem) -> None:
        link = socket.socket()
        link.setblocking(False)  # noqa: FBT003  # the library's own
        link.bind((self._source, 0))
        if link.connect_ex((self._login.host, self._login.port)) not in (0, errno.EINPROGRESS):
            link.close()
            self._again(modem)
            return
        modem.link, modem.received = link, b""
        self._by_descriptor[link.fileno()] = modem
        self._poll.register(link.fileno(), select.EPOLLOUT)

    def _serve(self, modem: Modem, events: int) -> None:
        assert modem.link is not None
        if events & select.EPOLLOUT:
            self._poll.modify(modem.link.fileno(), select.EPOLLIN)
            self._send(modem, connect_packet(f"{self._client_id}-{modem.meter}", self._login, KEEPALIVE_S))
            return
        try:
            received = modem.link.recv(4096)
        except OSError:
            received = b""
        if not received:
            self._lose(modem)
            return
        packets, modem.received = packets_in(modem.received + received)
        for first, body in packets:
            self._take(modem, first, body)

    def _take(self, modem: Modem, first: int, body: bytes) -> None:
        kind = first & KIND
        if kind == PUBACK:
            self._settle(modem, *puback_of(body))
        elif kind == PUBLISH:
            came = published(first, body)
            if came.packet_id:
                self._send(modem, puback_packet(came.packet_id))
            self._owner.asked(modem, Question(came.topic, came.payload, came.answer_topic, came.correlation))
        elif kind == CONNACK and connack_reason(body) == SUCCESS:
            modem.connected = True
            self._send(modem, subscribe_packet(modem.topics, _next_id(modem)))
            if modem.connected:
                self._owner.modem_up(modem)
        elif kind == SUBACK and suback_refuses(body):
            _log.warning("Modem of meter %d: the broker refuses %s", modem.meter, ", ".join(modem.topics))

    def _settle(self, modem: Modem, packet_id: int, reason: int) -> None:
        message = modem.outstanding.pop(packet_id, None)
        if message is None:
            return
        if reason != SUCCESS:
            modem.quiet_until = time.monotonic() + UNHEARD_PAUSE_S
        self._owner.settled(modem, message, heard=reason == SUCCESS)
        self._send_waiting(modem)

    def _send(self, modem: Modem, packet: bytes) -> None:
        if modem.link is None:
            return
        modem.spoke_at = time.monotonic()
        try:
            modem.link.sendall(packet)
        except OSError:
            self._lose(modem)

    def _lose(self, modem: Modem) -> None:
        assert modem.link is not None
        was_up = modem.connected
        del self._by_descriptor[modem.link.fileno()]
        modem.link.close()
        modem.link, modem.connected = None, False
        lost = [*modem.outstanding.values(), *modem.waiting]
        modem.outstanding.clear()
        modem.waiting.clear()
        self._again(modem)
        if was_up:
            self._owner.modem_down(modem, lost)
        else:
            modem.waiting.extend(lost)

    def _again(self, modem: Modem) -> None:
        modem.connect_at = time.monotonic() + 0.5 + random.random() * len(self.modems) / CONNECTS_PER_S


def _next_id(modem: Modem) -> int:
    """A packet identifier that is not in use."""
    modem.packet_id = modem.packet_id % 65_535 + 1
    return modem.packet_id
