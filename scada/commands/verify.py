"""``scada points STATION --verify``: does the map fit the station? Reads from the station itself, writes nothing."""

import asyncio
import logging

import msgspec
import typer

from scada.clock import now_us
from scada.commands.context import FAILED
from scada.files import Installation
from scada.hmi.language import say
from scada.hmi.screen import paper
from scada.logs import set_up
from scada.model.station import Station
from substations import adapters
from substations.verification import Verification, Weight

_COLOURS = {Weight.FAULT: "red", Weight.NOTE: "yellow"}


def verify(installation: Installation, station: Station, *, as_json: bool) -> None:
    """Compare and print; exit code 1 when something is wrong. Raises LinkError when the station cannot be reached."""
    set_up(logging.WARNING)
    found = asyncio.run(adapters.verify(station, installation.maps, now_us))
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        _print(station, found, installation.config.language)
    if found.faults:
        raise typer.Exit(FAILED)


def _print(station: Station, found: Verification, language: str) -> None:
    out = paper()
    for each in found.findings:
        out.print(f"[{_COLOURS[each.weight]}]{say(each.weight.value, language):5}[/] ", end="")
        out.print(f"{each.where} {each.sentence}", markup=False, highlight=False, soft_wrap=True)
    notes = len(found.findings) - found.faults
    verdict = say("{} faults", language, found.faults) if found.faults else say("the map fits the station", language)
    end = station.endpoint
    counted = (found.checked, len(station.points), notes, verdict)
    compared = say("{} of {} points compared, {} notes; {}", language, *counted)
    out.print(
        f"{station.code} {end.protocol.value} {end.host}:{end.port}: {compared}",
        highlight=False,
        soft_wrap=True,
    )
