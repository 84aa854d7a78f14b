"""One station's points as a table: what they are, and what they show now.

Knows points and the state door's rows. Does not fetch them.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from rich.table import Table

from scada.hmi.language import say
from scada.hmi.words import quality_words, time_words, title, value_words
from scada.model.point import Point
from scada.model.station import Station


def point_list(station: Station, language: str) -> Table:
    """Every point of the station as its files describe it."""
    table = Table(box=None)
    for heading in ("id", "point", "kind", "unit", "deadband", "low", "high"):
        table.add_column(say(heading, language), no_wrap=True)
    table.add_column("", no_wrap=True, overflow="ellipsis")
    for point in station.shown_points:
        table.add_row(
            str(point.id),
            point.name,
            say(point.kind.value, language),
            point.unit,
            _limit(point.deadband or None),
            _limit(point.low),
            _limit(point.high),
            title(point, language),
        )
    return table


def present_values(
    points: Mapping[str, Point],
    rows: Iterable[Mapping[str, Any]],
    *,
    language: str,
    zone: str,
    changed: Collection[str],
) -> Table:
    """Present values; names in ``changed`` are marked, doubtful ones coloured."""
    table = Table(box=None)
    for heading in ("point", "value", "quality", "time"):
        table.add_column(say(heading, language), no_wrap=True)
    table.add_column("", no_wrap=True, overflow="ellipsis")
    for row in rows:
        point = points[row["name"]]
        doubtful = row["quality"] != 0
        table.add_row(
            point.name,
            value_words(point, row["value"], language),
            quality_words(row["quality"], language),
            time_words(row["time"], zone),
            title(point, language),
            style="yellow" if doubtful else "bold" if row["name"] in changed else "",
        )
    return table


def _limit(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
