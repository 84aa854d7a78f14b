"""Counts working days in Vietnam. The days of rest are data (``holidays.toml``); a year that is missing or not
confirmed makes a deadline provisional, which is shown, never hidden. Pure but for reading that file once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from importlib.resources import as_file, files

from scada.model.errors import Fault
from scada.tables import load_table, refuse_faults

INDOCHINA = timezone(timedelta(hours=7), "+07")
"""Vietnam keeps UTC+7 all year."""

SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Year:
    """One year's days of rest on weekdays, and the Saturdays or Sundays worked in exchange."""

    year: int
    confirmed: bool
    rest: tuple[str, ...] = ()
    work: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """The file."""

    year: tuple[Year, ...] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Days that are not as their weekday says."""

    rest: frozenset[date]
    work: frozenset[date]
    confirmed: Mapping[int, bool]

    def is_working_day(self, day: date) -> bool:
        """True on weekdays that are no holiday, and on days worked in exchange."""
        return day in self.work or (day.weekday() < SATURDAY and day not in self.rest)


@dataclass(frozen=True, slots=True)
class Deadline:
    """The last day, and whether a year on the way is not confirmed."""

    day: date
    provisional: bool

    def passed(self, now: int) -> bool:
        """True when that day is over in Vietnam."""
        return local_day(now) > self.day


def utc(time: int) -> datetime:
    """Aware UTC time of ``time`` (µs since 1970 UTC)."""
    return datetime.fromtimestamp(time / 1e6, UTC)


def local_day(time: int) -> date:
    """The date in Vietnam at ``time`` (µs since 1970 UTC)."""
    return utc(time).astimezone(INDOCHINA).date()


def deadline(calendar: Calendar, start: int, working_days: int) -> Deadline:
    """The n-th working day after the day of ``start``, which itself does not count."""
    day, left, provisional = local_day(start), working_days, False
    while left > 0:
        day += timedelta(days=1)
        provisional = provisional or not calendar.confirmed.get(day.year, False)
        left -= calendar.is_working_day(day)
    return Deadline(day, provisional)


def working_days_left(calendar: Calendar, now: int, until: date) -> int:
    """Working days from tomorrow to ``until``; negative when it has passed."""
    today = local_day(now)
    sign, first, last = (1, today, until) if until >= today else (-1, until, today)
    days = (first + timedelta(days=n) for n in range(1, (last - first).days + 1))
    return sign * sum(calendar.is_working_day(day) for day in days)


def calendar_of(table: Table) -> Calendar:
    """The file's days as sets. Raises ValueError at what is no date."""
    return Calendar(
        rest=frozenset(date.fromisoformat(day) for year in table.year for day in year.rest),
        work=frozenset(date.fromisoformat(day) for year in table.year for day in year.work),
        confirmed={year.year: year.confirmed for year in table.year},
    )


@cache
def vietnam() -> Calendar:
    """The calendar that comes with the product. Raises ConfigurationError."""
    found: list[Fault] = []
    with as_file(files("scada.contracts") / "holidays.toml") as path:
        table = load_table(Table, path, found)
    refuse_faults(found)
    assert table is not None
    return calendar_of(table)
