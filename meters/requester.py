"""The wire of requests to meters: publishes bundles with a response topic, and brings answers back by correlation.

Knows paho and one connection of its own, apart from the one readings come on: a burst of readings never delays an
order. Does not know why something is asked. Requests have QoS 1, expire at the broker (MQTT 5, 3.3.2.3.3), and are
never sent again after a lost connection: a supply disconnected twice, or an hour late, is worse than not at all.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from meters.connection import CONNECT_TIMEOUT_S, KEEPALIVE_S, Broker
from meters.rejection import Rejected
from meters.request import decode_response, encode_request
from meters.requestqueue import Bundle, MeterRequest, RequestQueue, Result
from meters.topic import DIRECT, ROOT, Subject, talk_topic
from scada.model.ports import Clock

ANSWERS = f"{ROOT}/+/+/+/{Subject.RESPONSE}"
RECONNECT_MIN_S, RECONNECT_MAX_S = 1, 10

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequesterStats:
    """What the requester has in hand. ``answers_unread``: not understood, or for nothing under way."""

    connected: bool
    waiting: int
    under_way: int
    answers: int
    answers_unread: int


class Requester:
    """Asks meters. Any thread; ``tick`` drives it and returns what has ended."""

    def __init__(self, broker: Broker, client_id: str, clock: Clock, queue: RequestQueue | None = None) -> None:
        self._broker = broker
        self._clock = clock
        self._queue = queue or RequestQueue()
        self._lock = threading.Lock()
        self._results: list[Result] = []
        self._connected = False
        self._answers = self._unread = 0
        self._client = self._make_client(client_id)

    def start(self) -> None:
        """Begin to connect, and keep trying."""
        self._client.connect_async(self._broker.host, self._broker.port, KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Leave the broker; what is under way stays unanswered."""
        self._client.disconnect()
        self._client.loop_stop()

    def ask(self, requests: Sequence[MeterRequest]) -> None:
        """Queue requests."""
        with self._lock:
            self._queue.add(requests)

    def tick(self) -> tuple[Result, ...]:
        """Send what can be sent; what has ended since the last call. Call it several times a second."""
        now = self._clock()
        with self._lock:
            self._results += self._queue.expire(now)
            bundles = self._queue.next_bundles(now) if self._connected else ()
            ended, self._results = tuple(self._results), []
        for bundle in bundles:
            self._publish(bundle, now)
        return ended

    def stats(self) -> RequesterStats:
        """The state of this moment."""
        with self._lock:
            return RequesterStats(
                self._connected, self._queue.waiting, self._queue.under_way, self._answers, self._unread
            )

    def _publish(self, bundle: Bundle, now: int) -> None:
        first = bundle.requests[0]
        concentrator, serial = (first.concentrator, None) if first.concentrator else (DIRECT, first.asked.serial)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho left its constructor untyped
        properties.ResponseTopic = talk_topic(first.unit, concentrator, serial, Subject.RESPONSE)
        properties.CorrelationData = bundle.correlation
        properties.MessageExpiryInterval = max((bundle.expires_at - now) // 1_000_000, 1)
        topic = talk_topic(first.unit, concentrator, serial, Subject.REQUEST)
        payload = encode_request(bundle.kind, tuple(each.asked for each in bundle.requests))
        # a message that has not left is dropped with its connection: the answer is then awaited in vain
        self._client.publish(topic, payload, qos=1, properties=properties)

    def _make_client(self, client_id: str) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5)
        if self._broker.username:
            client.username_pw_set(self._broker.username, self._broker.password)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.reconnect_delay_set(RECONNECT_MIN_S, RECONNECT_MAX_S)
        client.max_inflight_messages_set(0)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    # -- paho's callbacks, in its thread

    def _on_connect(self, client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, _more: Any) -> None:
        if reason.is_failure:
            _log.error("Requests: the broker refuses: %s", reason)
            return
        # what was handed over just after the loss would else leave now, however late it is
        client.drop_out_messages()
        client.subscribe(ANSWERS, qos=1)

    def _on_subscribe(self, _client: Client, _data: Any, _mid: int, reasons: Sequence[ReasonCode], _more: Any) -> None:
        """Only who can hear the answer may ask."""
        if any(reason.is_failure for reason in reasons):
            _log.error("Requests: the broker refuses to deliver answers: %s", reasons[0])
            return
        self._connected = True

    def _on_disconnect(
        self, client: Client, _data: Any, _flags: DisconnectFlags, reason: ReasonCode, _more: Any
    ) -> None:
        if self._connected and reason.is_failure:
            _log.warning("Requests: broker link lost: %s; %d requests under way", reason, self.stats().under_way)
        self._connected = False
        client.drop_out_messages()

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        correlation = getattr(message.properties, "CorrelationData", b"")
        answers = decode_response(bytes(message.payload))
        if isinstance(answers, Rejected):
            _log.warning("Requests: an answer on %s cannot be read: %s", message.topic, answers)
        with self._lock:
            results = () if isinstance(answers, Rejected) else self._queue.answered(correlation, answers)
            self._results += results
            self._answers += 1
            self._unread += not results
