"""The few packets of MQTT 5 a meter's modem needs, and no more (MQTT 5.0, 3.1, 3.3, 3.4, 3.12).

Knows bytes. Does not know sockets, meters or what messages mean. A client library costs 100 kB and a thread for each
connection; a process of ten thousand modems cannot have that.
"""

import struct
from dataclasses import dataclass, field

CONNACK, PUBACK = 0x20, 0x40
PINGREQ = b"\xc0\x00"
SUCCESS = 0x00
NO_MATCHING_SUBSCRIBERS = 0x10


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


def publish_packet(topic: str, payload: bytes, packet_id: int) -> bytes:
    """PUBLISH with QoS 1 and without properties."""
    return _packet(0x32, _text(topic) + struct.pack(">H", packet_id) + b"\0" + payload)


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


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _packet(first: int, body: bytes) -> bytes:
    length, remaining = bytearray(), len(body)
    while True:
        remaining, low = remaining >> 7, remaining & 0x7F
        length.append(low | (0x80 if remaining else 0))
        if not remaining:
            return bytes([first]) + bytes(length) + body
