"""Every file of an installation read together: configuration, stations and their maps, with all faults at once.

Knows which file needs which. Opens nothing but files, so ``scada check`` may be called at any time, anywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from scada.config import Config, StationsConfig, read_config
from scada.model.errors import Fault
from scada.model.station import Protocol, Province, Station
from scada.stationfile import read_province, readdressed
from scada.tables import nearest, refuse_faults
from substations.nodemap import StationNodes, bind_nodes, load_node_map
from substations.registermap import StationRegisters, bind_registers, load_register_map

MapT = TypeVar("MapT")


@dataclass(frozen=True, slots=True)
class StationFiles:
    """One station and where its points lie: registers for Modbus, nodes for OPC UA."""

    station: Station
    places: StationRegisters | StationNodes


@dataclass(frozen=True, slots=True)
class Installation:
    """Everything the files say. ``stations`` holds those this process works with, ``province`` all of them."""

    config: Config
    province: Province
    stations: tuple[StationFiles, ...]


def read_installation(path: Path, found: list[Fault]) -> Installation | None:
    """What ``config.toml`` at ``path`` and the files it leads to say, or None with every fault in ``found``."""
    config = read_config(path, found)
    folder = config.stations.folder if config else path.resolve().parent / StationsConfig().folder
    province = read_province(folder, found)
    stations = _bind_maps(province, folder / "maps", found) if province else ()
    if config is None or province is None:
        return None
    _check_only(config.stations.only, province, found)
    if found:
        return None
    wanted = [each for each in stations if not config.stations.only or each.station.code in config.stations.only]
    return Installation(config, province, tuple(_readdressed(each, config.stations, province) for each in wanted))


def load_installation(path: Path) -> Installation:
    """As ``read_installation``. Raises ConfigurationError with every fault."""
    found: list[Fault] = []
    installation = read_installation(path, found)
    refuse_faults(found)
    assert installation is not None
    return installation


def _readdressed(files: StationFiles, config: StationsConfig, province: Province) -> StationFiles:
    if not config.base_port:
        return files
    elsewhere = readdressed(province, host=config.host or "127.0.0.1", base_port=config.base_port)
    station = next(each for each in elsewhere.stations if each.code == files.station.code)
    return replace(files, station=station)


def _check_only(only: tuple[str, ...], province: Province, found: list[Fault]) -> None:
    known = [station.code for station in province.stations]
    for code in only:
        if code not in known:
            found.append(Fault("config.toml", "stations.only", f"no station {code!r}{nearest(code, known)}"))


def _bind_maps(province: Province, folder: Path, found: list[Fault]) -> tuple[StationFiles, ...]:
    register_maps = _load_maps(province, Protocol.MODBUS, folder, load_register_map, found)
    node_maps = _load_maps(province, Protocol.OPCUA, folder, load_node_map, found)
    unreadable = {name for maps in (register_maps, node_maps) for name, each in maps.items() if each is None}
    bound: list[StationFiles] = []
    for station in province.stations:
        # The map's own faults say it all; the bays that use it would only repeat them.
        if unreadable.isdisjoint(bay.map for bay in station.bays):
            places: StationRegisters | StationNodes
            if station.endpoint.protocol is Protocol.MODBUS:
                places = bind_registers(station, _usable(register_maps), found)
            else:
                places = bind_nodes(station, _usable(node_maps), found)
            bound.append(StationFiles(station, places))
    return tuple(bound)


def _load_maps(
    province: Province,
    protocol: Protocol,
    folder: Path,
    load: Callable[[Path, list[Fault]], MapT | None],
    found: list[Fault],
) -> dict[str, MapT | None]:
    """Every map of the protocol that is there; a name without a file is told where it is used."""
    names = {bay.map for each in province.stations if each.endpoint.protocol is protocol for bay in each.bays}
    return {path.stem: load(path, found) for path in sorted(folder.glob("*.toml")) if path.stem in names}


def _usable(maps: dict[str, MapT | None]) -> dict[str, MapT]:
    return {name: each for name, each in maps.items() if each is not None}
