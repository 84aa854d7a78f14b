"""The course of a point as a table, as CSV, as a curve in the terminal.

Knows forms. Does not know where the course comes from.
"""

import csv
import io
from datetime import UTC, datetime

import plotext
from rich.table import Table

from historian.history import PointHistory
from scada.clock import local
from scada.hmi.language import say
from scada.hmi.words import cause_words, quality_words, time_words, title, value_words
from scada.model.point import Point
from scada.model.quality import Quality

PLOT_WIDTH, PLOT_HEIGHT = 100, 24


def course_table(point: Point, found: PointHistory, language: str, zone: str) -> Table:
    """Every sample, after the value that was in force before the first."""
    headings = [say(each, language) for each in ("time", "value", "quality", "cause")]
    table = Table(*headings, title=f"{point.name}  {title(point, language)}", box=None)
    for row in found.in_force:
        table.add_row(
            time_words(int(row["time"]), zone),
            value_words(point, float(row["value"]), language),
            quality_words(int(row["quality"]), language),
            say("in force before", language),
            style="dim",
        )
    for row in found.samples:
        table.add_row(
            time_words(int(row["time"]), zone),
            value_words(point, float(row["value"]), language),
            quality_words(int(row["quality"]), language),
            cause_words(int(row["cause"]), language),
        )
    return table


def course_csv(point: Point, found: PointHistory) -> str:
    """Columns time (ISO 8601, UTC), point, value, unit, quality (octet), cause (number); the value in force first."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("time", "point", "value", "unit", "quality", "cause"))
    for rows in (found.in_force, found.samples):
        for row in rows:
            moment = datetime.fromtimestamp(int(row["time"]) / 1e6, UTC)
            writer.writerow(
                (
                    moment.isoformat(timespec="microseconds"),
                    point.name,
                    repr(float(row["value"])),
                    point.unit,
                    int(row["quality"]),
                    int(row["cause"]),
                )
            )
    return out.getvalue()


def course_plot(point: Point, found: PointHistory, language: str, zone: str) -> str:
    """The valid samples as steps, because a value reported by exception holds until the next report.

    A sentence when there is nothing to draw.
    """
    invalid = Quality.INVALID | Quality.NOT_TOPICAL
    rows = found.samples[(found.samples["quality"] & invalid) == 0]
    if not len(rows):
        return say("{}: no valid sample in this time", language, point.name)
    times = [int(each) for each in rows["time"]]
    values = [float(each) for each in rows["value"]]
    times = [moment for pair in zip(times, [*times[1:], times[-1]], strict=True) for moment in pair]
    values = [value for each in values for value in (each, each)]
    plotext.clear_figure()
    plotext.plot_size(PLOT_WIDTH, PLOT_HEIGHT)
    plotext.theme("clear")
    plotext.plot([moment - times[0] for moment in times], values, marker="braille")
    count = 5
    ticks = sorted({times[0] + (times[-1] - times[0]) * step // (count - 1) for step in range(count)})
    plotext.xticks([moment - times[0] for moment in ticks], [f"{local(moment, zone):%H:%M:%S}" for moment in ticks])
    plotext.title(f"{point.name} {point.unit}".strip())
    return str(plotext.uncolorize(plotext.build()))
