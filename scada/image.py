"""The process image: the present value, quality, time and cause of every point, and what of a batch is worth reporting.

Knows points and the rule of report by exception. Does not know where samples come from or go to, reads no clock and
never waits: one caller at a time, on the event loop of its owner.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scada.model.cause import Cause
from scada.model.point import Point, PointKind
from scada.model.quality import Quality
from scada.model.sample import SAMPLE, PointArray, SampleArray

_NEVER_REPORTED: Final = 0xFF
"""No quality octet: bits 0x02 to 0x08 are never set."""


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """Rows since the start: received = reported + within the deadband + of unknown points."""

    received: int = 0
    reported: int = 0
    unknown: int = 0


class ProcessImage:
    """Present state of ``points``; a point never heard of is INVALID and NOT_TOPICAL with time 0."""

    def __init__(self, points: Sequence[Point]) -> None:
        ordered = sorted(points, key=lambda point: point.id)
        count = len(ordered)
        self._ids: PointArray = np.array([point.id for point in ordered], dtype=np.int32)
        if count and bool((np.diff(self._ids) == 0).any()):
            raise ValueError("two points have the same id")
        self._row_of = {point.name: row for row, point in enumerate(ordered)}
        self._deadband = np.array(
            [point.deadband if point.kind is PointKind.MEASURED_VALUE else 0.0 for point in ordered]
        )
        self._value = np.zeros(count)
        self._quality = np.full(count, Quality.INVALID | Quality.NOT_TOPICAL, dtype=np.uint8)
        self._time = np.zeros(count, dtype=np.int64)
        self._cause = np.full(count, Cause.INITIALIZED, dtype=np.uint8)
        self._reported_value = np.zeros(count)
        self._reported_quality = np.full(count, _NEVER_REPORTED, dtype=np.uint8)
        self._last_seen = np.zeros(count, dtype=np.intp)
        self.counts = ImageCounts()

    def __len__(self) -> int:
        return len(self._ids)

    def apply(self, batch: SampleArray) -> SampleArray:
        """Take a batch and return the rows of it to be reported, in its order: SAMPLE, shape (m,), m <= n.

        Reported is a sample of any cause but SPONTANEOUS, one whose quality differs from the last reported, and one
        whose value differs from the last reported by more than the point's deadband; without a deadband (positions,
        steps and totals never have one) by anything. Several samples of a point are judged one after the other and all
        kept: a sequence of events is never merged. Rows of unknown points are counted and left out.
        """
        rows, known = self._rows(batch["point"])
        unknown = 0
        if not known.all():
            unknown = len(batch) - int(np.count_nonzero(known))
            batch, rows = batch[known], rows[known]
        order = np.arange(len(batch))
        self._last_seen[rows] = order
        if bool((self._last_seen[rows] == order).all()):
            report = self._take(batch, rows)
        else:
            report = np.zeros(len(batch), dtype=np.bool_)
            for turn in _turns(rows):
                report[turn] = self._take(batch[turn], rows[turn])
        delta: SampleArray = batch[report]
        self.counts = ImageCounts(
            self.counts.received + len(batch) + unknown,
            self.counts.reported + len(delta),
            self.counts.unknown + unknown,
        )
        return delta

    def snapshot(self) -> SampleArray:
        """Every point's present state, SAMPLE, shape (points,), by id; a copy."""
        return self._state(slice(None))

    def read(self, names: Sequence[str]) -> SampleArray:
        """Present state of the named points, SAMPLE, in the order asked. Raises KeyError with the unknown name."""
        return self._state(np.array([self._row_of[name] for name in names], dtype=np.intp))

    def _rows(self, ids: PointArray) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        if not len(self._ids):
            return np.zeros(len(ids), dtype=np.intp), np.zeros(len(ids), dtype=np.bool_)
        rows = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return rows, self._ids[rows] == ids

    def _take(self, batch: SampleArray, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Store samples of different points; True where one is to be reported."""
        value, quality, cause = batch["value"], batch["quality"], batch["cause"]
        self._value[rows] = value
        self._quality[rows] = quality
        self._time[rows] = batch["time"]
        self._cause[rows] = cause
        report: NDArray[np.bool_] = np.abs(value - self._reported_value[rows]) > self._deadband[rows]
        report |= quality != self._reported_quality[rows]
        report |= cause != Cause.SPONTANEOUS
        reported = rows[report]
        self._reported_value[reported] = value[report]
        self._reported_quality[reported] = quality[report]
        return report

    def _state(self, rows: slice | NDArray[np.intp]) -> SampleArray:
        state = np.empty(len(self._ids[rows]), dtype=SAMPLE)
        state["point"] = self._ids[rows]
        state["time"] = self._time[rows]
        state["value"] = self._value[rows]
        state["quality"] = self._quality[rows]
        state["cause"] = self._cause[rows]
        return state


def _turns(rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Indices of ``rows`` by turn: the first sample of every point, then every second one, and so on, each in order."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[starts, len(ordered)])
    turn = np.arange(len(ordered)) - np.repeat(starts, lengths)
    by_turn = np.argsort(turn, kind="stable")
    sizes = np.bincount(turn)
    return [np.sort(part) for part in np.split(order[by_turn], np.cumsum(sizes)[:-1])]
