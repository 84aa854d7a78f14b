"""One active process among several: a lock in the database, held as long as a session lasts.

Knows the lock. Does not know what is done under it. The database gives it up when the session ends, however it ends, so
a process that was killed never blocks its successor; a holder learns of a lost session at the next ``hold``.
"""

import zlib
from types import TracebackType
from typing import Self

import psycopg

from historian.connection import Connection, connect
from historian.queries import query
from scada.model.errors import StoreUnavailable


class Lease:
    """The advisory lock called ``name``. Use as ``with``; leaving the block gives it up."""

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn = dsn
        self._name = name
        self._key = zlib.crc32(name.encode())
        self._connection: Connection | None = None
        self._held = False

    def hold(self) -> bool:
        """Take the lock, or see that it is still ours. False while another holds it or the database is away."""
        try:
            if self._connection is None:
                self._connection = connect(self._dsn, application=self._name)
            statement = query("confirm_session") if self._held else query("try_lease")
            row = self._connection.execute(statement, {"key": self._key}).fetchone()
            self._held = row is not None and bool(row[0])
        except (psycopg.Error, StoreUnavailable):
            self._give_up()
        return self._held

    def _give_up(self) -> None:
        self._held = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_up()
