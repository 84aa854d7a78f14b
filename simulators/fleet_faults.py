"""What a scenario does to the fleet: the fate of each report on its way, and which senders and meters it concerns.

Does not know wire, clock or bytes. Every decision is a function of seed, fault, sender and interval: the same scenario
goes wrong in the same way each time, and a report that is sent again meets the same fate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from simulators.fleet_energy import FleetEnergy
from simulators.fleet_exchange import Exchange
from simulators.fleet_reporting import Report
from simulators.fleet_scenario import FaultKind, FleetFault
from simulators.fleet_tamper import Tampering
from simulators.load_shapes import HOUR_US
from simulators.meter_fleet import Fleet, IndexArray, scramble, scramble_number, unit_interval


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one report on its way. ``copies`` 0: it is lost."""

    copies: int = 1
    delay_us: int = 0
    corrupted: bool = False


UNHARMED = Fate()


class FleetFaults:
    """A scenario for one fleet that starts at ``start`` (µs).

    What befalls a ``count`` of concentrators befalls as many modems in a fleet that has no concentrators.
    """

    def __init__(self, scenario: Sequence[FleetFault], fleet: Fleet, start: int) -> None:
        self._faults = tuple(enumerate(scenario))
        self._fleet = fleet
        self._start = start
        senders = len(fleet.concentrators) or len(fleet)
        self._chosen = {
            number: frozenset(_chosen(senders, each.count, fleet.seed, number))
            for number, each in self._faults
            if each.count
        }

    def fate(self, report: Report, now: int) -> Fate:
        """What becomes of a report that is due at ``now``."""
        copies, delay_us, corrupted = 1, 0, False
        for number, each in self._holding(now):
            if each.kind is FaultKind.DEAD and report.sender in self._chosen[number]:
                return Fate(copies=0)
            if each.share and not self._happens(number, each.share, report):
                continue
            if each.kind is FaultKind.LOST:
                return Fate(copies=0)
            if each.kind is FaultKind.DUPLICATED:
                copies = 2
            elif each.kind is FaultKind.CORRUPTED:
                corrupted = True
            elif each.kind is FaultKind.LATE:
                delay_us += round(each.delay_s * 1e6)
            elif each.kind is FaultKind.REORDERED:
                delay_us += round(each.delay_s * 1e6 * self._chance(number + 1000, report))
        return Fate(copies, delay_us, corrupted)

    def is_dead(self, sender: int, now: int) -> bool:
        """True while a sender neither hears nor speaks."""
        return any(each.kind is FaultKind.DEAD and sender in self._chosen[n] for n, each in self._holding(now))

    def held_back(self) -> tuple[tuple[int, int], ...]:
        """Senders that say nothing until a time: pairs of index and µs."""
        return tuple(
            (sender, self._time(each.until_s))
            for number, each in self._faults
            if each.kind is FaultKind.BACKLOG
            for sender in sorted(self._chosen[number])
        )

    def clock_off_us(self) -> IndexArray:
        """How far each meter's clock is ahead, µs in whole seconds; shape (n,)."""
        off = np.zeros(len(self._fleet), dtype=np.int64)
        for number, each in self._faults:
            if each.kind is FaultKind.CLOCK_OFF:
                off[_meters(self._fleet, each.share or 1.0, number)] = each.seconds * 1_000_000
        return off

    def rolling_over(self) -> IndexArray:
        """Rows of the meters whose registers soon begin again at 0."""
        rows = [np.empty(0, dtype=np.int64)]
        rows += [_meters(self._fleet, each.share, n) for n, each in self._faults if each.kind is FaultKind.ROLLOVER]
        return np.unique(np.concatenate(rows))

    def exchanges(self, period_us: int) -> tuple[Exchange, ...]:
        """Meters that are exchanged, each at the first end of an interval in the time of its fault."""
        return tuple(
            Exchange(
                self._fleet,
                _meters(self._fleet, each.share, n),
                -(-self._time(each.from_s) // period_us) * period_us,
                n,
            )
            for n, each in self._faults
            if each.kind is FaultKind.EXCHANGE
        )

    def tamperings(self) -> tuple[Tampering, ...]:
        """Meters that are tampered with."""
        return tuple(
            Tampering(
                _meters(self._fleet, each.share, n),
                self._time(each.from_s),
                self._time(each.until_s),
                each.form,
                each.uncounted,
            )
            for n, each in self._faults
            if each.kind is FaultKind.TAMPERED
        )

    def _time(self, elapsed_s: float) -> int:
        return self._start + round(elapsed_s * 1e6)

    def _holding(self, now: int) -> list[tuple[int, FleetFault]]:
        elapsed_s = (now - self._start) / 1e6
        return [(number, each) for number, each in self._faults if each.from_s <= elapsed_s < each.until_s]

    def _happens(self, number: int, share: float, report: Report) -> bool:
        return self._chance(number, report) < share

    def _chance(self, number: int, report: Report) -> float:
        word = scramble_number(self._fleet.seed * 1_000_003 + report.sender) ^ (report.last_end // 1_000_000)
        return float(unit_interval(scramble(np.array([word], dtype=np.uint64)), 31 + number)[0])


def _chosen(concentrators: int, count: int, seed: int, number: int) -> list[int]:
    keys = scramble(np.arange(concentrators).astype(np.uint64) + np.uint64(scramble_number(seed)))
    chosen: list[int] = np.argsort(unit_interval(keys, 61 + number), kind="stable")[:count].tolist()
    return chosen


def _meters(fleet: Fleet, share: float, number: int) -> IndexArray:
    rows: IndexArray = np.flatnonzero(unit_interval(fleet.key, 91 + number) < share)
    return rows


def near_rollover(fleet: Fleet, rows: IndexArray, start: int, period_us: int) -> Fleet:
    """The fleet with import registers of ``rows`` standing so high at ``start`` that they wrap within three periods."""
    if not rows.size:
        return fleet
    standing = FleetEnergy(fleet).registers(rows, start)[0]
    margin = np.maximum(fleet.mean_w[rows] * (period_us / HOUR_US), 1.0).astype(np.int64)
    first = fleet.start_import_wh.copy()
    first[rows] += fleet.wrap_wh[rows] - margin - standing
    return replace(fleet, start_import_wh=first)


def spoilt(payload: bytes) -> bytes:
    """A payload as it arrives over a bad line: a batch with three wrong bytes, a text cut off in the middle."""
    middle = len(payload) // 2
    if payload[:1] == b"{":
        return payload[:middle]
    return payload[:middle] + bytes(byte ^ 0x5A for byte in payload[middle : middle + 3]) + payload[middle + 3 :]
