"""One MQTT message as it was received. Knows what it carries and where it came on; not what it means."""

from typing import NamedTuple


class Message(NamedTuple):
    """``received_at`` in µs since 1970 UTC. ``connection`` and ``packet_id`` are what acknowledging it takes; packet
    identifier 0 is that of a message nobody acknowledges (QoS 0)."""

    topic: str
    payload: bytes
    received_at: int
    connection: int = 0
    packet_id: int = 0
