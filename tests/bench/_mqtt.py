"""A publisher's bare minimum of MQTT 5, so that offering messages costs less than taking them.

Knows the bytes of CONNECT, PUBLISH with QoS 1 and PUBACK (MQTT 5.0, 3.1, 3.3, 3.4) and plain sockets. Does not know
what the messages mean.
"""

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

CONNACK, PUBACK = 0x20, 0x40
GROUP = 50
"""Connections begun at once: a broker's listen queue holds a hundred."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker answers and who publishes."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)


def connect_packet(client_id: str, address: Address, keepalive_s: int) -> bytes:
    """CONNECT with a clean start and a log-in."""
    body = _text("MQTT") + bytes([5, 0xC2]) + struct.pack(">H", keepalive_s) + b"\0"
    return _packet(0x10, body + _text(client_id) + _text(address.username) + _text(address.password))


def publish_packet(topic: str, payload: bytes, packet_id: int) -> bytes:
    """PUBLISH with QoS 1 and without properties."""
    return _packet(0x32, _text(topic) + struct.pack(">H", packet_id) + b"\0" + payload)


def packets_in(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Complete packets as (first byte, body), and the bytes of an incomplete one."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at + 2 <= len(data):
        length = shift = 0
        end = at + 1
        while end < len(data):
            byte = data[end]
            length |= (byte & 0x7F) << shift
            shift += 7
            end += 1
            if byte < 0x80:
                break
        else:
            break
        if end + length > len(data):
            break
        found.append((data[at], data[end : end + length]))
        at = end + length
    return found, data[at:]


def refused(puback: bytes) -> bool:
    """Whether a PUBACK says anything but success; 0x10 means that nobody listens."""
    return len(puback) > 2 and puback[2] != 0


def connect_all(address: Address, client_ids: Sequence[str], *, source: str = "127.0.0.1") -> list[socket.socket]:
    """Open a connection for every client id, some at a time. Raises OSError, or RuntimeError when one is refused."""
    links: list[socket.socket] = []
    for first in range(0, len(client_ids), GROUP):
        group = client_ids[first : first + GROUP]
        opened = [
            socket.create_connection((address.host, address.port), timeout=30, source_address=(source, 0))
            for _ in group
        ]
        for link, client_id in zip(opened, group, strict=True):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.sendall(connect_packet(client_id, address, 0))
        for link, client_id in zip(opened, group, strict=True):
            _await_connack(link, client_id)
        links += opened
    return links


def _await_connack(link: socket.socket, client_id: str) -> None:
    data = b""
    while True:
        received = link.recv(4096)
        if not received:
            raise RuntimeError(f"the broker closes the connection of {client_id}")
        packets, data = packets_in(data + received)
        if packets:
            kind, body = packets[0]
            if kind != CONNACK or body[1] != 0:
                raise RuntimeError(f"the broker refuses {client_id}: reason {body[1]:#x}")
            return


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
