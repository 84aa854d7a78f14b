"""The process image: the present value, quality, time and cause of every point, and what of a batch is worth reporting.

Knows points, the rule of report by exception, what an event is, and which points an operator has substituted or
blocked. Does not know where samples come from or go to, reads no clock and never waits: one caller at a time, on the
event loop of its owner.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scada.model.cause import Cause
from scada.model.point import Point, PointKind
from scada.model.quality import Quality
from scada.model.sample import SAMPLE, PointArray, QualityArray, SampleArray, no_samples

_Mask = NDArray[np.bool_]
_NEVER_REPORTED: Final = 0xFF
"""No quality octet: bits 0x02 to 0x08 are never set."""

_TELLING: Final = 0xFF & ~int(Quality.NOT_TOPICAL)
"""Quality bits whose change is an event. A lost link is one event of the station, not one of each of its points."""

_STATUS: Final = (PointKind.SINGLE_POINT, PointKind.DOUBLE_POINT)


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """Rows since the start: received = reported + within the deadband + of unknown points.

    ``overridden``: rows, among the received, that met a substituted or blocked point: their values are kept beside.
    """

    received: int = 0
    reported: int = 0
    unknown: int = 0
    events: int = 0
    overridden: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """What of a batch is to be reported, and what of it are events; both SAMPLE, in the order of the batch."""

    delta: SampleArray
    events: SampleArray


@dataclass(slots=True)
class _Beside:
    """One overridden point: what is shown, and beside it what the field last said."""

    kind: Quality
    value: float
    quality: int
    field: NDArray[np.void]


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Where the points of a batch are: their rows, which of the batch are status points, and the deadband of each."""

    rows: NDArray[np.intp]
    status: NDArray[np.intp]
    deadband: NDArray[np.float64]
    distinct: bool


_MOST_FAMILIAR: Final = 4
"""Batches are remembered by their points, because a scan of a station brings the same ones every time: in all so many
rows for each point of the image."""


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
        self._familiar: dict[bytes, _Places] = {}
        self._remembered = 0
        self._is_status = np.array([point.kind in _STATUS for point in ordered], dtype=np.bool_)
        self._told_value = np.zeros(count)
        self._told_quality = np.full(count, _NEVER_REPORTED, dtype=np.uint8)
        self._beside: dict[int, _Beside] = {}
        self._is_overridden = np.zeros(count, dtype=np.bool_)
        self.counts = ImageCounts()

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, name: object) -> bool:
        return name in self._row_of

    def apply(self, batch: SampleArray) -> SampleArray:
        """Take a batch and return the rows of it to be reported, in its order: SAMPLE, shape (m,), m <= n."""
        return self.take(batch).delta

    def take(self, batch: SampleArray) -> Taken:
        """Take a batch and return what of it is to be reported, and what of it are events.

        Reported is a sample of any cause but SPONTANEOUS, one whose quality differs from the last reported, and one
        whose value differs from the last reported by more than the point's deadband; without a deadband (positions,
        steps and totals never have one) by anything. Several samples of a point are judged one after the other and all
        kept: a sequence of events is never merged. Rows of unknown points are counted and left out.

        An event is a sample of a single or double point whose valid value differs from the last valid one, or whose
        quality does in anything but NOT_TOPICAL. The first valid sample of a point is its initial state and no event.
        """
        received = len(batch)
        places, batch = self._places(batch)
        overridden = 0
        if self._beside:
            batch, overridden = self._put_beside(batch, places.rows)
        if places.distinct:
            report, event = self._take(batch, places)
        else:
            report = np.zeros(len(batch), dtype=np.bool_)
            event = np.zeros(len(batch), dtype=np.bool_)
            for turn in _turns(places.rows):
                report[turn], event[turn] = self._take(batch[turn], self._at(places.rows[turn]))
        taken = Taken(batch[report], batch[event])
        self.counts = ImageCounts(
            self.counts.received + received,
            self.counts.reported + len(taken.delta),
            self.counts.unknown + received - len(batch),
            self.counts.events + len(taken.events),
            self.counts.overridden + overridden,
        )
        return taken

    def substitute(self, name: str, value: float, now: int) -> Taken:
        """Show ``value`` instead of what the field says, with quality SUBSTITUTED, until ``release``.

        Raises KeyError for an unknown point.
        """
        return self._override(name, Quality.SUBSTITUTED, value, now)

    def block(self, name: str, now: int, *, held: float | None = None) -> Taken:
        """Keep showing the present value, with BLOCKED added to the field's quality, until ``release``.

        ``held`` is shown instead of the present value: after a restart, what was shown before. Raises KeyError.
        """
        shown = float(self._value[self._row_of[name]]) if held is None else held
        return self._override(name, Quality.BLOCKED, shown, now)

    def release(self, name: str, now: int) -> Taken:
        """Show again what the field says; nothing to report for a point that is not overridden. Raises KeyError."""
        row = self._row_of[name]
        if row not in self._beside:
            return Taken(no_samples(), no_samples())
        field = self._beside.pop(row).field
        self._is_overridden[row] = False
        again = field.reshape(1).copy()
        again["time"], again["cause"] = now, Cause.SPONTANEOUS
        return self._take_own(again)

    def field_value(self, name: str) -> SampleArray:
        """What the field last said of a point, SAMPLE, shape (1,): kept beside while it is overridden."""
        row = self._row_of[name]
        if row in self._beside:
            return self._beside[row].field.reshape(1).copy()
        return self.read([name])

    @property
    def overridden(self) -> tuple[str, ...]:
        """Names of the points that are substituted or blocked."""
        rows = self._beside.keys()
        return tuple(name for name, row in self._row_of.items() if row in rows)

    def snapshot(self) -> SampleArray:
        """Every point's present state, SAMPLE, shape (points,), by id; a copy."""
        return self._state(slice(None))

    def frozen(self) -> "ProcessImage":
        """A copy that stands still, for whoever looks at it on another thread."""
        still = copy.copy(self)
        for name in ("_value", "_quality", "_time", "_cause"):
            setattr(still, name, getattr(self, name).copy())
        return still

    def read(self, names: Sequence[str]) -> SampleArray:
        """Present state of the named points, SAMPLE, in the order asked. Raises KeyError with the unknown name."""
        return self._state(np.array([self._row_of[name] for name in names], dtype=np.intp))

    def reader(self, names: Sequence[str]) -> Callable[[], SampleArray]:
        """As ``read``, for names asked for again and again: they are looked up once. Raises KeyError."""
        rows = np.array([self._row_of[name] for name in names], dtype=np.intp)
        return lambda: self._state(rows)

    def _rows(self, ids: PointArray) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        if not len(self._ids):
            return np.zeros(len(ids), dtype=np.intp), np.zeros(len(ids), dtype=np.bool_)
        rows = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return rows, self._ids[rows] == ids

    def _places(self, batch: SampleArray) -> tuple[_Places, SampleArray]:
        """Where the points of a batch are, and the batch without those nobody knows."""
        key = batch["point"].tobytes()
        if (places := self._familiar.get(key)) is not None:
            return places, batch
        rows, known = self._rows(batch["point"])
        if not known.all():
            return self._at(rows[known]), batch[known]
        places = self._at(rows)
        self._familiar[key] = places
        self._remembered += len(rows)
        while self._remembered > _MOST_FAMILIAR * len(self):
            self._remembered -= len(self._familiar.pop(next(iter(self._familiar))).rows)
        return places, batch

    def _at(self, rows: NDArray[np.intp]) -> _Places:
        order = np.arange(len(rows))
        self._last_seen[rows] = order
        distinct = bool((self._last_seen[rows] == order).all())
        return _Places(rows, np.flatnonzero(self._is_status[rows]), self._deadband[rows], distinct)

    def _take(self, batch: SampleArray, places: _Places) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Store samples of different points; True where one is to be reported, and where one is an event."""
        # Columns of a packed row are unaligned: every later operation on them would copy them anyway.
        rows, status = places.rows, places.status
        value, quality, cause = (np.ascontiguousarray(batch[name]) for name in ("value", "quality", "cause"))
        self._value[rows] = value
        self._quality[rows] = quality
        self._time[rows] = batch["time"]
        self._cause[rows] = cause
        report: NDArray[np.bool_] = np.abs(value - self._reported_value[rows]) > places.deadband
        report |= quality != self._reported_quality[rows]
        report |= cause != Cause.SPONTANEOUS
        if report.any():
            reported = rows[report]
            self._reported_value[reported] = value[report]
            self._reported_quality[reported] = quality[report]
        event = np.zeros(len(rows), dtype=np.bool_)
        if len(status):
            event[status] = self._judge_events(rows[status], value[status], quality[status])
        return report, event

    def _judge_events(self, rows: NDArray[np.intp], value: NDArray[np.float64], quality: QualityArray) -> _Mask:
        told = self._told_quality[rows]
        telling = quality & np.uint8(_TELLING)
        changed = value != self._told_value[rows]
        changed |= telling != told
        if not changed.any():
            return np.zeros(len(rows), dtype=np.bool_)
        known = told != _NEVER_REPORTED
        valid = (quality & Quality.INVALID) == 0
        event: _Mask = known & ((valid & (value != self._told_value[rows])) | (telling != told))
        self._told_value[rows[valid]] = value[valid]
        heard = known | valid
        self._told_quality[rows[heard]] = telling[heard]
        return event

    def _override(self, name: str, kind: Quality, value: float, now: int) -> Taken:
        row = self._row_of[name]
        field = self._beside[row].field if row in self._beside else self._state(np.array([row]))[0]
        quality = int(kind) | (int(field["quality"]) if kind is Quality.BLOCKED else 0)
        self._beside[row] = _Beside(kind, value, quality, np.array(field))
        self._is_overridden[row] = True
        own = np.zeros(1, dtype=SAMPLE)
        own["point"], own["time"], own["value"] = self._ids[row], now, value
        own["quality"], own["cause"] = quality, Cause.SPONTANEOUS
        return self._take_own(own)

    def _take_own(self, own: SampleArray) -> Taken:
        places, own = self._places(own)
        report, event = self._take(own, places)
        taken = Taken(own[report], own[event])
        self.counts = replace(
            self.counts,
            received=self.counts.received + len(own),
            reported=self.counts.reported + len(taken.delta),
            events=self.counts.events + len(taken.events),
        )
        return taken

    def _put_beside(self, batch: SampleArray, rows: NDArray[np.intp]) -> tuple[SampleArray, int]:
        """The batch with what is shown in place of what the field says of overridden points, and how many those are."""
        hit = np.flatnonzero(self._is_overridden[rows])
        if not len(hit):
            return batch, 0
        shown = batch.copy()
        for place in hit.tolist():
            beside = self._beside[int(rows[place])]
            beside.field = np.array(batch[place])
            shown["value"][place], shown["quality"][place] = beside.value, beside.quality
        return shown, len(hit)

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
