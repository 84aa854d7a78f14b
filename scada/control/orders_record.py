"""The record of a switching order: everything that happened to it, in a hash chain, and whose signature allows what.

Knows statements, entries and what state they add up to. Does not know how steps are carried out. A folder per order:
``order.toml`` as it was drafted, ``record.jsonl`` the chain. Kept as long as the folder is.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from scada.control.authority import AuthorityTable, Person, Right
from scada.control.gate import LONGEST_LIFE_US
from scada.control.jws import NotSigned, is_valid, read
from scada.control.orders import OrderEvent, OrderFile, OrderState, SwitchingOrder, following, load_order
from scada.control.orders_verdict import OrderVerdict
from scada.control.trust import Trust, fingerprint
from scada.hashchain import GENESIS, Entry, HashChain, entries, verify
from scada.model.errors import ConfigurationError, Fault, GridScadaError
from scada.model.station import Province

ORDER_FILE: Final = "order.toml"
RECORD_FILE: Final = "record.jsonl"


class OrderRefused(GridScadaError):
    """What was asked of an order is not allowed; the message says why."""


class Word(StrEnum):
    """What a person states about an order."""

    PREPARED = "prepared"
    APPROVED = "approved"


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed: this word, on this file to the byte (``digest``), knowing this check ('' when prepared)."""

    word: Word
    number: str
    digest: str
    check: str
    by: str
    at: int

    @property
    def payload(self) -> bytes:
        """The bytes that are signed."""
        return msgspec.json.encode(self)


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What became of one step. ``outcome`` is '' while it is under way."""

    number: int
    begun: int
    ended: int = 0
    outcome: str = ""
    sentence: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """What the entries add up to. Times are µs UTC, 0 for what did not happen."""

    state: OrderState | None = None
    digest: str = ""
    prepared_by: str = ""
    prepared_at: int = 0
    check: str = ""
    checked_at: int = 0
    verdicts: tuple[Mapping[str, Any], ...] = ()
    approved_by: str = ""
    approved_at: int = 0
    executed_by: str = ""
    steps: tuple[StepRecord, ...] = ()
    ended_at: int = 0
    reason: str = ""

    @property
    def under_way(self) -> StepRecord | None:
        """The step that was begun and has no outcome."""
        return self.steps[-1] if self.steps and not self.steps[-1].outcome else None


def status_of(chain: Iterable[Entry]) -> OrderStatus:
    """The state after ``chain``. Raises OrderRefused for an entry that may not stand there."""
    status = OrderStatus()
    for entry in chain:
        status = _after(status, entry)
    return status


def _after(status: OrderStatus, entry: Entry) -> OrderStatus:
    event, body = OrderEvent(entry.kind), entry.body or {}
    state = following(status.state, event)
    if state is None:
        raise OrderRefused(f"an order that is {status.state or 'new'} cannot {event}")
    status = replace(status, state=state)
    match event:
        case OrderEvent.DRAFT:
            return replace(status, digest=body["digest"], prepared_by=body["by"], prepared_at=entry.time)
        case OrderEvent.PASS | OrderEvent.FAIL:
            check = entry.hash if event is OrderEvent.PASS else ""
            return replace(status, check=check, checked_at=entry.time, verdicts=tuple(body["steps"]))
        case OrderEvent.APPROVE:
            return replace(status, approved_by=body["by"], approved_at=entry.time)
        case OrderEvent.BEGIN:
            return replace(status, executed_by=body["by"])
        case OrderEvent.STEP:
            return replace(status, steps=(*status.steps, StepRecord(body["number"], entry.time)))
        case OrderEvent.STEP_DONE:
            done = replace(
                status.steps[-1],
                ended=entry.time,
                outcome=body["outcome"],
                sentence=body["sentence"],
                command=body["command"],
            )
            return replace(status, steps=(*status.steps[:-1], done))
        case OrderEvent.COMPLETE | OrderEvent.STOP:
            return replace(status, ended_at=entry.time, reason=body.get("reason", ""))


@dataclass(slots=True)
class OrderRecord:
    """One order's folder, open for writing; a second writer is refused (ChainError). ``status`` is kept up to date."""

    folder: Path
    file: OrderFile
    chain: HashChain
    status: OrderStatus = field(default_factory=OrderStatus)

    @property
    def order(self) -> SwitchingOrder:
        """The order as written."""
        return self.file.order

    def add(self, event: OrderEvent, body: Mapping[str, Any], now: int) -> None:
        """Write an entry; it is on the disk when this returns. Raises OrderRefused when the state does not allow it."""
        if following(self.status.state, event) is None:
            raise OrderRefused(f"order {self.order.number} is {self.status.state or 'new'}: it cannot {event} now")
        self.status = _after(self.status, self.chain.append(event, body, now))

    def note_check(self, verdict: OrderVerdict, image_time: int, now: int) -> None:
        """Write what the simulation found; ``image_time`` is 0 when it began from the normal switching state."""
        steps = [each.report() for each in verdict.steps]
        event = OrderEvent.PASS if verdict.passed else OrderEvent.FAIL
        self.add(event, {"digest": self.file.digest, "image_time": image_time, "steps": steps}, now)

    def approve(self, document: bytes, credentials: "Credentials", now: int) -> str:
        """Take the approval, a signed ``Statement``; the approver's name. Raises OrderRefused."""
        wanted = (Word.APPROVED, self.order.number, self.file.digest, self.status.check)
        if self.status.state is not OrderState.CHECKED:
            raise OrderRefused(f"order {self.order.number} is {self.status.state}: only a checked order is approved")
        person, statement = credentials.verified(document, now)
        if (statement.word, statement.number, statement.digest, statement.check) != wanted:
            raise OrderRefused("the signature approves something else than this order as it was checked")
        if person.name == self.status.prepared_by:
            raise OrderRefused(f"{person.name} prepared the order; another person must approve it")
        credentials.demand(person, Right.APPROVE, self.order.stations, now)
        self.add(OrderEvent.APPROVE, {"by": person.name, "document": document.decode()}, now)
        return person.name

    def close(self) -> None:
        """Give the chain back."""
        self.chain.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whom to trust and who is who, as the control desk has it."""

    trust: Trust | None
    table: AuthorityTable

    def verified(self, document: bytes, now: int) -> tuple[Person, Statement]:
        """Who signed which statement: intact, valid, trusted, known, fresh. Raises OrderRefused."""
        try:
            signed = read(document)
            statement = msgspec.json.decode(signed.payload, type=Statement)
        except (NotSigned, msgspec.MsgspecError) as error:
            raise OrderRefused(f"it is no signed statement about an order: {error}") from None
        signature = signed.signatures[0]
        if len(signed.signatures) != 1 or not is_valid(signed.payload, signature):
            raise OrderRefused("the signature does not fit the statement: a byte was changed, or another key signed")
        if self.trust is None:
            raise OrderRefused("no authority is trusted here: nobody may sign orders")
        if why := self.trust.why_not(signature.chain, now):
            raise OrderRefused(why)
        person = self.table.person(fingerprint(signature.certificate))
        if person is None:
            name = signature.certificate.subject.rfc4514_string()
            raise OrderRefused(f"{name} is not in the authority table")
        if person.name != statement.by:
            raise OrderRefused(f"the statement says {statement.by}, the signature is {person.name}'s")
        if not -LONGEST_LIFE_US <= now - statement.at <= LONGEST_LIFE_US:
            raise OrderRefused("the statement is not of now: it was signed more than ten minutes from our clock")
        return person, statement

    def demand(self, person: Person, right: Right, stations: Sequence[str], now: int) -> None:
        """Raises OrderRefused unless the person has the right in all stations."""
        for station in stations:
            if why := self.table.why_not(person, right, station, now):
                raise OrderRefused(why)


def draft(root: Path, source: Path, province: Province, document: bytes, credentials: Credentials, now: int) -> Path:
    """Take a new order into ``root``: its folder. ``document`` is the preparer's signed statement.

    Raises ConfigurationError with every fault of the file, OrderRefused for a number used before or a wrong signature.
    """
    file = _loaded(source, province)
    person, statement = credentials.verified(document, now)
    if (statement.word, statement.number, statement.digest) != (Word.PREPARED, file.order.number, file.digest):
        raise OrderRefused("the signature is not about this file")
    if person.name != file.order.prepared_by:
        raise OrderRefused(f"the file says it was prepared by {file.order.prepared_by}, signed it was by {person.name}")
    credentials.demand(person, Right.OPERATE, file.order.stations, now)
    folder = root / file.order.number
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise OrderRefused(f"there is an order {file.order.number} already") from None
    shutil.copyfile(source, folder / ORDER_FILE)
    with HashChain(folder / RECORD_FILE) as chain:
        body = {"digest": file.digest, "by": person.name, "document": document.decode()}
        chain.append(OrderEvent.DRAFT, body, now)
    return folder


def open_record(folder: Path, province: Province) -> OrderRecord:
    """The order in ``folder``, for writing.

    Raises OrderRefused when there is none or its file was changed after it was drafted, ChainError when the record is
    broken or being written elsewhere.
    """
    if not (folder / RECORD_FILE).exists():
        raise OrderRefused(f"there is no order {folder.name}")
    file = _loaded(folder / ORDER_FILE, province)
    chain = HashChain(folder / RECORD_FILE)
    record = OrderRecord(folder, file, chain, status_of(entries(folder / RECORD_FILE)))
    if record.status.digest != file.digest:
        chain.close()
        raise OrderRefused(f"the file of order {folder.name} was changed after it was drafted")
    return record


def read_record(folder: Path) -> OrderStatus:
    """How far an order is, for looking only. Raises OrderRefused when there is none or its chain is broken."""
    path = folder / RECORD_FILE
    if not path.exists():
        raise OrderRefused(f"there is no order {folder.name}")
    verdict = verify(path)
    if not verdict.intact or verdict.head == GENESIS:
        raise OrderRefused(f"the record of order {folder.name} is broken: {verdict.broken or 'it is empty'}")
    return status_of(entries(path))


def _loaded(path: Path, province: Province) -> OrderFile:
    found: list[Fault] = []
    file = load_order(path, province, found)
    if file is None:
        raise ConfigurationError(found)
    return file
