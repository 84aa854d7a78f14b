"""Answers questions about what is stored: a point's course, a meter's load profile, counts and sizes.

Knows the queries. Changes nothing; a role that may only read suffices.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from historian.connection import DatabaseLink, OnLink
from historian.copyformat import READING_COPY, SAMPLE_COPY
from historian.copyout import copied_out
from historian.instants import instant
from historian.queries import query
from scada.model.reading import ReadingArray
from scada.model.sample import SampleArray

QUESTION_LIMIT_S = 120.0
"""Counting 10 million rows takes about 1 s."""

MAX_TIME = 4_102_444_800_000_000
"""2100-01-01 UTC: beyond everything the tables accept."""


@dataclass(frozen=True, slots=True)
class PointHistory:
    """A point's course. ``in_force``: the sample before the first, shape (0,) or (1,); ``samples``: shape (n,)."""

    point: int
    in_force: SampleArray
    samples: SampleArray


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows that are stored. meters: installed now; meters_heard: with a reading since the asked instant."""

    samples: int
    readings: int
    revisions: int
    meter_events: int
    meters: int
    meters_heard: int


@dataclass(frozen=True, slots=True)
class AccountTotals:
    """What became of all that reached the store: received = stored + revised + duplicate + rejected."""

    received: int
    stored: int
    revised: int
    duplicate: int
    rejected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Storage:
    """Size of a hypertable."""

    table: str
    rows: int
    chunks: int
    table_bytes: int
    index_bytes: int

    @property
    def bytes_per_row(self) -> float:
        """With indexes; 0 for an empty table."""
        return (self.table_bytes + self.index_bytes) / self.rows if self.rows else 0.0


class History(OnLink):
    """Questions to one database. Every method raises StoreUnavailable; times are µs since 1970 UTC."""

    def __init__(self, dsn: str, *, asker: str = "scada history") -> None:
        self._link = DatabaseLink(dsn, application=asker, limit_s=QUESTION_LIMIT_S)

    def point_history(self, point: int, since: int, until: int, *, limit: int = 1_000_000) -> PointHistory:
        """The samples of a point in [since, until), oldest first, at most ``limit``, and the value in force before."""
        about = {"point": point, "since": instant(since), "until": instant(until), "limit": limit}
        in_force = copied_out(self._link, "sample_in_force", about, SAMPLE_COPY)
        return PointHistory(point, in_force, copied_out(self._link, "samples_between", about, SAMPLE_COPY))

    def load_profile(self, meter: int, since: int, until: int, *, as_of: int = MAX_TIME) -> ReadingArray:
        """The readings of a meter in [since, until), oldest first, with the values that were known at ``as_of``."""
        about = {"meter": meter, "since": instant(since), "until": instant(until), "as_of": instant(as_of)}
        return copied_out(self._link, "readings_between", about, READING_COPY)

    def counts(self, *, heard_since: int = 0) -> Counts:
        """How much is stored."""
        with self._link.transaction() as connection:
            row = connection.execute(query("count_rows"), {"heard_since": instant(heard_since)}).fetchone()
        return Counts(*row) if row else Counts(0, 0, 0, 0, 0, 0)

    def telemetry(self) -> tuple[int, int]:
        """Stored samples, and the rows that the stored batches say they brought: equal, or something is wrong."""
        with self._link.transaction() as connection:
            row = connection.execute(query("count_telemetry")).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def readings_between(self, first: int, last: int) -> int:
        """How many readings have an interval end in [first, last]."""
        about = {"first": instant(first), "last": instant(last)}
        with self._link.transaction() as connection:
            row = connection.execute(query("count_readings_between"), about).fetchone()
        return int(row[0]) if row else 0

    def account(self, kind: str = "reading") -> AccountTotals:
        """The account over all runs of all workers; kind: ``reading``, ``register`` or ``meter_event``."""
        with self._link.transaction() as connection:
            sums = connection.execute(query("sum_account"), {"kind": kind}).fetchone() or (0, 0, 0, 0)
            rejected = connection.execute(query("sum_rejections"), {"kind": kind}).fetchall()
        stored, revised, duplicate, received = sums
        return AccountTotals(received, stored, revised, duplicate, dict(rejected))

    def storage(self) -> tuple[Storage, ...]:
        """Sizes of telemetry and readings; counts every row."""
        with self._link.transaction() as connection:
            figures = []
            for table, count in (("sample", "count_samples"), ("reading", "count_readings")):
                rows = connection.execute(query(count)).fetchone() or (0,)
                sizes = connection.execute(query("storage"), {"table": table}).fetchone() or (0, 0, 0)
                figures.append(Storage(table, rows[0], *sizes))
        return tuple(figures)
