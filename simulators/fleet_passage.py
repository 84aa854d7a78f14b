"""What a scenario does to reports between sender and broker: some vanish, some wait, some come twice or spoilt.

Knows what is held up. Does not know wire or clock.
"""

import heapq
from dataclasses import replace
from itertools import count

from simulators.fleet_faults import FleetFaults, spoilt
from simulators.fleet_messages import Message
from simulators.fleet_reporting import Report


class Passage:
    """The way of a fleet's reports. ``lost``: how many vanished."""

    def __init__(self, faults: FleetFaults) -> None:
        self._faults = faults
        self._held: list[tuple[int, int, Message]] = []
        self._numbers = count()
        self.lost = 0

    def let_through(self, report: Report, message: Message, now: int) -> list[Message] | None:
        """What arrives at once of a report; None when it vanishes."""
        fate = self._faults.fate(report, now)
        if not fate.copies:
            self.lost += 1
            return None
        if fate.corrupted:
            message = replace(message, payload=spoilt(message.payload))
        if not fate.delay_us:
            return [message] * fate.copies
        for _ in range(fate.copies):
            heapq.heappush(self._held, (now + fate.delay_us, next(self._numbers), message))
        return []

    def held(self) -> tuple[int, Message] | None:
        """What has waited longest, and until when (µs); None when nothing waits."""
        return (self._held[0][0], self._held[0][2]) if self._held else None

    def take(self) -> Message:
        """Let what has waited longest go."""
        return heapq.heappop(self._held)[2]
