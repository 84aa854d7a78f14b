"""The private Mosquitto: configured, started, stopped.

Knows Mosquitto's program and files. Does not know what travels through it beyond the access list.
"""

import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from scada.model.errors import ServicesError
from scada.services.endpoints import Credential, Role
from scada.services.installation import Installation, write_whole
from scada.services.processes import Account, end, is_dying, read_pid, run_as, running, server_account
from scada.services.settings import mosquitto_access, mosquitto_conf

START_S = 60.0  # a database of some hundred megabytes is read back first
STOP_S = 60.0  # and written
PID_FILE_S = 10.0
DYING_S = 30.0

# The distribution's path first: a user's PATH often lacks the folders for servers.
PROGRAM_FOLDERS = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"


def account() -> Account | None:
    """Who the server runs as."""
    return server_account("mosquitto")


def find_program(name: str) -> str:
    """The path of one of Mosquitto's programs."""
    found = shutil.which(name, path=PROGRAM_FOLDERS) or shutil.which(name)
    if found is None:
        raise ServicesError(f"{name} is not installed; run: make setup")
    return found


def find_process(installation: Installation) -> psutil.Process | None:
    """Our broker, if it runs."""
    pid = read_pid(installation.mosquitto / "mosquitto.pid")
    return running(pid, "mosquitto", installation.mosquitto) if pid is not None else None


def await_end(installation: Installation) -> None:
    """A killed broker holds its port until the kernel has closed its connections: a second for some thousand."""
    pid = read_pid(installation.mosquitto / "mosquitto.pid")
    give_up = time.monotonic() + DYING_S
    while pid is not None and is_dying(pid, "mosquitto"):
        if time.monotonic() > give_up:
            raise ServicesError(f"the killed broker (pid {pid}) does not end")
        time.sleep(0.01)


def credentials(passwords: Mapping[str, str]) -> Mapping[Role, Credential]:
    """Name and password per role; the names are the roles'."""
    return {role: Credential(str(role), passwords[role]) for role in Role}


def configure(installation: Installation, passwords: Mapping[str, str]) -> None:
    """Write configuration, access list and hashed passwords; all of them owned by the broker's account."""
    who, folder = account(), installation.mosquitto
    if not folder.exists():
        folder.mkdir(mode=0o700)
        if who is not None:
            os.chown(folder, who.uid, who.gid)
    write_whole(
        folder / "mosquitto.conf", mosquitto_conf(port=installation.mqtt_port, folder=folder), mode=0o600, owner=who
    )
    write_whole(folder / "access", mosquitto_access(), mode=0o600, owner=who)
    # Hashed beside: the broker never finds a file with plain passwords, and they never stand on a command line.
    plain = folder / "passwords.unhashed"
    write_whole(plain, "".join(f"{role}:{passwords[role]}\n" for role in Role), mode=0o600, owner=who)
    hashed = run_as(who, [find_program("mosquitto_passwd"), "-U", plain])
    if hashed.returncode:
        plain.unlink(missing_ok=True)
        raise ServicesError(
            f"the broker's passwords could not be written: {hashed.stderr.strip() or hashed.stdout.strip()}"
        )
    plain.replace(folder / "passwords")


def start(installation: Installation, passwords: Mapping[str, str]) -> None:
    """Start the broker on the installation's port and wait until it lets a client in."""
    folder = installation.mosquitto
    configure(installation, passwords)
    (folder / "mosquitto.pid").unlink(missing_ok=True)
    log = folder / "mosquitto.log"
    logged_before = log.stat().st_size if log.exists() else 0
    # As many descriptors as are allowed, one per meter connection; the usual soft limit is 1,024.
    command = ["/bin/sh", "-c", 'ulimit -Sn "$(ulimit -Hn)"; exec "$@"', "sh"]
    started = run_as(account(), [*command, find_program("mosquitto"), "-d", "-c", folder / "mosquitto.conf"])
    if started.returncode:
        raise ServicesError(f"the broker did not start: {started.stderr.strip() or _logged(log, logged_before)}")
    begun = time.monotonic()
    while reason := why_silent("127.0.0.1", installation.mqtt_port, credentials(passwords)[Role.MONITOR]):
        waited_s = time.monotonic() - begun
        # It writes its pid file at once: none after that long means that it ended, whoever holds the port.
        ended = waited_s > PID_FILE_S and find_process(installation) is None
        if ended or waited_s > START_S:
            raise ServicesError(f"the broker did not start: {_logged(log, logged_before) or reason}")
        time.sleep(0.02)


def stop(process: psutil.Process) -> None:
    """Clean stop: the broker writes sessions and waiting messages before it ends."""
    if not end(process, signal.SIGTERM, within_s=STOP_S):
        raise ServicesError(f"the broker (pid {process.pid}) did not stop within {STOP_S:.0f} s")


def why_silent(host: str, port: int, credential: Credential) -> str:
    """Why the broker does not let this client in; empty when it does."""
    answers: list[ReasonCode] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    if credential.username:
        client.username_pw_set(credential.username, credential.password)
    client.on_connect = lambda _client, _userdata, _flags, reason, _properties: answers.append(reason)
    client.connect_timeout = 3.0
    try:
        client.connect(host, port, keepalive=10)
        give_up = time.monotonic() + 3.0
        while not answers and time.monotonic() < give_up:
            client.loop(timeout=0.1)
        client.disconnect()
        client.loop(timeout=0.1)
    except (OSError, ValueError) as error:
        return str(error)
    if not answers:
        return "no answer"
    return str(answers[0]) if answers[0].is_failure else ""


def _logged(log: Path, since: int) -> str:
    """The last line the broker wrote to its log since then."""
    if not log.exists():
        return ""
    lines = log.read_bytes()[since:].decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
