"""Outages as rows, and the meters' words they are made of.

Knows the queries. How words become outages is decided by whoever writes them. Times are µs since 1970 UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from historian.connection import DatabaseLink, OnLink
from historian.instants import instant, microseconds
from historian.queries import query

LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class StoredOutage:
    """One outage; ``transformer`` '' for a whole feeder, ``restored`` None while it lasts."""

    feeder: str
    transformer: str
    began: int
    restored: int | None
    meters: int
    still_out: int


class OutageStore(OnLink):
    """Every method raises StoreUnavailable."""

    def __init__(self, dsn: str, *, application: str = "scada outages") -> None:
        self._link = DatabaseLink(dsn, application=application, limit_s=LIMIT_S)

    def power_events(self, since: int) -> tuple[tuple[int, int, int, str, str], ...]:
        """(meter, time, code, feeder, transformer) of power failures, last gasps and returns after ``since``."""
        with self._link.transaction() as connection:
            rows = connection.execute(query("power_events"), {"since": instant(since)}).fetchall()
        return tuple((meter, microseconds(time), code, feeder, at) for meter, time, code, feeder, at in rows)

    def supplied_since(self, began: Mapping[int, int]) -> Mapping[int, int]:
        """For meters that went out, the end of the first later interval in which they had supply."""
        if not began:
            return {}
        about = {
            "meters": list(began),
            "since": [instant(time) for time in began.values()],
            "earliest": instant(min(began.values())),
        }
        with self._link.transaction() as connection:
            rows = connection.execute(query("supplied_since"), about).fetchall()
        return {meter: microseconds(time) for meter, time in rows}

    def transformers(self) -> Mapping[str, int]:
        """How many transformers with meters each feeder has."""
        with self._link.transaction() as connection:
            return dict(connection.execute(query("transformers_of_feeders")).fetchall())

    def replace(self, since: int, outages: Sequence[StoredOutage]) -> None:
        """Put outages in the place of those that began after ``since``."""
        rows = [
            {
                "feeder": each.feeder,
                "transformer": each.transformer,
                "began": instant(each.began),
                "restored": None if each.restored is None else instant(each.restored),
                "meters": each.meters,
                "still_out": each.still_out,
            }
            for each in outages
        ]
        with self._link.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(query("delete_outages"), {"since": instant(since)})
            cursor.executemany(query("insert_outage"), rows)

    def outages(self, since: int, until: int, *, limit: int = 1000) -> tuple[StoredOutage, ...]:
        """Outages that touch [since, until], newest first."""
        about = {"since": instant(since), "until": instant(until), "limit": limit}
        with self._link.transaction() as connection:
            rows = connection.execute(query("list_outages"), about).fetchall()
        return tuple(
            StoredOutage(
                feeder,
                transformer,
                microseconds(began),
                None if restored is None else microseconds(restored),
                meters,
                still_out,
            )
            for feeder, transformer, began, restored, meters, still_out in rows
        )
