"""What meters owe and what they have delivered: the installations, and the times of their readings.

Knows the queries. What is missing is decided by whoever asks. Every method raises StoreUnavailable; times are µs since
1970 UTC.
"""

from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from historian.connection import DatabaseLink, OnLink
from historian.copyformat import copy_layout
from historian.copyout import copied_out
from historian.instants import instant, microseconds
from historian.queries import query
from scada.model.gap import EXPECTED, METER_TIME, ExpectedArray, MeterTimeArray

LOOK_LIMIT_S = 300.0
"""Looking through a day of 9.6 million readings takes about 3 s."""

FEW_METERS = 500
"""Up to this many, each is looked up by itself in days that are closed."""

FOREVER = 4_102_444_800_000_000
"""2100-01-01: the end of an installation without end."""

COUNT = np.dtype([("meter", "<i4"), ("readings", "<i8")])
"""How many readings of a meter."""

_INSTALLED = np.dtype([*EXPECTED.descr, ("registered", "<i8")])
_TIMES_COPY = copy_layout(METER_TIME, (("time", ">i8"), ("meter", ">i4")))
_COUNT_COPY = copy_layout(COUNT, (("meter", ">i4"), ("readings", ">i8")))
_EXPECTED_COPY = copy_layout(
    _INSTALLED,
    (("meter", ">i4"), ("concentrator", ">i4"), ("since", ">i8"), ("until", ">i8"), ("registered", ">i8")),
    instants=("since", "until", "registered"),
)


class Deliveries(OnLink):
    """Load profiles with intervals of one length, ``period_s``: as the model of a meter says.

    default_s: length of the intervals of meters whose model says nothing of it; the same unless told.
    """

    def __init__(
        self, dsn: str, *, period_s: int, default_s: int | None = None, application: str = "scada gaps"
    ) -> None:
        self._link = DatabaseLink(dsn, application=application, limit_s=LOOK_LIMIT_S)
        self._period_s = period_s
        self._default_s = period_s if default_s is None else default_s

    def periods(self) -> tuple[int, ...]:
        """The lengths, in s, that models of meters say, this one among them or not."""
        with self._link.transaction() as connection:
            return tuple(row[0] for row in connection.execute(query("capture_periods")).fetchall())

    def earliest(self, since: int) -> int | None:
        """The time of the oldest reading not before ``since``."""
        with self._link.transaction() as connection:
            row = connection.execute(query("earliest_reading"), {"since": instant(since)}).fetchone()
        return None if row is None or row[0] is None else microseconds(row[0])

    def expected(self, since: int, until: int) -> tuple[ExpectedArray, NDArray[np.int64]]:
        """Meters installed at some time of (since, until), dtype EXPECTED by id, and when each was registered."""
        about = {
            "since": instant(since),
            "until": instant(until),
            "period_s": self._period_s,
            "default_s": self._default_s,
        }
        rows = copied_out(self._link, "installations", about, _EXPECTED_COPY)
        expected = np.empty(len(rows), dtype=EXPECTED)
        for name in EXPECTED.names or ():
            expected[name] = rows[name]
        np.minimum(expected["until"], FOREVER, out=expected["until"])
        return expected, rows["registered"]

    def on_time(self, after: int, until: int) -> NDArray[np.void]:
        """Readings in (after, until] whose time is exactly the end of an interval; dtype COUNT, by meter."""
        about = {"since": instant(after), "until": instant(until), "period": timedelta(seconds=self._period_s)}
        return copied_out(self._link, "count_on_time", about, _COUNT_COPY)

    def times(self, meters: NDArray[np.int32], first: int, last: int, *, closed: bool = False) -> MeterTimeArray:
        """Times of the readings of some meters in [first, last]; dtype METER_TIME. ``closed``: days long over."""
        about = {"since": instant(first), "until": instant(last), "meters": meters.tolist()}
        name = "reading_times_of_few" if closed and len(meters) <= FEW_METERS else "reading_times"
        return copied_out(self._link, name, about, _TIMES_COPY)

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
