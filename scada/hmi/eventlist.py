"""The sequence of events as a table and as CSV.

Knows forms. Does not know where events come from or what makes a change one.
"""

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime

from rich.table import Table

from scada.hmi.language import say
from scada.hmi.words import cause_words, quality_words, time_words, title, value_words
from scada.model.point import Point, PointKind
from scada.model.statusevent import StatusEventArray


def event_table(points: Mapping[int, Point], events: StatusEventArray, language: str, zone: str) -> Table:
    """Events in their order, with the source's time and how much later they were received."""
    table = Table(box=None)
    for heading in ("time", "received", "point", "value", "quality", "cause"):
        table.add_column(say(heading, language), no_wrap=True)
    table.add_column("", no_wrap=True, overflow="ellipsis")
    for row in events:
        point = points.get(int(row["point"])) or _unknown(int(row["point"]))
        table.add_row(
            time_words(int(row["time"]), zone),
            f"{(int(row['received_at']) - int(row['time'])) / 1e6:+.3f} s",
            point.name,
            value_words(point, float(row["value"]), language),
            quality_words(int(row["quality"]), language),
            cause_words(int(row["cause"]), language),
            title(point, language),
            style="yellow" if row["quality"] else "",
        )
    return table


def event_csv(points: Mapping[int, Point], events: StatusEventArray) -> str:
    """Columns time, received_at (ISO 8601, UTC, µs), point, value, quality (octet), cause (number)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("time", "received_at", "point", "value", "quality", "cause"))
    for row in events:
        point = points.get(int(row["point"])) or _unknown(int(row["point"]))
        writer.writerow(
            (
                _iso(int(row["time"])),
                _iso(int(row["received_at"])),
                point.name,
                f"{float(row['value']):g}",
                int(row["quality"]),
                int(row["cause"]),
            )
        )
    return out.getvalue()


def _iso(time: int) -> str:
    return datetime.fromtimestamp(time // 1_000_000, UTC).replace(microsecond=time % 1_000_000).isoformat()


def _unknown(number: int) -> Point:
    """A point the files no longer have; its events stay."""
    return Point(number, f"point {number}", PointKind.SINGLE_POINT, "", "")
