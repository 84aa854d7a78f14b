"""Closed months of readings and billing registers as Parquet, with a manifest that proves what was written.

Knows the files: ``readings`` as first known and ``revisions`` (later, different values), the same of ``registers``, and
``meters`` (whose they are); each row with the time it became known, so that any day's knowledge can be rebuilt. Files
get their names when they are whole; the manifest comes last: a month without it was not exported.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
from pyarrow import parquet

from historian.connection import Connection, DatabaseLink
from historian.copyformat import CopyLayout, Rows, decode
from historian.exportrows import READINGS, Form, Rates, registers
from historian.instants import instant, microseconds
from historian.queries import query

EXPORT_LIMIT_S = 3600.0
HOUR_US = 3_600_000_000
"""Two intervals of 200,000 meters: 400,000 rows, 45 MB at a time."""

_METER_COLUMNS = (
    "meter",
    "serial",
    "metering_point",
    "unit",
    "concentrator",
    "feeder",
    "transformer",
    "class",
    "multiplier",
    "digits",
    "installed_at",
    "removed_at",
    "model",
    "rates",
)


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file of a month; ``sha256`` of its bytes."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ExportedMonth:
    """A month's manifest: interval ends and boundaries in (since, until], µs since 1970 UTC, and its files."""

    month: str
    since: int
    until: int
    exported_at: int
    import_wh_sum: int
    files: tuple[ExportedFile, ...]


def month_bounds(month: date, zone: ZoneInfo) -> tuple[int, int]:
    """Local midnight that begins a month, and the one that ends it, µs."""
    first = datetime(month.year, month.month, 1, tzinfo=zone)
    following = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    return microseconds(first.astimezone(UTC)), microseconds(following.astimezone(UTC))


def export_month(
    dsn: str, month: date, zone: ZoneInfo, folder: Path, *, codes: Mapping[int, str], now: int
) -> ExportedMonth:
    """Write a month's files and manifest into ``folder``; the files of an earlier export are replaced.

    codes: OBIS code of each register's number.
    Raises StoreUnavailable, OSError, or ValueError when the month is not over yet.
    """
    since, until = month_bounds(month, zone)
    if until > now:
        raise ValueError(f"{month:%Y-%m} is not over")
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{month:%Y-%m}"
    link = DatabaseLink(dsn, application="scada export", limit_s=EXPORT_LIMIT_S)
    with link, link.transaction() as connection:
        connection.execute(query("one_snapshot"))
        meters, rates = _write_meters(connection, folder / f"meters-{name}.parquet", since, until)
        forms = {"readings": READINGS, "revisions": READINGS}
        forms |= dict.fromkeys(("registers", "register_revisions"), registers(codes, Rates(rates, codes)))
        files, energy = [meters], 0
        for what, form in forms.items():
            path = folder / f"{what.replace('_', '-')}-{name}.parquet"
            file, imported = _write_rows(connection, f"export_{what}", path, form, since, until)
            files.append(file)
            energy += imported if what == "readings" else 0
    done = ExportedMonth(name, since, until, now, energy, tuple(files))
    part = folder / f"manifest-{name}.json.part"
    part.write_text(json.dumps(asdict(done), indent=2) + "\n", encoding="utf-8")
    part.replace(folder / f"manifest-{name}.json")
    return done


def verify_month(manifest: Path) -> list[str]:
    """What is wrong with the files a manifest names; empty when all are as they were written."""
    wrong = []
    for each in json.loads(manifest.read_text(encoding="utf-8"))["files"]:
        path = manifest.with_name(each["name"])
        if not path.exists():
            wrong.append(f"{each['name']} is missing")
        elif _sha256(path) != each["sha256"]:
            wrong.append(f"{each['name']} has changed since it was written")
    return wrong


def _write_rows(
    connection: Connection, name: str, path: Path, form: Form, since: int, until: int
) -> tuple[ExportedFile, int]:
    """The file, and the sum of its column ``import_wh`` if it has one."""
    part = path.with_name(f"{path.name}.part")
    rows = energy = 0
    with parquet.ParquetWriter(part, form.schema, compression="zstd") as writer:
        for batch in _hours(connection, name, form.layout, since, until):
            writer.write_table(form.table(batch))
            rows += len(batch)
            energy += int(batch["import_wh"].sum()) if "import_wh" in form.schema.names else 0
    part.replace(path)
    return _written(path, rows), energy


def _hours(connection: Connection, name: str, layout: CopyLayout, since: int, until: int) -> Iterator[Rows]:
    """Rows whose interval ended, or whose boundary was, in (since, until], an hour at a time."""
    for start in range(since + 1, until + 1, HOUR_US):
        about = {"since": instant(start), "until": instant(min(start + HOUR_US, until + 1))}
        with connection.cursor() as cursor, cursor.copy(query(name), about) as copy:
            batch = decode(b"".join(copy), layout)
        if len(batch):
            yield batch


def _write_meters(
    connection: Connection, path: Path, since: int, until: int
) -> tuple[ExportedFile, list[tuple[int, str]]]:
    """The file, and of each meter its id and which register is which rate, as JSON."""
    about = {"since": instant(since), "until": instant(until)}
    rows = connection.execute(query("export_meters"), about).fetchall()
    columns = list(zip(*rows, strict=True)) or [()] * len(_METER_COLUMNS)
    part = path.with_name(f"{path.name}.part")
    parquet.write_table(pa.table(dict(zip(_METER_COLUMNS, columns, strict=True))), part, compression="zstd")
    part.replace(path)
    return _written(path, len(rows)), [(row[0], row[-1]) for row in rows]


def _written(path: Path, rows: int) -> ExportedFile:
    return ExportedFile(path.name, rows, path.stat().st_size, _sha256(path))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
