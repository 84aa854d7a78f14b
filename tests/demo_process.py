"""A house of one's own for tests that run the product's commands: configuration, data folder, processes, counts.

Counts are this file's own SQL over a connection of its own, so that they judge the product's from outside.
"""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg

from scada.config import Config, load_config
from scada.files import load_installation
from scada.hmi.processes import ProcessSilent, ask
from scada.services import mosquitto, postgres, supervisor
from scada.services.installation import load

SOURCE = Path(__file__).resolve().parent.parent
SCADA = (sys.executable, "-m", "scada.cli")
STATIONS = ("TN03", "TN07", "TN13", "TN17")
"""Two that speak Modbus TCP, two that speak OPC UA."""


def wait_until(condition: Callable[[], bool], what: str, within_s: float = 120.0) -> None:
    """Look again and again; fail with ``what`` when it does not come true in time."""
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Rows:
    """What stands in the tables: ``count(*)``, and the sums of the head-end's account."""

    samples: int
    batch_rows: int
    readings: int
    revisions: int
    received: int
    stored: int
    revised: int
    duplicate: int
    rejected: int

    def __sub__(self, earlier: "Rows") -> "Rows":
        return Rows(*(getattr(self, name) - getattr(earlier, name) for name in Rows.__slots__))


NO_ROWS = Rows(*([0] * len(Rows.__slots__)))


class House:
    """An installation in a folder: a few stations of both protocols, everything else as shipped."""

    def __init__(self, folder: Path, *, stations: Sequence[str] = STATIONS, more: str = "") -> None:
        self.folder = folder
        self.config_file = folder / "config.toml"
        only = ", ".join(f'"{code}"' for code in stations)
        places = f'[stations]\nfolder = "{SOURCE / "substations"}"\nonly = [{only}]\n'
        self.config_file.write_text(f'name = "test house"\nlanguage = "en"\n{places}{more}', encoding="utf-8")

    @property
    def config(self) -> Config:
        return load_config(self.config_file)

    @property
    def var(self) -> Path:
        return self.config.var

    @property
    def points(self) -> int:
        return sum(len(station.points) for station in load_installation(self.config_file).stations)

    # -- commands

    def command(self, *words: str) -> list[str]:
        return [*SCADA, "--config", str(self.config_file), *words]

    def scada(self, *words: str, within_s: float = 90.0) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=within_s, check=False)

    def state(self, name: str) -> dict[str, Any]:
        """What a process says of itself now; empty when it says nothing."""
        try:
            # Who runs answers, however busy; who is gone refuses at once.
            answer: dict[str, Any] = ask(self.var, name, timeout_s=30.0)
        except ProcessSilent:
            return {}
        return answer

    def last_state(self, name: str) -> str:
        return (self.var / "run" / f"{name}.last.json").read_text(encoding="utf-8")

    # -- services

    def service(self, name: str) -> psutil.Process | None:
        installation = load(self.var)
        assert installation is not None
        return {"postgres": postgres, "mqtt": mosquitto}[name].find_process(installation)

    def kill_service(self, name: str) -> None:
        """kill -9, as the kernel does it when memory is short."""
        process = self.service(name)
        assert process is not None
        process.send_signal(signal.SIGKILL)
        wait_until(lambda: self.service(name) is None, f"{name} is gone")

    def services_run(self) -> list[bool]:
        return [self.service(name) is not None for name in ("postgres", "mqtt")]

    # -- counts

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A connection that reads; services are started for it and stay."""
        with psycopg.connect(supervisor.up(self.config).postgres_reader_dsn, options="-c timezone=UTC") as connection:
            yield connection

    def rows(self) -> Rows:
        with self.database() as connection:
            found = connection.execute(
                "SELECT (SELECT count(*) FROM sample), (SELECT coalesce(sum(rows), 0) FROM sample_batch),"
                " (SELECT count(*) FROM reading), (SELECT count(*) FROM reading_revision),"
                " coalesce(sum(received), 0), coalesce(sum(stored), 0), coalesce(sum(revised), 0),"
                " coalesce(sum(duplicate), 0), coalesce(sum(rejected), 0) FROM ingest_account WHERE kind = 'reading'"
            ).fetchone()
        assert found is not None
        return Rows(*(int(each) for each in found))

    def count(self, query: str, *values: object) -> int:
        with self.database() as connection:
            row = connection.execute(query.encode(), values).fetchone()
        assert row is not None
        return int(row[0])

    def missing_readings(self, period_s: int) -> list[tuple[int, int]]:
        """(serial, interval end in s) of every reading the field knows to be delivered and the database lacks."""
        with (self.var / "demo" / "field.csv").open(encoding="utf-8", newline="") as file:
            rows = [list(row.values()) for row in csv.DictReader(file)]
        owed = {
            (int(serial), end)
            for serial, first, last, _ in rows
            if first
            for end in range(_seconds(first), _seconds(last) + 1, period_s)
        }
        with self.database() as connection:
            found = connection.execute(
                "SELECT m.serial, extract(epoch FROM r.time)::int8 FROM reading r JOIN meter m ON m.id = r.meter"
            ).fetchall()
        assert owed
        return sorted(owed - {(int(serial), int(end)) for serial, end in found})


class RunningDemo:
    """``scada demo`` as a child of the test. Leaving the block ends it, whatever happened."""

    def __init__(self, house: House, *options: str) -> None:
        self.house = house
        self._output = house.folder / f"demo.{time.monotonic_ns()}.out"
        self._command = house.command("demo", *options)
        self._process: subprocess.Popen[bytes] | None = None
        self._known: dict[int, psutil.Process] = {}

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def output(self) -> str:
        return self._output.read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Self:
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.remember_children()
        for process in [psutil.Process(self.process.pid)] if self.process.poll() is None else []:
            process.kill()
        self.process.wait(30)
        for child in self.children_left():
            with suppress(psutil.NoSuchProcess):
                child.kill()

    def wait_for(self, condition: Callable[[], bool], what: str, within_s: float = 180.0) -> None:
        """As ``wait_until``, and fails at once when the demo has ended."""

        def reached() -> bool:
            self.remember_children()
            assert condition() or self.process.poll() is None, f"the demo ended before {what}:\n{self.output}"
            return condition()

        wait_until(reached, f"{what}; the demo says:\n{self._tail}", within_s)

    @property
    def _tail(self) -> str:
        return "\n".join(self.output.splitlines()[-12:])

    def until_everything_flows(self) -> None:
        """Every station up, every meter heard, rows stored."""

        def flows() -> bool:
            run, collect = self.house.state("run"), self.house.state("collect")
            return (
                bool(run and collect)
                and all(each["state"] == "up" for each in run["stations"])
                and run["samples"]["stored"] >= run["points"]
                and collect["readings"]["meters_heard"] == collect["readings"]["meters_registered"] > 0
            )

        self.wait_for(flows, "all stations up and all meters heard", within_s=300)

    def kill(self, name: str) -> int:
        """kill -9 of one of the demo's processes, by what it says of itself; its pid."""
        pid = int(self.house.state(name)["pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    def ask_to_stop(self, number: signal.Signals = signal.SIGINT) -> None:
        self.remember_children()
        self.process.send_signal(number)

    def end(self, within_s: float = 300.0) -> int:
        """The exit code, once it has ended by itself."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the demo did not end within {within_s:.0f} s:\n{self._tail}") from None

    def remember_children(self) -> None:
        if self.process.poll() is None:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                self._known[child.pid] = child

    def children_left(self) -> list[psutil.Process]:
        """Descendants seen so far that still run; servers in the data folder are services, not children."""
        return [child for child in self._known.values() if _is_left(child)]


@contextmanager
def house_in(folder: Path, *, stations: Sequence[str] = STATIONS, more: str = "") -> Iterator[House]:
    """A house whose services are gone afterwards, with everything they stored."""
    house = House(folder, stations=stations, more=more)
    config = house.config
    try:
        yield house
    finally:
        supervisor.remove(config)


def _is_left(child: psutil.Process) -> bool:
    try:
        ended = not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
        return not ended and child.name() not in ("postgres", "mosquitto")
    except psutil.NoSuchProcess:  # between two of these questions
        return False


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
