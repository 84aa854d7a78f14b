"""Brings a list of installed meters into the registry of the database.

Knows the columns of the list and what makes a row unusable. One bad row costs that row only; every fault is reported.

The list is CSV (UTF-8, comma, one header line) with the columns of ``COLUMNS`` and, where known, ``OPTIONAL_COLUMNS``,
in any order; others are ignored.
``installed_at`` is ISO 8601 with an offset.
"""

import contextlib
import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from historian.connection import Connection, DatabaseLink
from historian.queries import query
from scada.model.errors import ConfigurationError, Fault

COLUMNS = (
    "serial",
    "metering_point",
    "unit",
    "concentrator",
    "feeder",
    "class",
    "multiplier",
    "digits",
    "installed_at",
)
MAY_BE_EMPTY = frozenset({"concentrator", "feeder"})
OPTIONAL_COLUMNS = ("transformer", "model")

CLASSES = frozenset({"residential", "production", "business", "pv"})

IMPORT_LIMIT_S = 120.0
"""200,000 meters take about 4 s."""


@dataclass(frozen=True, slots=True)
class ListedMeter:
    """One usable row of a list; ``line`` is its line in the file."""

    line: int
    serial: int
    metering_point: str
    unit: str
    concentrator: str
    feeder: str
    customer_class: str
    multiplier: int
    digits: int
    installed_at: datetime
    transformer: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class RegistryImport:
    """What became of a list: added + changed + unchanged + one row for each line that has faults."""

    added: int
    changed: int
    unchanged: int
    faults: tuple[Fault, ...]


class _Undone(Exception):
    """Everything was done to see what would happen; the transaction is undone."""


def import_meters(dsn: str, path: Path, *, dry_run: bool = False) -> RegistryImport:
    """Read a list and bring the registry up to it. Meters that are not in the list stay as they are.

    ``dry_run``: do it all, tell the same, and change nothing.

    Raises StoreUnavailable, or ConfigurationError when the file cannot be read or lacks columns.
    """
    listed, faults = read_meters(path)
    link = DatabaseLink(dsn, application="scada registry", limit_s=IMPORT_LIMIT_S)
    with link, contextlib.suppress(_Undone), link.transaction() as connection:
        connection.execute(query("create_meter_arrivals"))
        _copy(connection, listed)
        conflicts = connection.execute(query("take_conflicting_meters")).fetchall()
        changed = connection.execute(query("update_listed_meters")).rowcount
        added = connection.execute(query("insert_listed_meters")).rowcount
        if dry_run:
            raise _Undone
    faults += [_conflict(path, *row) for row in conflicts]
    unchanged = len(listed) - len(conflicts) - changed - added
    return RegistryImport(added, changed, unchanged, tuple(sorted(faults)))


def read_meters(path: Path) -> tuple[list[ListedMeter], list[Fault]]:
    """The usable rows of a list, and what is wrong with the others.

    Raises ConfigurationError when the file cannot be read or lacks columns.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise ConfigurationError([Fault(str(path), name, "the column is missing") for name in missing])
            return _sorted_out(path, reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError([Fault(str(path), "", f"cannot be read: {error}")]) from error


def _sorted_out(path: Path, rows: Iterable[Mapping[str, str | None]]) -> tuple[list[ListedMeter], list[Fault]]:
    usable: list[ListedMeter] = []
    faults: list[Fault] = []
    serials: dict[int, int] = {}
    points: dict[str, int] = {}
    for line, row in enumerate(rows, start=2):
        meter = _parse(line, {name: (row.get(name) or "").strip() for name in (*COLUMNS, *OPTIONAL_COLUMNS)})
        if isinstance(meter, ListedMeter):
            first = serials.setdefault(meter.serial, line), points.setdefault(meter.metering_point, line)
            if first == (line, line):
                usable.append(meter)
                continue
            repeated = f"serial {meter.serial}" if first[0] != line else f"metering point {meter.metering_point}"
            meter = f"{repeated} stands in line {min(first)} already"
        faults.append(Fault(str(path), f"line {line}", meter))
    return usable, faults


def _parse(line: int, text: Mapping[str, str]) -> ListedMeter | str:
    """One row, or what is wrong with it."""
    for name in COLUMNS:
        if not text[name] and name not in MAY_BE_EMPTY:
            return f"{name} is empty"
    if text["class"] not in CLASSES:
        return f"class {text['class']!r} is none of {', '.join(sorted(CLASSES))}"
    for name, highest in (("serial", 2**63 - 1), ("multiplier", 2**31 - 1), ("digits", 15)):
        if not (text[name].isascii() and text[name].isdecimal() and 0 < int(text[name]) <= highest):
            return f"{name} {text[name]!r} is no whole number from 1 to {highest}"
    try:
        installed_at = datetime.fromisoformat(text["installed_at"])
    except ValueError:
        return f"installed_at {text['installed_at']!r} is no ISO 8601 time"
    if installed_at.tzinfo is None:
        return f"installed_at {text['installed_at']!r} has no zone"
    return ListedMeter(
        line=line,
        serial=int(text["serial"]),
        metering_point=text["metering_point"],
        unit=text["unit"],
        concentrator=text["concentrator"],
        feeder=text["feeder"],
        customer_class=text["class"],
        multiplier=int(text["multiplier"]),
        digits=int(text["digits"]),
        installed_at=installed_at,
        transformer=text["transformer"],
        model=text["model"],
    )


def _copy(connection: Connection, listed: Iterable[ListedMeter]) -> None:
    with connection.cursor() as cursor, cursor.copy(query("copy_meter_arrivals")) as copy:
        for meter in listed:
            copy.write_row(
                (
                    meter.line,
                    meter.serial,
                    meter.metering_point,
                    meter.unit,
                    meter.concentrator,
                    meter.feeder,
                    meter.customer_class,
                    meter.multiplier,
                    meter.digits,
                    meter.installed_at,
                    meter.transformer,
                    meter.model,
                )
            )


def _conflict(path: Path, line: int, serial: int, point: str, there_serial: int, there_point: str) -> Fault:
    listed = f"serial {serial} is listed at metering point {point}"
    if there_serial == serial:
        return Fault(str(path), f"line {line}", f"{listed}, but is installed at {there_point}")
    return Fault(str(path), f"line {line}", f"{listed}, where serial {there_serial} is installed")
