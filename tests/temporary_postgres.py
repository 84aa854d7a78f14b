"""A PostgreSQL cluster of a test's own, to be killed and frozen at will. Not for tests that need only a database."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

import psutil
import psycopg

SETTINGS = """
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = 'off'
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = on
shared_buffers = 64MB
max_connections = 20
"""


class TemporaryPostgres:
    """One cluster in a folder of its own. ``fsync`` stays on: the tests are about what survives."""

    def __init__(self) -> None:
        self._programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
        # not below pytest's folder, which only its own user may enter and every session of pytest locks again
        self._folder = Path(mkdtemp(prefix="postgres-")) / "cluster"
        self._log = self._folder / "server.log"
        self._folder.mkdir()
        self._as_root = os.geteuid() == 0
        if self._as_root:
            self._folder.parent.chmod(0o711)
            subprocess.run(["chown", "postgres:", self._folder], check=True)
        self._run("initdb", "--pgdata", self._folder, "--username", "postgres", "--auth", "trust", "--no-sync")
        with (self._folder / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)
        with socket.socket() as probe:  # last, so that nobody else gets this port before the server has it
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.start()

    def dsn(self, database: str = "postgres") -> str:
        """Address of one database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, recovering first when the server was killed."""
        self._run("pg_ctl", "start", "-w", "-D", self._folder, "-l", self._log, "-o", f"-p {self.port}")

    def stopped(self) -> list[psutil.Process]:
        """The postmaster and all it has started, none of them running. It first: it starts nobody any more then."""
        postmaster = psutil.Process(int((self._folder / "postmaster.pid").read_text().split()[0]))
        postmaster.suspend()
        while postmaster.status() != psutil.STATUS_STOPPED:
            time.sleep(0.001)
        found = [postmaster]
        for process in postmaster.children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # whose client has just gone
                process.suspend()
                found.append(process)
        return found

    def kill(self) -> None:
        """End every process of the server at once, as a power failure does."""
        processes = self.stopped()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        # until their numbers are free again: a new server takes one that is still known for another server's
        _, alive = psutil.wait_procs(processes, timeout=60)
        assert not alive

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The server keeps its sockets and answers nothing."""
        processes = self.stopped()
        try:
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def create(self, database: str) -> str:
        """A new, empty database; its address."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(database)))
        return self.dsn(database)

    def stop(self) -> None:
        """End the server and remove its files."""
        self.kill()
        shutil.rmtree(self._folder.parent)

    def _said(self) -> str:
        """What the server has said last."""
        return self._log.read_text()[-2000:] if self._log.exists() else ""

    def _run(self, program: str, *arguments: str | Path) -> None:
        drop = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if self._as_root else []
        # a file and no pipe: the server inherits it and would keep a pipe open
        with (self._folder.parent / "programs.log").open("w+") as output:
            result = subprocess.run(
                [*drop, self._programs / program, *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
            output.seek(0)
            assert result.returncode == 0, f"{program}: {output.read()}{self._said()}"
