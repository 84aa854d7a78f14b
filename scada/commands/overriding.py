"""``scada substitute``, ``block``, ``release``, ``overrides``: a value in place of what the field says, with a reason.

Knows how a request is left for ``scada run`` and its answer waited for. Does not decide anything.
"""

import time
import uuid
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
import typer
from rich.table import Table

from scada.clock import now_us
from scada.commands.context import FAILED, config_path, told_failures
from scada.commands.duration import NotASpan, seconds_of
from scada.commands.looking import NotKnown
from scada.files import Installation, load_installation
from scada.hmi.language import say
from scada.hmi.processes import ask
from scada.hmi.screen import paper
from scada.hmi.words import quality_words, time_words, value_words
from scada.model.errors import GridScadaError
from scada.model.override import OverrideAction
from scada.model.point import Point
from scada.operatorfiles import OperatorFolder
from scada.overrides import OverrideAnswer, OverrideRequest, request_bytes, unfit
from scada.tables import nearest

WAIT_S = 10.0
LOOK_EVERY_S = 0.1

PointName = Annotated[str, typer.Argument(metavar="POINT", help="Full name, e.g. TN07/171/active_power.")]
Why = Annotated[str, typer.Option("--why", help="The reason; it is written into the history.")]
Until = Annotated[
    str, typer.Option("--until", help="A span (8h) or a local time (2026-11-23T06:00); without it until released.")
]


class NotDone(GridScadaError):
    """``scada run`` refused, or did not answer."""


def substitute(
    context: typer.Context,
    point: PointName,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="In the point's unit; a position: 1 open, 2 closed.")],
    why: Why,
    until: Until = "",
) -> None:
    """Show VALUE in place of what the field says; the field's value is kept beside."""
    with told_failures():
        installation, found = _known(context, point)
        try:
            number = float(value)
        except ValueError:
            raise NotKnown(f"{value!r} is no number") from None
        if refused := unfit(found, number):
            raise NotDone(refused)
        _ask(installation, OverrideAction.SUBSTITUTE, point, why, number, until)


def block(context: typer.Context, point: PointName, why: Why, until: Until = "") -> None:
    """Hold the present value of a point: a chattering contact makes no more events."""
    with told_failures():
        installation, _ = _known(context, point)
        _ask(installation, OverrideAction.BLOCK, point, why, None, until)


def release(context: typer.Context, point: PointName, why: Why) -> None:
    """Show again what the field says."""
    with told_failures():
        installation, _ = _known(context, point)
        _ask(installation, OverrideAction.RELEASE, point, why, None, "")


def overrides(context: typer.Context) -> None:
    """What is substituted and blocked now, and what the field says instead."""
    with told_failures():
        installation = load_installation(config_path(context))
        config = installation.config
        rows = ask(config.var, "run", "/api/v1/state")["overrides"]
    known = {each.name: each for station in installation.province.stations for each in station.shown_points}
    headings = ("point", "", "shown", "field says", "since", "until", "by", "why")
    table = Table(*(say(each, config.language) for each in headings), box=None)
    for row in rows:
        found = known[row["point"]]
        doubt = quality_words(row["field_quality"], config.language)
        field = f"{value_words(found, row['field_value'], config.language)} ({doubt})"
        table.add_row(
            row["point"],
            say(row["action"], config.language),
            value_words(found, row["value"], config.language),
            field,
            time_words(row["time"], config.time_zone),
            time_words(row["until"], config.time_zone) if row["until"] else say("until released", config.language),
            row["originator"],
            row["why"],
        )
    out = paper()
    out.print(table)
    out.print(say("{} points are substituted or blocked", config.language, len(rows)))


def _known(context: typer.Context, name: str) -> tuple[Installation, Point]:
    installation = load_installation(config_path(context))
    known = {each.name: each for station in installation.province.stations for each in station.shown_points}
    if name not in known:
        near = [each for each in known if each.startswith("/".join(name.split("/")[:2]) + "/")]
        raise NotKnown(f"no point {name!r}{nearest(name, near) if near else ''}")
    return installation, known[name]


def _ask(
    installation: Installation, action: OverrideAction, point: str, why: str, value: float | None, until: str
) -> None:
    config = installation.config
    ends = _moment(until, now_us(), config.time_zone) if until else None
    request = OverrideRequest(str(uuid.uuid4()), point, action, why, value, ends)
    folder = OperatorFolder(config.var)
    folder.ask(request.id, request_bytes(request))
    deadline = time.monotonic() + WAIT_S
    while (content := folder.take_answer(request.id)) is None and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
    if content is None:
        taken_back = folder.withdraw(request.id)
        rest = "the request is withdrawn" if taken_back else "it took the request: see `scada overrides`"
        raise NotDone(f"`scada run` did not answer within {WAIT_S:.0f} s; {rest}")
    answer = msgspec.json.decode(content, type=OverrideAnswer)
    if not answer.done:
        typer.echo(answer.sentence, err=True)
        raise typer.Exit(FAILED)
    typer.echo(answer.sentence)


def _moment(text: str, now: int, zone: str) -> int:
    """µs UTC of a span from now or of a local time. Raises NotASpan."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return now + int(seconds_of(text) * 1e6)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    if moment.timestamp() * 1e6 <= now:
        raise NotASpan(f"{text} is in the past")
    return int(moment.timestamp() * 1e6)
