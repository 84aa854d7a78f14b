"""When a station is to be scanned: every period by an absolute schedule, and from time to time everything.

Knows periods and phases. Does not know links or what a scan brings; ``now`` is monotonic seconds and an argument.

A late scan does not shift the later ones; missed ones are counted and left out, not caught up.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from scada.clock import now_us
from scada.model.cause import Cause
from scada.model.ports import Clock


@dataclass(frozen=True, slots=True)
class Timing:
    """The clocks of a scan loop: ``now`` in µs UTC dates samples, ``monotonic`` in s paces, ``sleep`` waits."""

    now: Clock = now_us
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(slots=True)
class Schedule:
    """``due``: when each period is, in monotonic seconds; ``owed``: the periods that owe an integrity scan."""

    due: dict[float, float]
    integrity_scan_s: float
    integrity_due: float
    owed: set[float] = field(default_factory=set)

    @property
    def next(self) -> float:
        """The period that is due first; of several the shortest."""
        return min(self.due, key=lambda each: (self.due[each], each))

    def cause(self, period_s: float, now: float) -> Cause:
        """Why the period is scanned: for what is new, or for every value because an integrity scan is owed."""
        if now >= self.integrity_due:
            self.integrity_due += self.integrity_scan_s
            self.owed = set(self.due)
        return Cause.BACKGROUND_SCAN if period_s in self.owed else Cause.SPONTANEOUS

    def advance(self, period_s: float, now: float, *, answered: bool) -> int:
        """A scan ended: when is the next one, and how many were missed meanwhile?"""
        if answered:
            self.owed.discard(period_s)
        missed = max(0, int((now - self.due[period_s]) / period_s))
        self.due[period_s] += (missed + 1) * period_s
        return missed


def begin(periods: Sequence[float], integrity_scan_s: float, phase: float, now: float) -> Schedule:
    """A schedule from now on. ``phase``, in [0, 1), moves it within each period: not all stations ask at once."""
    due = {period_s: now + period_s * phase for period_s in periods}
    return Schedule(due, integrity_scan_s, now + integrity_scan_s * (1.0 + phase))
