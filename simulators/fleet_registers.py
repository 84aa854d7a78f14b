"""When the meters of the fleet send their billing registers: at every local midnight, and at a month's end.

Knows the boundaries and whose turn it is. Does not know bytes, wire or clock. A meter without supply at a boundary does
not capture it; one whose message was lost says it again.
"""

from collections import deque
from datetime import UTC, datetime, timedelta, timezone

import numpy as np

from scada.model.reading import RegisterKind
from simulators.fleet_energy import FleetEnergy
from simulators.fleet_messages import Registers
from simulators.fleet_reporting import Reporting
from simulators.load_shapes import UTC_OFFSET_US
from simulators.meter_fleet import Fleet

AT_ONCE = 200
"""Messages of one link at a time: reports of readings come between, and at midnight both are due."""

_LOCAL = timezone(timedelta(microseconds=UTC_OFFSET_US))


class BillingRegisters:
    """Whose registers are to be sent, for each link. What was before ``start`` is not sent."""

    def __init__(self, fleet: Fleet, energy: FleetEnergy, reporting: Reporting, start: int) -> None:
        self._fleet = fleet
        self._energy = energy
        self._reporting = reporting
        self._passed = start
        self.waiting: tuple[deque[Registers], ...] = tuple(deque() for _ in range(reporting.links))

    def pass_time(self, now: int) -> None:
        """Note the boundaries that have come."""
        for time, kind in boundaries(self._passed, now):
            dead = [feeder for feeder in np.unique(self._fleet.feeder).tolist() if not self._energy.energised(feeder)]
            for row in np.flatnonzero(~np.isin(self._fleet.feeder, dead)).tolist():
                link = self._reporting.link_of(self._reporting.sender_of(row))
                self.waiting[link].append(Registers(row, time, kind))
        self._passed = now

    def take(self, link: int, room: int) -> list[Registers]:
        """What a link should send next."""
        queue = self.waiting[link]
        return [queue.popleft() for _ in range(min(room, AT_ONCE, len(queue)))]

    def again(self, link: int, registers: list[Registers]) -> None:
        """What was lost on its way is the next to be sent."""
        self.waiting[link].extendleft(reversed(registers))


def boundaries(after: int, until: int) -> list[tuple[int, RegisterKind]]:
    """Local midnights in (after, until], µs, each with what it is: the first of a month ends a month."""
    day = datetime.fromtimestamp(after // 1_000_000, _LOCAL).date()
    found: list[tuple[int, RegisterKind]] = []
    while True:
        midnight = round(datetime(day.year, day.month, day.day, tzinfo=_LOCAL).astimezone(UTC).timestamp()) * 1_000_000
        if midnight > until:
            return found
        if midnight > after:
            found.append((midnight, RegisterKind.MONTH_END if day.day == 1 else RegisterKind.DAILY))
        day += timedelta(days=1)
