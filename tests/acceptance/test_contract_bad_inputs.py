"""Every bad file a buyer may bring is refused with its reason, and poppler's ``pdfsig`` judges the same files.

Prints two tables (``pytest -s``): the reasons, and where the two verifiers differ and why.
"""

import logging
import re
import subprocess
import unicodedata
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from rich.console import Console
from rich.table import Table

from scada.contracts import signing
from scada.contracts.layout import BUYER as BUYER_BOX
from scada.contracts.layout import SELLER as SELLER_BOX
from scada.contracts.reasons import WAITS, NotAccepted, Reason
from scada.contracts.signing import Level, Signing
from scada.contracts.trust import CheckedTimeStamper, holder_findings
from scada.contracts.upload import upload_findings
from scada.contracts.verdict import Outcome
from scada.contracts.verify import verify
from scada.pki import ocsp, servers, tsa
from scada.pki.profiles import DAY_US
from scada.pki.servers import Answer
from tests import fakes_contract_files as files
from tests.fakes_contract_files import Bench
from tests.fakes_contracts import BUYER, NOW, SELLER, World, asn1, signer_of, world

pytestmark = [pytest.mark.integration, pytest.mark.acceptance]

LIMIT = 8 * 2**20
Maker = Callable[[Bench], Awaitable[bytes]]


@pytest.fixture(autouse=True)
def quiet() -> None:
    """The signing library logs every finding with its trace."""
    for name in ("pyhanko", "pyhanko_certvalidator"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@pytest.fixture(scope="module")
def made() -> Iterator[Bench]:
    with world() as around:
        yield files.bench(around)


@pytest.fixture
def here(made: Bench) -> Bench:
    made.world.reset()
    return made


async def _weak(made: Bench) -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    signer = signer_of(made.world.person(key=key))  # type: ignore[arg-type]  # options pass through
    signer.prefer_pss = False  # type: ignore[attr-defined]  # a pyHanko signer
    return await files.plain(made.prepared, signer)  # type: ignore[arg-type]  # a pyHanko signer


async def _rsa_pss(made: Bench) -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    return await files.plain(made.prepared, signer_of(made.world.person(key=key)))  # type: ignore[arg-type]  # as above


UPLOADS: list[tuple[str, Maker, set[Reason]]] = [
    ("honest signature, ECDSA", files.honest, set()),
    ("honest signature, RSA-PSS", _rsa_pss, set()),
    ("unsigned", files.unsigned, {Reason.NO_SIGNATURE}),
    ("another document", files.another_document, {Reason.OTHER_DOCUMENT}),
    ("edited, then signed", files.edited_then_signed, {Reason.EDITED}),
    ("edited inside the signing revision", files.edited_in_the_signing_revision, {Reason.EDITED}),
    ("rewritten by another program", files.rewritten, {Reason.EDITED, Reason.OTHER_DOCUMENT}),
    ("signed in the seller's field", files.sellers_field, {Reason.WRONG_FIELD}),
    ("signed twice", files.signed_twice, {Reason.SIGNED_TWICE}),
    ("encrypted", files.encrypted, {Reason.ENCRYPTED}),
    ("200 MB", files.huge, {Reason.TOO_LARGE}),
    ("not a PDF", files.no_pdf, {Reason.NOT_PDF}),
    ("truncated", files.truncated, {Reason.NOT_PDF}),
    ("certificate expired", files.expired, {Reason.CERTIFICATE_EXPIRED}),
    ("certificate revoked", files.revoked, {Reason.CERTIFICATE_REVOKED}),
    ("certificate not yet valid", files.not_yet_valid, {Reason.CERTIFICATE_NOT_YET_VALID}),
    ("certificate self-signed", files.own_certificate, {Reason.CERTIFICATE_SELF_SIGNED}),
    ("certificate of a foreign authority", files.foreign_authority, {Reason.CERTIFICATE_UNTRUSTED}),
    ("certificate for another usage", files.wrong_usage, {Reason.CERTIFICATE_WRONG_USAGE}),
    ("another identity number", files.another_identity, {Reason.IDENTITY_DIFFERS}),
    ("another name", files.another_name, {Reason.NAME_DIFFERS}),
    ("updated after signing", files.updated_after_signing, {Reason.CHANGED_AFTER_SIGNING}),
    ("hidden layers before signing", files.layers_before_signing, {Reason.HIDDEN_CONTENT}),
    ("hidden layers swapped after signing", files.layers_after_signing, {Reason.HIDDEN_CONTENT}),
    ("one bit of the page changed", files.flipped_byte, {Reason.NOT_INTACT, Reason.EDITED}),
    ("one bit of the signature changed", files.flipped_signature, {Reason.NOT_VALID}),
    ("signature not PAdES", files.not_pades, {Reason.NOT_PADES}),
    ("RSA with PKCS#1 v1.5", _weak, {Reason.WEAK_ALGORITHM}),
    ("locked against the seller", files.locked, {Reason.LOCKED}),
]


async def test_every_bad_upload_is_refused_with_its_reason(here: Bench) -> None:
    table = Table("upload", "findings", title="What the desk says to a file the buyer brings")
    wrong = []
    for name, make, expected in UPLOADS:
        content = await make(here)
        found = await upload_findings(content, here.prepared, BUYER, here.world.trust, NOW, LIMIT)
        reasons = {finding.reason for finding in found}
        table.add_row(name, "\n".join(str(finding) for finding in found) or "accepted")
        if not (reasons & expected if expected else not reasons):
            wrong.append((name, reasons))
    Console(width=160).print(table)
    assert wrong == []


CLOSED = [
    ("OCSP unreachable, list reachable", "ocsp", set()),
    ("every answer takes 40 seconds", "slow", set()),
    ("OCSP and list unreachable", "ocsp+crl", {Reason.REVOCATION_UNKNOWN}),
    ("OCSP answers for another certificate", "other", {Reason.REVOCATION_UNKNOWN}),
    ("time-stamping authority down", "tsa", {Reason.TSA_DOWN}),
    ("time-stamping authority an hour late", "late", {Reason.TSA_WRONG_TIME}),
    ("time-stamping authority answers nonsense", "nonsense", {Reason.TSA_REFUSED}),
    ("time-stamp by an untrusted key", "foreign", {Reason.TSA_REFUSED}),
]


async def test_when_a_service_fails_nothing_is_signed_and_the_reason_is_one_that_passes(here: Bench) -> None:
    table = Table("service", "what the counter is told", title="Fail closed")
    wrong = []
    for name, fault, expected in CLOSED:
        here.world.reset()
        _break(here.world, fault)
        reasons: set[Reason] = set()
        text = "signed"
        try:
            wanted = Signing(BUYER_BOX, BUYER, Level.B_LT)
            await signing.sign(here.prepared, here.buyer, wanted, here.world.trust, here.world.clock)
        except NotAccepted as refusal:
            reasons, text = {found.reason for found in refusal.findings}, str(refusal)
        table.add_row(name, text)
        if reasons != expected or not reasons <= WAITS:
            wrong.append((name, reasons))
    Console(width=160).print(table)
    assert wrong == []


def _break(around: World, fault: str) -> None:
    doors, pki = around.doors, around.pki
    if fault in ("ocsp", "ocsp+crl"):
        doors.ocsp = None
    if fault in ("ocsp+crl", "other"):
        doors.crl = None
    if fault == "other":
        question = ocsp.request(around.person(SELLER).certificate, pki.people.certificate)
        doors.ocsp = lambda name, _, now: ocsp.answer(
            pki.authorities["people"], pki.responders["people"], question, now
        )
    if fault == "slow":
        doors.ocsp, doors.tsa = _slow(around, doors.ocsp), _slow(around, doors.tsa)
    if fault == "tsa":
        doors.tsa = None
    if fault == "late":
        doors.tsa = lambda _, question, now: tsa.answer(pki.time_stamper, question, now - 3_600_000_000)
    if fault == "nonsense":
        doors.tsa = lambda _, question, now: b"<html>sign in to the network</html>"
    if fault == "foreign":
        other = files.folder.create(pki.base_url, NOW)
        doors.tsa = lambda _, question, now: tsa.answer(other.time_stamper, question, now)


def _slow(around: World, honest: Answer | None) -> Answer:
    """The honest answer, which names the time when it was given."""
    assert honest is not None

    def answer(name: str, question: bytes, _: int) -> bytes:
        around.clock.time += 40_000_000
        return honest(name, question, around.clock())

    return answer


async def test_a_time_stamper_that_accepts_the_question_and_never_answers_is_down(here: Bench) -> None:
    with servers.listening_socket() as silent:
        trust = replace(here.world.trust, tsa_url=servers.base_url(silent), fetch_limit_s=0.2)
        with pytest.raises(NotAccepted) as refused:
            await CheckedTimeStamper(trust, here.world.clock).async_timestamp(bytes(32), "sha256")
    assert [found.reason for found in refused.value.findings] == [Reason.TSA_DOWN]


@pytest.mark.parametrize("off_s", [-50, 50])
async def test_a_time_stamp_from_a_clock_within_the_tolerance_verifies_at_once_and_for_good(
    here: Bench, off_s: int
) -> None:
    """What may be signed with must verify: the tolerance (60 s) is one setting, not two."""
    trust, pki = here.world.trust, here.world.pki
    here.world.doors.tsa = lambda _, question, now: tsa.answer(pki.time_stamper, question, now + off_s * 1_000_000)
    buyer, seller = Signing(BUYER_BOX, BUYER, Level.B_LT), Signing(SELLER_BOX, SELLER, Level.B_LTA)
    one = await signing.sign(here.prepared, here.buyer, buyer, trust, here.world.clock)
    two = await signing.sign(one, here.seller, seller, trust, here.world.clock)
    verdicts = [
        await verify(one, trust, NOW, holders={"BenMua": BUYER.identity}),
        await verify(two, trust, NOW),
        await verify(two, trust, NOW + DAY_US),
    ]
    assert [(verdict.outcome, verdict.all_findings()) for verdict in verdicts] == [(Outcome.VALID, ())] * 3


@dataclass(frozen=True, slots=True)
class Judged:
    """A file, our outcome, and why pdfsig sees it otherwise ('' when both agree)."""

    name: str
    make: Maker
    outcome: Outcome
    differs: str = ""


NO_TRUST = "pdfsig is run without certificates: it judges digest and signature, not who signed"
NO_DIFF = "pdfsig says 'not total document signed' and leaves it to the reader what came after"
NO_RULE = "pdfsig does not know what was prepared, who must sign which field, how, and with what evidence"
FILES = [
    Judged("both signed, B-LT and B-LTA", files.complete, Outcome.VALID),
    Judged("both signed, archive time-stamp renewed", files.complete_renewed, Outcome.VALID),
    Judged("seller's signature cut off", files.complete_cut, Outcome.INVALID, NO_RULE),
    Judged("both signed, one bit changed", files.complete_flipped, Outcome.INVALID),
    Judged("both signed, page exchanged after", files.complete_updated, Outcome.INVALID, NO_DIFF),
    Judged("both signed, layers swapped after", files.complete_layers_swapped, Outcome.INVALID, NO_DIFF),
    Judged("one bit of the signature changed", files.flipped_signature, Outcome.INVALID),
    Judged("self-signed certificate", files.own_certificate, Outcome.INVALID, NO_TRUST),
    Judged("foreign authority", files.foreign_authority, Outcome.INVALID, NO_TRUST),
    Judged("no evidence in the file", files.honest, Outcome.INVALID, NO_RULE),
    Judged("not a PDF", files.no_pdf, Outcome.UNREADABLE),
    Judged("unsigned", files.unsigned, Outcome.INVALID),
    Judged("encrypted", files.encrypted, Outcome.UNREADABLE),
    Judged("truncated", files.truncated, Outcome.UNREADABLE),
    Judged("one bit of the page changed", files.flipped_byte, Outcome.INVALID),
    Judged("another document", files.another_document, Outcome.INVALID, NO_RULE),
    Judged("edited, then signed", files.edited_then_signed, Outcome.INVALID, NO_RULE),
    Judged("edited inside the signing revision", files.edited_in_the_signing_revision, Outcome.INVALID, NO_RULE),
    Judged("rewritten by another program", files.rewritten, Outcome.INVALID, NO_RULE),
    Judged("signed in the seller's field", files.sellers_field, Outcome.INVALID, NO_RULE),
    Judged("both fields by one person, no evidence", files.signed_twice, Outcome.INDETERMINATE, NO_TRUST),
    Judged("certificate expired", files.expired, Outcome.INVALID, NO_TRUST),
    Judged("certificate not yet valid", files.not_yet_valid, Outcome.INVALID, NO_TRUST),
    Judged("certificate revoked", files.revoked, Outcome.INVALID, NO_TRUST),
    Judged("certificate for another usage", files.wrong_usage, Outcome.INVALID, NO_TRUST),
    Judged("another identity number", files.another_identity, Outcome.INVALID, NO_TRUST),
    Judged("another name", files.another_name, Outcome.INVALID, NO_TRUST),
    Judged("updated after signing", files.updated_after_signing, Outcome.INVALID, NO_DIFF),
    Judged("hidden layers before signing", files.layers_before_signing, Outcome.INVALID, NO_RULE),
    Judged("hidden layers swapped after signing", files.layers_after_signing, Outcome.INVALID, NO_DIFF),
    Judged("signature not PAdES", files.not_pades, Outcome.INVALID, NO_RULE),
    Judged("RSA with PKCS#1 v1.5", _weak, Outcome.INVALID, NO_RULE),
    Judged("RSA-PSS, the buyer alone", _rsa_pss, Outcome.INVALID, NO_RULE),
    Judged("locked against the seller", files.locked, Outcome.INVALID, NO_RULE),
]


async def test_pdfsig_and_our_verifier_agree_or_the_difference_is_explained(here: Bench, tmp_path: Path) -> None:
    table = Table("file", "ours", "pdfsig", "why they differ", title="Two verifiers")
    wrong = []
    for judged in FILES:
        path = tmp_path / "file.pdf"
        path.write_bytes(await judged.make(here))
        verdict = await verify(path.read_bytes(), here.world.trust, NOW)
        theirs = _pdfsig(path)
        agree = (verdict.outcome is Outcome.VALID) == (theirs == "valid")
        table.add_row(judged.name, verdict.outcome.words, theirs, judged.differs)
        if verdict.outcome is not judged.outcome or agree != (judged.differs == ""):
            wrong.append((judged.name, verdict.outcome, theirs, [str(each) for each in verdict.all_findings()]))
    Console(width=160).print(table)
    assert wrong == []


def _pdfsig(path: Path) -> str:
    """pdfsig's words on the signatures of persons: it cannot validate archive time-stamps and says so."""
    done = subprocess.run(["pdfsig", "-nocert", str(path)], capture_output=True, text=True, check=False)
    parts = re.split(r"^Signature #\d+:$", done.stdout, flags=re.MULTILINE)[1:]
    persons = [part for part in parts if "Signature Type: unknown" not in part and "is not signed" not in part]
    if not persons:
        return "no signature"
    return "valid" if all("Signature is Valid." in part for part in persons) else "not valid"


async def test_each_signature_is_judged_like_pdfsig_does_digest_by_digest(here: Bench, tmp_path: Path) -> None:
    """Where pdfsig can judge (digest and signature value), no file of the set is judged otherwise by us."""
    for make in (
        files.complete,
        files.complete_updated,
        files.flipped_signature,
        files.complete_flipped,
        files.revoked,
    ):
        path = tmp_path / "file.pdf"
        path.write_bytes(await make(here))
        verdict = await verify(path.read_bytes(), here.world.trust, NOW)
        ours = all(each.intact and each.valid for each in verdict.signatures)
        assert ours == (_pdfsig(path) == "valid"), make.__name__


async def test_at_signing_time_counts_and_not_today(here: Bench) -> None:
    """Two years later the signers' certificates have ended; the contract stays valid."""
    content = await files.complete(here)
    later = await verify(content, here.world.trust, NOW + 3 * 366 * DAY_US)
    assert later.outcome is Outcome.VALID
    early = await verify(content, here.world.trust, NOW - DAY_US)
    assert Reason.FROM_THE_FUTURE in {found.reason for found in early.findings}


async def test_a_trusted_certificate_alone_makes_nobody_the_seller(here: Bench) -> None:
    """The buyer signs both fields with a certificate that everybody trusts."""
    one = await files.with_evidence(here)
    wanted = Signing(SELLER_BOX, BUYER, Level.B_LTA)
    content = await signing.sign(one, here.buyer, wanted, here.world.trust, here.world.clock)
    anybody = await verify(content, here.world.trust, NOW)
    assert anybody.outcome is Outcome.VALID
    holders = {"BenMua": BUYER.identity, "BenBan": SELLER.identity}
    ours = await verify(content, here.world.trust, NOW, holders=holders)
    assert ours.outcome is Outcome.INVALID
    assert [found.reason for found in ours.all_findings()] == [Reason.IDENTITY_DIFFERS]


async def test_no_damage_makes_the_verifier_fail_or_believe(here: Bench) -> None:
    """Eight places of the file, one bit each: never an exception, never valid where the signatures cover it."""
    content = await files.complete(here)
    covered = len(await files.with_evidence(here))
    for at in range(100, covered, covered // 8):
        verdict = await verify(files.flip(content, at), here.world.trust, NOW)
        assert verdict.outcome is not Outcome.VALID, at


def test_names_are_compared_as_people_write_them(here: Bench) -> None:
    certificate = asn1(here.world.person())
    decomposed = unicodedata.normalize("NFD", BUYER.name.upper())
    assert holder_findings(certificate, replace(BUYER, name=f" {decomposed} ")) == []
