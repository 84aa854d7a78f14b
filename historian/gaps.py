"""The gap ledger's store: its entries in blocks, read and written in bulk, and how far was looked.

Knows the queries. What is missing and what becomes of it is decided by whoever asks. Every method is one transaction
and raises StoreUnavailable; times are µs since 1970 UTC.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from historian.connection import DatabaseLink, OnLink
from historian.copyformat import copy_layout
from historian.copyout import copied_out
from historian.instants import instant, microseconds
from historian.queries import query
from scada.model.gap import GAP, GapArray, GapState

LEDGER_LIMIT_S = 300.0
"""The longest transaction enters what a whole fleet lacks: a few seconds."""

OPEN = (GapState.MISSING, GapState.REQUESTED)
ALL = tuple(GapState)
GAPS_AT_ONCE = 20_000
"""One block: a second of work, with what follows from it. Whoever is told to stop stops between two."""

_GAP_COPY = copy_layout(
    GAP,
    (
        ("id", ">i8"),
        ("meter", ">i4"),
        ("first", ">i8"),
        ("last", ">i8"),
        ("state", ">i2"),
        ("cause", ">i2"),
        ("attempts", ">i2"),
        ("next_try", ">i8"),
    ),
    instants=("first", "last", "next_try"),
)


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


class GapStore(OnLink):
    """The ledger for intervals of one length, ``period_s``."""

    def __init__(self, dsn: str, *, period_s: int, application: str = "scada gaps") -> None:
        self._link = DatabaseLink(dsn, application=application, limit_s=LEDGER_LIMIT_S)
        self._period_s = period_s

    def watch(self) -> Watch | None:
        """How far was looked; None before the first time."""
        with self._link.transaction() as connection:
            row = connection.execute(query("gap_watch"), {"period_s": self._period_s}).fetchone()
        return None if row is None else Watch(*(microseconds(each) for each in row))

    def add(self, gaps: GapArray, watch: Watch, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Enter new gaps and note how far was looked, both or, when told to stop meanwhile, neither; whether it was."""
        stopped = False
        with self._link.transaction() as connection:
            for start in range(0, len(gaps), GAPS_AT_ONCE):
                if stopping():
                    stopped = True
                    raise psycopg.Rollback
                block = gaps[start : start + GAPS_AT_ONCE]
                columns = _columns(block, "meter", "first", "last", "state", "cause", "attempts", "next_try")
                about = {"period_s": self._period_s, "now": instant(watch.scanned_at), **columns}
                connection.execute(query("insert_gaps"), about)
            checked = {
                "period_s": self._period_s,
                "watched_since": instant(watch.since),
                "checked_until": instant(watch.until),
                "scanned_at": instant(watch.scanned_at),
            }
            connection.execute(query("set_gap_watch"), checked)
        return not stopped

    def open_gaps(self, states: Sequence[GapState] = OPEN, *, since: int = 0, after: int = 0) -> GapArray:
        """One block of the gaps in some states whose last interval ended not before ``since``; dtype GAP, by id.

        At most GAPS_AT_ONCE, with ids above ``after``. Recovered gaps are not open.
        """
        return self._gaps("open_gaps", after=after, states=[int(each) for each in states], since=instant(since))

    def open_gaps_of(self, meters: NDArray[np.int32]) -> GapArray:
        """The gaps of some meters that wait or are asked for; dtype GAP, by id."""
        return self._gaps("open_gaps_of", meters=meters.tolist())

    def overdue_gaps(self, now: int, oldest: int) -> GapArray:
        """One block of the gaps whose request has run out of time or that ended before ``oldest``; dtype GAP."""
        return self._gaps("overdue_gaps", now=instant(now), oldest=instant(oldest))

    def due_gaps(self, now: int, oldest: int, busy: Sequence[str]) -> GapArray:
        """One block of the gaps to ask for now, except at ``busy`` places and before ``oldest``; dtype GAP."""
        return self._gaps("due_gaps", now=instant(now), oldest=instant(oldest), busy=list(busy))

    def replace(self, pieces: GapArray, now: int) -> None:
        """Cut gaps into pieces, which bear their id: the first takes the gap's place, the others are as old as it."""
        _, firsts = np.unique(pieces["id"], return_index=True)
        is_first = np.zeros(len(pieces), dtype=np.bool_)
        is_first[firsts] = True
        names = ("id", "first", "last", "state")
        with self._link.transaction() as connection:
            if not is_first.all():
                connection.execute(
                    query("insert_gap_pieces"), {"now": instant(now), **_columns(pieces[~is_first], *names)}
                )
            connection.execute(query("shorten_gaps"), {"now": instant(now), **_columns(pieces[is_first], *names)})

    def update(self, gaps: GapArray, now: int) -> None:
        """Store state, attempts and next try of gaps."""
        about = {"now": instant(now), **_columns(gaps, "id", "state", "attempts", "next_try")}
        with self._link.transaction() as connection:
            connection.execute(query("update_gaps"), about)

    def places(self, meters: NDArray[np.int32]) -> Mapping[int, MeterPlace]:
        """Where some meters are asked, by id."""
        with self._link.transaction() as connection:
            rows = connection.execute(query("meter_places"), {"meters": meters.tolist()}).fetchall()
        return {row[0]: MeterPlace(*row) for row in rows}

    def forget_another_length(self, default_s: int) -> int:
        """Let gaps go whose meter has intervals of another length by now; how many. ``default_s``: without a model."""
        with self._link.transaction() as connection:
            return connection.execute(query("forget_gaps_of_another_length"), {"default_s": default_s}).rowcount

    def forget_recovered(self, before: int) -> int:
        """Let recovered gaps go whose last interval ended before ``before``; how many."""
        with self._link.transaction() as connection:
            return connection.execute(query("forget_recovered_gaps"), {"before": instant(before)}).rowcount

    def _gaps(self, name: str, **about: Any) -> GapArray:
        about |= {"period_s": self._period_s, "limit": GAPS_AT_ONCE}
        return copied_out(self._link, name, about, _GAP_COPY)


def _columns(gaps: GapArray, *names: str) -> dict[str, list[int]]:
    return {name: gaps[name].tolist() for name in names}
