"""Ports, accounts and processes of this machine, as far as running two servers needs them.

Knows how to find a free port and who holds a taken one, which unprivileged account a server runs as, and whether a
process is really the one we started. Does not know what the servers are for.
"""

import contextlib
import os
import pwd
import random
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from scada.model.errors import ServicesError

# Below the range from which the kernel takes ports for outgoing connections (32768 on Linux): a meter fleet opens
# thousands of those, and one of them would sooner or later sit on a port chosen from that range.
CHOSEN_PORTS = range(20_000, 32_000)


@dataclass(frozen=True, slots=True)
class Account:
    """Who a server runs as, when we are root; never root itself."""

    name: str
    uid: int
    gid: int


def server_account(name: str) -> Account | None:
    """The account for a server: None when we are not root, then it runs as whoever we are."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise ServicesError(f"the user '{name}' that should run the server does not exist; run: make setup") from None
    return Account(name, entry.pw_uid, entry.pw_gid)


def run_as(
    account: Account | None, command: Sequence[str | Path], *, timeout_s: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Run to its end; return code and output. With a small environment: PGPORT and the like must not reach it."""
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"}
    arguments = [str(word) for word in command]
    try:
        # A session of its own: Ctrl-C in the terminal must not reach a database that is just starting.
        if account is None:
            return subprocess.run(
                arguments, capture_output=True, text=True, errors="replace", check=False, timeout=timeout_s,
                cwd="/", env=environment, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        return subprocess.run(
            arguments, capture_output=True, text=True, errors="replace", check=False, timeout=timeout_s,
            cwd="/", env=environment, stdin=subprocess.DEVNULL, start_new_session=True,
            user=account.uid, group=account.gid, extra_groups=[],
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ServicesError(f"{arguments[0]} did not finish within {timeout_s:.0f} s") from None


def can_traverse(account: Account | None, folder: Path) -> bool:
    """Whether the account may enter the folder; asked of the kernel as that account, so ACLs and mounts count too."""
    return run_as(account, ["/usr/bin/test", "-x", folder]).returncode == 0


def is_port_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        # As both servers do it, so that connections of a server just gone do not count as taken.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
            trial.listen(1)
        except OSError:
            return False
    return True


def holder_of(port: int) -> str:
    """`` by NAME (pid N)`` for the process listening on the port, or nothing when it cannot be found out."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""


def require_free(port: int, key: str) -> int:
    """The port itself. Raises ServicesError naming port, holder and the key of config.toml that chooses another."""
    if not is_port_free(port):
        raise ServicesError(
            f"port {port} is taken{holder_of(port)}; free it or set {key} in config.toml (0 = choose a free one)"
        )
    return port


def choose_port(randomness: random.Random) -> int:
    """A free port. Drawn, not counted upwards: two installations starting at once must not meet at the first one."""
    for port in randomness.sample(CHOSEN_PORTS, 200):
        if is_port_free(port):
            return port
    raise ServicesError(f"no free port found between {CHOSEN_PORTS.start} and {CHOSEN_PORTS.stop}")


def running(pid: int, executable: str, folder: Path) -> psutil.Process | None:
    """The process with this pid if it is the named server working on our folder, else None.

    A pid alone proves nothing: after a crash or a reboot it belongs to someone else. Name and folder on the command
    line do.
    """
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        command = process.cmdline()
        if (
            process.status() != psutil.STATUS_ZOMBIE
            and command
            and Path(command[0]).name == executable
            and any(word == str(folder) or word.startswith(f"{folder}/") for word in command[1:])
        ):
            return process
    return None


def working_in(executable: str, folder: Path) -> Iterator[psutil.Process]:
    """Live processes of this name whose working folder it is: backends that outlived their killed postmaster."""
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error):
            if (
                process.info["name"] == executable
                and process.cwd() == str(folder.resolve())
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                yield process


def read_pid(file: Path) -> int | None:
    """The pid in the first line of a daemon's own pid file, if there is one."""
    try:
        return int(file.read_text(encoding="ascii").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def is_dying(pid: int, executable: str) -> bool:
    """Whether a killed process of this name is being taken apart: its command line is gone, its sockets are not yet."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return process.name() == executable and process.status() != psutil.STATUS_ZOMBIE and not process.cmdline()
    return False


def end(process: psutil.Process, signal_number: int, *, within_s: float) -> bool:
    """Signal and wait; False when it is still there afterwards. psutil checks the start time before it signals."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal_number)
        give_up = time.monotonic() + within_s
        # A zombie has ended: in a container the first process may collect it late or never, so no waiting for that.
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > give_up:
                return False
            time.sleep(0.01)
    return True
