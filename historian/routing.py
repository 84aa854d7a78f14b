"""Chooses the way of a reading into the database. Knows what this process has stored; the answer is only a guess.

A row newer than anything stored for its meter is very likely new and goes by plain COPY, and so does a whole backlog;
all others go through the staging table, which finds duplicates and revisions. A wrong guess costs time, never a row:
nothing is dropped here, because connections do not keep order and a late row is as valuable as any.
"""

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from historian.batching import sort_by
from scada.model.reading import ReadingArray

BACKLOG_ROWS = 1000
"""A batch this large of which most rows are older than what is stored is taken for a backlog: days nobody has heard of
yet. Staging costs three times a COPY; and if they are known after all, COPY stops at the first of them."""

WATERMARK_METERS = 4_000_000
"""Meters with a higher id always take the staging table: 8 B per id are kept, so this bounds memory to 32 MB."""

_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Routed:
    """A batch sorted by (time, meter). ``likely_new``: first of its key, and newer than what is stored of its meter
    or part of a backlog.
    """

    rows: ReadingArray
    likely_new: NDArray[np.bool_]


def first_of_key(rows: NDArray[np.void], *key: str) -> NDArray[np.bool_]:
    """True for the first row of each ``key``; rows sorted by that key, shape (n,) in and out."""
    first = np.ones(len(rows), dtype=np.bool_)
    first[1:] = np.logical_or.reduce([rows[name][1:] != rows[name][:-1] for name in key])
    return first


class Router:
    """Remembers per meter the newest time stored by this process: one for all its stores. Any thread.

    A store that did not know what another has stored would take a redelivery for news: its COPY stops there, and the
    whole batch goes through staging.
    """

    def __init__(self) -> None:
        self._newest = np.full(1024, _NEVER, dtype=np.int64)
        self._lock = threading.Lock()

    def route(self, batch: ReadingArray) -> Routed:
        """Sort a batch and mark its rows. Shape (n,) in, shape (n,) out."""
        rows = sort_by(batch, "time", "meter")
        with self._lock:
            known = self._is_known(rows["meter"])
            newest = self._newest[np.where(known, rows["meter"], 0)]
        tracked = (rows["meter"] >= 0) & (rows["meter"] < WATERMARK_METERS)
        newer = tracked & (~known | (rows["time"] > newest))
        is_backlog = len(rows) >= BACKLOG_ROWS and 2 * np.count_nonzero(newer) < len(rows)
        return Routed(rows, first_of_key(rows, "time", "meter") & (tracked if is_backlog else newer))

    def stored(self, rows: ReadingArray) -> None:
        """Note committed rows, sorted by time."""
        meters, times = rows["meter"], rows["time"]
        tracked = (meters >= 0) & (meters < WATERMARK_METERS)
        if not tracked.all():
            meters, times = meters[tracked], times[tracked]
        if not len(meters):
            return
        with self._lock:
            self._grow(int(meters.max()) + 1)
            # The last of several assignments to one meter wins, and times ascend.
            self._newest[meters] = np.maximum(self._newest[meters], times)

    def _is_known(self, meters: NDArray[np.int32]) -> NDArray[np.bool_]:
        return (meters >= 0) & (meters < len(self._newest))

    def _grow(self, size: int) -> None:
        if size > len(self._newest):
            grown = np.full(min(max(size, 2 * len(self._newest)), WATERMARK_METERS), _NEVER, dtype=np.int64)
            grown[: len(self._newest)] = self._newest
            self._newest = grown
