"""Every file of an installation read together: configuration, stations and their maps, with all faults at once.

Knows which file needs which. Opens nothing but files, so ``scada check`` may be called at any time, anywhere.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from scada.config import Config, StationsConfig, read_config
from scada.model.errors import Fault
from scada.model.station import Province, Station
from scada.stationfile import read_province, readdressed
from scada.tables import nearest, refuse_faults
from substations.adapters import Maps, bind_all, read_maps


@dataclass(frozen=True, slots=True)
class Installation:
    """Everything the files say. ``stations`` are those this process works with, ``province`` has all of them."""

    config: Config
    province: Province
    stations: tuple[Station, ...]
    maps: Maps


def read_installation(path: Path, found: list[Fault], *, base_port: int = 0) -> Installation | None:
    """What ``config.toml`` at ``path`` and the files it leads to say, or None with every fault in ``found``.

    A ``base_port`` other than 0 overrides ``stations.base_port``.
    """
    config = read_config(path, found)
    folder = config.stations.folder if config else path.resolve().parent / StationsConfig().folder
    if config is None and not folder.exists():
        return None  # the stations lie wherever the file that cannot be read says
    province = read_province(folder, found)
    maps = read_maps(folder / "maps", found)
    if province is not None:
        bind_all(province.stations, maps, found)
    if config is None or province is None:
        return None
    stations = _chosen(config.stations, base_port or config.stations.base_port, province, found)
    stations = tuple(_with_certificates(each, config.scan.opcua_certificates) for each in stations)
    return None if found else Installation(config, province, stations, maps)


def load_installation(path: Path, *, base_port: int = 0) -> Installation:
    """As ``read_installation``. Raises ConfigurationError with every fault."""
    found: list[Fault] = []
    installation = read_installation(path, found, base_port=base_port)
    refuse_faults(found)
    assert installation is not None
    return installation


def _with_certificates(station: Station, folder: Path) -> Station:
    return replace(station, endpoint=replace(station.endpoint, certificates=str(folder)))


def _chosen(config: StationsConfig, base_port: int, province: Province, found: list[Fault]) -> tuple[Station, ...]:
    known = [station.code for station in province.stations]
    for code in config.only:
        if code not in known:
            found.append(Fault("config.toml", "stations.only", f"no station {code!r}{nearest(code, known)}"))
    if base_port:
        province = readdressed(province, host=config.host or "127.0.0.1", base_port=base_port)
    return tuple(each for each in province.stations if not config.only or each.code in config.only)
