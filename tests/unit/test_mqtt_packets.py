"""The modem's few packets, judged by the specification's own bytes and by paho."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulators.mqtt_packets import (
    Login,
    Published,
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

LOGIN = Login("127.0.0.1", 1883, "field", "secret")


def test_connect_is_as_the_specification_says() -> None:
    expected = (
        b"\x10\x22"  # CONNECT, 34 bytes
        b"\x00\x04MQTT\x05\xc2\x00\x78\x00"  # name, version 5, user, password, clean start; 120 s; no properties
        b"\x00\x06modem1\x00\x05field\x00\x06secret"
    )
    assert connect_packet("modem1", LOGIN, 120) == expected


def test_publish_is_as_the_specification_says() -> None:
    assert publish_packet("a/b", b"xyz", 10) == b"\x32\x0b\x00\x03a/b\x00\x0a\x00xyz"


def test_an_answer_bears_the_mark_of_its_request() -> None:
    expected = b"\x32\x12\x00\x03a/b\x00\x0a\x07\x09\x00\x04markxyz"
    assert publish_packet("a/b", b"xyz", 10, correlation=b"mark") == expected


def test_a_subscription_and_its_answer_are_as_the_specification_says() -> None:
    assert subscribe_packet(["a/b", "c"], 10) == b"\x82\x0d\x00\x0a\x00\x00\x03a/b\x01\x00\x01c\x01"
    assert puback_packet(10) == b"\x40\x02\x00\x0a"
    assert not suback_refuses(b"\x00\x0a\x00\x01\x01")
    assert suback_refuses(b"\x00\x0a\x00\x01\x87")


@given(st.text("abc/ơ", min_size=1), st.binary(max_size=300), st.text("xyz/", min_size=1), st.binary(max_size=200))
def test_a_request_packed_by_paho_is_read_with_its_answer_topic_and_its_mark(
    topic: str, payload: bytes, answer_topic: str, correlation: bytes
) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho gives it no types
    properties.ResponseTopic, properties.CorrelationData = answer_topic, correlation
    properties.MessageExpiryInterval, properties.PayloadFormatIndicator, properties.ContentType = 30, 1, "json"
    properties.UserProperty = [("who", "asks"), ("and", "why")]
    name = topic.encode()
    body = struct.pack(">H", len(name)) + name + b"\x00\x07" + properties.pack() + payload  # type: ignore[no-untyped-call]
    assert published(0x32, body) == Published(topic, payload, 7, answer_topic, correlation)


def test_a_message_without_acknowledgement_or_properties_is_read() -> None:
    assert published(0x30, b"\x00\x01a\x00hello") == Published("a", b"hello", 0, "", b"")


def test_a_property_that_is_none_of_a_message_is_an_error() -> None:
    with pytest.raises(ValueError, match="property 0x11"):
        published(0x30, b"\x00\x01a\x05\x11\x00\x00\x00\x01")


@given(st.lists(st.binary(max_size=300), max_size=5), st.data())
def test_packets_are_found_however_the_stream_is_cut(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(publish_packet("t", body, 1) for body in bodies)
    cut = data.draw(st.integers(0, len(stream)))
    first, rest = packets_in(stream[:cut])
    second, left = packets_in(rest + stream[cut:])
    assert left == b""
    assert [body[6:] for _, body in first + second] == bodies


@pytest.mark.parametrize(("body", "told"), [(b"\x00\x07", (7, 0)), (struct.pack(">HBB", 7, 0x10, 0), (7, 0x10))])
def test_a_puback_without_a_reason_is_a_success(body: bytes, told: tuple[int, int]) -> None:
    assert puback_of(body) == told


def test_a_refused_connection_says_why() -> None:
    ((kind, body),), _ = packets_in(b"\x20\x03\x00\x87\x00")
    assert (kind, connack_reason(body)) == (0x20, 0x87)
