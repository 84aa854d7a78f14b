"""Private services for one bench, in a folder that is gone afterwards.

Knows how they start and end. Does not know what is measured.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import psycopg

from historian.migrate import migrate
from scada.config import Config
from scada.services import mosquitto, postgres, supervisor
from scada.services.endpoints import Credential, Endpoints, Role
from scada.services.installation import Installation, load
from tests.bench.result import say


@dataclass(frozen=True, slots=True)
class House:
    """A migrated database, a broker, and a folder for files."""

    config: Config
    endpoints: Endpoints

    @property
    def folder(self) -> Path:
        """Where a bench may put what it needs."""
        return self.config.var

    @property
    def dsn(self) -> str:
        """The database, as its owner."""
        return self.endpoints.postgres_dsn

    def credential(self, role: Role) -> Credential:
        """Name and password at the broker."""
        return self.endpoints.mqtt_credentials[role]

    def broker(self) -> psutil.Process:
        """The broker's process."""
        return _running(mosquitto.find_process, self.config)

    def cpu_s(self) -> dict[str, float]:
        """Processor time used so far: by the broker, and by the database with all its sessions."""
        server = _running(postgres.find_process, self.config)
        return {"broker": _cpu_s(self.broker()), "database": sum(map(_cpu_s, [server, *server.children()]))}

    def number(self, question: str) -> int:
        """The single number a question to the database gives."""
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute(question.encode()).fetchone()
        assert row is not None
        return int(row[0])


def _running(find: Callable[[Installation], psutil.Process | None], config: Config) -> psutil.Process:
    installation = load(config.var)
    assert installation is not None
    process = find(installation)
    assert process is not None, "a server does not run"
    return process


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def private_services() -> Iterator[House]:
    """Start PostgreSQL and Mosquitto for this bench alone; stop and delete them at its end, whatever happened."""
    with tempfile.TemporaryDirectory(prefix="gridscada-bench-") as name:
        config = replace(Config(), var=Path(name))
        begun = time.monotonic()
        try:
            endpoints = supervisor.up(config)
            migrate(endpoints.postgres_dsn)
            say(f"services: up after {time.monotonic() - begun:.1f} s")
            yield House(config, endpoints)
        finally:
            supervisor.remove(config)
