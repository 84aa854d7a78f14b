"""``scada meters registers``: billing registers of a meter, a metering point or a unit, as known now or at a time.

Knows the words of the call. How they are shown is ``scada.hmi.registerlist``.
"""

from dataclasses import asdict
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
import typer

from historian.registers import MAX_TIME, KnownRegister, RegisterHistory, Whose
from meters.obis import BY_NUMBER
from meters.rates import rate_of
from scada.commands.context import FAILED, config_of, told_failures
from scada.commands.moments import DAY_US, instant_of, midnight_of
from scada.hmi.language import say
from scada.hmi.registerlist import register_table
from scada.hmi.screen import paper
from scada.services import supervisor


def registers(
    context: typer.Context,
    serial: Annotated[int | None, typer.Argument(min=1, help="Serial number of a meter.")] = None,
    point: Annotated[str, typer.Option("--point", help="Every meter that stood at a metering point.")] = "",
    unit: Annotated[str, typer.Option("--unit", help="All meters of a unit.")] = "",
    date: Annotated[
        str, typer.Option("--date", help="Boundaries of this local day, 2026-11-01; else the newest.")
    ] = "",
    known_at: Annotated[str, typer.Option("--known-at", help="What was known at this local time; else now.")] = "",
    *,
    revisions: Annotated[bool, typer.Option("--revisions", help="Also values that are no longer in force.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Lines at most.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Billing registers: value, when it was counted, since when it is known, and which rate it is."""
    if sum(map(bool, (serial, point, unit))) != 1:
        raise typer.BadParameter("name one of these: a serial, --point, --unit")
    with told_failures():
        config = config_of(context)
        zone = ZoneInfo(config.time_zone)
        midnight = midnight_of(date, zone) if date else None
        with RegisterHistory(supervisor.endpoints(config).postgres_reader_dsn) as history:
            found = history.registers(
                Whose(serial, point or None, unit or None),
                between=None if midnight is None else (midnight, midnight + DAY_US),
                as_of=instant_of(known_at, zone) if known_at else MAX_TIME,
                revisions=revisions,
                limit=limit,
            )
    if as_json:
        typer.echo(msgspec.json.encode([_plain(each) for each in found]).decode())
        return
    out, language = paper(), config.language
    if not found:
        out.print(say("No register is known.", language))
        raise typer.Exit(FAILED)
    out.print(register_table(found, language, config.time_zone))
    if len(found) == limit:
        out.print(say("… and perhaps more; see --limit (now {})", language, limit))
    replaced = sum(not each.in_force for each in found)
    meters = len({each.serial for each in found})
    out.print(say("{} registers of {} meters, {} values replaced.", language, len(found) - replaced, meters, replaced))


def _plain(register: KnownRegister) -> dict[str, object]:
    code, rate = BY_NUMBER[register.obis].code, rate_of(register.obis, register.rates)
    unit = BY_NUMBER[register.obis].unit.value
    return {**asdict(register), "kind": register.kind.name.lower(), "code": code, "rate": rate, "unit": unit}
