"""What is known of billing registers: the first value of each, its revisions, and when each became known.

Knows the query. Which register is which rate is the meter model's map, handed out with every register. Changes nothing;
a role that may only read suffices.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from historian.connection import DatabaseLink, OnLink
from historian.instants import instant, microseconds
from historian.queries import query
from scada.model.reading import RegisterKind

REGISTERS_LIMIT_S = 120.0
MAX_TIME = 4_102_444_800_000_000
"""2100-01-01 UTC: beyond everything the tables accept."""


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose registers: those of one meter, of all meters that stood at a metering point, or of a unit."""

    serial: int | None = None
    metering_point: str | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class KnownRegister:
    """One value of a register. Times in µs UTC; ``time`` is the boundary, ``taken_at`` when the meter counted it.

    obis: number of the register · value: its base unit, before the multiplier · in_force: no later value was known ·
    source: of a revision, '' of the first value · rates: OBIS code to the name of the rate, as the meter's model says.
    """

    metering_point: str
    serial: int
    multiplier: int
    rates: Mapping[str, str]
    time: int
    taken_at: int
    known_at: int
    obis: int
    kind: RegisterKind
    value: int
    status: int
    flag: int
    method: int
    source: str
    in_force: bool


class RegisterHistory(OnLink):
    """Answers from one database. Every method raises StoreUnavailable."""

    def __init__(self, dsn: str, *, asker: str = "scada meters registers") -> None:
        self._link = DatabaseLink(dsn, application=asker, limit_s=REGISTERS_LIMIT_S)

    def registers(
        self,
        whose: Whose,
        *,
        between: tuple[int, int] | None = None,
        as_of: int = MAX_TIME,
        revisions: bool = False,
        limit: int = 1_000_000,
    ) -> tuple[KnownRegister, ...]:
        """Registers as they were known at ``as_of``, by metering point, boundary and register.

        between: boundaries in [first, last), else each meter's newest · revisions: what is no longer in force too.
        """
        first, last = between or (None, None)
        about = {
            "serial": whose.serial,
            "metering_point": whose.metering_point,
            "unit": whose.unit,
            "first": None if first is None else instant(first),
            "last": None if last is None else instant(last),
            "as_of": instant(as_of),
            "revisions": revisions,
            "limit": limit,
        }
        with self._link.transaction() as connection:
            connection.execute(query("look_up_plainly"))
            rows = connection.execute(query("known_registers"), about).fetchall()
        return tuple(map(_known, rows))


def _known(row: tuple[Any, ...]) -> KnownRegister:
    return KnownRegister(*[*row[:4], *map(microseconds, row[4:7]), row[7], RegisterKind(row[8]), *row[9:]])
