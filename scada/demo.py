"""The main job on one machine: services, simulated field, ``run``, ``collect`` and ``jobs``, watched until it is over.

Knows the order in which things start and stop. Does not know what the processes do, nor how the totals are judged.
"""

import json
import logging
import random
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from historian.history import History
from historian.migrate import migrate
from historian.registry import import_meters
from scada.children import Child, ChildPlan
from scada.demo_account import Course, stored, summarise
from scada.files import Installation
from scada.hmi.language import say
from scada.hmi.overview import overview, overview_line
from scada.hmi.processes import Process, processes
from scada.hmi.screen import Screen
from scada.model.errors import GridScadaError, ServicesDown
from scada.services import supervisor
from scada.services.endpoints import Endpoints, Role
from scada.summary import Summary
from scada.summarywords import summary_words

log = logging.getLogger(__name__)

BASE_PORTS = range(15000, 19000, 100)
READY_WITHIN_S = 180.0
DRAINED_WITHIN_S = 120.0
PORT_ATTEMPTS = 3
QUIET_S = 3.0
"""Nothing received and nothing in hand for this long: the broker holds nothing back any more."""

GRACE_S = {"run": 30.0, "field": 40.0, "collect": 60.0, "jobs": 15.0}
PASSWORD_VARIABLE = "SCADA_FIELD_PASSWORD"
SIMULATORS = (sys.executable, "-m", "simulators")


class DemoError(GridScadaError):
    """The demo could not start."""


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What to run. ``minutes`` None: until stopped; they count from the moment everything has started."""

    minutes: float | None
    capture_period_s: int
    meters: int
    seed: int
    keep_services: bool
    restart_services: bool
    scenario: str = ""
    """What goes wrong in the field: the name of a shipped scenario or the path of one."""


class Demo:
    """One demo; ``run`` does it all and returns the summary, which is also in ``var/demo/summary.json``."""

    def __init__(self, installation: Installation, config_file: Path, plan: DemoPlan, screen: Screen) -> None:
        self._installation = installation
        self._config = installation.config
        self._config_file = config_file
        self._plan = plan
        self._screen = screen
        self._folder = self._config.var / "demo"
        self._logs = self._config.var / "logs"
        self._ready_file = self._folder / "field.ready"
        self._truth_file = self._folder / "field.json"
        self._stopping = False
        self._notices: deque[str] = deque(maxlen=6)
        self._children: dict[str, Child] = {}
        self._seen: list[Process] = []
        self._ended: set[str] = set()
        self._unclean: dict[str, str] = {}
        self._started = time.monotonic()

    def run(self) -> Summary:
        """Start, watch, stop, count. Raises DemoError or ServicesError when something cannot start."""
        try:
            return self._run()
        except OSError as error:
            raise DemoError(f"{error.filename or self._config.var}: {error.strerror or error}") from error

    def _run(self) -> Summary:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask_to_stop)
        found_running = self._services_run()
        endpoints = supervisor.up(self._config)
        try:
            return self._run_with(endpoints)
        finally:
            if not (found_running or self._plan.keep_services):
                supervisor.down(self._config)

    def _run_with(self, endpoints: Endpoints) -> Summary:
        migrate(endpoints.postgres_dsn)
        self._tell("database and broker answer, the broker on port {}", endpoints.mqtt_port)
        with History(endpoints.postgres_reader_dsn, asker="scada demo") as history:
            before = stored(history)
        try:
            self._prepare_registry(endpoints)
            self._start(endpoints)
            self._watch()
            course = self._course()
            self._finish()
        finally:
            self._stop_all()
        course = replace(course, unclean=self._unclean)
        if self._plan.restart_services:
            supervisor.ensure(self._config)
        with History(endpoints.postgres_reader_dsn, asker="scada demo") as history:
            summary = summarise(course, before, history, self._config.var, self._truth_file)
        (self._folder / "summary.json").write_text(json.dumps(asdict(summary), indent=2) + "\n", encoding="utf-8")
        for line in summary_words(summary, self._config.language):
            self._screen.say(line)
        return summary

    def _services_run(self) -> bool:
        try:
            supervisor.endpoints(self._config)
        except ServicesDown:
            return False
        return True

    # -- starting

    def _prepare_registry(self, endpoints: Endpoints) -> None:
        registry = self._folder / "meters.csv"
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [*SIMULATORS, "registry", *self._fleet_options(), "--out", str(registry)]
        child = Child(ChildPlan("registry", command), self._logs, time.monotonic)
        child.start()
        while child.pid is not None:
            time.sleep(0.05)
        if not child.finished:
            raise DemoError(f"the fleet's registry was not written: {child.last_words()}")
        outcome = import_meters(endpoints.postgres_dsn, registry)
        if outcome.faults:
            raise DemoError(
                f"{outcome.faults[0]} ({len(outcome.faults)} faults in all). The database knows another fleet: "
                f"use its --meters and --seed, or another data folder (var in {self._config_file.name})"
            )
        self._tell("{} meters in the registry, {} of them new", f"{self._plan.meters:,}", f"{outcome.added:,}")

    def _start(self, endpoints: Endpoints) -> None:
        run_folder = self._config.var / "run"
        for path in (
            self._ready_file,
            self._truth_file,
            run_folder / "run.last.json",
            run_folder / "collect.last.json",
        ):
            path.unlink(missing_ok=True)
        product = [sys.executable, "-m", "scada.cli", "--config", str(self._config_file)]
        base_port = self._start_field(endpoints)
        self._launch(ChildPlan("collect", [*product, "collect", "--capture-period", f"{self._plan.capture_period_s}s"]))
        self._launch(ChildPlan("jobs", [*product, "jobs"]))
        base_port = self._wait_for_field(endpoints, base_port)
        if self._stopping:
            return
        self._launch(ChildPlan("run", [*product, "run", "--base-port", str(base_port)]))
        self._started = time.monotonic()

    def _start_field(self, endpoints: Endpoints) -> int:
        """Start the field on free ports; station with common address n answers on the returned one + n."""
        addresses = [each.common_address for each in self._installation.province.stations]
        base_port = free_base_port(addresses, random.SystemRandom())
        self._tell("{} stations answer on port {} + common address", len(self._installation.stations), base_port)
        self._launch(self._field_plan(endpoints, base_port))
        return base_port

    def _field_plan(self, endpoints: Endpoints, base_port: int) -> ChildPlan:
        credential = endpoints.mqtt_credentials[Role.FIELD]
        codes = ",".join(each.code for each in self._installation.stations)
        command = [*SIMULATORS, "field", *self._fleet_options(), "--only", codes, "--base-port", str(base_port)]
        command += ["--capture-period", str(self._plan.capture_period_s), "--mqtt-host", endpoints.mqtt_host]
        command += ["--mqtt-port", str(endpoints.mqtt_port), "--mqtt-user", credential.username]
        command += ["--scenario", self._plan.scenario] if self._plan.scenario else []
        command += ["--ready-file", str(self._ready_file), "--truth-file", str(self._truth_file)]
        return ChildPlan("field", command, {PASSWORD_VARIABLE: credential.password})

    def _fleet_options(self) -> list[str]:
        folder = str(self._config.stations.folder)
        return ["--stations", folder, "--meters", str(self._plan.meters), "--seed", str(self._plan.seed)]

    def _launch(self, plan: ChildPlan) -> None:
        child = Child(plan, self._logs, time.monotonic)
        child.start()
        self._children[plan.name] = child

    def _wait_for_field(self, endpoints: Endpoints, base_port: int) -> int:
        """Wait until every station answers; the base port, another one when somebody took a port meanwhile."""
        attempts = 1
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._ready_file.exists() and not self._stopping:
            field = self._children["field"]
            if field.pid is None:
                ports = [base_port + each.common_address for each in self._installation.stations]
                if attempts == PORT_ATTEMPTS or all(map(_is_free, ports)):
                    raise DemoError(f"the simulated field did not start: {field.last_words()}")
                attempts += 1
                base_port = self._start_field(endpoints)
            if time.monotonic() > deadline:
                raise DemoError(f"the simulated field was not ready within {READY_WITHIN_S:.0f} s; see {self._logs}")
            self._look()
            self._pause(0.5)
        return base_port

    # -- watching

    def _watch(self) -> None:
        end = None if self._plan.minutes is None else self._started + self._plan.minutes * 60
        while not self._stopping and (end is None or time.monotonic() < end):
            self._look()
            self._pause(1.0)

    def _look(self) -> None:
        """Keep everything alive and show it."""
        if self._plan.restart_services:
            for name in supervisor.ensure(self._config):
                self._tell("{} had died and was started again", name)
        for child in self._children.values():
            restarts = child.restarts
            child.watch()
            if child.restarts > restarts:
                log_file = self._logs / f"{child.plan.name}.log"
                self._tell("{} had died and was started again; see {}", child.plan.name, log_file)
        self._seen = processes(self._config.var)
        elapsed_s = time.monotonic() - self._started
        self._screen.show(
            overview(self._config.name, self._seen, elapsed_s, self._notices, self._config.language),
            overview_line(self._seen, elapsed_s, self._config.language),
        )

    def _course(self) -> Course:
        return Course(
            seconds=time.monotonic() - self._started,
            stations=len(self._installation.stations),
            meters=self._plan.meters,
            seen=self._seen,
            restarts={name: child.restarts for name, child in self._children.items()},
            stopped_early=self._stopping,
            unclean={},
        )

    # -- stopping

    def _finish(self) -> None:
        """End the telling before the listening: first the scan and the field, then the head-end once it is drained."""
        self._tell("stopping: scan and field first, the head-end when it has taken everything")
        for name in ("run", "field"):
            self._stop(name)
        self._drain()

    def _drain(self) -> None:
        """Wait until the head-end has had nothing to do for a while."""
        deadline = time.monotonic() + DRAINED_WITHIN_S
        received, since = -1, time.monotonic()
        while time.monotonic() < min(deadline, since + QUIET_S):
            self._look()
            state = next((each.state for each in self._seen if each.name == "collect"), None)
            if state is None or state["readings"]["in_hand"] or state["readings"]["received"] != received:
                received = state["readings"]["received"] if state is not None else -1
                since = time.monotonic()
            time.sleep(0.5)

    def _stop(self, name: str) -> None:
        child = self._children.get(name)
        if child is None or name in self._ended:
            return
        self._ended.add(name)
        if not child.stop(grace_s=GRACE_S[name]):
            self._unclean[name] = f"{child.ending}; its last words: {child.last_words()}"
            self._tell("{} did not end cleanly: {}", name, self._unclean[name])

    def _stop_all(self) -> None:
        for name in GRACE_S:
            self._stop(name)

    # -- small things

    def _tell(self, english: str, *values: object) -> None:
        sentence = say(english, self._config.language, *values)
        self._notices.append(sentence)
        self._screen.say(sentence)

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < end:
            time.sleep(0.1)

    def _ask_to_stop(self, number: int, _: object) -> None:
        log.info("asked to stop by %s", signal.Signals(number).name)
        self._stopping = True


def free_base_port(common_addresses: Iterable[int], randomness: random.Random) -> int:
    """A base port on which every station's port is free now. Raises DemoError when there is none.

    Drawn, not counted upwards: two demos that start at once must not meet at the first one.
    """
    addresses = tuple(common_addresses)
    for base in randomness.sample(BASE_PORTS, len(BASE_PORTS)):
        if all(_is_free(base + address) for address in addresses):
            return base
    raise DemoError(f"no free ports for {len(addresses)} stations between {BASE_PORTS.start} and {BASE_PORTS.stop}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
