"""Packets cut out of a buffer: the same messages however the wire chops them, and nothing that is not one."""

import socket
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from meters.framing import cut, pubacks
from meters.message import Message
from scada.model.errors import LinkError

PINGRESP = b"\xd0\x00"

messages = st.builds(
    Message,
    topic=st.text(min_size=1, max_size=40, alphabet=st.characters(blacklist_categories=["Cs"])),
    payload=st.binary(max_size=300),
    received_at=st.just(5),
    connection=st.just(3),
    packet_id=st.integers(0, 65_535),
)


class Paho(Client):
    """Another implementation's bytes. paho encodes nowhere in public, and only while it has a connection."""

    def __init__(self) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.on_socket_register_write = lambda *_: None

    def encoded(self, message: Message) -> bytes:
        """One PUBLISH."""
        with socket.socket() as stand_in:
            self._sock = stand_in
            qos = 1 if message.packet_id else 0
            self._send_publish(message.packet_id, message.topic.encode(), message.payload, qos)
            self._sock = None
        return bytes(self._out_packet.popleft()["packet"])


def test_the_standards_example_is_read() -> None:
    # MQTT 5.0, figures 3.8 and 3.9: topic a/b, packet identifier 10, no properties; QoS 1
    buffer = bytes.fromhex("32080003612f62000a00") + PINGRESP
    assert cut(buffer, 5, 3) == ([Message("a/b", b"", 5, 3, 10)], [PINGRESP], 12)


@given(st.lists(messages, max_size=8), st.lists(st.integers(0, 2000), max_size=6))
def test_whatever_another_implementation_sends_comes_out_however_it_is_chopped(
    sent: list[Message], places: list[int]
) -> None:
    paho = Paho()
    stream = b"".join(paho.encoded(message) for message in sent)
    found: list[Message] = []
    rest = b""
    edges = [0, *sorted(place for place in places if place < len(stream)), len(stream)]
    for begin, end in pairwise(edges):
        found_now, others, consumed = cut(rest + stream[begin:end], 5, 3)
        rest = (rest + stream[begin:end])[consumed:]
        assert others == []
        found += found_now
    assert (found, rest) == (sent, b"")


def test_properties_are_passed_over_also_long_ones() -> None:
    text = b"x" * 200
    pair = b"\x26\x00\x01k" + len(text).to_bytes(2) + text  # user property (3.3.2.3.7)
    body = b"\x00\x01t" + b"\x00\x07" + bytes([len(pair) & 0x7F | 0x80, len(pair) >> 7]) + pair + b"payload"
    packet = bytes([0x32, len(body) & 0x7F | 0x80, len(body) >> 7]) + body
    assert cut(packet).messages == [Message("t", b"payload", 0, 0, 7)]


def test_a_topic_that_is_not_utf_8_is_a_message_all_the_same() -> None:
    assert cut(b"\x32\x07\x00\x02\xff\xfe\x00\x01\x00").messages == [Message("(not UTF-8)", b"", 0, 0, 1)]


@pytest.mark.parametrize(
    ("packet", "complaint"),
    [
        (b"\x34\x08\x00\x03a/b\x00\x0a\x00", "QoS 2"),
        (b"\x32\x02\x00\x03", "without a topic"),
        (b"\x32\x05\x00\x03a/b", "without its packet identifier"),
        (b"\x30\x06\x00\x03a/b\x05", "longer than itself"),
        (b"\x30\x05\x00\x09a/b", "longer than itself"),
        (b"\x32\x80\x80\x80\x80\x01", "more than four bytes"),
    ],
)
def test_what_is_no_message_ends_the_connection(packet: bytes, complaint: str) -> None:
    with pytest.raises(LinkError, match=complaint):
        cut(packet)


def test_acknowledgements_stand_one_after_the_other() -> None:
    assert pubacks([1, 0x1234]) == bytes.fromhex("4002000140021234")
