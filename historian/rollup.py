"""Telemetry by minute and by hour: aggregated where it changed, read at the level that suits.

Knows the order of the statements and what a transaction holds. Does not know when (``scada jobs``) or the arithmetic
(``sql/telemetry.sql``). Uses neither continuous aggregates nor policies: both editions of TimescaleDB do the same.

Whoever stores samples appends their minutes to ``rollup_due`` in the same transaction. ``roll_up`` takes what is due
and aggregates it in one transaction: what it has taken is either aggregated or still due, and what is stored while it
works becomes due when it is committed. A late sample makes its old minute due again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from historian.connection import Connection, DatabaseLink
from historian.copyformat import SAMPLE_COPY, decode
from historian.instants import instant, microseconds
from historian.queries import query
from scada.model.rollup import ROLLUP, Level, RollupArray
from scada.model.sample import SampleArray, TimeArray

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
SETTLE_US = 5_000_000
"""A minute is closed this long after its end: batches travel for half a second; what comes later makes it due again."""

AT_ONCE = {Level.MINUTE: 30, Level.HOUR: 12}
"""Buckets taken in one transaction."""

ROLLUP_LIMIT_S = 600.0
_WIDTH = {Level.MINUTE: timedelta(minutes=1), Level.HOUR: timedelta(hours=1)}
_STATEMENT = {Level.MINUTE: "roll_up_minutes", Level.HOUR: "roll_up_hours"}
_READ = {Level.MINUTE: "minutes_between", Level.HOUR: "hours_between"}
_EARLIEST, _LATEST = 946_684_800_000_000, 4_102_444_800_000_000
"""What the table of samples accepts; the rest is refused there and due nowhere."""


@dataclass(frozen=True, slots=True)
class RolledUp:
    """Buckets that were aggregated, of all points together, and the rows written for them."""

    minutes: int = 0
    minute_rows: int = 0
    hours: int = 0
    hour_rows: int = 0

    def __str__(self) -> str:
        minutes = f"{self.minutes} minutes ({self.minute_rows} rows)"
        return f"{minutes} and {self.hours} hours ({self.hour_rows} rows) aggregated"


def note_changed(connection: Connection, times: TimeArray) -> None:
    """Make the minutes of samples due; to be called in the transaction that stores them. times: µs, shape (n,)."""
    within = times[(times >= _EARLIEST) & (times < _LATEST)]
    minutes = np.unique(within // MINUTE_US).tolist()
    if minutes:
        connection.execute(query("note_changed_minutes"), {"minutes": [instant(each * MINUTE_US) for each in minutes]})


def roll_up(dsn: str, now: int, *, keep_samples_since: int = 0) -> RolledUp:
    """Aggregate every closed minute and hour that is due. Times in µs.

    Buckets before ``keep_samples_since`` are left as they are: their samples may be dropped already, and an aggregate
    of what is left would replace a right one by a wrong one. Raises StoreUnavailable.
    """
    done = dict.fromkeys((Level.MINUTE, Level.HOUR), (0, 0))
    with DatabaseLink(dsn, application="scada rollup", limit_s=ROLLUP_LIMIT_S) as link:
        for level in (Level.MINUTE, Level.HOUR):
            width = int(_WIDTH[level].total_seconds()) * 1_000_000
            closed = instant((now - SETTLE_US) // width * width)
            while True:
                buckets, rows = _some(link, level, closed, instant(keep_samples_since))
                done[level] = (done[level][0] + buckets, done[level][1] + rows)
                if not buckets:
                    break
    return RolledUp(*done[Level.MINUTE], *done[Level.HOUR])


def _some(link: DatabaseLink, level: Level, closed: datetime, keep_since: datetime) -> tuple[int, int]:
    """One transaction: buckets taken, rows written."""
    rows = 0
    with link.transaction() as connection:
        about = {"level": level.value, "closed": closed, "limit": AT_ONCE[level]}
        due = [row[0] for row in connection.execute(query("take_due_buckets"), about).fetchall()]
        for since, until in _runs([each for each in due if each >= keep_since], _WIDTH[level]):
            span = {"since": since, "until": until, "closed": closed}
            row = connection.execute(query(_STATEMENT[level]), span).fetchone()
            rows += int(row[0]) if row else 0
    return len(due), rows


def _runs(buckets: Sequence[datetime], width: timedelta) -> list[tuple[datetime, datetime]]:
    """Buckets, ascending, as spans without a hole: [since, until)."""
    runs: list[tuple[datetime, datetime]] = []
    for bucket in buckets:
        if runs and runs[-1][1] == bucket:
            runs[-1] = (runs[-1][0], bucket + width)
        else:
            runs.append((bucket, bucket + width))
    return runs


class Rollups:
    """Questions about buckets and instants, on one connection. Every method raises StoreUnavailable."""

    def __init__(self, dsn: str, *, asker: str = "scada history", limit_s: float = 120.0) -> None:
        self._link = DatabaseLink(dsn, application=asker, limit_s=limit_s)

    def between(self, level: Level, point: int, since: int, until: int, *, limit: int = 1_000_000) -> RollupArray:
        """The buckets of a point that begin in [since, until), ROLLUP, oldest first."""
        about = {"point": point, "since": instant(since), "until": instant(until), "limit": limit}
        with self._link.transaction() as connection:
            found = connection.execute(query(_READ[level]), about).fetchall()
        rows = [(microseconds(time), *(np.nan if each is None else each for each in rest)) for time, *rest in found]
        return np.array(rows, dtype=ROLLUP)

    def around(self, point: int, at: int) -> SampleArray:
        """The last sample at or before an instant and the first after it, SAMPLE, shape (0,) to (2,)."""
        with (
            self._link.transaction() as connection,
            connection.cursor() as cursor,
            cursor.copy(query("samples_around"), {"point": point, "at": instant(at)}) as copy,
        ):
            return decode(b"".join(copy), SAMPLE_COPY)

    def close(self) -> None:
        """Give the connection back."""
        self._link.close()
