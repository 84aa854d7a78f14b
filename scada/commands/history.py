"""``scada history``: what the historian knows of a point, at the level that suits the span."""

from typing import Annotated, Any
from zoneinfo import ZoneInfo

import numpy as np
import typer

from historian.history import History, PointHistory
from historian.interpolation import values_at
from historian.rollup import Rollups
from scada.clock import now_us
from scada.commands.context import config_path, told_failures
from scada.commands.duration import NotASpan, seconds_of
from scada.commands.looking import NotKnown, nearest_point
from scada.commands.moments import instant_of
from scada.config import Config
from scada.files import load_installation
from scada.hmi.course import course_csv, course_plot, course_table
from scada.hmi.language import say
from scada.hmi.rolluplist import rollup_csv, rollup_plot, rollup_table
from scada.hmi.screen import paper
from scada.hmi.words import quality_words, time_words, value_words
from scada.model.cause import Cause
from scada.model.point import Point
from scada.model.rollup import Level, level_for
from scada.model.sample import no_samples
from scada.services import supervisor

MOST_INSTANTS = 100_000


def history(
    context: typer.Context,
    point: Annotated[str, typer.Argument(metavar="POINT", help="Full name, e.g. TN07/171/current_l1.")],
    since: Annotated[str, typer.Option("--since", help="How far back: 90s, 15min, 1h, 7d.")] = "1h",
    level: Annotated[
        Level | None, typer.Option("--level", help="raw up to 6 h, minute up to 3 d, else hour, unless told.")
    ] = None,
    at: Annotated[str, typer.Option("--at", help="The value at this local time, e.g. 2026-11-22T10:30.")] = "",
    every: Annotated[str, typer.Option("--every", help="Values at full multiples of this span, e.g. 1min.")] = "",
    *,
    frozen: Annotated[bool, typer.Option("--frozen", help="Only totals frozen at the hour.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV, time in UTC.")] = False,
    plot: Annotated[bool, typer.Option("--plot", help="As a curve in the terminal.")] = False,
) -> None:
    """What the historian knows of a point."""
    with told_failures():
        installation = load_installation(config_path(context))
        config = installation.config
        known = {each.name: each for station in installation.province.stations for each in station.shown_points}
        if point not in known:
            raise NotKnown(f"no point {point!r}{nearest_point(point, known)}")
        found = known[point]
        dsn = supervisor.endpoints(config).postgres_reader_dsn
        now = now_us()
        span_s = seconds_of(since)
        begin = now - int(span_s * 1e6)
        if at:
            _tell_value_at(dsn, found, instant_of(at, ZoneInfo(config.time_zone)), config)
            return
        chosen = level or (Level.RAW if every or frozen else level_for(span_s))
        if chosen is not Level.RAW:
            _tell_rollups(dsn, found, chosen, begin, now, config, form=_form(as_csv=as_csv, plot=plot))
            return
        with History(dsn) as historian:
            course = historian.point_history(found.id, begin, now)
        if frozen:
            rows = course.samples[course.samples["cause"] == Cause.COUNTER_INTERROGATION]
            course = PointHistory(found.id, no_samples(), rows)
        if every:
            course = _processed(found, course, begin, now, seconds_of(every))
    form = _form(as_csv=as_csv, plot=plot)
    if form == "csv":
        typer.echo(course_csv(found, course), nl=False)
    elif form == "plot":
        typer.echo(course_plot(found, course, config.language, config.time_zone))
    else:
        paper().print(course_table(found, course, config.language, config.time_zone))


def _form(*, as_csv: bool, plot: bool) -> str:
    return "csv" if as_csv else "plot" if plot else "table"


def _tell_rollups(dsn: str, point: Point, level: Level, begin: int, now: int, config: Config, *, form: str) -> None:
    asked = Rollups(dsn)
    try:
        rows = asked.between(level, point.id, begin, now)
    finally:
        asked.close()
    if form == "csv":
        typer.echo(rollup_csv(point, level, rows), nl=False)
    elif form == "plot":
        typer.echo(rollup_plot(point, rows, config.language, config.time_zone))
    else:
        paper().print(rollup_table(point, level, rows, config.language, config.time_zone))


def _tell_value_at(dsn: str, point: Point, moment: int, config: Config) -> None:
    asked = Rollups(dsn)
    try:
        course = asked.around(point.id, moment)
    finally:
        asked.close()
    told = values_at(course, np.array([moment], dtype=np.int64), point.kind)
    if not len(told):
        raise NotKnown(f"{point.name}: no sample within a day before {time_words(moment, config.time_zone)}")
    row = told[0]
    basis = course[course["time"] <= moment][-1]

    def told_as(of: Any) -> str:
        value = value_words(point, float(of["value"]), config.language)
        return f"{value}, {quality_words(int(of['quality']), config.language)}"

    then, since = (time_words(each, config.time_zone) for each in (moment, int(basis["time"])))
    typer.echo(
        say("{} at {}: {} (sample of {}: {})", config.language, point.name, then, told_as(row), since, told_as(basis))
    )


def _processed(point: Point, course: PointHistory, begin: int, now: int, every_s: float) -> PointHistory:
    """The course at full multiples of a span."""
    step = int(every_s * 1e6)
    if (now - begin) // step > MOST_INSTANTS:
        raise NotASpan(f"more than {MOST_INSTANTS} values; take a longer --every or a shorter --since")
    instants = np.arange(-(-begin // step) * step, now, step, dtype=np.int64)
    whole = np.concatenate((course.in_force, course.samples))
    return PointHistory(point.id, no_samples(), values_at(whole, instants, point.kind))
