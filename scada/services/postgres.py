"""The private PostgreSQL + TimescaleDB cluster: made, started, provisioned, stopped.

Knows PostgreSQL's programs and files. The statements that make roles and database stand in
``historian/sql/cluster.sql``; what is in the database is the historian's.
"""

import os
import re
import signal
import time
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from historian.queries import parse_queries
from scada.model.errors import ServicesError
from scada.services.installation import Installation, write_whole
from scada.services.processes import Account, end, read_pid, run_as, running, server_account, working_in
from scada.services.settings import postgres_conf

DATABASE = "gridscada"
OWNER = "scada"
READER = "scada_reader"
SUPERUSER = "postgres"

SERVERS = Path("/usr/lib/postgresql")
EXTENSIONS = Path("/usr/share/postgresql")

START_S = 120.0  # crash recovery of a full 4 GB of log
STOP_S = 120.0  # the shutdown checkpoint of a full buffer on a slow disk


def account() -> Account | None:
    """Who the server runs as."""
    return server_account("postgres")


def find_server(servers: Path = SERVERS, extensions: Path = EXTENSIONS, *, major: str = "") -> Path:
    """The folder of programs of the newest installed PostgreSQL (or of ``major``) that has TimescaleDB."""
    ready = [
        folder
        for folder in servers.glob("*")
        if (folder / "bin/postgres").exists()
        and (extensions / folder.name / "extension/timescaledb.control").exists()
        and (not major or folder.name == major)
    ]
    if not ready:
        wanted = f"PostgreSQL {major}, which made this cluster," if major else "PostgreSQL"
        raise ServicesError(f"{wanted} with TimescaleDB is not installed; run: make setup")
    return max(ready, key=lambda folder: float(folder.name)) / "bin"


def dsn(port: int, role: str, password: str, database: str = DATABASE) -> str:
    """The address of the private cluster for one role."""
    return f"postgresql://{role}:{password}@127.0.0.1:{port}/{database}"


def exists(installation: Installation) -> bool:
    """Whether a cluster was made here."""
    return (installation.postgres / "PG_VERSION").exists()


def find_process(installation: Installation) -> psutil.Process | None:
    """Our postmaster, if it runs."""
    pid = read_pid(installation.postgres / "postmaster.pid")
    return running(pid, "postgres", installation.postgres) if pid is not None else None


def refuse(action: str, output: str) -> ServicesError:
    """The error for a program that failed, with the line of its output that says why."""
    if "No space left on device" in output:
        return ServicesError(f"{action}: the disk is full; free space, or set var in config.toml")
    telling = re.findall(r"(?:FATAL|PANIC|error):.*", output) or output.strip().splitlines()[-1:]
    return ServicesError(f"{action}: {telling[-1] if telling else 'no message'}")


def make_cluster(installation: Installation, passwords: Mapping[str, str]) -> None:
    """initdb beside and rename, so that a folder named postgres is always a whole cluster."""
    who, folder = account(), installation.postgres
    unfinished = folder.with_name("postgres.unfinished")
    if unfinished.exists():
        remove = run_as(who, ["/bin/rm", "-rf", *unfinished.iterdir()])
        if remove.returncode:
            raise refuse(f"{unfinished} cannot be cleared", remove.stderr)
    else:
        unfinished.mkdir(mode=0o700)
    password_file = folder.with_name("initdb.password")
    write_whole(password_file, passwords["superuser"] + "\n", mode=0o600, owner=who)
    try:
        if who is not None:
            os.chown(unfinished, who.uid, who.gid)
        made = run_as(
            who,
            [
                find_server() / "initdb", "--pgdata", unfinished, "--username", SUPERUSER, "--pwfile", password_file,
                "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--data-checksums",
            ],
        )  # fmt: skip
    finally:
        password_file.unlink(missing_ok=True)
    if made.returncode:
        raise refuse("the database cluster could not be made", made.stderr)
    configuration = unfinished / "postgresql.conf"
    text = configuration.read_text(encoding="utf-8")
    write_whole(
        configuration,
        f"{text}\ninclude 'gridscada.conf'\ninclude_if_exists 'local.conf'\n",
        mode=0o600,
        owner=who,
    )
    unfinished.rename(folder)


def start(installation: Installation, passwords: Mapping[str, str]) -> None:
    """Make the cluster if there is none, start it, and see that roles, database and extension are there."""
    if not exists(installation):
        make_cluster(installation, passwords)
    start_server(installation)
    provision(installation, passwords)


def start_server(installation: Installation) -> None:
    """Start the server on the installation's port and wait until it accepts connections; recovers after a crash."""
    who, folder = account(), installation.postgres
    major = (folder / "PG_VERSION").read_text(encoding="ascii").strip()
    programs = find_server(major=major)
    settings = postgres_conf(port=installation.postgres_port, memory_bytes=psutil.virtual_memory().total)
    write_whole(folder / "gridscada.conf", settings, mode=0o600, owner=who)
    # A pid file naming a process that is not a server of this folder is left over from before a reboot.
    if find_process(installation) is None:
        (folder / "postmaster.pid").unlink(missing_ok=True)
    log = folder / "start.log"
    write_whole(log, "", mode=0o600, owner=who)
    started = run_as(
        who,
        [programs / "pg_ctl", "start", "--wait", f"--timeout={START_S:.0f}", "--pgdata", folder, "--log", log],
        timeout_s=START_S + 10,
    )
    if started.returncode:
        raise refuse("the database did not start", _logged(folder))


def provision(installation: Installation, passwords: Mapping[str, str]) -> None:
    """Roles, database, extension and rights; the same at every start, so an interrupted first start heals."""
    statements = read_statements()
    port, superuser = installation.postgres_port, passwords["superuser"]

    with psycopg.connect(dsn(port, SUPERUSER, superuser, "postgres"), autocommit=True) as connection:
        for role, secret in ((OWNER, "owner"), (READER, "reader")):
            if connection.execute(statements["role_exists"], {"role": role}).fetchone() is None:
                connection.execute(_fill(statements["create_role"], role=role))
            # Encrypted here, so that the password itself never stands in a statement or a log.
            verifier = connection.pgconn.encrypt_password(passwords[secret].encode(), role.encode(), b"scram-sha-256")
            connection.execute(_fill(statements["set_password"], role=role, password=verifier.decode()))
        if connection.execute(statements["database_exists"], {"database": DATABASE}).fetchone() is None:
            connection.execute(_fill(statements["create_database"], database=DATABASE, owner=OWNER))
    # Each in a session of its own: TimescaleDB wants its update to be the first statement of one.
    for name in ("create_extension", "update_extension", "grant_rights"):
        with psycopg.connect(dsn(port, SUPERUSER, superuser), autocommit=True) as connection:
            connection.execute(_fill(statements[name], database=DATABASE, owner=OWNER, reader=READER))


def stop(process: psutil.Process) -> None:
    """Fast shutdown: running transactions are rolled back, everything committed is on disk."""
    if not end(process, signal.SIGINT, within_s=STOP_S):
        raise ServicesError(f"the database (pid {process.pid}) did not stop within {STOP_S:.0f} s")


def why_silent(address: str) -> str:
    """Why the database at this address does not answer; empty when it does."""
    try:
        psycopg.connect(address, connect_timeout=3).close()
    except psycopg.Error as error:
        return " ".join(str(error).split()) or "no answer"
    return ""


def read_statements() -> dict[str, str]:
    """The named statements of ``cluster.sql``."""
    text = (files("historian") / "sql" / "cluster.sql").read_text(encoding="utf-8")
    return {name: statement.decode() for name, statement in parse_queries(text).items()}


def _fill(statement: str, *, password: str = "", **names: str) -> sql.Composed:
    identifiers = {key: sql.Identifier(name) for key, name in names.items()}
    return sql.SQL(statement).format(**identifiers, password=sql.Literal(password))


def end_orphans(installation: Installation) -> None:
    """Backends of a postmaster killed with -9 hold its shared memory and may hold its port: no start before they go."""
    if find_process(installation) is not None:
        return
    give_up = time.monotonic() + 30.0
    while orphans := list(working_in("postgres", installation.postgres)):
        if time.monotonic() > give_up:
            raise ServicesError(f"processes of the killed database do not end: {[orphan.pid for orphan in orphans]}")
        for orphan in orphans:
            end(orphan, signal.SIGQUIT, within_s=0.5)


def _logged(folder: Path) -> str:
    """What the server last said: its start log, then the newest file of its collector."""
    newest = max((folder / "log").glob("*.log"), key=lambda file: file.stat().st_mtime, default=None)
    return "\n".join(
        file.read_text(errors="replace")[-4000:] for file in (newest, folder / "start.log") if file is not None
    )
