"""The head-end's connection to the broker: MQTT 5, one persistent session, QoS 1, acknowledged by hand.

Knows paho and one socket, served by one thread: everything that touches the client happens in ``serve``. Does not know
what the messages mean. Every connection has a number, and an acknowledgement is sent only on the connection its message
came on: after a reconnect the broker may give the same packet identifier to another message, and acknowledging that one
would lose it. What was not acknowledged comes again by itself.

Memory is bounded by the receive maximum: with that many messages unacknowledged the broker sends no more and keeps the
rest (MQTT 5.0, 3.3.4). No maximum packet size is announced: a broker *discards* what exceeds it (3.1.2.11.4).
"""

import logging
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from meters.ingest import Message
from scada.model.errors import LinkError
from scada.model.ports import Clock

SESSION_EXPIRY_S = 7 * 86_400
"""The broker keeps what came while the head-end was away this long; the meters' own memory lasts 60 days."""

KEEPALIVE_S = 15
CONNECT_TIMEOUT_S = 5.0
BURST = 500
"""Messages read before acknowledgements are sent: about 8 ms of paho's time."""

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


class Delivery(NamedTuple):
    """A message and what is needed to acknowledge it."""

    message: Message
    connection: int
    packet_id: int


class Connection:
    """One client with one subscription; ``deliver`` is called with each burst, in the thread that runs ``serve``."""

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        subscription: str,
        receive_maximum: int,
        clock: Clock,
        deliver: Callable[[Sequence[Delivery]], None],
    ) -> None:
        self.is_connected = False
        self.last_error = ""
        self.stale_acknowledgements = 0
        self._broker = broker
        self._subscription = subscription
        self._receive_maximum = receive_maximum
        self._clock = clock
        self._deliver = deliver
        self._number = 0
        self._lost_at: int | None = None
        self._is_leaving = False
        self._burst: list[Delivery] = []
        self._to_acknowledge: deque[Sequence[Delivery]] = deque()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.settimeout(0.0)
        self._wake_writer.settimeout(0.0)
        self._client = self._make_client(client_id)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Hand over messages whose rows are committed. Any thread; returns at once."""
        self._to_acknowledge.append(deliveries)
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
                    self._note_error(str(error))
                if self._clock() - started > SETTLED_S * 1e6:
                    back_off = BACK_OFF_MIN_S
                if not stop.is_set():
                    stop.wait(back_off)
                    back_off = min(back_off * 2, BACK_OFF_MAX_S)
        finally:
            self._leave()

    def _make_client(self, client_id: str) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        if self._broker.username:
            client.username_pw_set(self._broker.username, self._broker.password)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        # with a callback here paho queues packets instead of sending each from within ack(); we write once per burst
        client.on_socket_register_write = lambda *_: None
        return client

    def _connect(self) -> None:
        self._number += 1
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho left its constructor untyped
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = self._receive_maximum
        self._client.connect(
            self._broker.host, self._broker.port, KEEPALIVE_S, clean_start=False, properties=properties
        )

    def _serve_connection(self, stop: threading.Event) -> None:
        link = self._client.socket()
        if link is None:
            return
        wake, wire = self._wake_reader.fileno(), link.fileno()
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        while not stop.is_set() and self._client.socket() is not None:
            poll.register(wire, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
            ready = dict(poll.poll(1000))
            if wake in ready:
                self._drain_wake()
            if wire in ready:
                self._receive()
            self._acknowledge_committed()
            self._write()
            self._client.loop_misc()

    def _receive(self) -> None:
        """Read until nothing waits or a burst is complete, and hand over what came."""
        try:
            while len(self._burst) < BURST:
                before = len(self._burst)
                self._client.loop_read()
                if len(self._burst) == before:
                    break
        finally:
            if self._burst:
                burst, self._burst = self._burst, []
                self._deliver(burst)

    def _acknowledge_committed(self) -> None:
        while self._to_acknowledge:
            for delivery in self._to_acknowledge.popleft():
                if delivery.packet_id == 0:
                    continue  # sent with QoS 0: the broker expects nothing
                if delivery.connection == self._number and self.is_connected:
                    self._client.ack(delivery.packet_id, 1)
                else:
                    self.stale_acknowledgements += 1

    def _write(self) -> None:
        if self._client.want_write() and self._client.socket() is not None:
            self._client.loop_write()

    def _drain_wake(self) -> None:
        try:
            while self._wake_reader.recv(4096):
                pass
        except BlockingIOError:
            return

    def _leave(self) -> None:
        """Send the last acknowledgements and say goodbye; the session expiry of the connection stays valid."""
        self._is_leaving = True
        self._acknowledge_committed()
        link = self._client.socket()
        if link is not None:
            poll = select.poll()
            poll.register(link.fileno(), select.POLLOUT)
            self._client.disconnect()
            while self._client.socket() is not None and self._client.want_write() and poll.poll(1000):
                self._client.loop_write()
        self.is_connected = False
        self.close()

    # -- paho's callbacks, all in the thread of ``serve``

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "(not UTF-8)"
        self._burst.append(Delivery(Message(topic, bytes(message.payload), self._clock()), self._number, message.mid))

    def _on_connect(
        self, client: Client, _userdata: Any, flags: ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._note_error(f"the broker refuses the head-end: {reason}")
            return
        self.is_connected = True
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

    def _note_error(self, text: str) -> None:
        if text != self.last_error:
            self.last_error = text
            _log.error("Broker %s:%d: %s", self._broker.host, self._broker.port, text)
