"""Counts working days in Vietnam. Days of rest are data (``holidays.toml``), each with the decision it comes from; a
deadline that relied on an occasion without one says which, and is provisional. Pure but for reading that file once."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

from scada.model.errors import ConfigurationError, Fault
from scada.tables import load_table, refuse_faults

INDOCHINA = timezone(timedelta(hours=7), "+07")
"""Vietnam keeps UTC+7 all year."""

SATURDAY = 5

NEAR = timedelta(days=10)
"""How far from its occasion a working day is exchanged: 22 August 2026 for the 31st was nine days."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """Days of rest on weekdays, the Saturdays or Sundays worked in exchange, and the decision; '' = not confirmed."""

    name: str
    rest: tuple[str, ...] = ()
    work: tuple[str, ...] = ()
    source: str = ""

    def near(self, first: date, last: date) -> bool:
        """True when it may still change what [first, last] counts."""
        days = [date.fromisoformat(day) for day in (*self.rest, *self.work)]
        return bool(days) and min(days) - NEAR <= last and first <= max(days) + NEAR


@dataclass(frozen=True, slots=True)
class Table:
    """The file."""

    years: tuple[int, ...] = ()
    occasion: tuple[Occasion, ...] = ()


@dataclass(frozen=True, slots=True)
class Calendar:
    """Days that are not as their weekday says, and what is not known for certain."""

    rest: frozenset[date]
    work: frozenset[date]
    years: frozenset[int]
    unconfirmed: tuple[Occasion, ...] = ()

    def is_working_day(self, day: date) -> bool:
        """True on weekdays that are no holiday, and on days worked in exchange."""
        return day in self.work or (day.weekday() < SATURDAY and day not in self.rest)

    def doubts(self, first: date, last: date) -> tuple[str, ...]:
        """What a count over [first, last] relies on without a decision: occasions, and years that are not listed."""
        occasions = (each.name for each in self.unconfirmed if each.near(first, last))
        years = (str(year) for year in range(first.year, last.year + 1) if year not in self.years)
        return (*occasions, *years)


@dataclass(frozen=True, slots=True)
class Deadline:
    """The last day, and the occasions and years on the way that are not confirmed."""

    day: date
    unconfirmed: tuple[str, ...] = ()

    @property
    def provisional(self) -> bool:
        """True when a later decision may move it."""
        return bool(self.unconfirmed)

    def __str__(self) -> str:
        doubts = f" (provisional: {', '.join(self.unconfirmed)} not confirmed)" if self.unconfirmed else ""
        return f"{self.day}{doubts}"


def utc(time: int) -> datetime:
    """Aware UTC time of ``time`` (µs since 1970 UTC)."""
    return datetime.fromtimestamp(time / 1e6, UTC)


def local_day(time: int) -> date:
    """The date in Vietnam at ``time`` (µs since 1970 UTC)."""
    return utc(time).astimezone(INDOCHINA).date()


def deadline(calendar: Calendar, start: int, working_days: int) -> Deadline:
    """The n-th working day after the day of ``start``, which itself does not count."""
    first = day = local_day(start)
    left = working_days
    while left > 0:
        day += timedelta(days=1)
        left -= calendar.is_working_day(day)
    return Deadline(day, calendar.doubts(first + timedelta(days=1), day))


def working_days_left(calendar: Calendar, now: int, until: date) -> int:
    """Working days from tomorrow to ``until``; negative when it has passed."""
    today = local_day(now)
    sign, first, last = (1, today, until) if until >= today else (-1, until, today)
    days = (first + timedelta(days=n) for n in range(1, (last - first).days + 1))
    return sign * sum(calendar.is_working_day(day) for day in days)


def calendar_of(table: Table) -> Calendar:
    """The file's days as sets. Raises ValueError at what is no date."""
    return Calendar(
        rest=frozenset(date.fromisoformat(day) for each in table.occasion for day in each.rest),
        work=frozenset(date.fromisoformat(day) for each in table.occasion for day in each.work),
        years=frozenset(table.years),
        unconfirmed=tuple(each for each in table.occasion if not each.source),
    )


def load_calendar(path: Path) -> Calendar:
    """The calendar in a file. Raises ConfigurationError with every fault."""
    found: list[Fault] = []
    table = load_table(Table, path, found)
    refuse_faults(found)
    assert table is not None
    try:
        return calendar_of(table)
    except ValueError as error:
        raise ConfigurationError([Fault(path.name, "occasion", str(error))]) from error


@cache
def vietnam() -> Calendar:
    """The calendar that comes with the product. Raises ConfigurationError."""
    with as_file(files("scada.contracts") / "holidays.toml") as path:
        return load_calendar(path)
