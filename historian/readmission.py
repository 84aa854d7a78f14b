"""The quarantine as a waiting room: messages of meters the registry did not know yet, until it does.

Knows the rows. Whether a message is acceptable now is decided by whoever reads it again. Raises StoreUnavailable.
"""

from dataclasses import dataclass

from historian.connection import TRANSACTION_LIMIT_S, DatabaseLink, OnLink
from historian.instants import microseconds
from historian.queries import query

MESSAGES_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message in quarantine, as received (µs)."""

    id: int
    received_at: int
    topic: str
    payload: bytes


class WaitingRoom(OnLink):
    """Messages by the reason they were refused for."""

    def __init__(self, dsn: str, *, application: str = "scada readmission") -> None:
        self._link = DatabaseLink(dsn, application=application, limit_s=TRANSACTION_LIMIT_S)

    def messages(self, reason: str, *, after: int = 0) -> tuple[Waiting, ...]:
        """The oldest messages refused for ``reason`` with an id above ``after``, at most MESSAGES_AT_ONCE."""
        about = {"reason": reason, "after": after, "limit": MESSAGES_AT_ONCE}
        with self._link.transaction() as connection:
            rows = connection.execute(query("quarantined_because"), about).fetchall()
        return tuple(Waiting(number, microseconds(at), topic, bytes(payload)) for number, at, topic, payload in rows)

    def release(self, ids: list[int]) -> None:
        """Let messages go that were stored."""
        with self._link.transaction() as connection:
            connection.execute(query("release_quarantined"), {"ids": ids})

    def newest_registration(self) -> int:
        """When the registry learned of a meter last, µs; 0 while it is empty."""
        with self._link.transaction() as connection:
            row = connection.execute(query("newest_registration")).fetchone()
        return 0 if row is None or row[0] is None else microseconds(row[0])
