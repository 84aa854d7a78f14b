"""A point's course by minute or hour as a table, as CSV, as a curve in the terminal.

Knows forms. Does not know where the course comes from.
"""

import csv
import io
import math
from datetime import UTC, datetime

import numpy as np
from rich.table import Table

from historian.history import PointHistory
from scada.hmi.course import course_plot
from scada.hmi.language import say
from scada.hmi.words import quality_words, time_words, title
from scada.model.cause import Cause
from scada.model.point import Point
from scada.model.rollup import Level, RollupArray
from scada.model.sample import no_samples, samples

_FIGURES = ("minimum", "maximum", "mean", "weighted_mean", "last")


def rollup_table(point: Point, level: Level, rows: RollupArray, language: str, zone: str) -> Table:
    """One line for each bucket in which the point was reported; empty where nothing was valid."""
    unit, by = point.unit or say("no unit", language), say("by {}", language, say(level.value, language))
    headings = ("from", "min", "max", "mean", "mean by time", "last", "samples", "valid s", "worst quality")
    table = Table(*(say(each, language) for each in headings), box=None)
    table.title = f"{point.name}  {title(point, language)}, {unit}, {by}"
    for row in rows:
        table.add_row(
            time_words(int(row["time"]), zone),
            *(_figure(float(row[name])) for name in _FIGURES),
            str(int(row["count"])),
            f"{float(row['valid_s']):.0f}",
            quality_words(int(row["quality"]), language),
        )
    return table


def rollup_csv(point: Point, level: Level, rows: RollupArray) -> str:
    """Columns as in ROLLUP, time as ISO 8601 in UTC; empty where nothing was valid."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("from", "level", "point", "unit", *_FIGURES, "count", "valid", "valid_s", "quality"))
    for row in rows:
        moment = datetime.fromtimestamp(int(row["time"]) / 1e6, UTC)
        figures = ("" if math.isnan(row[name]) else repr(float(row[name])) for name in _FIGURES)
        counts = (int(row["count"]), int(row["valid"]), float(row["valid_s"]), int(row["quality"]))
        writer.writerow((moment.isoformat(), level.value, point.name, point.unit, *figures, *counts))
    return out.getvalue()


def rollup_plot(point: Point, rows: RollupArray, language: str, zone: str) -> str:
    """The mean by time as a curve."""
    told = rows[~np.isnan(rows["weighted_mean"])]
    ids = np.full(len(told), point.id, dtype=np.int32)
    course = samples(ids, told["time"], told["weighted_mean"], 0, Cause.REQUEST)
    return course_plot(point, PointHistory(point.id, no_samples(), course), language, zone)


def _figure(value: float) -> str:
    return "" if math.isnan(value) else f"{value:,.3f}"
