"""Brings a list of installed meters into the registry of the database.

Knows the columns of the list and what makes a row unusable. One bad row costs that row only; every fault is reported.

The list has the columns of ``COLUMNS`` and, where known, ``OPTIONAL_COLUMNS`` (``historian.listfile``).
``installed_at`` and ``schedule_since`` are ISO 8601 with an offset. ``multiplier`` is ``ct`` × ``vt``; it and the
digits of an installed meter are changed by an exchange only, never by a list.
"""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from historian.connection import Connection, DatabaseLink
from historian.listfile import Undone, listed_rows, whole_number
from historian.queries import query
from scada.model.errors import Fault

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
OPTIONAL_COLUMNS = ("transformer", "model", "ct", "vt", "schedule", "schedule_since")

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
    ct: int | None = None
    vt: int | None = None
    schedule: str = ""
    schedule_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class RegistryImport:
    """What became of a list: added + changed + unchanged + one row for each line that has faults."""

    added: int
    changed: int
    unchanged: int
    faults: tuple[Fault, ...]


def import_meters(dsn: str, path: Path, *, dry_run: bool = False) -> RegistryImport:
    """Read a list and bring the registry up to it. Meters that are not in the list stay as they are.

    ``dry_run``: do it all, tell the same, and change nothing.

    Raises StoreUnavailable, or ConfigurationError when the file cannot be read or lacks columns.
    """
    listed, faults = read_meters(path)
    link = DatabaseLink(dsn, application="scada registry", limit_s=IMPORT_LIMIT_S)
    with link, contextlib.suppress(Undone), link.transaction() as connection:
        connection.execute(query("create_meter_arrivals"))
        _copy(connection, listed)
        conflicts = connection.execute(query("take_conflicting_meters")).fetchall()
        contradictions = connection.execute(query("take_contradicting_meters")).fetchall()
        changed = connection.execute(query("update_listed_meters")).rowcount
        added = connection.execute(query("insert_listed_meters")).rowcount
        connection.execute(query("insert_programmes"))
        if dry_run:
            raise Undone
    faults += [_conflict(path, *row) for row in conflicts]
    faults += [Fault(str(path), f"line {line}", why) for line, why in contradictions]
    unchanged = len(listed) - len(conflicts) - len(contradictions) - changed - added
    return RegistryImport(added, changed, unchanged, tuple(sorted(faults)))


def read_meters(path: Path) -> tuple[list[ListedMeter], list[Fault]]:
    """The usable rows of a list, and what is wrong with the others.

    Raises ConfigurationError when the file cannot be read or lacks columns.
    """
    usable: list[ListedMeter] = []
    faults: list[Fault] = []
    serials: dict[int, int] = {}
    points: dict[str, int] = {}
    for line, text in listed_rows(path, COLUMNS, OPTIONAL_COLUMNS):
        meter = _parse(line, text)
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
    if fault := _fault(text):
        return fault
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
        installed_at=datetime.fromisoformat(text["installed_at"]),
        transformer=text["transformer"],
        model=text["model"],
        ct=int(text["ct"]) if text["ct"] else None,
        vt=int(text["vt"]) if text["vt"] else None,
        schedule=text["schedule"],
        schedule_since=datetime.fromisoformat(text["schedule_since"]) if text["schedule_since"] else None,
    )


def _fault(text: Mapping[str, str]) -> str:
    for name in COLUMNS:
        if not text[name] and name not in MAY_BE_EMPTY:
            return f"{name} is empty"
    if text["class"] not in CLASSES:
        return f"class {text['class']!r} is none of {', '.join(sorted(CLASSES))}"
    numbers = {"serial": 2**63 - 1, "multiplier": 2**31 - 1, "digits": 15}
    for name, highest in (numbers | {each: 2**31 - 1 for each in ("ct", "vt") if text[each]}).items():
        if fault := whole_number(text, name, 1, highest):
            return fault
    if bool(text["ct"]) != bool(text["vt"]):
        return "ct and vt belong together: one of them is empty"
    if text["ct"] and int(text["ct"]) * int(text["vt"]) != int(text["multiplier"]):
        return f"multiplier {text['multiplier']} is not ct {text['ct']} × vt {text['vt']}"
    if text["schedule_since"] and not text["schedule"]:
        return "schedule_since is there without a schedule"
    return _time_fault(text, "installed_at") or (_time_fault(text, "schedule_since") if text["schedule_since"] else "")


def _time_fault(text: Mapping[str, str], name: str) -> str:
    try:
        moment = datetime.fromisoformat(text[name])
    except ValueError:
        return f"{name} {text[name]!r} is no ISO 8601 time"
    return f"{name} {text[name]!r} has no zone" if moment.tzinfo is None else ""


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
                    meter.ct,
                    meter.vt,
                    meter.schedule,
                    meter.schedule_since,
                )
            )


def _conflict(path: Path, line: int, serial: int, point: str, there_serial: int, there_point: str) -> Fault:
    listed = f"serial {serial} is listed at metering point {point}"
    if there_serial == serial:
        return Fault(str(path), f"line {line}", f"{listed}, but is installed at {there_point}")
    return Fault(str(path), f"line {line}", f"{listed}, where serial {there_serial} is installed")
