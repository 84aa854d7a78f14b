"""What the gap ledger tells people: sums by state and cause, and the gaps themselves.

Knows the queries. Every method raises StoreUnavailable; times are µs since 1970 UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from historian.connection import DatabaseLink, OnLink
from historian.gaps import LEDGER_LIMIT_S, Watch
from historian.instants import instant, microseconds
from historian.queries import query
from scada.model.gap import GapCause, GapState


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


class GapReport(OnLink):
    """The ledger as a reader sees it."""

    def __init__(self, dsn: str, *, application: str = "scada meters gaps") -> None:
        self._link = DatabaseLink(dsn, application=application, limit_s=LEDGER_LIMIT_S)

    def watches(self) -> Mapping[int, Watch]:
        """How far was looked, by the length of the intervals in s."""
        with self._link.transaction() as connection:
            rows = connection.execute(query("gap_watches")).fetchall()
        return {period_s: Watch(*(microseconds(each) for each in times)) for period_s, *times in rows}

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
