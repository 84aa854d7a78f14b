"""The rule against a flapping contact: blocked after too many changes, counted, shown again when it is quiet.

Knows changes, times and the BLOCKED bit (IEC 60870-5-101, 7.2.6.2: «by a local automatic cause»). Does not know links,
protocols or clocks: ``now`` is an argument.

The change that breaks the rule goes out with BLOCKED; later ones are counted and held back; the state the contact has
when it is quiet again goes out without. So received = passed on + suppressed, and no change vanishes untold.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from scada.model.cause import Cause
from scada.model.point import Point, PointKind
from scada.model.quality import Quality
from scada.model.sample import SampleArray, samples

logger = logging.getLogger(__name__)

_WATCHED: Final = (PointKind.SINGLE_POINT, PointKind.DOUBLE_POINT)


@dataclass(frozen=True, slots=True)
class ChatterRule:
    """More than ``changes`` within ``window_us`` of source time block a contact, ``quiet_us`` without release it."""

    changes: int = 50
    window_us: int = 1_000_000
    quiet_us: int = 10_000_000


@dataclass(slots=True)
class _Contact:
    """What is remembered of one contact that changed."""

    value: float
    times: deque[int]
    quality: int = 0
    blocked: bool = False
    suppressed: int = 0
    heard_at: int = field(default=0)


class ChatterFilter:
    """Watches the contacts and positions of one station."""

    def __init__(self, points: Sequence[Point], rule: ChatterRule) -> None:
        self._names = {point.id: point.name for point in points if point.kind in _WATCHED}
        self._ids = np.array(sorted(self._names), dtype=np.int32)
        self._shown = np.full(len(self._ids), np.nan)
        self._rule = rule
        self._contacts: dict[int, _Contact] = {}
        self._blocked: set[int] = set()
        self.suppressed = 0
        """Samples held back since the start."""

    @property
    def blocked(self) -> int:
        """How many contacts are blocked now."""
        return len(self._blocked)

    def pass_on(self, batch: SampleArray, now: int) -> SampleArray:
        """The samples of one scan that go on, in their order, and behind them the contacts that are quiet again."""
        judged = self._judged(batch, now) if len(self._ids) and len(batch) else batch
        released = [point for point in self._blocked if now - self._contacts[point].heard_at >= self._rule.quiet_us]
        return np.concatenate([judged, self._release(released, now)]) if released else judged

    def _judged(self, batch: SampleArray, now: int) -> SampleArray:
        rows = np.minimum(np.searchsorted(self._ids, batch["point"]), len(self._ids) - 1)
        watched = np.flatnonzero(self._ids[rows] == batch["point"])
        places = rows[watched]
        fresh = batch["value"][watched] != self._shown[places]
        # Most scans bring no change: two comparisons, and no loop.
        self._shown[places] = batch["value"][watched]
        counts = np.bincount(places, minlength=len(self._ids))
        blocked = np.isin(batch["point"][watched], list(self._blocked)) if self._blocked else np.zeros_like(fresh)
        candidates = watched[fresh | (counts[places] > 1) | blocked]
        if not len(candidates):
            return batch
        judged = batch.copy()
        keep = np.ones(len(batch), dtype=np.bool_)
        for row in candidates.tolist():
            keep[row] = self._judge(judged[row : row + 1], now)
        return judged[keep]

    def _judge(self, sample: SampleArray, now: int) -> bool:
        """Whether this sample goes on; marks it BLOCKED where it must be."""
        point, value, time = int(sample["point"][0]), float(sample["value"][0]), int(sample["time"][0])
        contact = self._contacts.get(point)
        if contact is None:
            self._contacts[point] = _Contact(value, deque(maxlen=self._rule.changes))
            return True
        changed, contact.value, contact.quality = value != contact.value, value, int(sample["quality"][0])
        if changed:
            contact.heard_at = now
            oldest = contact.times[0] if len(contact.times) == self._rule.changes else None
            contact.times.append(time)
            if not contact.blocked and oldest is not None and 0 <= time - oldest <= self._rule.window_us:
                self._block(point, contact)
                sample["quality"] |= np.uint8(Quality.BLOCKED)
                return True
        if not contact.blocked:
            return True
        if sample["cause"][0] != Cause.SPONTANEOUS:
            sample["quality"] |= np.uint8(Quality.BLOCKED)
            return True
        contact.suppressed += 1
        self.suppressed += 1
        return False

    def _block(self, point: int, contact: _Contact) -> None:
        contact.blocked, contact.suppressed = True, 0
        self._blocked.add(point)
        logger.warning(
            "%s chatters: more than %d changes in %g s; blocked until it is quiet for %g s",
            self._names[point],
            self._rule.changes,
            self._rule.window_us / 1e6,
            self._rule.quiet_us / 1e6,
        )

    def _release(self, points: Sequence[int], now: int) -> SampleArray:
        for point in points:
            contact = self._contacts[point]
            contact.blocked = False
            contact.times.clear()
            self._blocked.discard(point)
            logger.info("%s is quiet again: %d samples were held back", self._names[point], contact.suppressed)
        ids = np.array(points, dtype=np.int32)
        values = np.array([self._contacts[point].value for point in points])
        quality = np.array([self._contacts[point].quality for point in points], dtype=np.uint8)
        return samples(ids, now, values, quality, Cause.SPONTANEOUS)
