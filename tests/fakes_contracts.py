"""What the tests of contracts share: a local authority with real HTTP doors and an injected clock, sample parties,
a contract store in memory. Every name is a sample."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from asn1crypto import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scada.contracts.keys import key_file
from scada.contracts.request import fold
from scada.contracts.trust import Trust
from scada.model.contract import Action, ContractEvent, ContractRecord, Customer, State, Supply
from scada.model.errors import StoreRejected, StoreUnavailable
from scada.pki import folder, servers
from scada.pki.authority import Identity
from scada.pki.folder import LocalPki
from scada.pki.profiles import SIGNER, Subject
from scada.pki.servers import Doors

NOW = 1_790_000_000_000_000
"""2026-09-21 in Vietnam."""

BUYER = Customer("Khách hàng mẫu 01", "CCCD:001000000001", "Số 1, phường Mẫu, Thái Nguyên", "0208 000 0001")
SELLER = Customer("Công ty Điện lực mẫu", "MST:0000000000", "Thái Nguyên")
SUPPLY = Supply("TEST-0001", "Số 1, phường Mẫu, Thái Nguyên", "residential")
PASSPHRASE = "sample"


@dataclass(slots=True)
class TestClock:
    """A clock that stands still until told otherwise."""

    __test__ = False
    time: int = NOW

    def __call__(self) -> int:
        return self.time


@dataclass(slots=True)
class World:
    """The authority, its doors (which a test may break) and the clock they and we share."""

    pki: LocalPki
    doors: Doors
    clock: TestClock
    trust: Trust
    time_stampers: tuple[Identity, dict[str, Identity]]

    def person(self, customer: Customer = BUYER, **options: int) -> Identity:
        """A signing certificate that names the customer."""
        return self.pki.issue(Subject(customer.name, customer.identity), SIGNER, self.clock(), **options)

    def reset(self) -> None:
        """Honest doors, and the clock back."""
        honest = servers.doors(self.pki)
        self.doors.crl, self.doors.ocsp, self.doors.tsa = honest.crl, honest.ocsp, honest.tsa
        self.clock.time = NOW
        self.pki.time_stamper, self.pki.responders = self.time_stampers


@contextmanager
def world() -> Iterator[World]:
    """A whole local trust world on loopback, while the block lasts."""
    listener = servers.listening_socket()
    clock = TestClock()
    pki = folder.create(servers.base_url(listener), clock())
    doors = servers.doors(pki)
    trust = Trust(
        roots=(asn1(pki.root.identity),),
        intermediates=(asn1(pki.people.identity), asn1(pki.time.identity)),
        tsa_url=f"{pki.base_url}/tsa",
        fetch_limit_s=20.0,
    )
    with servers.served(servers.application(pki, doors, clock), listener):
        yield World(pki, doors, clock, trust, (pki.time_stamper, pki.responders))


def asn1(identity: Identity) -> x509.Certificate:
    """The certificate as pyHanko wants it."""
    return x509.Certificate.load(identity.certificate.public_bytes(Encoding.DER))


def signer_of(identity: Identity) -> object:
    """A signer through the door a counter uses: a PKCS#12 file."""
    return key_file(identity.pkcs12(PASSPHRASE), PASSPHRASE)


def application(number: str = "HD-2026-000001", customer: Customer = BUYER, supply: Supply = SUPPLY) -> ContractEvent:
    """The first event of a request."""
    details = {"kind": "new", "customer": as_dict(customer), "supply": as_dict(supply)}
    return ContractEvent(number, 1, NOW, "sample clerk", Action.APPLY, "", details)


def as_dict(value: object) -> dict[str, object]:
    """A slotted dataclass as plain values."""
    return {name: getattr(value, name) for name in value.__slots__}  # type: ignore[attr-defined]  # slotted dataclasses only


def request_of(event: ContractEvent | None = None) -> object:
    """The request after its application."""
    return fold([event or application()])


@dataclass
class MemoryContractStore:
    """Satisfies ContractStore; ``installed`` are metering points with a meter, ``meters`` their serial numbers."""

    numbers: int = 0
    stored: dict[str, list[ContractEvent]] = field(default_factory=dict)
    rows: dict[str, ContractRecord] = field(default_factory=dict)
    installed: set[str] = field(default_factory=set)
    meters: dict[int, str] = field(default_factory=dict)
    before_append: Callable[[], None] = lambda: None
    unavailable: bool = False

    def next_number(self) -> int:
        self.numbers += 1
        return self.numbers

    def append(self, steps: Sequence[tuple[ContractEvent, ContractRecord]]) -> bool:
        self.before_append()
        for event, _ in steps:
            if event.sequence != len(self.stored.get(event.request, ())) + 1:
                return False
        rows = self.rows | {record.request: record for _, record in steps}
        _refuse_overlap(list(rows.values()))
        self.rows = rows
        for event, _ in steps:
            self.stored.setdefault(event.request, []).append(event)
        return True

    def forget(self, request: str) -> None:
        """No store does this; a bench that watches memory needs it."""
        del self.stored[request], self.rows[request]

    def events(self, request: str) -> Sequence[ContractEvent]:
        return tuple(self.stored.get(request, ()))

    def records(self, states: Sequence[State] = ()) -> Sequence[ContractRecord]:
        if self.unavailable:
            raise StoreUnavailable("sample outage")
        return tuple(row for row in self.rows.values() if not states or row.state in states)

    def counts(self) -> Mapping[State, int]:
        return Counter(row.state for row in self.rows.values())

    def valid_contract(self, metering_point: str, at: int) -> ContractRecord | None:
        for row in self.rows.values():
            if row.metering_point == metering_point and _holds(row, at):
                return row
        return None

    def points_without_contract(self, at: int) -> Sequence[str]:
        return sorted(point for point in self.installed if self.valid_contract(point, at) is None)

    def metering_point_of(self, serial: int, at: int) -> str | None:
        return self.meters.get(serial)

    def contracts_without_meter(self, at: int) -> Sequence[ContractRecord]:
        held = [row for row in self.rows.values() if _holds(row, at)]
        return tuple(row for row in held if self.meters.get(row.meter_serial or 0) != row.metering_point)


def _holds(row: ContractRecord, at: int) -> bool:
    return row.valid_from is not None and row.valid_from <= at and (row.valid_to is None or at < row.valid_to)


def _refuse_overlap(rows: list[ContractRecord]) -> None:
    held = [row for row in rows if row.valid_from is not None]
    for index, one in enumerate(held):
        for other in held[index + 1 :]:
            if one.metering_point == other.metering_point and _overlap(one, other):
                raise StoreRejected("two contracts would hold for one metering point")


def _overlap(one: ContractRecord, other: ContractRecord) -> bool:
    endless = 2**63
    assert one.valid_from is not None
    assert other.valid_from is not None
    return one.valid_from < (other.valid_to or endless) and other.valid_from < (one.valid_to or endless)
