"""People with real certificates, an order about them, and a door to a network that is only a truth."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from scada.control.authority import AuthorityTable, Grant, Person, Role
from scada.control.interlocking import TopologyInterlocking
from scada.control.jws import LocalSigner, sign
from scada.control.lifecycle import Outcome
from scada.control.orders import OrderFile, load_order
from scada.control.orders_check import OrderCheck
from scada.control.orders_record import Credentials, OrderRecord, Statement, Word, draft, open_record
from scada.control.orders_run import Done
from scada.control.trust import Trust, fingerprint
from scada.control.whatif import LoadFlowWhatIf
from scada.grid.loadflow import LoadFlow
from scada.model.station import Province
from scada.model.switching import Action, ImageView, Operation
from scada.pki import folder
from scada.pki.authority import Identity
from scada.pki.profiles import DISPATCHER, Subject
from tests.fakes_interlocking import Seen, Truth

NOW = 1_790_000_000_000_000
PREPARER, APPROVER, STRANGER = "dispatcher-1", "dispatcher-2", "engineer-1"
ORDER = """\
number = "2026-0042"
purpose = "Tách đường dây S1–S2 (171) để sửa chữa"
prepared_by = "dispatcher-1"

[[step]]
action = "check"
expect = [{ point = "S1/171/171.position", equals = 2 }]

[[step]]
action = "open"
device = "S1/171"

[[step]]
action = "open"
device = "S2/171"
expect = [{ point = "S2/171/voltage_l12", below = 1.0 }]

[[step]]
action = "open"
device = "S1/171-7"

[[step]]
action = "open"
device = "S2/171-7"

[[step]]
action = "close"
device = "S1/171-76"
place = "on_site"
precondition = "Đã treo biển báo"
within_s = 60.0
"""


class People:
    """A certificate authority and three persons of it: two operators everywhere, an engineer of S1."""

    def __init__(self) -> None:
        self.pki = folder.create("http://127.0.0.1:1", NOW - 1_000_000)
        self.signers: dict[str, LocalSigner] = {}
        persons: dict[str, Person] = {}
        for name, role, area in (
            (PREPARER, Role.OPERATOR, "*"),
            (APPROVER, Role.OPERATOR, "*"),
            (STRANGER, Role.ENGINEER, "S1"),
        ):
            identity = self.pki.issue(Subject(name), DISPATCHER, NOW - 1_000_000)
            self.signers[name] = LocalSigner(_p256(identity), (identity.certificate, *identity.chain[:-1]))
            print_ = fingerprint(identity.certificate)
            persons[print_] = Person(name, print_, (Grant(role, (area,)),))
        lists = (self.pki.root, self.pki.people)
        self.credentials = Credentials(
            Trust(
                self.pki.root.certificate,
                (self.pki.people.certificate,),
                tuple(x509.load_der_x509_crl(each.crl(NOW - 1_000_000)) for each in lists),
            ),
            AuthorityTable(1, persons),
        )

    def states(self, word: Word, number: str, digest: str, check: str, by: str, at: int = NOW) -> bytes:
        """A signed statement."""
        return sign(Statement(word, number, digest, check, by, at).payload, self.signers[by])


def _p256(identity: Identity) -> ec.EllipticCurvePrivateKey:
    assert isinstance(identity.key, ec.EllipticCurvePrivateKey)
    return identity.key


@dataclass
class Desk:
    """A door that operates a truth. ``answers`` overrides what becomes of an operation, by its target."""

    truth: Truth
    seen: Seen
    answers: dict[str, Callable[[], Done]] = field(default_factory=dict)
    operated: list[tuple[str, str, int]] = field(default_factory=list)
    paused_s: float = 0.0

    async def operate(self, operation: Operation, order: str, step: int, reason: str) -> Done:
        self.operated.append((str(operation), order, step))
        if operation.target in self.answers:
            return self.answers[operation.target]()
        self.move(operation.target, operation.action)
        return Done(Outcome.COMPLETED, f"{operation.target} is {operation.action}", f"command {step}")

    def move(self, target: str, action: Action) -> None:
        self.truth.move(target, action)
        self.seen.forget()

    async def image(self) -> ImageView:
        return self.seen

    async def pause(self, seconds: float) -> None:
        self.paused_s += seconds


class Office:
    """Everything an order needs, over the given province."""

    def __init__(self, province: Province, root: Path, people: People, load_flow: LoadFlow) -> None:
        self.province = province
        self.root = root
        self.people = people
        self.load_flow = load_flow
        self.rules = TopologyInterlocking(load_flow.topology)
        self.check = OrderCheck(load_flow, self.rules, LoadFlowWhatIf(load_flow))
        self.truth = Truth(province)
        self.desk = Desk(self.truth, Seen(self.truth))
        self.source = root / "draft.toml"

    def written(self, text: str) -> OrderFile:
        """The order of ``text`` as a file only."""
        self.source.write_text(text, encoding="utf-8")
        file = load_order(self.source, self.province, [])
        assert file is not None
        return file

    def drafted(self, text: str = ORDER, by: str = PREPARER) -> OrderRecord:
        """The order of ``text``, signed and open."""
        file = self.written(text)
        document = self.people.states(Word.PREPARED, file.order.number, file.digest, "", by)
        return open_record(
            draft(self.root / "orders", self.source, self.province, document, self.people.credentials, NOW),
            self.province,
        )

    def checked(self, text: str = ORDER) -> OrderRecord:
        """As drafted, and tried on a copy of the network."""
        record = self.drafted(text)
        record.note_check(self.check.simulate(record.order, self.desk.seen, NOW), NOW, NOW)
        return record

    def approval(self, record: OrderRecord, by: str = APPROVER, **changes: str) -> bytes:
        """A signed approval of the record as it stands, but for ``changes``."""
        said = {"number": record.order.number, "digest": record.file.digest, "check": record.status.check} | changes
        return self.people.states(Word.APPROVED, said["number"], said["digest"], said["check"], by)

    def approved(self, text: str = ORDER) -> OrderRecord:
        """As checked, and signed by the other person."""
        record = self.checked(text)
        record.approve(self.approval(record), self.people.credentials, NOW)
        return record
