"""Acknowledgements owed on one connection, and in which order they are due (MQTT 5.0, 4.6: that of arrival).

Knows packet identifiers. Does not know the wire, nor why something was committed before something older.
"""

from collections import deque
from collections.abc import Sequence

from meters.message import Message


class Owed:
    """What came on connection ``number`` with QoS 1 and is not acknowledged. For one thread."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._in_order: deque[int] = deque()
        self._settled: set[int] = set()

    def note(self, messages: Sequence[Message]) -> None:
        """Messages that came, in their order."""
        self._in_order.extend([message.packet_id for message in messages if message.packet_id])

    def settle(self, messages: Sequence[Message]) -> int:
        """Messages that are committed; how many of them came on another connection and are not ours to acknowledge."""
        owed = [message for message in messages if message.packet_id]
        ours = [message.packet_id for message in owed if message.connection == self._number]
        self._settled.update(ours)
        return len(owed) - len(ours)

    def due(self) -> list[int]:
        """Packet identifiers to acknowledge now: committed, and so is everything that came before."""
        due: list[int] = []
        while self._in_order and self._in_order[0] in self._settled:
            due.append(self._in_order.popleft())
        self._settled.difference_update(due)
        return due
