"""What binding maps to a station takes in either protocol: the map of each bay, and the names both must agree on.

Knows bays, points and commands by name. Does not know addresses or nodes.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from scada.model.errors import Fault
from scada.model.point import Point
from scada.model.station import Bay, CommandKind, CommandPoint, Station
from scada.tables import Faults, nearest
from substations.mapnames import like
from substations.setpoint import Form, check_limits


class BayMap(Protocol):
    """The map of one bay type."""

    @property
    def bay_type(self) -> str:
        """For which it is."""
        ...


M = TypeVar("M", bound=BayMap)


@dataclass(frozen=True, slots=True)
class MappedBay(Generic[M]):
    """A bay with its map; ``faults`` are of the bay, ``of_map`` of the map: told once, however many bays use it."""

    bay: Bay
    map: M
    faults: Faults
    of_map: Faults

    @property
    def points(self) -> dict[str, Point]:
        """By the name within the bay, which maps use."""
        return {point.name.split("/", 2)[2]: point for point in self.bay.points}

    @property
    def commands(self) -> dict[str, CommandPoint]:
        """By the name within the bay, which maps use."""
        return {command.name.split("/")[-1]: command for command in self.bay.commands}

    def check_known(self, known: Collection[str], placed: Collection[str], what: str) -> None:
        """Note what the map places and the bay does not have; ``what`` is the word for it."""
        for name in placed:
            if name not in known:
                self.of_map.add(name, f"is no {what} of bay type {self.bay.bay_type!r}{like(name, list(known))}")

    def check_names(self, known: Collection[str], placed: Collection[str], what: str) -> None:
        """As ``check_known``, and what the bay has and the map does not place."""
        self.check_known(known, placed, what)
        for name in known:
            if name not in placed:
                self.of_map.add(name, f"is a {what} of bay type {self.bay.bay_type!r} that the map does not place")

    def check_command(self, name: str, command: CommandPoint, *, set_point: Form | None, selects: bool) -> None:
        """Note where a place does not fit the command: one for a set-point has a ``Form``, one for a switch none."""
        if (set_point is not None) != (command.kind is CommandKind.SET_POINT):
            wrong = f"is a {command.kind.value} in bay type {self.bay.bay_type!r}: set_point does not fit"
            self.of_map.add(name, wrong)
        if set_point is not None:
            check_limits(set_point, command, self.of_map)
        if selects != command.select:
            wrong = f"select-before-operate is {command.select} in bay type {self.bay.bay_type!r}, not here"
            self.of_map.add(name, wrong)


def mapped_bays(station: Station, maps: Mapping[str, M], kind: str, found: list[Fault]) -> Iterator[MappedBay[M]]:
    """Every bay whose map is there and of its type; the others are noted in ``found``. ``kind`` is that of the maps."""
    seen: set[str] = set()
    for bay in station.bays:
        faults = Faults(f"{station.code}/{bay.name}", found)
        bay_map = maps.get(bay.map)
        if bay_map is None:
            faults.add("map", f"no such {kind} map: {bay.map!r}{nearest(bay.map, list(maps))}")
        elif bay_map.bay_type != bay.bay_type:
            faults.add("map", f"{bay.map!r} is for bay type {bay_map.bay_type!r}, not {bay.bay_type!r}")
        else:
            yield MappedBay(bay, bay_map, faults, Faults(f"{bay.map}.toml", [] if bay.map in seen else found))
            seen.add(bay.map)
