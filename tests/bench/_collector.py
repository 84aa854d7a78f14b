"""``scada collect`` as a process, and what publishes to its broker, or takes from it in its stead.

Knows how they start, what the state door tells and how they end. Does not know what is offered.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psutil

from scada.config import SOURCE_ROOT
from scada.hmi.processes import ProcessSilent, ask
from scada.services.endpoints import Role
from tests.bench._field import end_process
from tests.bench._house import House
from tests.bench._publisher import PASSWORD_VARIABLE

GLANCE_S = 0.1
STALLED_S = 60.0


class Collector:
    """The head-end's process and its account."""

    def __init__(self, house: House, pid: int) -> None:
        self._house = house
        self.process = psutil.Process(pid)

    def readings(self) -> Mapping[str, Any]:
        """The head-end's figures now."""
        readings: Mapping[str, Any] = ask(self._house.folder, "collect", timeout_s=30.0)["readings"]
        return readings

    def cpu_s(self) -> float:
        """Processor time used so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def rss_mib(self) -> float:
        """Memory in use."""
        return float(self.process.memory_info().rss) / 2**20

    def until_received(self, count: int, seen: Callable[[int], None] = lambda received: None) -> float:
        """Wait until so many readings are received and settled, since its start; the moment, s since 1970.

        ``seen`` gets the count at every glance. Raises TimeoutError when nothing comes any more.
        """
        before, changed = -1, time.monotonic()
        while True:
            readings = self.readings()
            moment = time.time()
            received = int(readings["received"])
            seen(received)
            if received >= count:
                return moment
            if received != before:
                before, changed = received, time.monotonic()
            elif time.monotonic() > changed + STALLED_S:
                raise TimeoutError(f"the head-end stands at {received} of {count} readings: {readings['last_error']}")
            time.sleep(GLANCE_S)


@contextmanager
def collector(house: House, head_end: str = "") -> Iterator[Collector]:
    """Run ``scada collect`` on the house's services while the block lasts; ``head_end``: settings of its own."""
    config_file = house.folder / "config.toml"
    folder = json.dumps(str(SOURCE_ROOT / "substations"))
    config_file.write_text(f'var = "."\n[stations]\nfolder = {folder}\n[head_end]\n{head_end}\n', encoding="utf-8")
    log = house.folder / "collect.log"
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "scada.cli", "--config", str(config_file), "collect"],
            cwd=SOURCE_ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        running = Collector(house, child.pid)
        _until_connected(running, child)
        yield running
    except BaseException:
        sys.stderr.write(log.read_text(encoding="utf-8")[-2000:])
        raise
    finally:
        end_process(child, 60.0)


def _until_connected(running: Collector, child: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if child.poll() is not None:
            raise RuntimeError("scada collect ended before it had begun")
        try:
            readings = running.readings()
        except ProcessSilent:
            readings = {"connected": False}
        if readings["connected"] and readings["meters_registered"]:
            return
        time.sleep(0.1)
    raise TimeoutError("scada collect does not connect within 60 s")


class Party:
    """A process at the broker that is ready; ``go`` lets it begin, ``outcome`` waits until all is acknowledged."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def go(self) -> None:
        """Begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def outcome(self) -> Mapping[str, float]:
        """What was offered or taken. Raises RuntimeError when it failed."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process at the broker ended without a word; its error is above")
        outcome: Mapping[str, float] = json.loads(line)
        return outcome


def publisher(house: House, job: Mapping[str, object]) -> AbstractContextManager[Party]:
    """A process that has prepared ``job`` and waits for ``go``."""
    return _party("_publisher", house, Role.FIELD, job)


def subscriber(house: House, messages: int) -> AbstractContextManager[Party]:
    """A process that takes and acknowledges so many messages, and stores none."""
    return _party("_subscriber", house, Role.HEADEND, {"messages": messages})


@contextmanager
def _party(module: str, house: House, role: Role, job: Mapping[str, object]) -> Iterator[Party]:
    credential = house.credential(role)
    told = {
        **job,
        "host": house.endpoints.mqtt_host,
        "port": house.endpoints.mqtt_port,
        "username": credential.username,
    }
    child = subprocess.Popen(
        [sys.executable, "-m", f"tests.bench.{module}", json.dumps(told)],
        cwd=SOURCE_ROOT, env={**os.environ, PASSWORD_VARIABLE: credential.password},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        if child.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{module} could not prepare; its error is above")
        yield Party(child)
    finally:
        end_process(child, 10.0)
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()
