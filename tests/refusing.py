"""Orders that must not be carried out: how one is tried, what must come of it, and the table of the reasons."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from scada.control.journal import public_key
from scada.control.proof import verify_journal
from scada.hmi.deskwords import told
from scada.model.addcause import AddCause
from tests.fakes_control import Rig

Answer = dict[str, Any]
Attempt = Callable[[Rig], Awaitable[Answer]]


@dataclass(frozen=True)
class Case:
    """One attempt and what must come of it; ``orders``: frames that reach the simulator as orders."""

    name: str
    attempt: Attempt
    cause: AddCause
    words: str
    outcome: str = "refused"
    orders: int = 0


@dataclass
class Refusals:
    """The attempts of one module; ``case`` marks a function as one."""

    cases: list[Case] = field(default_factory=list)

    def case(
        self, name: str, cause: AddCause, words: str, *, outcome: str = "refused", orders: int = 0
    ) -> Callable[[Attempt], Attempt]:
        def add(attempt: Attempt) -> Attempt:
            self.cases.append(Case(name, attempt, cause, words, outcome, orders))
            return attempt

        return add


@contextmanager
def printed_table(title: str) -> Iterator[Table]:
    """A table that is printed at the end."""
    table = Table("attempt", "outcome", "cause", "sentence", "orders", title=title)
    yield table
    Console(width=200).print(table)


async def judged(rig: Rig, shown: Table, attempt: Case) -> None:
    """Try it: outcome, cause and sentence are right and journaled, and no frame left that should not."""
    before, journal = rig.orders(), len(rig.journal_text())

    report = await attempt.attempt(rig)

    refusal = report["refusals"][0]
    cause = f"{refusal['cause']} {refusal['label']}"
    shown.add_row(attempt.name, report["outcome"], cause, refusal["sentence"], str(rig.orders() - before))
    assert (report["outcome"], AddCause(refusal["cause"])) == (attempt.outcome, attempt.cause), refusal["sentence"]
    assert attempt.words in refusal["sentence"]
    assert told(refusal["sentence"], "vi") != refusal["sentence"], "a dispatcher reads it in Vietnamese"
    assert rig.orders() - before == attempt.orders
    assert refusal["sentence"] in rig.journal_text()[journal:].replace("\\'", "'")
    assert verify_journal(rig.folder, public_key(rig.folder / "journal.pub")).broken == ""
