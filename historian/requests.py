"""Requests to meters as rows: entered by whoever wants something, taken by the one head-end that speaks to meters.

Knows the rows and that each is taken and ended once. Does not know the wire. A row outlives every process: what was
taken and not ended by its time is unknown, because it may have been carried out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from historian.connection import TRANSACTION_LIMIT_S, DatabaseLink, OnLink
from historian.instants import instant, microseconds
from historian.quarantine import storable
from historian.queries import query

TAKEN_AT_ONCE = 20_000
FORGOTTEN_AFTER_US = 30_000_000
"""The process that has taken a request ends it at its expiry; this long after, nobody will."""


@dataclass(frozen=True, slots=True)
class TakenRequest:
    """A request as it is to be sent. ``expires_at`` in µs; ``parameters`` plain JSON values."""

    id: int
    kind: str
    priority: int
    expires_at: int
    parameters: Mapping[str, Any]
    serial: int
    metering_point: str
    unit: str
    concentrator: str


@dataclass(frozen=True, slots=True)
class RequestEnding:
    """How a request stands: ``ending`` done, refused, unknown, or '' while it is open."""

    id: int
    serial: int
    kind: str
    ending: str
    why: str
    answer: Mapping[str, Any] | None


class MeterRequests(OnLink):
    """Every method raises StoreUnavailable; times are µs since 1970 UTC."""

    def __init__(self, dsn: str, *, application: str = "scada meter requests") -> None:
        self._link = DatabaseLink(dsn, application=application, limit_s=TRANSACTION_LIMIT_S)

    def enter(
        self,
        kind: str,
        serials: Sequence[int],
        *,
        priority: int,
        requested_by: str,
        expires_at: int,
        parameters: Mapping[str, Any] | None = None,
    ) -> Mapping[int, int | None]:
        """Enter a request for each serial, all or nothing: its id, or None for a serial that is not installed."""
        entered: dict[int, int | None] = {}
        with self._link.transaction() as connection:
            for serial in serials:
                about = {
                    "kind": kind,
                    "serial": serial,
                    "priority": priority,
                    "requested_by": requested_by,
                    "expires_at": instant(expires_at),
                    "parameters": Jsonb(dict(parameters or {})),
                }
                row = connection.execute(query("enter_request"), about).fetchone()
                entered[serial] = None if row is None else int(row[0])
        return entered

    def serials_at(self, place: str) -> tuple[int, ...]:
        """Serials of the installed meters behind a concentrator (``DCU00017``) or a feeder (``TN07/473``)."""
        with self._link.transaction() as connection:
            rows = connection.execute(query("serials_at"), {"place": place}).fetchall()
        return tuple(int(row[0]) for row in rows)

    def take(self, now: int) -> tuple[TakenRequest, ...]:
        """Take what waits, most urgent first; nobody else gets it."""
        with self._link.transaction() as connection:
            about = {"now": instant(now), "limit": TAKEN_AT_ONCE}
            rows = connection.execute(query("take_requests"), about).fetchall()
        return tuple(
            TakenRequest(
                number, kind, priority, microseconds(expires_at), parameters, serial, point, unit, concentrator
            )
            for number, kind, priority, expires_at, parameters, serial, point, unit, concentrator in rows
        )

    def end(self, endings: Sequence[tuple[int, str, str, Mapping[str, Any] | None]]) -> None:
        """Note how requests ended: id, ending, why, answer. What has ended already stays as it ended."""
        rows = [
            {
                "id": number,
                "ending": ending,
                "why": storable(why),
                "answer": None if answer is None else Jsonb(_storable(answer)),
            }
            for number, ending, why, answer in endings
        ]
        with self._link.transaction() as connection, connection.cursor() as cursor:
            cursor.executemany(query("end_request"), rows)

    def place(self, serial: int) -> tuple[str, str] | None:
        """Metering point and feeder of an installed meter."""
        with self._link.transaction() as connection:
            row = connection.execute(query("place_of_meter"), {"serial": serial}).fetchone()
        return None if row is None else (str(row[0]), str(row[1]))

    def end_forgotten(self, now: int) -> int:
        """End what its process never will; how many."""
        with self._link.transaction() as connection:
            before = instant(now - FORGOTTEN_AFTER_US)
            return connection.execute(query("end_forgotten_requests"), {"before": before}).rowcount

    def endings(self, ids: Sequence[int]) -> tuple[RequestEnding, ...]:
        """How some requests stand, by id."""
        with self._link.transaction() as connection:
            rows = connection.execute(query("request_endings"), {"ids": list(ids)}).fetchall()
        return tuple(
            RequestEnding(number, serial, kind, ending or "", why, answer)
            for number, serial, kind, ending, why, answer in rows
        )


def _storable(value: Any) -> Any:
    """Plain JSON values whose texts PostgreSQL accepts: what cannot be noted would be tried again for ever."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(name)): _storable(each) for name, each in value.items()}
    return [_storable(each) for each in value] if isinstance(value, list | tuple) else value
