"""The few packets of MQTT 5 a meter's modem needs, and no more (MQTT 5.0, 3.1 to 3.4, 3.8, 3.9, 3.12).

Knows bytes. Does not know sockets, meters or what messages mean. A client library costs 100 kB and a thread for each
connection; a process of ten thousand modems cannot have that.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

CONNACK, PUBLISH, PUBACK, SUBACK = 0x20, 0x30, 0x40, 0x90
KIND = 0xF0
"""The part of a packet's first byte that says what it is."""

PINGREQ = b"\xc0\x00"
SUCCESS = 0x00
NO_MATCHING_SUBSCRIBERS = 0x10

_CONTENT_TYPE, _ANSWER_TOPIC, _CORRELATION, _SUBSCRIPTION, _USER_PROPERTY = 0x03, 0x08, 0x09, 0x0B, 0x26
_WIDTHS = {0x01: 1, 0x02: 4, 0x23: 2}
"""Payload format, message expiry, topic alias: bytes of their values (MQTT 5.0, 2.2.2.2)."""


@dataclass(frozen=True, slots=True)
class Login:
    """Where the broker answers and who publishes."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)


def connect_packet(client_id: str, login: Login, keepalive_s: int) -> bytes:
    """CONNECT with a clean start and a log-in."""
    body = _text("MQTT") + bytes([5, 0xC2]) + struct.pack(">H", keepalive_s) + b"\0"
    return _packet(0x10, body + _text(client_id) + _text(login.username) + _text(login.password))


def publish_packet(topic: str, payload: bytes, packet_id: int, *, correlation: bytes = b"") -> bytes:
    """PUBLISH with QoS 1; an answer bears the mark of its request."""
    properties = b"\0"
    if correlation:
        marked = bytes([_CORRELATION]) + struct.pack(">H", len(correlation)) + correlation
        properties = _length(len(marked)) + marked
    return _packet(0x32, _text(topic) + struct.pack(">H", packet_id) + properties + payload)


def subscribe_packet(topics: Sequence[str], packet_id: int) -> bytes:
    """SUBSCRIBE with QoS 1."""
    return _packet(0x82, struct.pack(">H", packet_id) + b"\0" + b"".join(_text(topic) + b"\x01" for topic in topics))


def puback_packet(packet_id: int) -> bytes:
    """PUBACK that says success."""
    return _packet(PUBACK, struct.pack(">H", packet_id))


@dataclass(frozen=True, slots=True)
class Published:
    """A message that came; ``packet_id`` is 0 with QoS 0, ``answer_topic`` '' when no answer is wanted."""

    topic: str
    payload: bytes
    packet_id: int
    answer_topic: str
    correlation: bytes


def published(first: int, body: bytes) -> Published:
    """A PUBLISH packet taken apart. Raises ValueError for a property that MQTT 5 does not know in it."""
    topic, at = _text_at(body, 0)
    packet_id = 0
    if first & 0x06:
        (packet_id,) = struct.unpack_from(">H", body, at)
        at += 2
    length, at = _length_at(body, at)
    end = at + length
    answer_topic, correlation = "", b""
    while at < end:
        kind, at = body[at], at + 1
        if kind == _ANSWER_TOPIC:
            answer_topic, at = _text_at(body, at)
        elif kind == _CORRELATION:
            correlation, at = _binary_at(body, at)
        else:
            at = _behind(kind, body, at)
    return Published(topic, body[end:], packet_id, answer_topic, correlation)


def suback_refuses(body: bytes) -> bool:
    """Whether a SUBACK refuses a subscription."""
    length, at = _length_at(body, 2)
    return any(code >= 0x80 for code in body[at + length :])


def packets_in(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Complete packets as (first byte, body), and the bytes of an incomplete one."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while (head := _head(data, at)) is not None:
        begin, length = head
        if begin + length > len(data):
            break
        found.append((data[at], data[begin : begin + length]))
        at = begin + length
    return found, data[at:]


def puback_of(body: bytes) -> tuple[int, int]:
    """Packet id and reason code of a PUBACK; without a code it is a success."""
    return struct.unpack_from(">H", body)[0], body[2] if len(body) > 2 else SUCCESS


def connack_reason(body: bytes) -> int:
    """Reason code of a CONNACK."""
    return body[1]


def _head(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the body begins and how long it is; None while the head is not complete."""
    length = shift = 0
    for end in range(at + 1, min(at + 5, len(data))):
        length |= (data[end] & 0x7F) << shift
        shift += 7
        if data[end] < 0x80:
            return end + 1, length
    return None


def _behind(kind: int, body: bytes, at: int) -> int:
    """Where the property after one that nobody needs begins."""
    if kind in _WIDTHS:
        return at + _WIDTHS[kind]
    if kind == _SUBSCRIPTION:
        return _length_at(body, at)[1]
    texts = {_CONTENT_TYPE: 1, _USER_PROPERTY: 2}.get(kind)
    if texts is None:
        raise ValueError(f"property {kind:#x} in a PUBLISH packet")
    for _ in range(texts):
        _, at = _binary_at(body, at)
    return at


def _binary_at(data: bytes, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(">H", data, at)
    return data[at + 2 : at + 2 + length], at + 2 + length


def _text_at(data: bytes, at: int) -> tuple[str, int]:
    encoded, after = _binary_at(data, at)
    return encoded.decode(), after


def _length_at(data: bytes, at: int) -> tuple[int, int]:
    """A length and where it ends (MQTT 5.0, 1.5.5)."""
    length = shift = 0
    while True:
        length |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return length, at


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + _length(len(body)) + body


def _length(remaining: int) -> bytes:
    length = bytearray()
    while True:
        remaining, low = remaining >> 7, remaining & 0x7F
        length.append(low | (0x80 if remaining else 0))
        if not remaining:
            return bytes(length)
