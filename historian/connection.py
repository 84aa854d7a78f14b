"""One connection to the historian's database: opened when needed, given up when broken.

Knows psycopg, time limits and which of the database's complaints mean what. Knows no table.

    DatabaseLink.transaction()   commits when the block ends; every failure comes out as one of
        StoreUnavailable         the connection or the server failed; nothing is known to be stored, try again
        BatchRefused              the server refused what was in the rows, a StoreRejected (SQLSTATE classes 22 and 23)
"""

import logging
import os
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import conninfo

from historian.isolation import BatchRefused
from scada.model.errors import StoreError, StoreUnavailable

log = logging.getLogger(__name__)

Connection = psycopg.Connection[tuple[Any, ...]]

CONNECT_LIMIT_S = 3
"""A healthy server on the same network accepts in milliseconds; psycopg allows 2 s at the least."""

KEEPALIVE_IDLE_S = 5
"""Quiet time before the kernel asks whether the server's machine is still there: three times, every 2 s."""

TRANSACTION_LIMIT_S = 20.0
"""20,000 rows take 0.1 s; a transaction that takes this long talks to a server that is frozen or overwhelmed."""


class AlreadyStored(BatchRefused):
    """A row of the batch has the key of a stored row."""


def translated(error: psycopg.Error) -> StoreError | psycopg.Error:
    """The meaning of a psycopg error for whoever holds data; the error itself when the statement is wrong: our bug."""
    detail = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, psycopg.errors.UniqueViolation):
        return AlreadyStored("key stored before", detail)
    if (error.sqlstate or "")[:2] in ("22", "23"):
        return BatchRefused(f"refused by the database: {error.diag.constraint_name or detail}", detail)
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return StoreUnavailable(f"the database lacks the historian's tables, its migrations have to be run: {detail}")
    if isinstance(error, psycopg.ProgrammingError) and not isinstance(error, psycopg.errors.InsufficientPrivilege):
        return error
    return StoreUnavailable(f"the database does not serve: {detail}")


def connect(dsn: str, *, application: str, limit_s: float = TRANSACTION_LIMIT_S) -> Connection:
    """A connection in autocommit mode whose statements, locks and idle transactions are limited to ``limit_s``.

    ``synchronous_commit`` is forced on: a commit that was answered must survive the server's crash.
    Raises StoreUnavailable.
    """
    limit_ms = int(limit_s * 1000)
    settings = {
        "statement_timeout": limit_ms,
        "lock_timeout": limit_ms,
        "idle_in_transaction_session_timeout": 2 * limit_ms,
        "client_connection_check_interval": 5_000,
        "synchronous_commit": "on",
        "timezone": "UTC",
    }
    try:
        given = conninfo.conninfo_to_dict(dsn).get("options")
        options = " ".join([str(given or ""), *(f"-c {name}={value}" for name, value in settings.items())]).strip()
        # No prepared statements: their generic plans cannot leave out the chunks that a time range excludes.
        return psycopg.connect(
            dsn,
            autocommit=True,
            prepare_threshold=None,
            application_name=application,
            connect_timeout=CONNECT_LIMIT_S,
            tcp_user_timeout=limit_ms,
            options=options,
            keepalives_idle=KEEPALIVE_IDLE_S,
            keepalives_interval=2,
            keepalives_count=3,
        )
    except psycopg.Error as error:
        raise StoreUnavailable(f"the database cannot be reached: {str(error).strip().splitlines()[0]}") from error


class _Closing(ABC):
    """Closed at the end of its ``with``."""

    @abstractmethod
    def close(self) -> None:
        """Give back what it holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class DatabaseLink(_Closing):
    """Owns one connection. Usable from several threads; transactions are one at a time."""

    def __init__(self, dsn: str, *, application: str, limit_s: float = TRANSACTION_LIMIT_S) -> None:
        self._dsn = dsn
        self._application = application
        self._limit_s = limit_s
        self._lock = threading.RLock()
        self._connection: Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction on the connection, opened first when needed. Raises StoreUnavailable or BatchRefused."""
        with self._lock:
            connection = self._opened()
            try:
                with _time_limit(connection, self._limit_s), connection.transaction():
                    yield connection
            except psycopg.Error as error:
                raise translated(error) from error
            finally:
                if connection.broken or connection.closed:
                    self.close()

    def close(self) -> None:
        """Give the connection up; the next transaction opens another."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _opened(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._dsn, application=self._application, limit_s=self._limit_s)
        return self._connection


class OnLink(_Closing):
    """Asks and writes over a link of its own."""

    _link: DatabaseLink

    def close(self) -> None:
        """Give the connection back; a later call opens another."""
        self._link.close()


@contextmanager
def _time_limit(connection: Connection, limit_s: float) -> Iterator[None]:
    """Cuts the connection when the block takes longer.

    A stopped server process still has its socket acknowledged by its kernel, so neither keepalive nor
    ``statement_timeout`` ever ends the wait for it; shutting the socket does.
    """
    with socket.socket(fileno=os.dup(connection.fileno())) as wire:

        def cut() -> None:
            log.warning("Historian connection cut: no answer within %.0f s", limit_s)
            wire.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(limit_s, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
