"""Verifies a signed contract from the evidence in the file alone: no network, and ``now`` may be decades later.

Each signature is judged by the AdES validator for long-term archival (ETSI EN 319 102-1 5.6.3) as of the time its own
link of the chain of custody was closed (see ``custody``), so validity is validity *at signing time*. Every later link
is an archive time-stamp that was valid when it was made and when the next one took over. What is left to the present
is that the last stamp's certificate has not ended: if it has, nobody renewed in time, and nothing can be established.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.ades.report import AdESFailure, AdESIndeterminate, AdESPassed, AdESSubIndic
from pyhanko.sign.diff_analysis import ModificationLevel, SuspiciousModification
from pyhanko.sign.validation.ades import (
    AdESBasicValidationResult,
    AdESWithTimeValidationResult,
    ades_basic_validation,
    ades_lta_validation,
    ades_with_time_validation,
)
from pyhanko.sign.validation.errors import SignatureValidationError
from pyhanko.sign.validation.generic_cms import extract_tst_data_iter
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature, async_validate_pdf_timestamp
from pyhanko.sign.validation.status import SignatureCoverageLevel
from pyhanko_certvalidator.ltv.types import ValidationTimingInfo

from scada.contracts import custody, pdfreading
from scada.contracts.custody import SECOND_US, Link
from scada.contracts.layout import BUYER_FIELD, SELLER_FIELD
from scada.contracts.pdfreading import Reach, Unreadable
from scada.contracts.reasons import Finding, Reason
from scada.contracts.signing import Level
from scada.contracts.trust import Trust, identity_of
from scada.contracts.upload import integrity, weak_algorithm
from scada.contracts.verdict import Changes, Coverage, Outcome, SignatureVerdict, Verdict
from scada.contracts.workdays import utc

SIZE_LIMIT = 64 * 2**20

_COVERAGE = {
    SignatureCoverageLevel.ENTIRE_FILE: Coverage.WHOLE_FILE,
    SignatureCoverageLevel.ENTIRE_REVISION: Coverage.WHOLE_REVISION,
}

_BY_INDICATION: dict[AdESSubIndic, Reason] = {
    AdESIndeterminate.REVOKED_NO_POE: Reason.CERTIFICATE_REVOKED,
    AdESIndeterminate.REVOKED_CA_NO_POE: Reason.CERTIFICATE_REVOKED,
    AdESFailure.REVOKED: Reason.CERTIFICATE_REVOKED,
    AdESIndeterminate.EXPIRED: Reason.CERTIFICATE_EXPIRED,
    AdESIndeterminate.NOT_YET_VALID: Reason.CERTIFICATE_NOT_YET_VALID,
    AdESIndeterminate.OUT_OF_BOUNDS_NO_POE: Reason.CERTIFICATE_EXPIRED,
    AdESFailure.NOT_YET_VALID: Reason.CERTIFICATE_NOT_YET_VALID,
    AdESIndeterminate.NO_CERTIFICATE_CHAIN_FOUND: Reason.CERTIFICATE_UNTRUSTED,
    AdESIndeterminate.CHAIN_CONSTRAINTS_FAILURE: Reason.CERTIFICATE_WRONG_USAGE,
    AdESIndeterminate.TRY_LATER: Reason.REVOCATION_UNKNOWN,
    AdESIndeterminate.CERTIFICATE_CHAIN_GENERAL_FAILURE: Reason.EVIDENCE_MISSING,
    AdESIndeterminate.NO_POE: Reason.EVIDENCE_MISSING,
    AdESFailure.HASH_FAILURE: Reason.NOT_INTACT,
    AdESFailure.SIG_CRYPTO_FAILURE: Reason.NOT_VALID,
}

ANY_TWO: Mapping[str, str] = {BUYER_FIELD: "", SELLER_FIELD: ""}
"""Both fields signed, by whomever."""

_NOT_KNOWABLE = frozenset({Reason.REVOCATION_UNKNOWN, Reason.EVIDENCE_MISSING, Reason.ARCHIVE_LAPSED})


async def verify(content: bytes, trust: Trust, now: int, *, holders: Mapping[str, str] = ANY_TWO) -> Verdict:
    """The verdict on a file. ``holders``: the fields that must be signed for the whole to be valid, and the identity
    number the certificate must carry ('' = anybody's, as far as the file alone can tell)."""
    digest = hashlib.sha256(content).hexdigest() if len(content) <= SIZE_LIMIT else ""
    try:
        reader = pdfreading.opened(content, SIZE_LIMIT)
    except Unreadable as error:
        return Verdict(Outcome.UNREADABLE, digest, now, findings=(error.finding,))
    try:
        return await _verified(reader, content, digest, trust, now, holders)
    except (Unreadable, *pdfreading.DAMAGE, SignatureValidationError) as error:
        return Verdict(Outcome.UNREADABLE, digest, now, findings=(Finding(Reason.NOT_PDF, str(error)[:200]),))


async def _verified(
    reader: PdfFileReader, content: bytes, digest: str, trust: Trust, now: int, holders: Mapping[str, str]
) -> Verdict:
    findings = pdfreading.hidden_content(reader)
    chain = custody.links(reader, content)
    if custody.first_break(chain, now) is not None:
        findings.append(Finding(Reason.ARCHIVE_LAPSED))
    latest = now + trust.tsa_tolerance // timedelta(microseconds=1)
    if any(link.time is not None and link.time > latest for link in chain):
        findings.append(Finding(Reason.FROM_THE_FUTURE))
    for renewal in (link for link in chain if not link.signature):
        findings += await _stamp_findings(_as_of(renewal, reader, content), renewal, trust)
    by_field = {link.signature: link for link in chain}
    judged = []
    for embedded in pdfreading.signatures(reader):
        link = by_field[str(embedded.field_name)]
        judged.append(await _judged(_as_of(link, reader, content), embedded, link, trust, now))
    judged = [_held(each, holders.get(each.field, "")) for each in judged]
    missing = [name for name in holders if name not in {each.field for each in judged}]
    findings += [Finding(Reason.NO_SIGNATURE, name) for name in missing]
    last = chain[-1] if chain else None
    return Verdict(
        _outcome(judged, findings),
        digest,
        now,
        tuple(judged),
        tuple(findings),
        None if last is None else last.time,
        None if last is None else last.holds_until,
    )


def _as_of(link: Link, reader: PdfFileReader, content: bytes) -> PdfFileReader:
    """The file as it was when the link was complete."""
    return reader if link.end == len(content) else custody.cut(content, link, SIZE_LIMIT)


async def _stamp_findings(reader: PdfFileReader, link: Link, trust: Trust) -> list[Finding]:
    """What speaks against the archive time-stamp of a link, judged as of when it was made."""
    stamp = pdfreading.timestamps(reader)[-1]
    stamp.compute_integrity_info()
    assert link.time is not None
    context = trust.offline_context(link.time + SECOND_US, pdfreading.revocation(reader))
    status = await async_validate_pdf_timestamp(stamp, context)
    reach = pdfreading.reach(stamp)
    evidence_only = not isinstance(reach.changed, SuspiciousModification)
    if not (status.intact and status.valid) or reach.coverage < SignatureCoverageLevel.ENTIRE_REVISION:
        return [Finding(Reason.NOT_INTACT, str(stamp.field_name))]
    if not status.trusted:
        return [Finding(Reason.EVIDENCE_MISSING, str(stamp.field_name))]
    return [] if evidence_only else [Finding(Reason.CHANGED_AFTER_SIGNING, str(stamp.field_name))]


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What an AdES validator said: its indication, why, the proven time, the level reached."""

    indication: AdESSubIndic | None
    message: str
    time: int | None
    level: Level

    @property
    def passed(self) -> bool:
        return self.indication is AdESPassed.OK


async def _judged(
    then: PdfFileReader, embedded: EmbeddedPdfSignature, link: Link, trust: Trust, now: int
) -> SignatureVerdict:
    """``then`` is the file as it was when the link was complete."""
    name, identity = identity_of(embedded.signer_cert)
    intact, valid = integrity(embedded)
    at = utc(now if link.time is None else min(link.time + SECOND_US, now))
    timing = ValidationTimingInfo(at, at, point_in_time_validation=True)
    own = embedded
    if then is not embedded.reader:
        (own,) = [each for each in pdfreading.signatures(then) if each.field_name == embedded.field_name]
    judgement = await _validated(then, own, link, trust, timing)
    reach = pdfreading.reach(embedded)
    changes = _changes(embedded, reach)
    coverage = _COVERAGE.get(reach.coverage, Coverage.UNCLEAR)
    findings = _findings(embedded, judgement, coverage, changes, intact=intact, valid=valid)
    if judgement.passed and judgement.level is Level.B_LTA and not _is_stamped(embedded):
        findings += await _stamp_findings(then, link, trust)
    trusted = judgement.passed
    return SignatureVerdict(
        field=str(embedded.field_name),
        signer=name,
        identity=identity,
        issuer=str(embedded.signer_cert.issuer.native.get("common_name", "")),
        intact=intact,
        valid=valid,
        trusted=trusted and valid,
        coverage=coverage,
        changes=changes,
        level=judgement.level,
        time=judgement.time if trusted else None,
        findings=tuple(findings),
    )


async def _validated(
    reader: PdfFileReader, embedded: EmbeddedPdfSignature, link: Link, trust: Trust, timing: ValidationTimingInfo
) -> _Judgement:
    """The AdES validator that fits what the link holds.

    With archive time-stamp: long-term (5.6.3). With a time-stamp in the signature: with time (5.5). With an archive
    time-stamp only (a bare signature that we preserved): basic (5.3) as of that stamp, which is judged by itself.
    """
    spec = trust.validation_spec(pdfreading.revocation(reader))
    stamped = _is_stamped(embedded)
    archived = bool(pdfreading.timestamps(reader))
    options: dict[str, Any] = {"timing_info": timing, "raw_digest": embedded.compute_digest()}
    result: AdESBasicValidationResult[Any]
    try:
        if stamped and archived:
            result = await ades_lta_validation(embedded, spec, timing_info=timing)
        elif stamped:
            result = await ades_with_time_validation(embedded.signed_data, spec.signature_validation_spec, **options)
        else:
            result = await ades_basic_validation(embedded.signed_data, spec.signature_validation_spec, **options)
    except SignatureValidationError as error:
        return _Judgement(error.ades_subindication, str(error), None, Level.B_B)
    time = _proven_time(result, link)
    level = _level(reader, stamped=stamped, archived=archived) if result.ades_subindic is AdESPassed.OK else Level.B_B
    return _Judgement(result.ades_subindic, result.failure_msg or "", time, level)


def _is_stamped(embedded: EmbeddedPdfSignature) -> bool:
    """True when the signature itself carries a time-stamp."""
    return next(extract_tst_data_iter(embedded.signer_info, signed=False), None) is not None


def _proven_time(result: AdESBasicValidationResult[Any], link: Link) -> int | None:
    if isinstance(result, AdESWithTimeValidationResult):
        return int(result.best_signature_time.timestamp() * SECOND_US)
    return link.time


def _changes(embedded: EmbeddedPdfSignature, reach: Reach) -> Changes:
    changed = reach.changed
    if changed is None:
        return Changes.NONE
    if isinstance(changed, SuspiciousModification) or changed.modification_level > ModificationLevel.FORM_FILLING:
        return Changes.SUSPICIOUS
    if changed.modification_level <= ModificationLevel.LTA_UPDATES:
        return Changes.EVIDENCE
    permitted = {SELLER_FIELD} if embedded.field_name == BUYER_FIELD else set()
    extra = {name for name in changed.changed_form_fields - permitted if not name.startswith("Timestamp")}
    return Changes.SUSPICIOUS if extra else Changes.SIGNATURE


def _findings(
    embedded: EmbeddedPdfSignature,
    judgement: _Judgement,
    coverage: Coverage,
    changes: Changes,
    *,
    intact: bool,
    valid: bool,
) -> list[Finding]:
    findings = []
    if not intact:
        findings.append(Finding(Reason.NOT_INTACT))
    elif not valid:
        findings.append(Finding(Reason.NOT_VALID))
    if changes is Changes.SUSPICIOUS:
        findings.append(Finding(Reason.CHANGED_AFTER_SIGNING))
    if coverage is Coverage.UNCLEAR:
        findings.append(Finding(Reason.NOT_INTACT, "the signature does not cover a whole revision"))
    if pdfreading.entry(embedded.sig_object, "/SubFilter") != "/ETSI.CAdES.detached":
        findings.append(Finding(Reason.NOT_PADES, str(pdfreading.entry(embedded.sig_object, "/SubFilter"))))
    if weakness := weak_algorithm(embedded):
        findings.append(Finding(Reason.WEAK_ALGORITHM, weakness))
    if valid and not judgement.passed:
        findings.append(_trust_finding(embedded, judgement))
    return findings


def _trust_finding(embedded: EmbeddedPdfSignature, judgement: _Judgement) -> Finding:
    certificate = embedded.signer_cert
    if certificate.self_issued and certificate.self_signed != "no":
        return Finding(Reason.CERTIFICATE_SELF_SIGNED)
    if judgement.indication is None:
        return Finding(Reason.EVIDENCE_MISSING)
    reason = _BY_INDICATION.get(judgement.indication, Reason.CERTIFICATE_UNTRUSTED)
    return Finding(reason, judgement.message.partition("\n")[0])


def _level(reader: PdfFileReader, *, stamped: bool, archived: bool) -> Level:
    """The level whose conditions were all checked."""
    if not stamped and not archived:
        return Level.B_B
    if pdfreading.entry(reader.root, "/DSS") is None:
        return Level.B_T
    return Level.B_LTA if archived else Level.B_LT


def _held(judged: SignatureVerdict, identity: str) -> SignatureVerdict:
    """The same verdict, with a finding when somebody else signed: a trusted certificate makes nobody the seller."""
    if not identity or judged.identity == identity:
        return judged
    finding = Finding(Reason.IDENTITY_DIFFERS, f"{judged.identity or '–'} ≠ {identity}")
    return replace(judged, findings=(*judged.findings, finding))


def _outcome(judged: Sequence[SignatureVerdict], findings: Sequence[Finding]) -> Outcome:
    reasons = {each.reason for each in findings} | {found.reason for each in judged for found in each.findings}
    if reasons - _NOT_KNOWABLE:
        return Outcome.INVALID
    if reasons or not all(each.accepted for each in judged):
        return Outcome.INDETERMINATE
    return Outcome.VALID
