"""The modem's few packets, judged by the specification's own bytes and by paho."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.mqtt_packets import Login, connack_reason, connect_packet, packets_in, puback_of, publish_packet

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
