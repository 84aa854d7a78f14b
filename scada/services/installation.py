"""The folder ``var/services``: which ports were chosen, where the servers keep their data, which passwords were drawn.

Knows that state and how to change it safely: one process at a time, each file whole or not at all. Does not know the
servers.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from scada.model.errors import ServicesError
from scada.services.processes import Account, can_traverse

# Where the servers' data go when their unprivileged accounts cannot enter var/ (a checkout under /root, mode 0700).
OUTSIDE = Path("/var/lib/gridscada")

SECRET_NAMES = ("superuser", "owner", "reader", "headend", "field", "monitor")
LOCK_WAIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Installation:
    """What ``state.json`` holds. Port 0: none chosen yet."""

    data: Path
    postgres_port: int = 0
    mqtt_port: int = 0

    @property
    def postgres(self) -> Path:
        return self.data / "postgres"

    @property
    def mosquitto(self) -> Path:
        return self.data / "mosquitto"


def services_folder(var: Path) -> Path:
    """``var/services``: state, secrets and lock, and usually the servers' data too."""
    return var / "services"


@contextlib.contextmanager
def disk_troubles(var: Path) -> Iterator[None]:
    """Turn what a full, read-only or foreign ``var`` does into one sentence."""
    try:
        yield
    except OSError as error:
        where = error.filename or services_folder(var)
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise ServicesError(
                f"the disk is full: {where} cannot be written; free space, or set var in config.toml"
            ) from error
        if error.errno == errno.EROFS:
            raise ServicesError(f"{where} is on a read-only file system; set var in config.toml") from error
        if isinstance(error, PermissionError):
            raise ServicesError(
                f"no permission for {where}; run as the user who started the services first, or set var in config.toml"
            ) from error
        raise ServicesError(f"{where}: {error.strerror or error}") from error


@contextlib.contextmanager
def exclusive(var: Path) -> Iterator[None]:
    """Only one process at a time changes the services of this ``var``."""
    folder = services_folder(var)
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # whatever the umask: the servers' accounts must pass; secrets have their own mode
    with (folder / "lock").open("a", encoding="ascii") as lock:
        give_up = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise ServicesError(
                        f"another process holds {folder / 'lock'} for more than {LOCK_WAIT_S:.0f} s"
                    ) from None
                time.sleep(0.05)
        yield


def write_whole(path: Path, text: str, *, mode: int, owner: Account | None = None) -> None:
    """Write beside, flush to disk, rename: a reader and a crash see the old file or the new one, never part of one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - opened by descriptor for its mode
            os.fchmod(descriptor, mode)
            if owner is not None:
                os.fchown(descriptor, owner.uid, owner.gid)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def load(var: Path) -> Installation | None:
    """What was decided before, or None in a fresh ``var``."""
    path = services_folder(var) / "state.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Installation(Path(found["data"]), int(found["postgres_port"]), int(found["mqtt_port"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise ServicesError(f"{path} is damaged; restore it, it says where the database lies") from None


def save(var: Path, installation: Installation) -> None:
    """Record the decisions. World-readable: it holds no secret."""
    content = asdict(installation) | {"data": str(installation.data)}
    write_whole(services_folder(var) / "state.json", json.dumps(content, indent=2) + "\n", mode=0o644)


def outside_folder(var: Path) -> Path:
    """The data folder for this ``var`` when the servers' accounts cannot enter it."""
    return OUTSIDE / hashlib.sha256(str(var).encode()).hexdigest()[:16]


def load_or_create(var: Path, accounts: Sequence[Account | None]) -> Installation:
    """The recorded installation, or a new one with its data where every account can reach them."""
    found = load(var)
    if found is not None:
        return found
    data = services_folder(var)
    if not all(can_traverse(account, data) for account in accounts):
        data = outside_folder(var)
        for folder in (OUTSIDE, data):
            if not folder.exists():
                folder.mkdir(parents=True)
                folder.chmod(0o755)
    created = Installation(data)
    save(var, created)
    return created


def with_port(installation: Installation, service: str, port: int) -> Installation:
    """The same with another port for one service."""
    return replace(installation, postgres_port=port) if service == "postgres" else replace(installation, mqtt_port=port)


def load_passwords(var: Path) -> Mapping[str, str]:
    """The passwords of this installation. Raises FileNotFoundError before the first ``up``."""
    path = services_folder(var) / "secrets.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: str(found[name]) for name in SECRET_NAMES}
    except (ValueError, KeyError, TypeError):
        raise ServicesError(f"{path} is damaged; restore it, it holds the database's passwords") from None


def load_or_draw_passwords(var: Path, made: Path | None) -> Mapping[str, str]:
    """The recorded passwords, or new ones if no database knows the old ones; ``made``: the folder of one that does."""
    path = services_folder(var) / "secrets.json"
    try:
        return load_passwords(var)
    except FileNotFoundError:
        if made is not None:
            raise ServicesError(
                f"{path} is missing, and the database in {made} was made with its passwords; restore it, or remove that"
                " folder to begin anew without anything that was stored"
            ) from None
    # URL-safe, so that they stand in a DSN as they are; 24 bytes, so that nobody needs to slow down guessing.
    drawn = {name: secrets.token_urlsafe(24) for name in SECRET_NAMES}
    write_whole(path, json.dumps(drawn, indent=2) + "\n", mode=0o600)
    return drawn
