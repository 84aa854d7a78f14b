"""``scada meters gaps``: every missing interval and what is being done about it.

Knows how the ledger is shown. Does not know how it comes about.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
import typer
from rich.table import Table

from historian.gapreport import GapFigures, GapLine, GapReport
from historian.gaps import ALL
from scada.clock import now_us
from scada.commands.context import config_of, told_failures
from scada.commands.duration import seconds_of
from scada.commands.moments import IN_THIS_YEAR, shown
from scada.hmi.language import say
from scada.hmi.screen import paper
from scada.model.gap import GapState
from scada.services import supervisor

UNSETTLED = tuple(each for each in ALL if each is not GapState.RECOVERED)


def gaps(
    context: typer.Context,
    since: Annotated[str, typer.Option("--since", help="How far back: 1h, 7d.")] = "60d",
    *,
    recovered: Annotated[bool, typer.Option("--recovered", help="List recovered gaps too.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Lines at most.")] = 40,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Every missing interval: since when, why, what was asked, what came of it."""
    with told_failures():
        config = config_of(context)
        dsn = supervisor.endpoints(config).postgres_reader_dsn
        now = now_us()
        span = (now - int(seconds_of(since) * 1e6), now)
        with GapReport(dsn) as report:
            watches = report.watches()
            figures = report.summary(*span)
            lines = report.lines(*span, ALL if recovered else UNSETTLED, limit=limit)
    if as_json:
        body = {
            "watches": [{"period_s": period_s, **asdict(each)} for period_s, each in watches.items()],
            "figures": [{**asdict(each), "state": each.state.label, "cause": each.cause.label} for each in figures],
            "gaps": [{**asdict(each), "state": each.state.label, "cause": each.cause.label} for each in lines],
        }
        typer.echo(msgspec.json.encode(body).decode())
        return
    zone, language = ZoneInfo(config.time_zone), config.language
    out = paper()
    if lines:
        out.print(_table(lines, zone, language))
        if len(lines) == limit:
            out.print(say("… and more; see --limit (now {})", language, limit))
    for sentence in sentences(figures, language):
        out.print(sentence, markup=False)
    for period_s, watch in watches.items():
        ends = (shown(each, zone, IN_THIS_YEAR) for each in (watch.since, watch.until))
        out.print(say("Looked at: intervals of {} s ending {} to {}.", language, period_s, *ends))
    if not watches:
        out.print(say("No interval has been looked at yet: no reading has come, or `scada collect` rests.", language))


def sentences(figures: Sequence[GapFigures], language: str) -> list[str]:
    """The sum by state and cause, as a person would say it."""
    if not figures:
        return [say("No interval is missing, and none was.", language)]
    lines = [
        say(
            "{}, {}: {} intervals of {} meters in {} gaps, asked for {} times",
            language,
            say(each.state.label, language),
            say(each.cause.label, language),
            *(f"{count:,}" for count in (each.intervals, each.meters, each.gaps, each.attempts)),
        )
        for each in figures
    ]
    open_ = sum(each.intervals for each in figures if each.state in (GapState.MISSING, GapState.REQUESTED))
    recovered = sum(each.intervals for each in figures if each.state is GapState.RECOVERED)
    chased = say("{} intervals are being chased, {} were recovered.", language, f"{open_:,}", f"{recovered:,}")
    return [*lines, chased]


def _table(lines: Sequence[GapLine], zone: ZoneInfo, language: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("unit", "concentrator", "meter", "from", "to", "intervals", "state", "why", "asked", "next"):
        table.add_column(say(name, language), justify="right" if name in ("intervals", "asked") else "left")
    for each in lines:
        waits = each.state in (GapState.MISSING, GapState.REQUESTED)
        table.add_row(
            each.unit,
            each.concentrator or say("own modem", language),
            str(each.serial) if each.serial else say("{} meters", language, each.meters),
            shown(each.first, zone, IN_THIS_YEAR),
            shown(each.last, zone, IN_THIS_YEAR),
            f"{each.intervals:,}",
            say(each.state.label, language),
            say(each.cause.label, language),
            str(each.attempts),
            shown(each.next_try, zone, IN_THIS_YEAR) if waits else "",
        )
    return table
