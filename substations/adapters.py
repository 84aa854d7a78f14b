"""The table of field protocols: which map files, which binding and which link belong to each.

Knows the protocols. Loading it loads no field driver: a driver comes with the first link that needs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from scada.config import ScanConfig
from scada.model.errors import Fault
from scada.model.ports import Clock
from scada.model.station import Protocol, Station
from scada.tables import refuse_faults
from substations.link import StationLink
from substations.mapcheck import load_register_map
from substations.nodemap import NodeMap
from substations.nodemapcheck import load_node_map
from substations.nodes import StationNodes, bind_nodes
from substations.registermap import RegisterMap
from substations.registers import StationRegisters, bind_registers
from substations.scan import Sink, StationScan
from substations.schedule import Timing
from substations.verification import Verification

LINKS = {Protocol.MODBUS: "substations.modbus", Protocol.OPCUA: "substations.opcua"}
"""Module of each protocol's link; its ``link(endpoint, bound, now)`` makes one."""


@dataclass(frozen=True, slots=True)
class Maps:
    """Every usable map, by the name its bays use: the file's name without ``.toml``; ``faulty`` names the others."""

    registers: dict[str, RegisterMap]
    nodes: dict[str, NodeMap]
    faulty: frozenset[str] = frozenset()


def read_maps(folder: Path, found: list[Fault]) -> Maps:
    """The maps in ``folder``: ``*.modbus.toml`` and ``*.opcua.toml``; what is wrong with them goes into ``found``."""
    registers: dict[str, RegisterMap] = {}
    nodes: dict[str, NodeMap] = {}
    faulty: set[str] = set()
    for path in sorted(folder.glob("*.toml")):
        protocol = path.stem.rsplit(".", 1)[-1]
        before = len(found)
        if protocol == Protocol.MODBUS:
            if (register_map := load_register_map(path, found)) is not None:
                registers[path.stem] = register_map
        elif protocol == Protocol.OPCUA:
            if (node_map := load_node_map(path, found)) is not None:
                nodes[path.stem] = node_map
        else:
            found.append(Fault(path.name, "", "is named after no protocol: NAME.modbus.toml or NAME.opcua.toml"))
        if len(found) > before:
            faulty.add(path.stem)
    if not registers and not nodes and not found:
        found.append(Fault(str(folder), "", "holds no maps"))
    return Maps(registers, nodes, frozenset(faulty))


def bind(station: Station, maps: Maps, found: list[Fault]) -> StationRegisters | StationNodes:
    """The station's points and commands at their places, by its protocol; faults go into ``found``."""
    if station.endpoint.protocol is Protocol.MODBUS:
        return bind_registers(station, maps.registers, found)
    return bind_nodes(station, maps.nodes, found)


def bind_all(stations: Sequence[Station], maps: Maps, found: list[Fault]) -> None:
    """Bind every station to see whether its maps fit; faults go into ``found``.

    A station that uses a faulty map is left out: the map's own faults say it all, its bays would only repeat them.
    """
    for station in stations:
        if maps.faulty.isdisjoint(bay.map for bay in station.bays):
            bind(station, maps, found)


def load_maps(folder: Path) -> Maps:
    """The maps in ``folder``. Raises ConfigurationError with every fault."""
    found: list[Fault] = []
    maps = read_maps(folder, found)
    refuse_faults(found)
    return maps


def open_link(station: Station, maps: Maps, now: Clock) -> StationLink:
    """A link to the station, not yet connected. Raises ConfigurationError when its maps do not fit."""
    found: list[Fault] = []
    bound = bind(station, maps, found)
    refuse_faults(found)
    module = import_module(LINKS[station.endpoint.protocol])
    return cast(StationLink, module.link(station.endpoint, bound, now))


def station_scans(
    stations: Sequence[Station],
    maps: Maps,
    sink: Sink,
    config: ScanConfig,
    timing: Timing | None = None,
    tell: Sink | None = None,
) -> tuple[StationScan, ...]:
    """One scan for each station, not yet running; ``substations.scan.scan_stations`` runs them.

    ``tell`` takes the points of the links themselves (``scada.model.supervision``).
    """
    timing = timing or Timing()
    return tuple(
        StationScan(station.code, station.points, open_link(station, maps, timing.now), sink, config, timing, tell)
        for station in stations
    )


async def verify(station: Station, maps: Maps, now: Clock) -> Verification:
    """Compare the station's maps with the station itself, reading only. Raises ConfigurationError and LinkError."""
    found: list[Fault] = []
    bound = bind(station, maps, found)
    refuse_faults(found)
    if isinstance(bound, StationRegisters):
        of_modbus = import_module("substations.modbus_verify").verify
        return cast(Verification, await of_modbus(station.endpoint, bound, now))
    return cast(Verification, await import_module("substations.opcua_verify").verify(station.endpoint, bound))
