"""One MQTT connection of the fleet: MQTT 5, QoS 1, what is on its way, and when to try again.

Knows paho and its callbacks. Does not know who reports what; whoever owns the link is told what became of each message.
All methods and callbacks run in the owner's thread.
"""

from typing import Any, Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from meters.topic import ROOT, Subject
from simulators.fleet_answers import Question
from simulators.fleet_messages import Message, OnRequest

KEEP_ALIVE_S = 30
CONNECT_TIMEOUT_S = 3.0
RETRY_MIN_US = 300_000
RETRY_MAX_US = 5_000_000
UNHEARD_PAUSE_US = 1_000_000
NO_MATCHING_SUBSCRIBERS = 0x10
SESSION_EXPIRY_S = 3600
REQUESTS = f"{ROOT}/+/+/+/{Subject.REQUEST}"


class LinkOwner(Protocol):
    """Who is told what happens on a link."""

    def link_up(self, link: "FleetLink") -> None:
        """The broker has taken us."""
        ...

    def link_down(self, link: "FleetLink", why: str, lost: list[Message], *, is_news: bool) -> None:
        """The connection is gone, or could not be made; ``lost`` is what was on its way. An end we want is no news."""
        ...

    def settled(self, link: "FleetLink", message: Message, reason: ReasonCode, *, heard: bool) -> None:
        """The broker has answered to a message; ``heard``: somebody listens to it."""
        ...

    def asked(self, question: Question) -> None:
        """Somebody asks a meter."""
        ...


class FleetLink:
    """One connection. ``window`` shrinks to 1 while nobody listens. The first link of a fleet hears requests."""

    def __init__(
        self,
        number: int,
        address: tuple[str, int],
        credential: tuple[str, str],
        client_id: str,
        in_flight: int,
        owner: LinkOwner,
    ) -> None:
        self.number = number
        self.connected = False
        self.quiet_until = 0
        self.outstanding: dict[int, Message] = {}
        self._address = address
        self._owner = owner
        self._limit = in_flight
        self._window = in_flight
        self._retry_at = 0
        self._retry_us = RETRY_MIN_US
        self._client = self._make_client(f"{client_id}-{number}", *credential)

    @property
    def room(self) -> int:
        """How many more messages may be on their way; 0 or less while not connected."""
        return min(self._window, self._limit) - len(self.outstanding) if self.connected else 0

    def serve(self, now: int) -> None:
        """Read and write what the socket has, or try to connect when it is time."""
        client = self._client
        if client.socket() is None:
            if now >= self._retry_at:
                self._connect(now)
            return
        client.loop_read()
        if client.want_write():
            client.loop_write()
        client.loop_misc()

    def publish(self, message: Message) -> bool:
        """Send one message; False when the connection breaks, or just broke: it is then not among the outstanding."""
        if self.connected:
            properties = _properties_of(message)
            info = self._client.publish(
                message.topic, message.payload, qos=1, retain=message.retain, properties=properties
            )
        if self.connected:
            self.outstanding[info.mid] = message
            return True
        self._client.drop_out_messages()
        return False

    def not_heard(self, now: int) -> None:
        """Nobody listens: one message at a time, and not at once."""
        self._window = 1
        self.quiet_until = now + UNHEARD_PAUSE_US

    def heard(self) -> None:
        """Somebody listens: up to full speed again."""
        self._window = min(self._limit, self._window * 2)

    def leave(self) -> None:
        """End the connection."""
        self.connected = False  # before: an end we want is no loss
        self._client.disconnect()

    def _connect(self, now: int) -> None:
        # Links do not try all at once: a broker's listen queue holds about a hundred.
        self._retry_at = now + self._retry_us + self.number * 10_000
        self._retry_us = min(self._retry_us * 2, RETRY_MAX_US)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho gives it no types
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        try:
            self._client.connect(*self._address, keepalive=KEEP_ALIVE_S, properties=properties)
        except OSError as error:
            self._owner.link_down(self, str(error), [], is_news=True)

    def _make_client(self, client_id: str, username: str, password: str) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
        client.username_pw_set(username, password)
        client.connect_timeout = CONNECT_TIMEOUT_S
        # The window is ours. With a limit of its own paho walks through all outstanding messages at each PUBACK.
        client.max_inflight_messages_set(0)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        if self.number == 0:
            client.on_message = self._on_message
        return client

    # -- paho's callbacks

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._owner.link_down(self, str(reason), [], is_news=True)
            return
        self.connected = True
        self._retry_us = RETRY_MIN_US
        if self.number == 0:
            client.subscribe(REQUESTS, qos=1)
        self._limit = min(self._limit, getattr(properties, "ReceiveMaximum", 65_535))
        self._owner.link_up(self)

    def _on_disconnect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _more: Any) -> None:
        was_up, self.connected = self.connected, False
        client.drop_out_messages()
        lost = list(self.outstanding.values())
        self.outstanding.clear()
        self._owner.link_down(self, str(reason), lost, is_news=was_up)

    def _on_publish(self, _client: mqtt.Client, _data: Any, mid: int, reason: ReasonCode, _more: Any) -> None:
        message = self.outstanding.pop(mid, None)
        if message is not None:
            heard = not reason.is_failure and reason.value != NO_MATCHING_SUBSCRIBERS
            self._owner.settled(self, message, reason, heard=heard)

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        wanted = message.properties
        self._owner.asked(
            Question(
                message.topic,
                bytes(message.payload),
                getattr(wanted, "ResponseTopic", ""),
                getattr(wanted, "CorrelationData", b""),
            )
        )


def _properties_of(message: Message) -> Properties | None:
    """An answer bears the mark of its request (MQTT 5, 4.10.1)."""
    if not isinstance(message.content, OnRequest) or not message.content.correlation:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho gives it no types
    properties.CorrelationData = message.content.correlation
    return properties
