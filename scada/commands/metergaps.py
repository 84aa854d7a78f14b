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
    zone = ZoneInfo(config.time_zone)
    out = paper()
    if lines:
        out.print(_table(lines, zone))
        if len(lines) == limit:
            out.print(f"… and more; see --limit (now {limit})")
    for sentence in sentences(figures):
        out.print(sentence, markup=False)
    for period_s, watch in watches.items():
        ends = f"{shown(watch.since, zone, IN_THIS_YEAR)} to {shown(watch.until, zone, IN_THIS_YEAR)}"
        out.print(f"Looked at: intervals of {period_s} s ending {ends}.")
    if not watches:
        out.print("No interval has been looked at yet: no reading has come, or `scada collect` rests.")


def sentences(figures: Sequence[GapFigures]) -> list[str]:
    """The sum by state and cause, as a person would say it."""
    if not figures:
        return ["No interval is missing, and none was."]
    lines = [
        f"{each.state.label}, {each.cause.label}: {each.intervals:,} intervals of {each.meters:,} meters "
        f"in {each.gaps:,} gaps, asked for {each.attempts:,} times"
        for each in figures
    ]
    open_ = sum(each.intervals for each in figures if each.state in (GapState.MISSING, GapState.REQUESTED))
    recovered = sum(each.intervals for each in figures if each.state is GapState.RECOVERED)
    return [*lines, f"{open_:,} intervals are being chased, {recovered:,} were recovered."]


def _table(lines: Sequence[GapLine], zone: ZoneInfo) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("unit", "concentrator", "meter", "from", "to", "intervals", "state", "why", "asked", "next"):
        table.add_column(name, justify="right" if name in ("intervals", "asked") else "left")
    for each in lines:
        waits = each.state in (GapState.MISSING, GapState.REQUESTED)
        table.add_row(
            each.unit,
            each.concentrator or "own modem",
            str(each.serial) if each.serial else f"{each.meters} meters",
            shown(each.first, zone, IN_THIS_YEAR),
            shown(each.last, zone, IN_THIS_YEAR),
            f"{each.intervals:,}",
            each.state.label,
            each.cause.label,
            str(each.attempts),
            shown(each.next_try, zone, IN_THIS_YEAR) if waits else "",
        )
    return table
