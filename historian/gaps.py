"""The gap ledger's store: what is expected, what is there, and the entries themselves.

Knows the queries. What is missing and what becomes of it is decided by whoever asks. Every method raises
StoreUnavailable; times are µs since 1970 UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from historian.connection import Connection, DatabaseLink
from historian.copyformat import copy_layout, decode
from historian.instants import instant, microseconds
from historian.queries import query
from scada.model.gap import EXPECTED, GAP, METER_TIME, ExpectedArray, GapArray, GapCause, GapState, MeterTimeArray

LEDGER_LIMIT_S = 300.0
"""Looking through a day of 9.6 million readings takes about 3 s."""

OPEN = (GapState.MISSING, GapState.REQUESTED)
ALL = tuple(GapState)
GAPS_AT_ONCE = 200_000
METERS_AT_ONCE = 20_000
FOREVER = 4_102_444_800_000_000
"""2100-01-01: the end of an installation without end."""

_TIMES = copy_layout(METER_TIME, (("time", ">i8"), ("meter", ">i4")))


@dataclass(frozen=True, slots=True)
class Watch:
    """Intervals from ``since`` are watched, and checked up to ``until``; looked at last at ``scanned_at``."""

    since: int
    until: int
    scanned_at: int


@dataclass(frozen=True, slots=True)
class MeterPlace:
    """Where a meter is asked; ``concentrator`` '' with its own modem."""

    meter: int
    serial: int
    metering_point: str
    unit: str
    concentrator: str


@dataclass(frozen=True, slots=True)
class GapFigures:
    """Gaps of one state and cause."""

    state: GapState
    cause: GapCause
    gaps: int
    intervals: int
    meters: int
    first: int
    last: int
    attempts: int


@dataclass(frozen=True, slots=True)
class GapLine:
    """One gap, or the same gap of many meters behind one silent concentrator (then ``serial`` is None)."""

    unit: str
    concentrator: str
    serial: int | None
    meters: int
    first: int
    last: int
    state: GapState
    cause: GapCause
    attempts: int
    next_try: int
    intervals: int


class GapStore:
    """The ledger for intervals of one length, ``period_s``."""

    def __init__(self, dsn: str, *, period_s: int, application: str = "scada gaps") -> None:
        self._link = DatabaseLink(dsn, application=application, limit_s=LEDGER_LIMIT_S)
        self._period_s = period_s

    def watch(self) -> Watch | None:
        """How far was looked; None before the first time."""
        with self._link.transaction() as connection:
            row = connection.execute(query("gap_watch"), {"period_s": self._period_s}).fetchone()
        return None if row is None else Watch(*(microseconds(each) for each in row))

    def earliest_reading(self, since: int) -> int | None:
        """The time of the oldest reading not before ``since``."""
        with self._link.transaction() as connection:
            row = connection.execute(query("earliest_reading"), {"since": instant(since)}).fetchone()
        return None if row is None or row[0] is None else microseconds(row[0])

    def installations(self, since: int, until: int) -> tuple[ExpectedArray, NDArray[np.int64]]:
        """Meters installed at some time of (since, until), dtype EXPECTED by id, and when each was registered."""
        about = {"since": instant(since), "until": instant(until)}
        with self._link.transaction() as connection:
            rows = connection.execute(query("installations"), about).fetchall()
        expected = np.array(
            [(meter, group, microseconds(start), _end(end)) for meter, group, start, end, _ in rows], dtype=EXPECTED
        )
        return expected, np.array([microseconds(row[4]) for row in rows], dtype=np.int64)

    def on_time(self, after: int, until: int) -> Mapping[int, int]:
        """Readings in (after, until] per meter whose time is exactly the end of an interval."""
        about = {"since": instant(after), "until": instant(until), "period": timedelta(seconds=self._period_s)}
        with self._link.transaction() as connection:
            return dict(connection.execute(query("count_on_time"), about).fetchall())

    def reading_times(self, meters: NDArray[np.int32], first: int, last: int) -> MeterTimeArray:
        """Times of the readings of some meters in [first, last]; dtype METER_TIME."""
        parts = [np.empty(0, dtype=METER_TIME)]
        about: dict[str, Any] = {"since": instant(first), "until": instant(last)}
        with self._link.transaction() as connection, connection.cursor() as cursor:
            for start in range(0, len(meters), METERS_AT_ONCE):
                about["meters"] = meters[start : start + METERS_AT_ONCE].tolist()
                with cursor.copy(query("reading_times"), about) as copy:
                    parts.append(decode(b"".join(copy), _TIMES))
        return np.concatenate(parts)

    def without_supply(self, meters: NDArray[np.int32], until: int) -> NDArray[np.int32]:
        """Those of some meters whose last word before ``until`` was that their supply is gone; 60 days back."""
        about = {
            "meters": meters.tolist(),
            "until": instant(until),
            "since": instant(until - 60 * 86_400_000_000),
        }
        with self._link.transaction() as connection:
            rows = connection.execute(query("last_power_words"), about).fetchall()
        return np.array([meter for meter, code in rows if code != 2], dtype=np.int32)

    def add(self, gaps: GapArray, watch: Watch) -> None:
        """Enter new gaps and note how far was looked, both or neither."""
        with self._link.transaction() as connection:
            _many(connection, "insert_gap", [self._row(gap, watch.scanned_at) for gap in gaps.tolist()])
            about = {
                "period_s": self._period_s,
                "watched_since": instant(watch.since),
                "checked_until": instant(watch.until),
                "scanned_at": instant(watch.scanned_at),
            }
            connection.execute(query("set_gap_watch"), about)

    def open_gaps(self, states: Sequence[GapState] = OPEN, *, since: int = 0) -> GapArray:
        """Gaps in some states whose last interval ended not before ``since``; dtype GAP, at most GAPS_AT_ONCE."""
        about = {
            "period_s": self._period_s,
            "states": [int(each) for each in states],
            "since": instant(since),
            "limit": GAPS_AT_ONCE,
        }
        with self._link.transaction() as connection:
            rows = connection.execute(query("open_gaps"), about).fetchall()
        entries = [
            (number, meter, microseconds(first), microseconds(last), state, cause, attempts, microseconds(next_try))
            for number, meter, first, last, state, cause, attempts, next_try in rows
        ]
        return np.array(entries, dtype=GAP)

    def replace(self, pieces: GapArray, now: int) -> None:
        """Cut gaps into pieces, which bear their id: the first takes the gap's place, the others are as old as it."""
        _, firsts = np.unique(pieces["id"], return_index=True)
        is_first = np.zeros(len(pieces), dtype=np.bool_)
        is_first[firsts] = True
        with self._link.transaction() as connection:
            _many(connection, "insert_gap_piece", [self._row(piece, now) for piece in pieces[~is_first].tolist()])
            _many(connection, "shorten_gap", [self._row(piece, now) for piece in pieces[is_first].tolist()])

    def update(self, gaps: GapArray, now: int) -> None:
        """Store state, attempts and next try of gaps."""
        with self._link.transaction() as connection:
            _many(connection, "update_gap", [self._row(gap, now) for gap in gaps.tolist()])

    def places(self, meters: NDArray[np.int32]) -> Mapping[int, MeterPlace]:
        """Where some meters are asked, by id."""
        with self._link.transaction() as connection:
            rows = connection.execute(query("meter_places"), {"meters": meters.tolist()}).fetchall()
        return {row[0]: MeterPlace(*row) for row in rows}

    def summary(self, since: int, until: int) -> tuple[GapFigures, ...]:
        """Gaps that touch (since, until], by state and cause."""
        about = {"since": instant(since), "until": instant(until)}
        with self._link.transaction() as connection:
            rows = connection.execute(query("gap_summary"), about).fetchall()
        return tuple(
            GapFigures(
                GapState(state),
                GapCause(cause),
                gaps,
                intervals,
                meters,
                microseconds(first),
                microseconds(last),
                tries,
            )
            for state, cause, gaps, intervals, meters, first, last, tries in rows
        )

    def lines(self, since: int, until: int, states: Sequence[GapState], *, limit: int) -> tuple[GapLine, ...]:
        """Gaps that touch (since, until], those of a silent concentrator together, oldest first."""
        about = {
            "since": instant(since),
            "until": instant(until),
            "states": [int(each) for each in states],
            "limit": limit,
        }
        with self._link.transaction() as connection:
            rows = connection.execute(query("gap_list"), about).fetchall()
        return tuple(
            GapLine(
                unit=unit,
                concentrator=concentrator,
                serial=serial,
                meters=meters,
                first=microseconds(first),
                last=microseconds(last),
                state=GapState(state),
                cause=GapCause(cause),
                attempts=attempts,
                next_try=microseconds(next_try),
                intervals=intervals,
            )
            for (
                unit,
                concentrator,
                serial,
                meters,
                first,
                last,
                state,
                cause,
                attempts,
                next_try,
                intervals,
            ) in rows
        )

    def forget_recovered(self, before: int) -> int:
        """Let recovered gaps go whose last interval ended before ``before``; how many."""
        with self._link.transaction() as connection:
            return connection.execute(query("forget_recovered_gaps"), {"before": instant(before)}).rowcount

    def close(self) -> None:
        """Give the connection back."""
        self._link.close()

    def _row(self, gap: tuple[Any, ...], now: int) -> Mapping[str, object]:
        number, meter, first, last, state, cause, attempts, next_try = gap
        return {
            "id": number,
            "meter": meter,
            "first": instant(first),
            "last": instant(last),
            "period_s": self._period_s,
            "state": state,
            "cause": cause,
            "attempts": attempts,
            "next_try": instant(next_try),
            "now": instant(now),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _many(connection: Connection, name: str, rows: Sequence[Mapping[str, object]]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(query(name), rows)


def _end(moment: datetime) -> int:
    return min(microseconds(moment), FOREVER)
