"""A control desk in front of a real simulated station, with everything that can go wrong at hand.

The station answers on a socket; between it and the desk stands a proxy that can cut, swallow, lie and repeat. The
process image is filled from the simulated plant, so that interlocking sees the whole province.
"""

import asyncio
import contextlib
import os
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from scada.clock import now_us
from scada.control.credentials import CredentialFiles
from scada.control.desk import ControlDesk
from scada.control.interlocking import TopologyInterlocking
from scada.control.journal import whole_entries
from scada.control.jws import LocalSigner, Signer, countersign, sign
from scada.control.lifecycle import State
from scada.control.message import US, Message, Wish, uuid7
from scada.control.parts import DeskParts, Foresight
from scada.control.policy import SHIPPED, Policy, load_policy
from scada.control.readiness import controllables, neighbours
from scada.control.recovery import begin
from scada.control.signers import without_roots
from scada.control.tenure import Tenure, segments, take
from scada.control.trust import fingerprint
from scada.controlling import line_pairs
from scada.image import ProcessImage
from scada.model.cause import Cause
from scada.model.commandlink import CommandLinks
from scada.model.meterlink import SupplyControl
from scada.model.quality import Quality
from scada.model.sample import SampleArray, samples
from scada.model.station import Province, Station
from scada.model.switching import Action, Consequences, Operation
from scada.pki import folder as pki_folder
from scada.pki.authority import Identity, self_signed
from scada.pki.profiles import DAY_US, DISPATCHER, SIGNER, Subject
from scada.stationfile import load_province
from simulators.field import Field, FieldPlan
from simulators.field import load_maps as load_bound
from simulators.grid_solver import GridSolver
from simulators.plant import Plant
from substations.adapters import Maps, load_maps
from substations.commanding import StationCommands

SUBSTATIONS = Path(__file__).resolve().parents[1] / "substations"
ROLES = {
    "dispatcher-1": ("OPERATOR", "*"),
    "dispatcher-2": ("OPERATOR", "*"),
    "dispatcher-far": ("OPERATOR", "TN02"),
    "engineer-1": ("ENGINEER", "*"),
    "viewer-1": ("VIEWER", "*"),
    "expired-1": ("OPERATOR", "*"),
    "early-1": ("OPERATOR", "*"),
    "revoked-1": ("OPERATOR", "*"),
}
WRITE_SINGLE = 6
PATIENCE_S = 60.0
"""How long anything may take here, whatever else the machine does: where a time is the point, a test lets it pass."""


@cache
def province() -> Province:
    return load_province(SUBSTATIONS)


@cache
def maps() -> Maps:
    return load_maps(SUBSTATIONS / "maps")


class Trick(Enum):
    """What the proxy does with the next write to a register."""

    CUT_BEFORE = "close the connection, the frame does not arrive"
    CUT_AFTER = "deliver the frame, close the connection instead of answering"
    LIE = "answer as if it were done, deliver nothing"
    REPEAT = "deliver the frame once, answer twice"


@dataclass
class Proxy:
    """Modbus TCP, frame by frame. ``tricks``: what to do with the n-th write from now on (1 = select, 2 = operate)."""

    port: int = 0
    upstream: int = 0
    down: bool = False
    tricks: dict[int, Trick] = field(default_factory=dict)
    writes: list[bytes] = field(default_factory=list)
    delivered: list[bytes] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._open):
            writer.close()
        await self._server.wait_closed()

    def drop(self) -> None:
        """Close every connection there is."""
        for writer in tuple(self._open):
            writer.close()

    def expect(self, **tricks: Trick) -> None:
        """``expect(select=…, operate=…)``: counted from now."""
        self.writes.clear()
        self.delivered.clear()
        numbers = {"select": 1, "operate": 2}
        self.tricks = {numbers[name]: trick for name, trick in tricks.items()}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if not self.down:
                up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
                self._open.add(up_writer)
                with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                    while await self._one(reader, writer, up_reader, up_writer):
                        pass
                up_writer.close()
                self._open.discard(up_writer)
        finally:
            writer.close()
            self._open.discard(writer)

    async def _one(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> bool:
        frame = await _frame(reader)
        if self.down:
            return False
        trick = None
        if frame[7] == WRITE_SINGLE:
            self.writes.append(frame)
            trick = self.tricks.get(len(self.writes))
        if trick is Trick.CUT_BEFORE:
            return False
        if trick is Trick.LIE:
            writer.write(frame)
            return True
        if frame[7] == WRITE_SINGLE:
            self.delivered.append(frame)
        up_writer.write(frame)
        answer = await _frame(up_reader)
        if trick is Trick.CUT_AFTER:
            return False
        writer.write(answer * (2 if trick is Trick.REPEAT else 1))
        return True


async def _frame(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(6)
    return head + await reader.readexactly(struct.unpack(">H", head[4:6])[0])


def make_people(folder: Path) -> dict[str, Identity]:
    """An authority in ``folder/pki``, everybody's certificate, and the authority table ``folder/authority.toml``."""
    now = now_us()
    pki = pki_folder.create("http://127.0.0.1:1", now)
    people = {}
    text = ["version = 1"]
    for name, (role, area) in ROLES.items():
        period = {"expired-1": (now - 9 * DAY_US, now - DAY_US), "early-1": (now + DAY_US, now + 9 * DAY_US)}.get(name)
        options = {} if period is None else {"not_before": period[0], "not_after": period[1]}
        people[name] = pki.issue(Subject(name), DISPATCHER, now, **options)
        text += ["[[person]]", f'name = "{name}"', f'certificate = "{fingerprint(people[name].certificate)}"']
        text += [f'grant = [{{ role = "{role}", areas = ["{area}"] }}]']
    people["unlisted-1"] = pki.issue(Subject("unlisted-1"), DISPATCHER, now)
    people["stranger-1"] = self_signed(Subject("dispatcher-1"), SIGNER, now)
    pki.revoke(people["revoked-1"].certificate.serial_number, now)
    folder.mkdir(parents=True, exist_ok=True)
    pki_folder.save(pki, folder / "pki")
    pki_folder.write_lists(pki, folder / "pki", now + US)
    (folder / "authority.toml").write_text("\n".join(text) + "\n", encoding="utf-8")
    return people


def signer_of(identity: Identity) -> LocalSigner:
    return LocalSigner(identity.key, [identity.certificate, *without_roots(identity.chain)])  # type: ignore[arg-type]


def patient_policy() -> Policy:
    """The shipped policy with times no test waits for and no busy machine needs."""
    policy = load_policy(SHIPPED, [])
    assert policy is not None
    rules = {each: replace(rule, return_s=PATIENCE_S) for each, rule in policy.rules.items()}
    return Policy(rules, approval_s=PATIENCE_S, select_s=PATIENCE_S)


@dataclass
class Rig:
    """One desk in front of one station of the simulated province."""

    folder: Path
    station: Station
    people: dict[str, Identity]
    proxy: Proxy
    simulated: Field
    policy: Policy = field(default_factory=patient_policy)
    skew_us: int = 0
    stands_at: int = 0
    passed_s: float = 0.0
    desk: ControlDesk = field(init=False)
    tenure: Tenure = field(init=False)
    image: ProcessImage = field(init=False)
    wrap: Callable[[CommandLinks], CommandLinks] = lambda links: links
    what_if: Callable[[Operation], Consequences] = lambda _: Consequences(known=False, reason="not asked here")
    supply: SupplyControl | None = None
    _closing: list[Any] = field(default_factory=list)

    # -- time

    def clock(self) -> int:
        return (self.stands_at or now_us()) + self.skew_us

    @contextlib.contextmanager
    def standing_clock(self) -> Iterator[None]:
        """The clock stands still while the block lasts: what is said of ages is exact."""
        self.stands_at = now_us()
        try:
            yield
        finally:
            self.stands_at = 0

    def monotonic(self) -> float:
        return time.monotonic() + self.passed_s

    def pass_time(self, seconds: float = PATIENCE_S + 1.0) -> None:
        """So many seconds later; the first that is too late for everything the policy gives time for."""
        self.passed_s += seconds
        for each in self.desk.courses.values():
            each.wake.set()

    # -- the desk

    def start_desk(self, tenure: Tenure | None = None) -> None:
        """Take control and begin, as `scada run` does."""
        made = tenure or take(self.folder, time.monotonic)
        assert made is not None
        self.tenure = made
        self.image = ProcessImage([point for each in province().stations for point in each.points])
        links = StationCommands([self.station], maps(), self.clock)
        journal, carried = begin(self.folder, self.tenure, self.clock())
        loop = asyncio.get_running_loop()

        def ask(operation: Operation) -> Foresight:
            return lambda: loop.run_in_executor(None, self.what_if, operation)

        parts = DeskParts(
            stations=[self.station],
            controllables=controllables([self.station]),
            near=neighbours([self.station], line_pairs(province())),
            links=self.wrap(links),
            view=self.image,
            take=lambda rows: self.desk.observe(self.image.apply(rows)),
            interlocking=interlocking(),
            what_if=ask,
            credentials=CredentialFiles(self.folder / "authority.toml", self.folder / "pki", "Asia/Ho_Chi_Minh"),
            policy=self.policy,
            tenure=self.tenure,
            journal=journal,
            carried=carried,
            clock=self.clock,
            monotonic=self.monotonic,
            supply=self.supply,
        )
        self.desk = ControlDesk(parts)
        self.desk.start()
        self.refresh()
        heart = asyncio.create_task(self._beat(self.tenure), name="heartbeat")
        self._closing = [links, journal, heart]

    async def _beat(self, tenure: Tenure) -> None:
        while tenure.renew():  # noqa: ASYNC110  # a heartbeat beats by the clock
            await asyncio.sleep(0.3)

    async def stop_desk(self) -> None:
        links, journal, heart = self._closing
        await self.desk.stop()
        heart.cancel()
        await links.close()
        journal.close(self.clock())
        self.tenure.release()

    # -- the field

    def refresh(self) -> None:
        """The image as the plant stands, all good."""
        # A spring needs 9 s after a closing; no test waits for that.
        self.simulated.plant._switchgear.spring_charged_at[:] = 0
        self.simulated.plant.advance(now_us())
        for each in province().stations:
            shown = self.simulated.plant.values(each.code)
            self.image.apply(
                samples(shown.points.copy(), now_us(), shown.values.copy(), shown.quality.copy(), Cause.BACKGROUND_SCAN)
            )

    async def settle(self) -> None:
        """Wait until nothing moves in the plant and the station itself shows that; then bring the image there."""
        async with asyncio.timeout(PATIENCE_S):
            while self.simulated.plant.next_event is not None:  # noqa: ASYNC110  # the plant has no bell
                await asyncio.sleep(0.02)
        await self.simulated.show()
        self.refresh()

    def show(self, name: str, value: float | None = None, quality: Quality = Quality.GOOD) -> SampleArray:
        """Let the image have another value or quality for a point of the province."""
        point = next(each for station in province().stations for each in station.points if each.name == name)
        old = float(self.image.read([name])[0]["value"])
        row = samples(
            np.array([point.id], dtype=np.int32),
            now_us(),
            np.array([old if value is None else value]),
            int(quality),
            Cause.SPONTANEOUS,
        )
        self.image.apply(row)
        return row

    def orders(self) -> int:
        """Orders that reached the simulator."""
        return self.simulated.account.orders

    # -- people

    def signer(self, name: str) -> Signer:
        return signer_of(self.people[name])

    def message(
        self, by: str, do: Wish = Wish.OPERATE, *, age_s: float = 0.0, holds_s: float = 300.0, **fields: Any
    ) -> Message:
        issued = self.clock() - int(age_s * US)
        made = {"id": uuid7(self.clock(), os.urandom(10)), "originator": by, **fields}
        return Message(do=do, issued=issued, expires=issued + int(holds_s * US), **made)

    def document(self, by: str, do: Wish = Wish.OPERATE, **fields: Any) -> bytes:
        return sign(self.message(by, do, **fields).payload, self.signer(by))

    async def submit(
        self, by: str, target: str, action: Action, do: Wish = Wish.OPERATE, **fields: Any
    ) -> dict[str, Any]:
        return await self.desk.submit(self.document(by, do, target=target, action=action, **fields))

    async def approve(self, report: dict[str, Any], by: str = "dispatcher-2") -> dict[str, Any]:
        return await self.desk.approve(countersign(report["document"].encode(), self.signer(by)))

    async def about(self, report: dict[str, Any], do: Wish, by: str = "dispatcher-1", **fields: Any) -> dict[str, Any]:
        return await self.desk.submit(self.document(by, do, subject=report["id"], **fields))

    async def operate(self, target: str, action: Action, **fields: Any) -> dict[str, Any]:
        """Requested, approved where that is wanted, and followed to its end."""
        report = await self.submit("dispatcher-1", target, action, **fields)
        if report.get("waits_for") == "approval":
            report = await self.approve(report)
        return await self.ended(report)

    async def operate_in_vain(self, target: str, action: Action, **fields: Any) -> dict[str, Any]:
        """As ``operate``, of a device that accepts and does nothing: the time it has for its movement passes."""
        operating = asyncio.create_task(self.operate(target, action, **fields))
        while not operating.done() and not self._is_confirmed():  # noqa: ASYNC110  # the desk made it, not we
            await asyncio.sleep(0.01)
        self.pass_time()
        return await operating

    def _is_confirmed(self) -> bool:
        return any(each.state is State.CONFIRMED for each in self.desk.courses.values())

    async def selected(self, target: str, action: Action) -> dict[str, Any]:
        """Requested, approved and selected at the device."""
        report = await self.approve(await self.submit("dispatcher-1", target, action, Wish.SELECT))
        return await self.waits_for("execute", report)

    async def waits_for(self, what: str, report: dict[str, Any]) -> dict[str, Any]:
        """Until the command waits for ``what``."""
        course = self.desk.courses[report["id"]]
        async with asyncio.timeout(PATIENCE_S):
            while course.waits_for != what:
                assert course.ended_at is None, course.report()
                await course.changed.wait()
        return course.report()

    async def ended(self, report: dict[str, Any]) -> dict[str, Any]:
        if "id" not in report or report["id"] not in self.desk.courses:
            return report
        course = self.desk.courses[report["id"]]
        async with asyncio.timeout(PATIENCE_S):
            while course.outcome is None or course.ended_at is None:
                await course.changed.wait()
        return course.report()

    def journal_text(self) -> str:
        """Every entry of every segment, as one text to look in."""
        return "\n".join(
            f"{entry.kind} {entry.body}" for path in segments(self.folder) for entry in whole_entries(path)
        )


@cache
def interlocking() -> TopologyInterlocking:
    return TopologyInterlocking(province())


@contextlib.asynccontextmanager
async def rig_at(
    folder: Path, code: str = "TN01", *, through: Callable[[int], int] = lambda port: port, **options: Any
) -> AsyncIterator[Rig]:
    """A desk in control of one station, behind our proxy (Modbus, TN01) or at the port ``through`` gives (OPC UA)."""
    found = next(each for each in province().stations if each.code == code)
    own = replace(found, endpoint=replace(found.endpoint, host="127.0.0.1", port=0, timeout_s=PATIENCE_S))
    plan = FieldPlan((own,), load_bound(SUBSTATIONS, (own,)), period_s=0.5)
    plant = Plant(province(), GridSolver(province()), seed=1, now=now_us())
    proxy = Proxy()
    async with Field(plan, plant) as simulated:
        port = simulated.ports[code]
        if code == "TN01":
            proxy.upstream = port
            await proxy.start()
            port = proxy.port
        else:
            port = through(port)
        own = replace(own, endpoint=replace(own.endpoint, port=port))
        rig = Rig(folder, own, make_people(folder), proxy, simulated, **options)
        rig.start_desk()
        try:
            yield rig
        finally:
            await rig.stop_desk()
            if proxy.port:
                await proxy.stop()
