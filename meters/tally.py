"""What the head-end knows and what it has done, shared by the threads that write.

Knows the registry in force, the newest word of every meter, and the account; each changes in one step. Does not know
broker, database or clock. A writer may still hold an intake of an older registry: its positions are looked up anew.
"""

import threading
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from meters.accepting import Accepted
from meters.account import Account
from meters.ingest import Accounts, Intake
from meters.latest import Latest
from meters.outage import Outages
from meters.registry import UNKNOWN, Registry, build_registry


class Tally:
    """Any thread may call any method."""

    def __init__(self) -> None:
        empty = build_registry(())
        self.accounts = Accounts(Account(), Account(), Account())
        self.messages = 0
        self.max_lag_s = 0.0
        self.latest = Latest(empty)
        self._outages = Outages(empty)
        self._concentrators: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def registry(self) -> Registry:
        """The registry in force."""
        return self.latest.registry

    def adopt(self, registry: Registry) -> None:
        """Put another registry in force; what is known of its meters stays known."""
        with self._lock:
            self.latest = self.latest.rebased(registry)
            self._outages = self._outages.rebased(registry)

    def late(self, intake: Intake) -> int:
        """How many of the intake's readings are older than the newest of their meter."""
        with self._lock:
            positions, rows = self._placed(intake.registry, intake.readings)
            return int(np.count_nonzero(self.latest.is_late(positions, rows["time"])))

    def settle(self, intake: Intake, accounts: Accounts, messages: int, lag_s: float) -> None:
        """Note an intake that is committed."""
        with self._lock:
            positions, rows = self._placed(intake.registry, intake.readings)
            self.latest.advance(positions, rows["time"])
            self._outages.note_readings(positions, rows["time"], rows["status"])
            positions, rows = self._placed(intake.registry, intake.events)
            self._outages.note_events(positions, rows["time"], rows["code"])
            self._concentrators.update(intake.states)
            self.accounts += accounts
            self.messages += messages
            self.max_lag_s = max(self.max_lag_s, lag_s)

    def meters_out(self) -> Mapping[str, int]:
        """Meters without supply per feeder."""
        return self._outages.by_feeder()

    @property
    def concentrators_online(self) -> int:
        """How many concentrators said last that they are."""
        return sum(state == "online" for state in list(self._concentrators.values()))

    def _placed(self, registry: Registry, accepted: Accepted) -> tuple[NDArray[np.intp], NDArray[np.void]]:
        """Positions in the registry in force, and the rows whose meters it has."""
        if registry is self.registry:
            return accepted.position, accepted.rows
        positions = self.registry.locate(registry.serial[accepted.position], accepted.rows["time"])
        kept = positions != UNKNOWN
        return positions[kept], accepted.rows[kept]
