"""Meters of the fleet that are exchanged: which, when, for which, and what both registers show at that moment.

Knows the old and the new installation of a place. Does not know wire or clock. The fitter comes at the end of an
interval: the old meter's last register is its end register, and the new one does not begin at 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from simulators.fleet_account import FleetTruth
from simulators.fleet_energy import Counted
from simulators.meter_fleet import Fleet, IndexArray, unit_interval

NEW_SERIALS = 5_000_000_000
"""What a new meter's number is above the old one's: no lot of the fleet reaches that far."""

HIGHEST_START_WH = 9_000
FOREVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Installation:
    """One meter at a place of the fleet: it counts in (since, until], µs; ``row`` is the place."""

    row: int
    serial: int
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class ExchangeRecord:
    """What the fitter writes down; registers are import Wh."""

    row: int
    old_serial: int
    end_import_wh: int
    new_serial: int
    start_import_wh: int
    at: int


class Exchange:
    """The meters at ``rows`` (ascending) are exchanged at ``at``, µs; ``number`` keeps several exchanges apart."""

    def __init__(self, fleet: Fleet, rows: IndexArray, at: int, number: int) -> None:
        self.rows = rows
        self.at = at
        self.added = NEW_SERIALS + number * 1_000_000_000
        start = unit_interval(fleet.key[rows], 121 + number) * HIGHEST_START_WH
        self.start = np.zeros((3, len(rows)), dtype=np.int64)
        self.start[0] = 1 + start.astype(np.int64)
        self._end: IndexArray | None = None

    def change(self, rows: IndexArray, time: int, counted: Counted) -> IndexArray:
        """What the exchange adds to the registers of some of its rows at ``time``; shape (3, len(rows))."""
        if time <= self.at:
            return np.zeros((3, len(rows)), dtype=np.int64)
        places = np.searchsorted(self.rows, rows)
        change: IndexArray = (self.start - self.end(counted))[:, places]
        return change

    def counts_share(self, _start: int, _end: int) -> float:
        """Which part of an interval's energy is counted: all of it."""
        return 1.0

    def end(self, counted: Counted) -> IndexArray:
        """The old meters' registers at the exchange, without digits' end; shape (3, len(self.rows))."""
        if self._end is None:
            self._end = counted(self.rows, self.at)
        return self._end


class Identities:
    """Which meter stands at which place when."""

    def __init__(self, fleet: Fleet, exchanges: Sequence[Exchange]) -> None:
        self._fleet = fleet
        self._exchanges = sorted(exchanges, key=lambda each: each.at)
        self._by_serial = {
            each.serial: each
            for row in np.unique(np.concatenate([np.empty(0, np.int64), *(e.rows for e in exchanges)])).tolist()
            for each in self.installations(row)
        }

    def serials(self, rows: IndexArray, time: IndexArray | int) -> IndexArray:
        """Serial of the meter that counts the interval ending at ``time`` at each place; shape (len(rows),)."""
        serials = self._fleet.serial[rows]
        for each in self._exchanges:
            changed = np.isin(rows, each.rows) & (np.asarray(time) > each.at)
            serials = np.where(changed, self._fleet.serial[rows] + each.added, serials)
        return serials

    def serial(self, row: int, time: int) -> int:
        """The same for one place."""
        return int(self.serials(np.array([row]), time)[0])

    def installations(self, row: int) -> tuple[Installation, ...]:
        """The meters that stand at a place one after the other."""
        own = int(self._fleet.serial[row])
        here = [each for each in self._exchanges if row in each.rows]
        serials = [own, *(own + each.added for each in here)]
        bounds = [-FOREVER, *(each.at for each in here), FOREVER]
        return tuple(
            Installation(row, serial, since, until)
            for serial, since, until in zip(serials, bounds[:-1], bounds[1:], strict=True)
        )

    def find(self, serial: int) -> Installation | None:
        """The installation of a meter, None when it is none of this fleet."""
        if serial in self._by_serial:
            return self._by_serial[serial]
        place = int(np.searchsorted(self._fleet.serial, serial))
        if place < len(self._fleet) and int(self._fleet.serial[place]) == serial:
            return Installation(place, serial, -FOREVER, FOREVER)
        return None

    def truth(
        self,
        capture_period_us: int,
        first_end: int,
        last_offered: IndexArray,
        last_acknowledged: IndexArray,
        *,
        places: Sequence[int],
    ) -> FleetTruth:
        """What must be stored of each meter at some places, exchanged ones by themselves; arrays for every place."""
        changed = {row for each in self._exchanges for row in each.rows.tolist()}
        moved = [each for row in places if row in changed for each in self.installations(row)]
        rows = np.array([row for row in places if row not in changed], dtype=np.int64)
        at = np.array([each.row for each in moved], dtype=np.int64)
        until = np.array([each.until for each in moved], dtype=np.int64)
        since = np.array([max(each.since + capture_period_us, first_end) for each in moved], dtype=np.int64)
        return FleetTruth(
            capture_period_us,
            first_end,
            np.concatenate((self._fleet.serial[rows], np.array([each.serial for each in moved], dtype=np.int64))),
            np.concatenate((np.full(len(rows), first_end), since)),
            np.concatenate((last_offered[rows], np.minimum(last_offered[at], until))),
            np.concatenate((last_acknowledged[rows], np.minimum(last_acknowledged[at], until))),
        )

    def exchanged(self, time: int, before: Callable[[Exchange], Counted]) -> list[ExchangeRecord]:
        """What fitters have written down up to ``time``. ``before``: what would be counted without an exchange."""
        return [
            ExchangeRecord(
                row,
                self.serial(row, each.at),
                int(end) % int(self._fleet.wrap_wh[row]),
                int(self._fleet.serial[row]) + each.added,
                int(start),
                each.at,
            )
            for each in self._exchanges
            if each.at <= time
            for row, end, start in zip(each.rows.tolist(), each.end(before(each))[0], each.start[0], strict=True)
        ]
