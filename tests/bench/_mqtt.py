"""Many connections opened one after the other, so that offering messages costs less than taking them.

Knows plain sockets; the packets are ``simulators.mqtt_packets``. Does not know what the messages mean.
"""

import socket
from collections.abc import Sequence

from simulators.mqtt_packets import CONNACK, Login, connect_packet, packets_in

IP_BIND_ADDRESS_NO_PORT = 24
"""Of Linux; Python has no name for it before 3.12."""

GROUP = 50
"""Connections begun at once: a broker's listen queue holds a hundred."""


def refused(puback: bytes) -> bool:
    """Whether a PUBACK says anything but success; 0x10 means that nobody listens."""
    return len(puback) > 2 and puback[2] != 0


def connect_all(login: Login, client_ids: Sequence[str], *, source: str = "127.0.0.1") -> list[socket.socket]:
    """Open a connection for every client id, some at a time. Raises OSError, or RuntimeError when one is refused."""
    links: list[socket.socket] = []
    for first in range(0, len(client_ids), GROUP):
        group = client_ids[first : first + GROUP]
        opened = [_opened(login, source) for _ in group]
        for link, client_id in zip(opened, group, strict=True):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.sendall(connect_packet(client_id, login, 0))
        for link, client_id in zip(opened, group, strict=True):
            _await_connack(link, client_id)
        links += opened
    return links


def _opened(login: Login, source: str) -> socket.socket:
    """A connection from an address; its port is chosen knowing the destination, which is quick for thousands."""
    link = socket.socket()
    link.settimeout(30)
    link.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    link.bind((source, 0))
    link.connect((login.host, login.port))
    return link


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
