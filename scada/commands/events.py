"""``scada events``: what happened, in the order in which it happened."""

from typing import Annotated

import typer

from historian.events import EventDatabase
from scada.clock import now_us
from scada.commands.context import config_path, told_failures
from scada.commands.duration import seconds_of
from scada.commands.looking import NotKnown
from scada.files import load_installation
from scada.hmi.eventlist import event_csv, event_table
from scada.hmi.language import say
from scada.hmi.screen import paper
from scada.services import supervisor
from scada.tables import nearest

SHOWN = 200
FUTURE_US = 3_600_000_000
"""A device whose clock is ahead still has its events shown, beside a receive time that tells."""


def events(
    context: typer.Context,
    since: Annotated[str, typer.Option("--since", help="How far back: 90s, 15min, 1h, 7d.")] = "1h",
    station: Annotated[str, typer.Option("--station", help="Only this substation, e.g. TN07.")] = "",
    bay: Annotated[str, typer.Option("--bay", help="Only this bay of it, e.g. 171.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most the newest of them.")] = SHOWN,
    *,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV, every event, time in UTC.")] = False,
) -> None:
    """The sequence of events: changes of positions, signals and protection, by the source's time."""
    with told_failures():
        installation = load_installation(config_path(context))
        config = installation.config
        stations = installation.province.stations
        if station and station not in [each.code for each in stations]:
            raise NotKnown(f"no station {station!r}{nearest(station, [each.code for each in stations])}")
        if bay and not station:
            raise NotKnown("--bay needs --station: bays of several stations bear the same name")
        known = {point.id: point for each in stations for point in each.shown_points}
        wanted = [
            number for number, point in known.items() if station in ("", point.station) and bay in ("", point.bay)
        ]
        if not wanted:
            bays = [each.name for found in stations if found.code == station for each in found.bays]
            raise NotKnown(f"{station} has no bay {bay!r}{nearest(bay, bays)}")
        now = now_us()
        dsn = supervisor.endpoints(config).postgres_reader_dsn
        with EventDatabase(dsn, application="scada events", clock=now_us) as database:
            begin, chosen = now - int(seconds_of(since) * 1e6), wanted if station else ()
            most = 1_000_000 if as_csv else limit
            found = database.events_between(begin, now + FUTURE_US, chosen, limit=most)
    if as_csv:
        typer.echo(event_csv(known, found), nl=False)
        return
    out = paper()
    out.print(event_table(known, found, config.language, config.time_zone))
    counted = "{} events, the newest; more with --limit" if len(found) == limit else "{} events"
    out.print(say(counted, config.language, len(found)))
