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
from scada.model.sample import SAMPLE, PointArray, QualityArray, SampleArray, ValueArray, no_samples, samples

_Mask = NDArray[np.bool_]
_Index = NDArray[np.intp]
_NEVER_REPORTED: Final = 0xFF
"""No quality octet: bits 0x02 to 0x08 are never set."""

_TELLING: Final = 0xFF & ~int(Quality.NOT_TOPICAL)
"""Quality bits whose change is an event. A lost link is one event of the station, not one of each of its points."""

_SPONTANEOUS: Final = int(Cause.SPONTANEOUS)
_INVALID: Final = int(Quality.INVALID)
"""Compared as plain numbers: numpy takes 6 µs for a member of an enumeration, 1 µs for a number."""

_WHOLE: Final = np.dtype(("V", SAMPLE.itemsize))
"""A row as so many bytes: to scatter 200 rows takes 3 µs, field by field 20 µs."""

_STATUS: Final = (PointKind.SINGLE_POINT, PointKind.DOUBLE_POINT)


@dataclass(slots=True)
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
    """One overridden point: what is shown, and beside it what the field last said, shape (1,)."""

    kind: Quality
    value: float
    quality: int
    field: SampleArray


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Where the points of a batch are: their rows, and the deadband of each."""

    rows: _Index
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
        never_heard = Quality.INVALID | Quality.NOT_TOPICAL
        self._present = samples(self._ids, 0, np.zeros(count), never_heard, Cause.INITIALIZED)
        self._whole = self._present.view(_WHOLE)
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
        self._counts = ImageCounts()

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, name: object) -> bool:
        return name in self._row_of

    @property
    def counts(self) -> ImageCounts:
        """What became of the rows so far; a copy."""
        return replace(self._counts)

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
        self._counts.received += len(batch)
        places, known = self._places(batch)
        self._counts.unknown += len(batch) - len(known)
        return self._judge(self._put_beside(known, places.rows) if self._beside else known, places)

    def substitute(self, name: str, value: float, now: int) -> Taken:
        """Show ``value`` instead of what the field says, with quality SUBSTITUTED, until ``release``.

        Raises KeyError for an unknown point.
        """
        return self._override(name, Quality.SUBSTITUTED, value, now)

    def block(self, name: str, now: int, *, held: float | None = None) -> Taken:
        """Keep showing the present value, with BLOCKED added to the field's quality, until ``release``.

        ``held`` is shown instead of the present value: after a restart, what was shown before. Raises KeyError.
        """
        shown = float(self._present["value"][self._row_of[name]]) if held is None else held
        return self._override(name, Quality.BLOCKED, shown, now)

    def release(self, name: str, now: int) -> Taken:
        """Show again what the field says; nothing to report for a point that is not overridden. Raises KeyError."""
        row = self._row_of[name]
        if row not in self._beside:
            return Taken(no_samples(), no_samples())
        field = self._beside.pop(row).field
        self._is_overridden[row] = False
        again = field.copy()
        again["time"], again["cause"] = now, Cause.SPONTANEOUS
        return self._take_own(again)

    def field_value(self, name: str) -> SampleArray:
        """What the field last said of a point, SAMPLE, shape (1,): kept beside while it is overridden."""
        row = self._row_of[name]
        if row in self._beside:
            return self._beside[row].field.copy()
        return self.read([name])

    @property
    def overridden(self) -> tuple[str, ...]:
        """Names of the points that are substituted or blocked."""
        rows = self._beside.keys()
        return tuple(name for name, row in self._row_of.items() if row in rows)

    def snapshot(self) -> SampleArray:
        """Every point's present state, SAMPLE, shape (points,), by id; a copy."""
        return self._present.copy()

    def frozen(self) -> "ProcessImage":
        """A copy that stands still, for whoever looks at it on another thread."""
        still = copy.copy(self)
        still._present = self._present.copy()
        still._whole = still._present.view(_WHOLE)
        return still

    def read(self, names: Sequence[str]) -> SampleArray:
        """Present state of the named points, SAMPLE, in the order asked. Raises KeyError with the unknown name."""
        return self.reader(names)()

    def reader(self, names: Sequence[str]) -> Callable[[], SampleArray]:
        """As ``read``, for names asked for again and again: they are looked up once. Raises KeyError."""
        rows = np.array([self._row_of[name] for name in names], dtype=np.intp)
        return lambda: self._present.take(rows)

    def _rows(self, ids: PointArray) -> tuple[_Index, NDArray[np.bool_]]:
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

    def _at(self, rows: _Index) -> _Places:
        order = np.arange(len(rows))
        self._last_seen[rows] = order
        distinct = bool((self._last_seen[rows] == order).all())
        return _Places(rows, self._deadband[rows], distinct)

    def _judge(self, batch: SampleArray, places: _Places) -> Taken:
        reported, events = (self._take if places.distinct else self._take_in_turns)(batch, places)
        self._counts.reported += len(reported)
        self._counts.events += len(events)
        return Taken(*(batch.take(each) if len(each) else no_samples() for each in (reported, events)))

    def _take(self, batch: SampleArray, places: _Places) -> tuple[_Index, _Index]:
        """Store samples of different points; which of the batch are to be reported, and which of them are events."""
        rows = places.rows
        self._whole[rows] = batch.view(_WHOLE)
        # Columns of a packed row are unaligned: every later operation on them would copy them anyway.
        value, quality = batch["value"].copy(), batch["quality"].copy()
        report: _Mask = np.abs(value - self._reported_value[rows]) > places.deadband
        report |= quality != self._reported_quality[rows]
        report |= batch["cause"] != _SPONTANEOUS
        reported = report.nonzero()[0]
        if not len(reported):
            return reported, reported
        rows, value, quality = rows[reported], value[reported], quality[reported]
        self._reported_value[rows] = value
        self._reported_quality[rows] = quality
        # A status point has no deadband: what is not to be reported is what it was before, and no event.
        status = self._is_status[rows].nonzero()[0]
        events = status[self._judge_events(rows[status], value[status], quality[status])]
        return reported, reported[events]

    def _take_in_turns(self, batch: SampleArray, places: _Places) -> tuple[_Index, _Index]:
        """As ``_take``, for samples of which several are of one point: judged one after the other."""
        reported, events = [], []
        for turn in _turns(places.rows):
            of_turn = self._take(batch[turn], self._at(places.rows[turn]))
            reported.append(turn[of_turn[0]])
            events.append(turn[of_turn[1]])
        return np.sort(np.concatenate(reported)), np.sort(np.concatenate(events))

    def _judge_events(self, rows: _Index, value: ValueArray, quality: QualityArray) -> _Mask:
        told = self._told_quality[rows]
        telling = quality & np.uint8(_TELLING)
        known = told != _NEVER_REPORTED
        valid = quality & _INVALID == 0
        event: _Mask = known & ((valid & (value != self._told_value[rows])) | (telling != told))
        self._told_value[rows[valid]] = value[valid]
        heard = known | valid
        self._told_quality[rows[heard]] = telling[heard]
        return event

    def _override(self, name: str, kind: Quality, value: float, now: int) -> Taken:
        row = self._row_of[name]
        field = self._beside[row].field if row in self._beside else self._present[row : row + 1].copy()
        quality = int(kind) | (int(field["quality"][0]) if kind is Quality.BLOCKED else 0)
        self._beside[row] = _Beside(kind, value, quality, field)
        self._is_overridden[row] = True
        own = samples(self._ids[row : row + 1], now, np.array([value]), quality, Cause.SPONTANEOUS)
        return self._take_own(own)

    def _take_own(self, own: SampleArray) -> Taken:
        """As ``take``, for a row that is not of the field: nothing is put in its place."""
        self._counts.received += len(own)
        places, own = self._places(own)
        return self._judge(own, places)

    def _put_beside(self, batch: SampleArray, rows: _Index) -> SampleArray:
        """The batch with what is shown in place of what the field says of overridden points."""
        hit = np.flatnonzero(self._is_overridden[rows])
        if not len(hit):
            return batch
        shown = batch.copy()
        for place in hit.tolist():
            beside = self._beside[int(rows[place])]
            beside.field = batch[place : place + 1].copy()
            shown["value"][place], shown["quality"][place] = beside.value, beside.quality
        self._counts.overridden += len(hit)
        return shown


def _turns(rows: _Index) -> list[_Index]:
    """Indices of ``rows`` by turn: the first sample of every point, then every second one, and so on, each in order."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[starts, len(ordered)])
    turn = np.arange(len(ordered)) - np.repeat(starts, lengths)
    by_turn = np.argsort(turn, kind="stable")
    sizes = np.bincount(turn)
    return [np.sort(part) for part in np.split(order[by_turn], np.cumsum(sizes)[:-1])]
