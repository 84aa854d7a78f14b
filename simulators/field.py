"""The simulated field: one plant, a server for every station in front of it, and the meters behind its feeders.

Knows who is told what, and the clock. Does not know protocols, physics or the command line.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from scada.clock import now_us
from scada.garbage import leave_out_what_stands
from scada.model.addcause import AddCause
from scada.model.errors import Fault
from scada.model.ports import Clock
from scada.model.station import Protocol, Province, Station
from scada.tables import refuse_faults
from simulators.address_space import Nodes, standard_nodes
from simulators.disturbance import Disturbance
from simulators.fleet_mqtt import FleetPublisher
from simulators.fleet_run import tell_truth
from simulators.impairments import LinkFault, impairment_at, next_change_s
from simulators.listening import listen
from simulators.modbus_station import ModbusStation
from simulators.opcua_station import OpcuaStation
from simulators.orders import Action
from simulators.plant import Plant
from simulators.register_image import RegisterImage
from simulators.relay import ImpairedLink
from simulators.state_file import STATE_EVERY_S, write_json
from simulators.station_scenario import StationFault
from simulators.stimuli import StimuliFile
from substations.adapters import bind, read_maps
from substations.nodes import StationNodes
from substations.registers import StationRegisters

_FLEET_DRAIN_S: Final = 8.0
_STIMULI_EVERY_S: Final = 0.05
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Maps:
    """Every station's points at their registers or nodes."""

    registers: Mapping[str, StationRegisters]
    nodes: Mapping[str, StationNodes]


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """What to simulate. ``period_s``: how often values are published; files are written when their path is given."""

    stations: tuple[Station, ...]
    maps: Maps
    period_s: float = 1.0
    faults: tuple[LinkFault, ...] = ()
    ready_file: Path | None = None
    state_file: Path | None = None
    truth_file: Path | None = None
    scenario: tuple[StationFault, ...] = ()
    stimuli: Path | None = None
    opcua_security: Path | None = None
    """Folder of certificates: OPC UA is signed and encrypted with them, else neither."""


@dataclass(slots=True)
class Account:
    """What the stations have shown and been told, for comparison with what arrived."""

    stations: int = 0
    points: int = 0
    refreshes: int = 0
    opcua_changes: int = 0
    modbus_events: int = 0
    modbus_reads: int = 0
    orders: int = 0
    orders_refused: int = 0
    started_at: int = 0
    stopped_at: int = 0
    readings: dict[str, int | float] = field(default_factory=dict)


def load_maps(folder: Path, stations: tuple[Station, ...]) -> Maps:
    """The maps the stations use, bound to them. Raises ConfigurationError with every fault."""
    found: list[Fault] = []
    maps = read_maps(folder / "maps", found)
    refuse_faults(found)
    bound = {station.code: bind(station, maps, found) for station in stations}
    refuse_faults(found)
    return Maps(
        {code: each for code, each in bound.items() if isinstance(each, StationRegisters)},
        {code: each for code, each in bound.items() if isinstance(each, StationNodes)},
    )


def chosen_stations(province: Province, only: tuple[str, ...]) -> tuple[Station, ...]:
    """The stations named in ``only``, or all. Raises ConfigurationError for a name that is none of them."""
    known = {station.code: station for station in province.stations}
    refuse_faults(
        [Fault("--only", code, f"no such station; known are {', '.join(known)}") for code in only if code not in known]
    )
    return tuple(known[code] for code in dict.fromkeys(only)) if only else province.stations


class Field:
    """Serves the plan's stations from one plant until told to stop. Use as ``async with``.

    ``shared``: the standard nodes of OPC UA, if somebody has built them already.
    """

    def __init__(
        self,
        plan: FieldPlan,
        plant: Plant,
        fleet: FleetPublisher | None = None,
        *,
        clock: Clock = now_us,
        shared: Nodes | None = None,
    ) -> None:
        self.plan = plan
        self.plant = plant
        self.ports: dict[str, int] = {}
        self.account = Account(stations=len(plan.stations), points=sum(len(each.points) for each in plan.stations))
        self._fleet = fleet
        self._clock = clock
        self._shared = shared
        self._images: dict[str, dict[int, RegisterImage]] = {}
        """Of each Modbus station, by the unit behind its gateway."""
        self._modbus: list[ModbusStation] = []
        self._opcua: dict[str, OpcuaStation] = {}
        self._links: list[ImpairedLink] = []
        self._disturbance = Disturbance(plan.scenario, plan.stations, clock())
        self._moved = False
        """Something has changed since the last publication."""
        self._wake = asyncio.Event()
        self._publishing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._serving = False

    async def __aenter__(self) -> "Field":
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stop()

    async def until(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set. Raises what a task of the field raised: a bug ends the simulation."""
        waiting = asyncio.create_task(stop.wait(), name="stop")
        try:
            done, _ = await asyncio.wait([waiting, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {waiting}:
                task.result()
        finally:
            waiting.cancel()

    async def _start(self) -> None:
        self.account.started_at = self._clock()
        for station in self.plan.stations:
            # All ports are tried before the slow part begins, so that a taken one is told at once.
            listen(station.endpoint.host, station.endpoint.port, station.code).close()
        shared = self._shared or (standard_nodes() if self.plan.maps.nodes else {})
        for station in self.plan.stations:
            await self._start_station(station, shared)
        self.plant.advance(self._clock())
        self._disturbance = Disturbance(self.plan.scenario, self.plan.stations, self._clock())
        async with self._publishing:
            await self._publish()
        if self._fleet is not None:
            self._fleet.start()
        # Nodes and points by the thousand.
        leave_out_what_stands()
        self._tasks = [asyncio.create_task(self._keep_publishing(), name="plant")]
        begun = self._clock()
        for link in self._links:
            # Who finds the field ready must not meet a station before its fault has come over it.
            await link.impair(impairment_at(self.plan.faults, link.station, 0.0))
            self._tasks.append(asyncio.create_task(self._impair(link, begun), name=f"{link.station} link"))
        if self.plan.stimuli is not None:
            self._tasks.append(asyncio.create_task(self._take_stimuli(self.plan.stimuli), name="stimuli"))
        if self.plan.state_file is not None:
            self._tasks.append(asyncio.create_task(self._keep_state(self.plan.state_file), name="state"))
        self._serving = True
        if self.plan.ready_file is not None:
            write_json(self.plan.ready_file, self.addresses())

    def addresses(self) -> dict[str, object]:
        """Where everything listens, for the ready file."""
        return {
            "stations": {
                station.code: {
                    "protocol": station.endpoint.protocol.value,
                    "host": station.endpoint.host,
                    "port": self.ports[station.code],
                    "unit_id": station.endpoint.unit_id,
                    "path": station.endpoint.path,
                    "points": len(station.points),
                }
                for station in self.plan.stations
            },
            "points": self.account.points,
            "meters": self._fleet.stats().meters if self._fleet is not None else 0,
        }

    async def _start_station(self, station: Station, shared: Nodes) -> None:
        end = station.endpoint
        impaired = any(fault.station == station.code for fault in self.plan.faults)
        port = 0 if impaired else end.port
        if end.protocol is Protocol.MODBUS:
            registers = self.plan.maps.registers[station.code]
            images = {unit: RegisterImage(registers.of_unit(unit), self.order) for unit in registers.units}
            server = ModbusStation(station.code, images, self._clock)
            self._images[station.code] = images
            self._modbus.append(server)
            port = await server.start(end.host, port)
        else:
            nodes = self.plan.maps.nodes[station.code]
            opcua = OpcuaStation(nodes, self.order, self._clock, shared, self.plan.opcua_security)
            self._opcua[station.code] = opcua
            port = await opcua.start(end.host, port, end.path)
        if impaired:
            link = ImpairedLink(station.code, end.host, end.port, (end.host, port))
            self._links.append(link)
            await link.start()
            port = link.address[1]
        self.ports[station.code] = port

    def order(self, command: str, action: Action, now: int) -> AddCause | None:
        """Carry out an order that reached a station, publish at once, and count it. Why not, or None."""
        cause = self.plant.order(command, action, now)
        self.account.orders += 1
        self.account.orders_refused += cause is not None
        self._moved = True
        _log.info("%s %s %s", command, action, "begun" if cause is None else f"refused: {cause.label}")
        self._wake.set()
        return cause

    async def _keep_publishing(self) -> None:
        due = self._clock()
        while True:
            due = max(due + int(self.plan.period_s * 1e6), self._clock())
            while (now := self._clock()) < due:
                event = min(due, self._next_event or due)
                await self._wait_until(event, now)
                if self._wake.is_set() or event <= self._clock() < due:
                    self._wake.clear()
                    await self.show()
            await self.show()

    async def _wait_until(self, moment: int, now: int) -> None:
        try:
            async with asyncio.timeout(max(0.0, (moment - now) / 1e6)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def show(self) -> None:
        """Move the plant to now; when this returns, every station shows what has become of it."""
        async with self._publishing:
            now = self._clock()
            while (due := self._next_event) is not None and due <= now:
                # Late, a movement may be over before anybody saw that it had begun: stations tell both.
                if self._moved:
                    await self._publish()
                self._move(due)
            self._move(now)
            await self._publish()

    @property
    def _next_event(self) -> int | None:
        """When the plant next does something by itself, or a scenario does something to it (µs UTC)."""
        return min((each for each in (self.plant.next_event, self._disturbance.next_act) if each), default=None)

    def _move(self, now: int) -> None:
        for act in self._disturbance.move(self.plant, now):
            _log.info("scenario: %s %s %s", act.station, act.does, act.what)
        for change in self.plant.advance(now):
            _log.info("feeder %s %s", change.feeder, "energised again" if change.energised else "dead")
            if self._fleet is not None:
                self._fleet.feeder_state(change.feeder, change.time, energised=change.energised)
        self._moved = True

    async def _publish(self) -> None:
        """Show every station's values of one moment; in between stations answer: in the field none waits for another.

        Whoever calls holds ``_publishing``, so that nothing older is shown after something newer.
        """
        self._moved = False
        now = self._clock()
        for code, images in self._images.items():
            for shown in self._disturbance.frames(code, self.plant.values(code), now):
                for image in images.values():
                    image.refresh(shown.points, shown.values, shown.quality, now, shown.times)
            await asyncio.sleep(0)
        for code, server in self._opcua.items():
            for shown in self._disturbance.frames(code, self.plant.values(code), now):
                self.account.opcua_changes += await server.refresh(
                    shown.points, shown.values, shown.quality, shown.times, now
                )
            await asyncio.sleep(0)
        self.account.refreshes += 1

    async def _take_stimuli(self, path: Path) -> None:
        file = StimuliFile(path)
        while True:
            news = file.news()
            if news is not None:
                async with self._publishing:
                    self._disturbance.force(news.values)
                    await self._publish()
                file.done(news)
            await asyncio.sleep(_STIMULI_EVERY_S)

    async def _impair(self, link: ImpairedLink, begun: int) -> None:
        while True:
            elapsed_s = (self._clock() - begun) / 1e6
            await link.impair(impairment_at(self.plan.faults, link.station, elapsed_s))
            change_s = next_change_s(self.plan.faults, link.station, elapsed_s)
            await asyncio.sleep(min(change_s - elapsed_s, 86_400.0))

    async def _keep_state(self, path: Path) -> None:
        while True:
            self._write_state(path)
            await asyncio.sleep(STATE_EVERY_S)

    def _write_state(self, path: Path) -> None:
        devices = [image for images in self._images.values() for image in images.values()]
        self.account.modbus_reads = sum(image.reads for image in devices)
        self.account.modbus_events = sum(image.events for image in devices)
        if self._fleet is not None:
            self.account.readings = asdict(self._fleet.stats())
        write_json(path, asdict(self.account))

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._fleet is not None and self._fleet.running:
            await asyncio.to_thread(self._fleet.stop, drain_s=_FLEET_DRAIN_S)
        for link in self._links:
            await link.stop()
        for server in self._modbus:
            await server.stop()
        for opcua in self._opcua.values():
            await opcua.stop()
        self.account.stopped_at = self._clock()
        if not self._serving:
            return
        if self.plan.truth_file is not None and self._fleet is not None:
            tell_truth(self._fleet, self.plan.truth_file)
        if self.plan.state_file is not None:
            self._write_state(self.plan.state_file)
