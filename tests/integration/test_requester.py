"""Requests to meters on a broker that comes and goes, and their endings in the database, whatever meters answer."""

from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from historian.requests import MeterRequests, RequestEnding, TakenRequest
from meters.connection import Broker
from meters.request import Answered, Asked, RequestKind, decode_request, encode_response
from meters.requester import Requester
from meters.requestqueue import Bundle, MeterRequest, Priority
from scada.clock import now_us
from scada.config import HeadEndConfig
from scada.metertalk import MeterTalk
from tests.fakes_meters import Mosquitto, point_of, serial_of, until

pytestmark = pytest.mark.integration


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


class Meters:
    """What all meters are asked; the broker keeps it for them while they, or it, are away."""

    def __init__(self, port: int) -> None:
        self.asked: list[int] = []
        self.subscribed = False
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="meters", protocol=mqtt.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe("ami/v1/+/+/+/request", qos=1)
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho gives it no types
        session.SessionExpiryInterval = 600
        self._client.connect("127.0.0.1", port, clean_start=mqtt.MQTT_CLEAN_START_FIRST_ONLY, properties=session)
        self._client.loop_start()

    def answer(self) -> None:
        """What was asked last is answered now."""
        request = decode_request(bytes(self._last.payload))
        assert isinstance(request, tuple)
        answers = tuple(Answered(each.serial, each.first, time=now_us()) for each in request[1])
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho gives it no types
        properties.CorrelationData = self._last.properties.CorrelationData
        topic = self._last.properties.ResponseTopic
        self._client.publish(topic, encode_response(answers), qos=1, properties=properties)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_subscribe(self, *_: object) -> None:
        self.subscribed = True

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        request = decode_request(bytes(message.payload))
        assert isinstance(request, tuple)
        self._last = message
        self.asked += [each.serial for each in request[1]]


def disconnection(number: int) -> MeterRequest:
    asked = Asked(serial_of(number), point_of(number))
    expires_at = now_us() + 60_000_000
    return MeterRequest(str(number), RequestKind.DISCONNECT, Priority.SUPPLY, "PC01", "", asked, expires_at)


def test_a_request_that_found_the_broker_gone_is_not_sent_when_it_is_back(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link is lost after the look whether it is there, and before the message is handed to it."""
    meters = Meters(mosquitto.port)
    requester = Requester(Broker("127.0.0.1", mosquitto.port), "requester", now_us)
    publish = requester._publish

    def too_late(bundle: Bundle, now: int) -> None:
        mosquitto.stop()
        until(lambda: not requester.stats().connected, "the loss is noticed")
        publish(bundle, now)

    requester.start()
    try:
        until(lambda: meters.subscribed and requester.stats().connected, "both are there")
        with monkeypatch.context() as patch:
            patch.setattr(requester, "_publish", too_late)
            requester.ask([disconnection(1)])
            requester.tick()
        assert requester.stats().under_way == 1, "whether it left is not known: it will end as unknown"
        mosquitto.start()
        until(lambda: requester.stats().connected, "it is back")
        requester.ask([disconnection(2)])
        requester.tick()
        until(lambda: serial_of(2) in meters.asked, "what is asked now is heard")
    finally:
        requester.stop()
        meters.close()
    assert meters.asked == [serial_of(2)]


def test_an_answer_that_comes_while_other_requests_are_taken_is_noted(
    mosquitto: Mosquitto, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        install(database, number)
    meters = Meters(mosquitto.port)
    talk = MeterTalk(HeadEndConfig(client_id="talk"), Broker("127.0.0.1", mosquitto.port), database, now_us)
    take = talk._requests.take

    def answered_meanwhile(now: int) -> tuple[TakenRequest, ...]:
        if meters.asked == [serial_of(1)] and not talk.stats().requester.answers:
            meters.answer()
            until(lambda: talk.stats().requester.answers == 1, "the answer is there")
            enter(desk, 2)
        return take(now)

    monkeypatch.setattr(talk._requests, "take", answered_meanwhile)
    with MeterRequests(database) as desk:
        until(lambda: meters.subscribed, "the meters listen")
        first = enter(desk, 1)
        talk.start()
        try:
            until(lambda: meters.asked == [serial_of(1), serial_of(2)], "both are asked")
            until(lambda: desk.endings([first])[0].ending != "", "the first has ended", timeout=20)
        finally:
            talk.stop()
            meters.close()
        assert desk.endings([first])[0].ending == "done"


def enter(desk: MeterRequests, number: int) -> int:
    """Ask for one meter's registers; the number of the request."""
    serial = serial_of(number)
    expires_at = now_us() + 60_000_000
    entered = desk.enter("read", [serial], priority=Priority.ON_DEMAND, requested_by="test", expires_at=expires_at)
    request = entered[serial]
    assert request is not None
    return request


def test_an_answer_no_database_can_hold_as_it_is_ends_its_request_all_the_same(database: str) -> None:
    """What cannot be noted would be tried again for ever, and nothing else be asked meanwhile."""
    install(database, 1)
    with MeterRequests(database) as desk:
        number = enter(desk, 1)
        (taken,) = desk.take(now_us())
        desk.end([(taken.id, "refused", "no\x00\ud800", {"registers": {"1-0:1.8.0\x00": 5}, "events": [(1, "\x00")]})])
        (ended,) = desk.endings([taken.id])
    assert number == taken.id
    answer = {"registers": {"1-0:1.8.0\ufffd": 5}, "events": [[1, "\ufffd"]]}
    assert ended == RequestEnding(taken.id, serial_of(1), "read", "refused", "no\ufffd?", answer)


def install(dsn: str, number: int) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO meter (serial, metering_point, unit, concentrator, feeder, class, multiplier, digits,"
            " installed_at) VALUES (%s, %s, 'PC01', '', '', 'residential', 1, 6, '2024-01-01Z')",
            (serial_of(number), point_of(number)),
        )
