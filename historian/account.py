"""Books what became of rows, in the transaction that stores them, and settles commits whose answer was lost.

Knows the account of one kind of rows in one run of a worker. Does not know the rows; the caller tells their fate.

When a connection dies while COMMIT is under way, nobody knows whether the rows are stored. Storing them again is
safe, but they would be counted as duplicates of themselves. So every transaction writes its sequence number into the
run's account, and before the next transaction the account tells how the last one ended.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from historian.connection import Connection
from historian.queries import query

Work = bytes | tuple[object, ...]
"""What a transaction is to store, in a form that tells whether two are the same."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of the rows of one transaction; ``rejected`` by reason."""

    stored: int = 0
    revised: int = 0
    duplicate: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)

    @property
    def rejections(self) -> int:
        """All rejected rows."""
        return sum(self.rejected.values())


@dataclass(frozen=True, slots=True)
class Attempt:
    """A transaction whose commit was sent: what it was to store and what became of it if it arrived."""

    sequence: int
    work: Work
    entry: Entry


class IngestAccount:
    """The account of one kind of rows in one run.

    A transaction is: ``settled``, which answers when exactly this work is known to be committed; else store it and
    ``book``; after the commit, ``committed``.
    """

    def __init__(self, worker: str, run: uuid.UUID, kind: str) -> None:
        self._key = {"worker": worker, "run": run, "kind": kind}
        self._sequence = 0
        self._unknown: Attempt | None = None
        self._arrived: dict[type, Attempt] = {}

    def settled(self, connection: Connection, work: Work) -> Entry | None:
        """What became of ``work`` when an earlier attempt at it was committed although its answer was lost."""
        if self._unknown is not None:
            row = connection.execute(query("last_committed"), self._key).fetchone()
            if row is not None and row[0] == self._unknown.sequence:
                self._arrived[type(self._unknown.work)] = self._unknown
            self._unknown = None
        arrived = self._arrived.get(type(work))
        return arrived.entry if arrived is not None and arrived.work == work else None

    def book(self, connection: Connection, work: Work, entry: Entry) -> None:
        """Write the transaction's share into the account, as its last statement before the commit."""
        self._sequence += 1
        counts = {
            "stored": entry.stored,
            "revised": entry.revised,
            "duplicate": entry.duplicate,
            "rejected": entry.rejections,
        }
        counts["received"] = sum(counts.values())
        for reason, rows in sorted(entry.rejected.items()):
            connection.execute(query("add_rejection"), {**self._key, "reason": reason, "rejected": rows})
        connection.execute(query("add_to_account"), {**self._key, "sequence": self._sequence, **counts})
        self._unknown = Attempt(self._sequence, work, entry)

    def committed(self, work: Work) -> None:
        """COMMIT was answered: nothing is in doubt."""
        self._unknown = None
        self._arrived.pop(type(work), None)
