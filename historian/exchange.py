"""Exchanges of meters: the old one leaves with its end registers, the new one begins with its start registers.

Knows the columns of a list of exchanges and what makes a row unusable; one bad row costs that row only. What was used
across an exchange is (end of the old − its last boundary) + (next boundary − start of the new): without both registers
the swap would look like huge negative energy, so a row without them is refused.

The list has the columns of ``COLUMNS`` and, where known, ``OPTIONAL_COLUMNS`` (``historian.listfile``).
``exchanged_at`` is ISO 8601 with an offset, registers are Wh; ``multiplier`` is CT × VT from then on. Other
transformers at the same meter are an exchange too: the new serial is then the old one.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from psycopg.types.json import Jsonb

from historian.connection import Connection, DatabaseLink
from historian.instants import microseconds
from historian.listfile import Undone, listed_rows, whole_number
from historian.queries import query
from scada.model.errors import Fault

COLUMNS = (
    "metering_point",
    "old_serial",
    "end_import_wh",
    "new_serial",
    "start_import_wh",
    "multiplier",
    "digits",
    "exchanged_at",
)
OPTIONAL_COLUMNS = ("model", "ct", "vt")
IMPORT_TOTAL = "1-0:1.8.0"
EXCHANGE_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class ExchangeImport:
    """What became of a list: done + one fault for each line that was not."""

    done: int
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Installation:
    """One meter at a metering point, µs; ``removed_at`` None while it stands there. Registers by OBIS code.

    ct, vt: parts of the multiplier where known · programmes: schedules programmed in it, and since when (µs).
    """

    serial: int
    installed_at: int
    removed_at: int | None
    multiplier: int
    digits: int
    start_registers: Mapping[str, int]
    end_registers: Mapping[str, int]
    model: str = ""
    ct: int | None = None
    vt: int | None = None
    programmes: tuple[tuple[str, int], ...] = ()


def import_exchanges(dsn: str, path: Path, *, dry_run: bool = False) -> ExchangeImport:
    """Read a list of exchanges and carry it out. ``dry_run``: tell the same and change nothing.

    Raises StoreUnavailable, or ConfigurationError when the file cannot be read or lacks columns.
    """
    rows, faults = read_exchanges(path)
    done = 0
    link = DatabaseLink(dsn, application="scada exchanges", limit_s=EXCHANGE_LIMIT_S)
    with link, contextlib.suppress(Undone), link.transaction() as connection:
        for line, row in rows:
            why = _exchange(connection, row)
            if why:
                faults.append(Fault(str(path), f"line {line}", why))
            done += not why
        if dry_run:
            raise Undone
    return ExchangeImport(done, tuple(sorted(faults)))


def installations(dsn: str, metering_point: str) -> tuple[Installation, ...]:
    """Which meters stood at a metering point, oldest first. Raises StoreUnavailable."""
    link = DatabaseLink(dsn, application="scada installations", limit_s=EXCHANGE_LIMIT_S)
    with link, link.transaction() as connection:
        rows = connection.execute(query("installation_history"), {"metering_point": metering_point}).fetchall()
    return tuple(
        Installation(
            serial,
            microseconds(since),
            None if until is None else microseconds(until),
            multiplier,
            digits,
            start,
            end,
            model,
            ct,
            vt,
            tuple((schedule, microseconds(begun)) for schedule, begun in zip(schedules, begins, strict=True)),
        )
        for serial, since, until, multiplier, digits, start, end, model, ct, vt, schedules, begins in rows
    )


def _exchange(connection: Connection, row: Mapping[str, object]) -> str:
    """Carry out one exchange; what is wrong with it, or ''. A refused one leaves nothing behind."""
    there = connection.execute(query("stands_elsewhere"), row).fetchone()
    if there is not None and row["new_serial"] != row["old_serial"]:
        return f"serial {row['new_serial']} stands at {there[0]} at that time"
    removed = connection.execute(query("remove_meter"), row).fetchone()
    if removed is None:
        return f"serial {row['old_serial']} is not installed at {row['metering_point']} before that time"
    connection.execute(query("install_in_place"), {**row, "id": removed[0]})
    return ""


def read_exchanges(path: Path) -> tuple[list[tuple[int, Mapping[str, object]]], list[Fault]]:
    """The usable rows of a list with their lines, and what is wrong with the others.

    Raises ConfigurationError when the file cannot be read or lacks columns.
    """
    usable: list[tuple[int, Mapping[str, object]]] = []
    faults: list[Fault] = []
    for line, text in listed_rows(path, COLUMNS, OPTIONAL_COLUMNS):
        row = _parse(text)
        if isinstance(row, str):
            faults.append(Fault(str(path), f"line {line}", row))
        else:
            usable.append((line, row))
    return usable, faults


def _parse(text: Mapping[str, str]) -> Mapping[str, object] | str:
    numbers: dict[str, int] = {}
    for name, lowest, highest in (
        ("old_serial", 1, 2**63 - 1),
        ("new_serial", 1, 2**63 - 1),
        ("end_import_wh", 0, 10**15),
        ("start_import_wh", 0, 10**15),
        ("multiplier", 1, 2**31 - 1),
        ("digits", 1, 15),
    ):
        if fault := whole_number(text, name, lowest, highest):
            return fault
        numbers[name] = int(text[name])
    ratios = _ratios(text)
    if isinstance(ratios, str):
        return ratios
    try:
        at = datetime.fromisoformat(text["exchanged_at"])
    except ValueError:
        return f"exchanged_at {text['exchanged_at']!r} is no ISO 8601 time"
    if at.tzinfo is None:
        return f"exchanged_at {text['exchanged_at']!r} has no zone"
    return {
        **numbers,
        **ratios,
        "metering_point": text["metering_point"],
        "model": text["model"],
        "at": at,
        "end_registers": Jsonb({IMPORT_TOTAL: numbers["end_import_wh"]}),
        "start_registers": Jsonb({IMPORT_TOTAL: numbers["start_import_wh"]}),
    }


def _ratios(text: Mapping[str, str]) -> Mapping[str, int | None] | str:
    """The two parts of the multiplier where they are known, or what is wrong with them."""
    if not text["ct"] and not text["vt"]:
        return {"ct": None, "vt": None}
    for name in ("ct", "vt"):
        if fault := whole_number(text, name, 1, 2**31 - 1):
            return fault
    if int(text["ct"]) * int(text["vt"]) != int(text["multiplier"]):
        return f"multiplier {text['multiplier']} is not ct {text['ct']} × vt {text['vt']}"
    return {"ct": int(text["ct"]), "vt": int(text["vt"])}
