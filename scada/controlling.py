"""The control desk as a part of ``scada run``: made when this process takes control, gone when it loses it.

Knows where the desk's files lie, what it is made of, and the rhythm of its heartbeat. Does not know how anything is
judged or sent.
"""

import asyncio
import contextlib
import copy
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np

from scada.clock import now_us
from scada.config import Config
from scada.control.alarms import event_report
from scada.control.credentials import CredentialFiles
from scada.control.desk import ControlDesk
from scada.control.parts import DeskParts, Foresight
from scada.control.policy import SHIPPED, Policy, load_policy
from scada.control.readiness import controllables, neighbours
from scada.control.recovery import begin
from scada.control.tasks import tell_fault
from scada.control.tenure import HEARTBEAT_S, POLL_S, Tenure, Watch, take
from scada.files import Installation
from scada.image import ProcessImage
from scada.model.cause import Cause
from scada.model.errors import ConfigurationError, Fault, GridScadaError, LinkError
from scada.model.event import EventKind
from scada.model.meterlink import SupplyControl
from scada.model.quality import Quality
from scada.model.sample import SAMPLE, SampleArray
from scada.model.station import Province
from scada.model.switching import Consequences, Interlocking, Operation, WhatIf
from scada.tables import refuse_faults
from substations.commanding import StationCommands

FOLDER: Final = "control"
READY_EVERY_S: Final = 10.0
"""How often the ways to all commands are looked after: a session takes 30 to 150 ms to make, and that a station cannot
be operated is better known before it must be."""
log = logging.getLogger(__name__)


class ControlHeld(GridScadaError):
    """Another process is in control."""


def folder_of(config: Config) -> Path:
    """Where the desk keeps its journal, its key, the authority table and a policy of one's own."""
    return config.var / FOLDER


def trust_of(config: Config) -> Path:
    """Where the trusted certificates and revocation lists lie."""
    return config.var / "pki"


def policy_of(config: Config) -> Policy:
    """The installation's own policy, else the shipped one. Raises ConfigurationError."""
    own = folder_of(config) / "policy.toml"
    found: list[Fault] = []
    policy = load_policy(own if own.exists() else SHIPPED, found)
    refuse_faults(found)
    if policy is None:
        raise ConfigurationError(found)
    return policy


class ControlLost(GridScadaError):
    """Another process has taken control from this one."""


async def take_control(config: Config, stop: asyncio.Event, *, standby: bool) -> Tenure | None:
    """Control, as soon as it may be had; None when ``stop`` came first.

    Raises ControlHeld when another process has it and this one is no ``standby``.
    """
    folder = folder_of(config)
    watch = Watch(folder, time.monotonic)
    said = False
    deadline = time.monotonic() + 3.0
    while not stop.is_set():
        holder = watch.holder()
        if holder is None:
            if (tenure := take(folder, time.monotonic)) is not None:
                return tenure
            continue
        if not standby and time.monotonic() > deadline:
            raise ControlHeld(
                f"process {holder.pid} on {holder.host} is in control; start this one with --standby, or end that one"
            )
        if not said and standby:
            said = True
            log.info("Standing by: process %d on %s is in control (token %d)", holder.pid, holder.host, holder.token)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), POLL_S)
    return None


@contextlib.contextmanager
def beating(tenure: Tenure) -> Iterator[None]:
    """Beat from a thread until the desk beats, also while the event loop is held: to prove the journal of months takes
    seconds."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_S):
            with contextlib.suppress(OSError):
                tenure.renew()

    thread = threading.Thread(target=beat, name="control heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class ProvinceView:
    """The process image for questions about the whole province: what is not scanned here is INVALID and NOT_TOPICAL."""

    def __init__(self, image: ProcessImage, province: Province) -> None:
        self._image = image
        self._ids = {point.name: point.id for station in province.stations for point in station.points}

    def read(self, names: Sequence[str]) -> SampleArray:
        """Present state of the named points, SAMPLE, in the order asked. Raises KeyError with an unknown name."""
        try:
            return self._image.read(names)
        except KeyError:
            return self._padded(names)

    def frozen(self) -> "ProvinceView":
        """A copy that stands still, for whoever looks at it on another thread."""
        still = copy.copy(self)
        still._image = self._image.frozen()
        return still

    def _padded(self, names: Sequence[str]) -> SampleArray:
        here = np.array([name in self._image for name in names], dtype=np.bool_)
        rows = np.zeros(len(names), dtype=SAMPLE)
        rows["point"] = [self._ids[name] for name in names]
        rows["quality"] = Quality.INVALID | Quality.NOT_TOPICAL
        rows["cause"] = Cause.INITIALIZED
        rows[here] = self._image.read([name for name, known in zip(names, here, strict=True) if known])
        return rows


class DeskRoom:
    """The desk with its heartbeat, links and what-if thread. Use as ``async with``; ``lost`` is set with control."""

    def __init__(
        self,
        installation: Installation,
        tenure: Tenure,
        image: ProcessImage,
        take_samples: Callable[[SampleArray], None],
        interlocking: Interlocking,
        what_if: Callable[[], WhatIf],
        supply: SupplyControl | None = None,
    ) -> None:
        config = installation.config
        folder = folder_of(config)
        stations = installation.stations
        self.folder = folder
        self._tenure = tenure
        self._view = ProvinceView(image, installation.province)
        self._links = StationCommands(stations, installation.maps, now_us)
        self._journal, carried = begin(folder, tenure, now_us())
        # One thread: a load flow instance belongs to one, and takes 0.6 s to make.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="what-if")
        self._make_what_if = what_if
        self._what_if: WhatIf | None = None
        self.lost = asyncio.Event()
        self._not_ready: dict[str, str] = {station.code: "not connected yet" for station in stations}
        self._tasks: list[asyncio.Task[None]] = []
        self.desk = ControlDesk(
            DeskParts(
                stations=stations,
                controllables=controllables(stations),
                near=neighbours(stations, line_pairs(installation.province)),
                links=self._links,
                view=self._view,
                take=take_samples,
                interlocking=interlocking,
                what_if=self._ask_what_if,
                credentials=CredentialFiles(folder / "authority.toml", trust_of(config), config.time_zone),
                policy=policy_of(config),
                tenure=tenure,
                journal=self._journal,
                carried=carried,
                clock=now_us,
                monotonic=time.monotonic,
                supply=supply,
            )
        )

    async def __aenter__(self) -> "DeskRoom":
        self._tasks = [
            asyncio.create_task(self._beat(), name="control heartbeat"),
            asyncio.create_task(self._keep_ready(), name="command links"),
        ]
        for task in self._tasks:
            task.add_done_callback(tell_fault)
        self.desk.start()
        self._thread.submit(self._warm)
        log.info("In control with token %d", self._tenure.token)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.desk.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._links.close()
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._journal.close(now_us())
        self._tenure.release()

    def state(self) -> dict[str, Any]:
        """What ``scada status`` shows of it."""
        courses = self.desk.courses.values()
        return {
            "token": self._tenure.token,
            "in_control": not self._tenure.why_not(),
            "commands_under_way": sum(each.outcome is None for each in courses),
            "tags": len(self.desk.tags.all()),
            "not_ready": dict(self._not_ready),
            "alarms": self.alarms(),
            "journal_head": self._journal.head,
        }

    def alarms(self, station: str = "") -> list[dict[str, Any]]:
        """What nobody has acknowledged yet, the oldest first; of one station alone if asked so."""
        found = [event_report(each) for each in self.desk.alarms.unacknowledged.values()]
        return [each for each in found if station in ("", each["subject"].split("/", 1)[0])]

    async def _beat(self) -> None:
        while True:
            try:
                if not self._tenure.renew():
                    log.error(
                        "%s: another desk has taken control; this one operates nothing any more", EventKind.CONTROL_LOST
                    )
                    self.lost.set()
                    return
            except OSError as error:
                log.error("Control cannot be renewed, nothing is operated meanwhile: %s", error)
            await asyncio.sleep(HEARTBEAT_S)

    async def _keep_ready(self) -> None:
        """One after the other, so that the scan hardly feels it."""
        codes = list(self._not_ready)
        while True:
            for code in codes:
                try:
                    await self._links.of(code).ready()
                except LinkError as error:
                    if self._not_ready.get(code) != str(error):
                        log.warning("%s cannot be operated: %s", code, error)
                    self._not_ready[code] = str(error)
                else:
                    self._not_ready.pop(code, None)
            await asyncio.sleep(READY_EVERY_S)

    def _warm(self) -> None:
        self._what_if = self._make_what_if()

    def _ask_what_if(self, operation: Operation) -> Foresight:
        view, now = self._view.frozen(), now_us()

        def ask() -> Consequences:
            if self._what_if is None:
                self._warm()
            assert self._what_if is not None
            return self._what_if.after(operation, view, now)

        return lambda: asyncio.get_running_loop().run_in_executor(self._thread, ask)


def line_pairs(province: Province) -> list[tuple[str, str]]:
    """The stations every line joins."""
    return [(line.end_1.split("/", 1)[0], line.end_2.split("/", 1)[0]) for line in province.lines]
