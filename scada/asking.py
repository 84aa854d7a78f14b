"""Requests to meters from any process: entered as rows, awaited until the head-end that speaks has ended them.

Knows the way and the patience. Does not know the wire. The head-end may be another process on another machine, and may
die meanwhile; every request ends all the same.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from historian.requests import FORGOTTEN_AFTER_US, MeterRequests, RequestEnding
from meters.request import RequestKind
from meters.requestqueue import Ending, Priority
from scada.model.meterlink import SupplyAction, SupplyOutcome, SupplyPlace
from scada.model.ports import Clock

GLANCE_S = 0.2
NOT_INSTALLED = "no installed meter has this serial"
NOBODY_SPOKE = "no head-end has ended it: is `scada collect` running?"


class MeterAsking:
    """Asks meters and waits. Raises StoreUnavailable."""

    def __init__(self, store: MeterRequests, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def ask(
        self,
        kind: RequestKind,
        serials: Sequence[int],
        *,
        priority: Priority,
        requested_by: str,
        within_s: float,
        parameters: Mapping[str, Any] | None = None,
    ) -> tuple[RequestEnding, ...]:
        """Ask meters and wait until every request has ended, in the order of ``serials``."""
        expires_at = self._clock() + round(within_s * 1e6)
        entered = self._store.enter(
            kind.value,
            serials,
            priority=priority,
            requested_by=requested_by,
            expires_at=expires_at,
            parameters=parameters,
        )
        found = {each.id: each for each in self._wait([n for n in entered.values() if n is not None], expires_at)}
        return tuple(_ending(serial, kind, found.get(entered[serial] or 0)) for serial in serials)

    def _wait(self, ids: Sequence[int], expires_at: int) -> tuple[RequestEnding, ...]:
        while True:
            endings = self._store.endings(ids)
            if all(each.ending for each in endings):
                return endings
            now = self._clock()
            if now > expires_at + FORGOTTEN_AFTER_US:
                self._store.end_forgotten(now)
                return self._store.endings(ids)
            time.sleep(GLANCE_S)


class RequestedSupply:
    """SupplyControl by way of requests."""

    def __init__(self, store: MeterRequests, clock: Clock) -> None:
        self._store = store
        self._asking = MeterAsking(store, clock)

    def place(self, serial: int) -> SupplyPlace | None:
        """Where a meter is installed. Raises StoreUnavailable."""
        found = self._store.place(serial)
        return None if found is None else SupplyPlace(serial, *found)

    def operate(self, serial: int, action: SupplyAction, *, requested_by: str, within_s: float) -> SupplyOutcome:
        """Tell one meter and wait for the state it is in then. Raises StoreUnavailable."""
        (ended,) = self._asking.ask(
            RequestKind(action.value),
            [serial],
            priority=Priority.SUPPLY,
            requested_by=requested_by,
            within_s=within_s,
        )
        return SupplyOutcome(serial, ended.ending, ended.why, str((ended.answer or {}).get("state", "")))


def _ending(serial: int, kind: RequestKind, found: RequestEnding | None) -> RequestEnding:
    if found is None:
        return RequestEnding(0, serial, kind.value, Ending.REFUSED.value, NOT_INSTALLED, None)
    if not found.ending:
        return RequestEnding(found.id, serial, kind.value, Ending.UNKNOWN.value, NOBODY_SPOKE, None)
    return found
