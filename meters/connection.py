"""The head-end's connection to the broker: MQTT 5, one persistent session, QoS 1, acknowledged by hand.

Knows paho and one socket, served by one thread: everything that touches the client happens in ``serve``. paho connects,
subscribes and keeps alive; what the socket holds is read here, a buffer at a time, messages are cut out of it in bulk
(``meters.framing``), and only the other packets are handed to paho. Does not know what the messages mean.

Every connection has a number, and an acknowledgement is sent only on the connection its message came on: after a
reconnect the broker may give the same packet identifier to another message, and acknowledging that one would lose it.
What was not acknowledged comes again by itself. Acknowledgements go out in the order their messages came (4.6), in
whatever order they were committed.

Memory is bounded twice. With the receive maximum of messages unacknowledged the broker sends no more (3.3.4); and while
``has_room`` says no, nothing is read, so that the broker keeps the rest however large its messages are. No maximum
packet size is announced: a broker *discards* what exceeds it (3.1.2.11.4).
"""

import logging
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from meters.framing import cut, pubacks
from meters.message import Message
from meters.owed import Owed
from scada.model.errors import LinkError
from scada.model.ports import Clock

SESSION_EXPIRY_S = 7 * 86_400
"""The broker keeps what came while the head-end was away this long; the meters' own memory lasts 60 days."""

KEEPALIVE_S = 15
PING_S = 12.0
SILENCE_S = 30.0
"""A broker that says nothing for so long, not even to our pings, is gone. paho's own watch is not used: it would take a
wire that is not being read for a dead one."""
PINGREQ = b"\xc0\x00"
CONNECT_TIMEOUT_S = 5.0
READ_BYTES = 256 * 1024
"""Most that is read before acknowledgements are sent: some 700 single readings, or 25 batches."""
GATHER_S = 0.002
"""Pause after a read that brought little: a wake-up costs as much as ten messages, and a batch gathers for 100 ms."""
LITTLE_BYTES = 64 * 1024
POLL_MS = 1000

BACK_OFF_MIN_S, BACK_OFF_MAX_S = 0.2, 10.0
SETTLED_S = 5.0
"""A connection that lasted shorter than this counts as a failed attempt, so two clients of one id do not race."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker answers and who we are there. No user name means no log-in."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)


class _Client(Client):
    """paho's client, reading what it is given instead of the socket.

    ``received`` are whole packets that paho has not read yet; ``ended`` is set when the broker has closed.
    """

    received = b""
    ended = False

    def _sock_recv(self, bufsize: int) -> bytes:
        """Stand in for paho's own, which every read of its goes through."""
        if not self.received and not self.ended:
            raise BlockingIOError
        part, self.received = self.received[:bufsize], self.received[bufsize:]
        return part


class Connection:
    """One client with one subscription; ``deliver`` is called with each burst, in the thread that runs ``serve``."""

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        subscription: str,
        receive_maximum: int,
        clock: Clock,
        deliver: Callable[[Sequence[Message]], None],
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self.is_connected = False
        self.last_error = ""
        self.stale_acknowledgements = 0
        self._broker = broker
        self._subscription = subscription
        self._receive_maximum = receive_maximum
        self._clock = clock
        self._deliver = deliver
        self._has_room = has_room
        self._number = 0
        self._lost_at: int | None = None
        self._is_leaving = False
        self._unread = b""
        self._unsent = memoryview(b"")
        self._to_acknowledge: deque[Sequence[Message]] = deque()
        self._owed = Owed(self._number)
        self._heard_at = self._pinged_at = 0.0
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.settimeout(0.0)
        self._wake_writer.settimeout(0.0)
        self._client = self._make_client(client_id)

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Hand over messages whose rows are committed. Any thread; returns at once."""
        self._to_acknowledge.append(messages)
        self.wake()

    def wake(self) -> None:
        """Make ``serve`` look at what there is to do. Any thread."""
        try:
            self._wake_writer.send(b"\0")
        except OSError:
            return  # enough bytes wait there to wake it, or it has left and nothing needs to

    def close(self) -> None:
        """Release the sockets that wake ``serve``; it does so itself at its end."""
        self._wake_reader.close()
        self._wake_writer.close()

    def serve(self, stop: threading.Event) -> None:
        """Connect, receive and acknowledge until ``stop`` is set (and ``wake`` called); then leave in good order.

        The session stays with the broker, so what arrives later is delivered at the next start.
        """
        back_off = BACK_OFF_MIN_S
        try:
            while not stop.is_set():
                started = self._clock()
                try:
                    self._connect()
                    self._serve_connection(stop)
                except (OSError, LinkError) as error:
                    self._note_loss(str(error))
                if self._clock() - started > SETTLED_S * 1e6:
                    back_off = BACK_OFF_MIN_S
                if not stop.is_set():
                    stop.wait(back_off)
                    back_off = min(back_off * 2, BACK_OFF_MAX_S)
        finally:
            self._leave()

    @property
    def _link(self) -> socket.socket | None:
        """The socket while there is one."""
        return cast(socket.socket | None, self._client.socket())

    def _make_client(self, client_id: str) -> _Client:
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        if self._broker.username:
            client.username_pw_set(self._broker.username, self._broker.password)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        # With a callback here paho queues its packets and sends none by itself, so none can fall between two halves of
        # our acknowledgements.
        client.on_socket_register_write = lambda *_: None
        return client

    def _connect(self) -> None:
        self._number += 1
        self._unread, self._unsent = b"", memoryview(b"")
        self._owed = Owed(self._number)
        self._client.received, self._client.ended = b"", False
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho left its constructor untyped
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = self._receive_maximum
        self._client.connect(
            self._broker.host, self._broker.port, KEEPALIVE_S, clean_start=False, properties=properties
        )

    def _serve_connection(self, stop: threading.Event) -> None:
        link = self._link
        if link is None:
            return
        wake, wire = self._wake_reader.fileno(), link.fileno()
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        self._heard_at = self._pinged_at = monotonic()
        while not stop.is_set() and self._client.socket() is not None:
            wants_write = self._unsent or self._client.want_write()
            wants_read = self._has_room()
            poll.register(wire, (select.POLLIN if wants_read else 0) | (select.POLLOUT if wants_write else 0))
            ready = dict(poll.poll(POLL_MS))
            if wake in ready:
                self._drain_wake()
            came = self._receive(link) if ready.get(wire, 0) & ~select.POLLOUT else 0
            self._keep_alive(is_listening=wants_read)
            self._write(link)
            if 0 < came < LITTLE_BYTES:
                stop.wait(GATHER_S)

    def _keep_alive(self, *, is_listening: bool) -> None:
        """Ping the broker now and then. Raises LinkError when it has been silent although we listened."""
        now = monotonic()
        if not is_listening:
            self._heard_at = now
        if now - self._heard_at > SILENCE_S:
            raise LinkError(f"the broker has said nothing for {now - self._heard_at:.0f} s")
        if now - self._pinged_at > PING_S and not self._unsent and not self._client.want_write():
            self._pinged_at = now
            self._unsent = memoryview(PINGREQ)

    def _receive(self, link: socket.socket) -> int:
        """Read once, hand other packets to paho and messages on; the number of bytes that came. Raises LinkError."""
        try:
            data = link.recv(READ_BYTES)
        except BlockingIOError:
            return READ_BYTES
        self._heard_at = monotonic()
        buffer = self._unread + data
        messages, others, consumed = cut(buffer, self._clock(), self._number)
        self._unread = buffer[consumed:]
        self._client.ended = not data
        for packet in others:
            self._client.received += packet
        while self._client.socket() is not None and (self._client.received or self._client.ended):
            self._client.loop_read()
        if messages:
            self._owed.note(messages)
            self._deliver(messages)
        return len(data)

    def _write(self, link: socket.socket) -> None:
        """Send what is due, one packet after the other: what was begun, paho's packets, acknowledgements."""
        self._send_unsent(link)
        if not self._unsent and self._client.want_write() and self._client.socket() is not None:
            self._client.loop_write()
        if self._to_acknowledge and not self._unsent and not self._client.want_write():
            self._unsent = memoryview(pubacks(self._due_acknowledgements()))
            self._send_unsent(link)

    def _send_unsent(self, link: socket.socket) -> None:
        try:
            while self._unsent and self._client.socket() is not None:
                self._unsent = self._unsent[link.send(self._unsent) :]
        except BlockingIOError:
            return

    def _due_acknowledgements(self) -> list[int]:
        """Packet identifiers of what is committed, of this connection only."""
        while self._to_acknowledge:
            self.stale_acknowledgements += self._owed.settle(self._to_acknowledge.popleft())
        return self._owed.due()

    def _drain_wake(self) -> None:
        try:
            while self._wake_reader.recv(4096):
                pass
        except BlockingIOError:
            return

    def _leave(self) -> None:
        """Send the last acknowledgements and say goodbye; the session expiry of the connection stays valid."""
        self._is_leaving = True
        link = self._link
        if link is not None:
            poll = select.poll()
            poll.register(link.fileno(), select.POLLOUT)
            self._write_all(link, poll)
            self._client.disconnect()
            self._write_all(link, poll)
        self.is_connected = False
        self.close()

    def _write_all(self, link: socket.socket, poll: select.poll) -> None:
        try:
            self._write(link)
            while self._client.socket() is not None and (self._unsent or self._client.want_write()) and poll.poll(1000):
                self._write(link)
        except OSError as error:
            self._note_loss(str(error))

    # -- paho's callbacks, all in the thread of ``serve``

    def _on_connect(
        self, client: Client, _userdata: Any, flags: ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._note_error(f"the broker refuses the head-end: {reason}")
            return
        self.last_error = ""
        if self._lost_at is not None:
            away = (self._clock() - self._lost_at) / 1e6
            kept = "" if flags.session_present else "; the broker has forgotten the session and what waited in it"
            _log.warning("Broker link restored after %.0f s%s", away, kept)
        else:
            _log.info("Broker %s:%d connected", self._broker.host, self._broker.port)
        self._lost_at = None
        client.subscribe(self._subscription, qos=1)

    def _on_subscribe(
        self, client: Client, _userdata: Any, _mid: int, reasons: Sequence[ReasonCode], _properties: Any
    ) -> None:
        for reason in reasons:
            if reason.is_failure:
                self._note_error(f"the broker refuses the subscription {self._subscription}: {reason}")
                client.disconnect()
                return
        self.is_connected = True

    def _on_disconnect(
        self, _client: Client, _userdata: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if self.is_connected and self._is_leaving:
            _log.info("Broker %s:%d left; the session stays", self._broker.host, self._broker.port)
        elif self.is_connected:
            self._lost_at = self._clock()
            self.last_error = f"broker link lost: {reason}"
            _log.warning("Broker link lost: %s; what is not acknowledged will come again", reason)
        self.is_connected = False

    def _note_loss(self, text: str) -> None:
        """The connection ended in a way paho does not know of."""
        if self.is_connected:
            self._lost_at = self._clock()
            self.is_connected = False
        self._note_error(text)

    def _note_error(self, text: str) -> None:
        if text != self.last_error:
            self.last_error = text
            _log.error("Broker %s:%d: %s", self._broker.host, self._broker.port, text)
