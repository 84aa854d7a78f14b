"""What the fleet says it has done, for the end-to-end check against the historian's count.

Knows figures only. Does not know how they come about.
"""

from dataclasses import dataclass

import numpy as np

from simulators.meter_fleet import IndexArray


@dataclass(frozen=True, slots=True)
class FleetStats:
    """What the fleet has done. Readings are counted once, however often they were sent.

    ``readings_resent`` counts repetitions; ``messages_unheard`` those the broker did not take or nobody listened to;
    ``reports_lost`` what a scenario swallowed between sender and broker. ``overdue_s``: how long the report that waits
    longest has been due. ``registers_acknowledged``: messages with billing registers that were taken.
    """

    meters: int
    meters_reported: int
    meters_dead: int
    readings_offered: int
    readings_acknowledged: int
    readings_resent: int
    readings_forgotten: int
    messages_sent: int
    messages_acknowledged: int
    messages_unheard: int
    last_gasps_lost: int
    connections: int
    connections_up: int
    overdue_s: float
    reports_lost: int = 0
    requests_answered: int = 0
    registers_acknowledged: int = 0


@dataclass(frozen=True, slots=True)
class FleetTruth:
    """What must be in the historian: for each meter every interval from its first end to its ``last_acknowledged``.

    Times are interval ends, µs UTC, shape (n,); before the first = none. Up to ``last_offered`` more may be there.
    first_end: of the fleet · first_ends: of each meter, later for one that was installed by an exchange.
    """

    capture_period_us: int
    first_end: int
    serial: IndexArray
    first_ends: IndexArray
    last_offered: IndexArray
    last_acknowledged: IndexArray

    @property
    def readings(self) -> IndexArray:
        """How many readings of each meter must be in the historian; shape (n,)."""
        count: IndexArray = np.maximum((self.last_acknowledged - self.first_ends) // self.capture_period_us + 1, 0)
        return count
