"""Figures of meter reading: who is configured, who delivers, and the registers at a boundary.

Knows the queries and what each number means. Times are µs since 1970 UTC. Every method raises StoreUnavailable.
"""

import csv
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from historian.connection import DatabaseLink, OnLink
from historian.instants import instant, microseconds
from historian.queries import query
from scada.model.errors import ConfigurationError, Fault

FIGURES_LIMIT_S = 300.0
CUSTOMER_COLUMNS = ("metering_point", "unit", "class")


class Grouping(StrEnum):
    """By what collection is told."""

    UNIT = "unit"
    CLASS = "class"
    CONCENTRATOR = "concentrator"


@dataclass(frozen=True, slots=True)
class Collection:
    """One unit, class or concentrator.

    points: configured in the head-end · delivering: with data in the span · owed, stored: readings expected and there ·
    customers: points the customer system lists, None where it does not know the grouping or has not been asked.
    """

    part: str
    points: int
    delivering: int
    owed: int
    stored: int
    customers: int | None = None

    @property
    def exploitation(self) -> float | None:
        """Tỷ lệ khai thác: points configured in the head-end ÷ points in the customer system."""
        return self.points / self.customers if self.customers else None

    @property
    def collection(self) -> float | None:
        """Tỷ lệ thu thập: points with data ÷ points configured."""
        return self.delivering / self.points if self.points else None

    @property
    def completeness(self) -> float | None:
        """Readings stored ÷ readings expected."""
        return self.stored / self.owed if self.owed else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Registers of one unit at a boundary: meters = exact + nearest + missing. ``farthest_s``: of the nearest."""

    unit: str
    meters: int
    exact: int
    nearest: int
    missing: int
    farthest_s: int


class MeterFigures(OnLink):
    """Answers from one database."""

    def __init__(self, dsn: str, *, application: str = "scada meter figures") -> None:
        self._link = DatabaseLink(dsn, application=application, limit_s=FIGURES_LIMIT_S)

    def collection(self, by: Grouping, since: int, until: int, *, period_s: int) -> tuple[Collection, ...]:
        """Collection in (since, until] by unit, class or concentrator, in order of their names.

        period_s: length of the intervals of meters whose model says nothing of it.
        """
        about = {
            "by": by.value,
            "since": instant(since),
            "until": instant(until),
            "period_s": period_s,
        }
        with self._link.transaction() as connection:
            rows = connection.execute(query("collection_figures"), about).fetchall()
            customers = dict(connection.execute(query("customer_points"), {"by": by.value}).fetchall())
        known = by is not Grouping.CONCENTRATOR and bool(customers)
        return tuple(
            Collection(part, points, delivering, owed, stored, customers.get(part, 0) if known else None)
            for part, points, delivering, owed, stored in rows
        )

    def take_snapshot(self, at: int, tolerance_s: int) -> tuple[int, int]:
        """Keep the registers at a boundary, from readings in force at most ``tolerance_s`` away.

        How many are new, and how many were known otherwise and are revised: nothing is overwritten.
        """
        about = {
            "at": instant(at),
            "earliest": instant(at - tolerance_s * 1_000_000),
            "latest": instant(at + tolerance_s * 1_000_000),
        }
        with self._link.transaction() as connection:
            row = connection.execute(query("take_snapshot"), about).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])

    def snapshot(self, at: int) -> tuple[Snapshot, ...]:
        """What is known of the registers at a boundary, by unit."""
        with self._link.transaction() as connection:
            rows = connection.execute(query("snapshot_figures"), {"at": instant(at)}).fetchall()
        return tuple(Snapshot(*row) for row in rows)

    def snapshots(self, since: int, until: int) -> tuple[int, ...]:
        """Boundaries in [since, until] of which a snapshot is kept."""
        with self._link.transaction() as connection:
            about = {"since": instant(since), "until": instant(until)}
            rows = connection.execute(query("snapshots_in"), about).fetchall()
        return tuple(microseconds(row[0]) for row in rows)

    def list_customers(self, path: Path) -> int:
        """Replace the customer system's list of metering points by a CSV file; how many it has.

        Raises ConfigurationError when the file cannot be used; then the old list stays.
        """
        rows = _customer_rows(path)
        with self._link.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(query("delete_customer_points"))
            with cursor.copy(query("copy_customer_points")) as copy:
                for row in rows:
                    copy.write_row(row)
        return len(rows)


def _customer_rows(path: Path) -> list[tuple[str, ...]]:
    faults: list[Fault] = []
    rows: list[tuple[str, ...]] = []
    seen: set[str] = set()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in CUSTOMER_COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise ConfigurationError([Fault(str(path), name, "the column is missing") for name in missing])
            for line, row in enumerate(reader, start=2):
                values = tuple((row[name] or "").strip() for name in CUSTOMER_COLUMNS)
                if not all(values):
                    faults.append(Fault(str(path), f"line {line}", "a field is empty"))
                elif values[0] in seen:
                    faults.append(Fault(str(path), f"line {line}", f"metering point {values[0]} stands twice"))
                seen.add(values[0])
                rows.append(values)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError([Fault(str(path), "", f"cannot be read: {error}")]) from error
    if faults:
        raise ConfigurationError(faults)
    return rows
