"""The authority table: which certificate is which person, in which role, for which stations, from which day to which.

Knows roles (IEC 62351-8, 4.4) and what each may do. Does not know certificates beyond their fingerprint, nor what is
asked. The table is a file with a version; whoever changes it counts up, and the journal says from when which held.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Final

from scada.clock import local
from scada.model.errors import Fault
from scada.tables import Faults, bounded, load_table

EVERYWHERE: Final = "*"
ANY_TIME: Final = ("1970-01-01", "9999-12-30")


class Role(StrEnum):
    """Predefined roles of IEC 62351-8, table 2."""

    VIEWER = "VIEWER"
    OPERATOR = "OPERATOR"
    ENGINEER = "ENGINEER"
    INSTALLER = "INSTALLER"
    SECADM = "SECADM"
    SECAUD = "SECAUD"
    RBACMNT = "RBACMNT"


class Right(StrEnum):
    """What the desk lets somebody do."""

    OPERATE = "operate"
    APPROVE = "approve"
    SUPPLY = "switch the supply of meters"
    EMERGENCY = "override the second person in an emergency"
    TAG = "tag"
    CLEAR_TAGS_OF_OTHERS = "remove the tags of others"
    ACKNOWLEDGE = "acknowledge alarms"
    SET_ASIDE = "set a broken part of the journal aside"


RIGHTS: Final[Mapping[Right, frozenset[Role]]] = {
    Right.OPERATE: frozenset({Role.OPERATOR}),
    Right.APPROVE: frozenset({Role.OPERATOR}),
    Right.SUPPLY: frozenset({Role.OPERATOR}),
    Right.EMERGENCY: frozenset({Role.OPERATOR}),
    Right.TAG: frozenset({Role.OPERATOR, Role.ENGINEER}),
    Right.CLEAR_TAGS_OF_OTHERS: frozenset({Role.ENGINEER}),
    Right.ACKNOWLEDGE: frozenset({Role.OPERATOR}),
    Right.SET_ASIDE: frozenset({Role.OPERATOR, Role.SECADM}),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """A role in an area. ``areas`` are station codes, or ``*``; ``since`` and ``until`` local days, both included."""

    role: Role
    areas: tuple[str, ...]
    since: str = ANY_TIME[0]
    until: str = ANY_TIME[1]

    def holds_on(self, day: date) -> bool:
        """Whether it holds on a local day."""
        return date.fromisoformat(self.since) <= day <= date.fromisoformat(self.until)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, or a service. ``certificate`` is the SHA-256 of the DER certificate, 64 hexadecimal digits."""

    name: str
    certificate: str
    grant: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class AuthorityFile:
    """The table as it lies in its file."""

    version: int = bounded(low=1)
    person: tuple[Person, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthorityTable:
    """Who may do what. ``digest`` is the SHA-256 of the file it was read from, ``zone`` where its days are days."""

    version: int
    persons: Mapping[str, Person]
    digest: str = ""
    zone: str = "UTC"

    def person(self, certificate: str) -> Person | None:
        """Whom a certificate (fingerprint) belongs to."""
        return self.persons.get(certificate)

    def why_not(self, person: Person, right: Right, station: str, now: int) -> str:
        """'' when the person has the right there and now, else the sentence that says what is missing."""
        roles = RIGHTS[right]
        suited = [grant for grant in person.grant if grant.role in roles]
        if not suited:
            held = ", ".join(dict.fromkeys(grant.role for grant in person.grant)) or "no role"
            return f"{person.name} has {held}; to {right} takes {' or '.join(sorted(roles))}"
        there = [grant for grant in suited if station in grant.areas or EVERYWHERE in grant.areas]
        if not there:
            areas = ", ".join(dict.fromkeys(area for grant in suited for area in grant.areas))
            return f"{person.name} may {right} in {areas or 'no area'}, not in {station}"
        today = local(now, self.zone).date()
        if not any(grant.holds_on(today) for grant in there):
            return f"{person.name} may {right} in {station} {_periods(there)}, not now"
        return ""


NOBODY: Final = AuthorityTable(0, {})


def load_authority(path: Path, found: list[Fault], zone: str) -> AuthorityTable | None:
    """The table in ``path``, whose days are those of ``zone``, or None with every fault in ``found``."""
    before = len(found)
    table = load_table(AuthorityFile, path, found)
    if table is None:
        return None
    faults = Faults(path.name, found)
    names: set[str] = set()
    persons: dict[str, Person] = {}
    for person in table.person:
        key = f"person {person.name}"
        if person.name in names:
            faults.add(key, "is there twice")
        if len(person.certificate) != 64 or set(person.certificate) - set("0123456789abcdef"):
            faults.add(f"{key}.certificate", "must be the SHA-256 of the certificate, 64 lower-case hexadecimal digits")
        elif person.certificate in persons:
            faults.add(f"{key}.certificate", f"is {persons[person.certificate].name}'s")
        for grant in person.grant:
            _check_period(grant, faults, key)
        names.add(person.name)
        persons[person.certificate] = person
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return AuthorityTable(table.version, persons, digest, zone) if len(found) == before else None


def _check_period(grant: Grant, faults: Faults, key: str) -> None:
    for word, text in (("since", grant.since), ("until", grant.until)):
        try:
            date.fromisoformat(text)
        except ValueError:
            faults.add(f"{key}.{word}", f"{text!r} is no day; write 2026-01-31")
            return
    if date.fromisoformat(grant.since) > date.fromisoformat(grant.until):
        faults.add(f"{key}.until", f"{grant.until} is before {grant.since}")


def _periods(grants: list[Grant]) -> str:
    return " or ".join(f"from {grant.since} to {grant.until}" for grant in grants)
