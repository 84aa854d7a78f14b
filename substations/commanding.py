"""The ways to the commands of all stations: one connection each, apart from the scan's, opened when it is needed.

Knows which module speaks which protocol. Loading it loads no field driver. A connection of its own keeps one request
outstanding per connection without making an order wait for a scan.
"""

import asyncio
from collections.abc import Sequence
from importlib import import_module
from typing import Final, cast

from scada.model.commandlink import CommandLink
from scada.model.errors import Fault
from scada.model.ports import Clock
from scada.model.station import Protocol, Station
from scada.tables import refuse_faults
from substations.adapters import Maps, bind

COMMAND_LINKS: Final = {
    Protocol.MODBUS: "substations.modbus_commands",
    Protocol.OPCUA: "substations.opcua_commands",
}
"""Module of each protocol; its ``command_link(station, bound, now)`` makes one."""


class StationCommands:
    """``CommandLinks`` of an installation. Raises ConfigurationError when maps do not fit their stations."""

    def __init__(self, stations: Sequence[Station], maps: Maps, now: Clock) -> None:
        self._stations = {station.code: station for station in stations}
        self._maps = maps
        self._now = now
        self._links: dict[str, CommandLink] = {}

    def of(self, station: str) -> CommandLink:
        """The link to a station, made at the first use. Raises KeyError for one that is none of ours."""
        if station not in self._links:
            found = self._stations[station]
            module = import_module(COMMAND_LINKS[found.endpoint.protocol])
            faults: list[Fault] = []
            bound = bind(found, self._maps, faults)
            refuse_faults(faults)
            self._links[station] = cast(CommandLink, module.command_link(found, bound, self._now))
        return self._links[station]

    async def close(self) -> None:
        """Give every connection back."""
        await asyncio.gather(*(link.close() for link in self._links.values()))
