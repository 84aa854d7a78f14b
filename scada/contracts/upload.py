"""Judges a PDF that the buyer signed elsewhere: it must be exactly the prepared document plus one valid signature in
the buyer's field, made with a certificate that holds now and names the applicant.

Every check is made that can be made; all findings are told at once. Does not store, and does not add evidence.
"""

from asn1crypto import cms
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import (
    CatalogModificationRule,
    DocInfoRule,
    DSSCompareRule,
    FormUpdatingRule,
    GenericFieldModificationRule,
    MetadataUpdateRule,
    ModificationLevel,
    ObjectStreamRule,
    SigFieldCreationRule,
    SigFieldModificationRule,
    StandardDiffPolicy,
    SuspiciousModification,
    XrefStreamRule,
)
from pyhanko.sign.diff_analysis.constants import (
    ACROFORM_EXEMPT_STRICT_COMPARISON,
    ROOT_EXEMPT_STRICT_COMPARISON,
)
from pyhanko.sign.fields import MDPPerm
from pyhanko.sign.general import SigningError
from pyhanko.sign.validation.errors import SignatureValidationError
from pyhanko.sign.validation.generic_cms import validate_sig_integrity
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import SignatureCoverageLevel

from scada.contracts import pdfreading
from scada.contracts.layout import BUYER_FIELD
from scada.contracts.pdfreading import Unreadable
from scada.contracts.reasons import Finding, Reason, told_by
from scada.contracts.trust import Trust, check_certificate, holder_findings
from scada.model.contract import Customer

DIGESTS = frozenset({"sha256", "sha384", "sha512", "sha3_256", "sha3_384", "sha3_512"})
ECDSA_BITS = 256
RSA_BITS = 2048


async def upload_findings(
    content: bytes, prepared: bytes, buyer: Customer, trust: Trust, now: int, limit: int
) -> list[Finding]:
    """What speaks against accepting ``content`` as the buyer-signed ``prepared``; empty when nothing does."""
    try:
        reader = pdfreading.opened(content, limit)
        return await _findings(reader, content, prepared, buyer, trust, now)
    except Unreadable as error:
        return [error.finding]
    except (*pdfreading.DAMAGE, SignatureValidationError) as error:
        return [Finding(Reason.NOT_PDF, str(error)[:200])]


async def _findings(
    reader: PdfFileReader, content: bytes, prepared: bytes, buyer: Customer, trust: Trust, now: int
) -> list[Finding]:
    findings = _structure(reader, content, prepared)
    embedded = [each for each in pdfreading.signatures(reader) if each.field_name == BUYER_FIELD]
    if len(embedded) == 1:
        findings += signature_findings(embedded[0])
        findings += holder_findings(embedded[0].signer_cert, buyer)
        others = list(embedded[0].other_embedded_certs)
        async with trust.signing_context(now) as context:
            findings += await check_certificate(trust, embedded[0].signer_cert, others, context)
    return findings


def signature_findings(embedded: EmbeddedPdfSignature) -> list[Finding]:
    """What speaks against the signature itself: its kind, its algorithm, its digest, its mathematics."""
    findings = []
    if pdfreading.entry(embedded.sig_object, "/SubFilter") != "/ETSI.CAdES.detached":
        findings.append(Finding(Reason.NOT_PADES, str(pdfreading.entry(embedded.sig_object, "/SubFilter"))))
    if weakness := weak_algorithm(embedded):
        findings.append(Finding(Reason.WEAK_ALGORITHM, weakness))
    intact, valid = integrity(embedded)
    if not intact:
        findings.append(Finding(Reason.NOT_INTACT))
    elif not valid:
        findings.append(Finding(Reason.NOT_VALID))
    return findings


def integrity(embedded: EmbeddedPdfSignature) -> tuple[bool, bool]:
    """(intact, valid): the signed bytes are unchanged; the signature was made with the certificate's key."""
    try:
        return validate_sig_integrity(
            embedded.signer_info,
            embedded.signer_cert,
            expected_content_type="data",
            actual_digest=embedded.compute_digest(),
        )
    except (SignatureValidationError, SigningError, ValueError):
        return False, False


def weak_algorithm(embedded: EmbeddedPdfSignature) -> str:
    """'' when the algorithms are good enough, else which they are."""
    mechanism: cms.SignedDigestAlgorithm = embedded.signer_info["signature_algorithm"]
    key = embedded.signer_cert.public_key
    digest = embedded.signer_info["digest_algorithm"]["algorithm"].native
    name = mechanism.signature_algo
    strong = (name == "ecdsa" and key.bit_size >= ECDSA_BITS) or (name == "rsassa_pss" and key.bit_size >= RSA_BITS)
    return "" if strong and digest in DIGESTS else f"{name} {key.bit_size} bit, {digest}"


def _structure(reader: PdfFileReader, content: bytes, prepared: bytes) -> list[Finding]:
    """Prepared document, plus one revision, plus one signature in the right field, and nothing else."""
    original = pdfreading.opened(prepared, len(prepared))
    findings = pdfreading.hidden_content(reader)
    if not content.startswith(prepared):
        same = _document_id(reader) == _document_id(original)
        return [*findings, Finding(Reason.EDITED if same else Reason.OTHER_DOCUMENT), *_fields(reader)]
    if content == prepared:
        return [Finding(Reason.NO_SIGNATURE)]
    findings += _fields(reader)
    if not findings:
        findings += _changes(reader, original)
    return findings


def _fields(reader: PdfFileReader) -> list[Finding]:
    found = pdfreading.signatures(reader)
    if not found:
        return [Finding(Reason.NO_SIGNATURE)]
    names = [str(each.field_name) for each in found]
    if len(found) > 1:
        return [Finding(Reason.SIGNED_TWICE, ", ".join(names))]
    return [] if names == [BUYER_FIELD] else [Finding(Reason.WRONG_FIELD, names[0])]


def _changes(reader: PdfFileReader, original: PdfFileReader) -> list[Finding]:
    """The signature covers its own revision, so what that revision changed must be looked at as well."""
    embedded = pdfreading.signatures(reader)[0]
    reach = pdfreading.reach(embedded)
    if reach.coverage not in (SignatureCoverageLevel.ENTIRE_FILE, SignatureCoverageLevel.ENTIRE_REVISION):
        return [Finding(Reason.NOT_INTACT, "the signature does not cover a whole revision")]
    last = original.xrefs.total_revisions - 1
    for revision in range(last + 1, embedded.signed_revision + 1):
        if finding := _edit(reader, last, revision):
            return [finding]
    if isinstance(reach.changed, SuspiciousModification):
        return [Finding(Reason.CHANGED_AFTER_SIGNING, told_by(reach.changed))]
    if reach.changed is not None and reach.changed.modification_level > ModificationLevel.LTA_UPDATES:
        return [Finding(Reason.CHANGED_AFTER_SIGNING, reach.changed.modification_level.name)]
    return [Finding(Reason.LOCKED)] if embedded.docmdp_level is MDPPerm.NO_CHANGES else []


def _edit(reader: PdfFileReader, prepared: int, revision: int) -> Finding | None:
    """What a revision up to the signature changed beyond signing. Each is compared: the rules look at one at a time."""
    try:
        result = SIGNING_RULES.apply(
            reader.get_historical_resolver(prepared),
            reader.get_historical_resolver(revision),
            doc_mdp=MDPPerm.FILL_FORMS,
        )
    except SuspiciousModification as error:
        return Finding(Reason.EDITED, told_by(error))
    extra = result.changed_form_fields - {BUYER_FIELD}
    return Finding(Reason.EDITED, ", ".join(sorted(extra))) if extra else None


SIGNING_RULES = StandardDiffPolicy(
    global_rules=[
        CatalogModificationRule({*ROOT_EXEMPT_STRICT_COMPARISON, "/Perms"}),
        DocInfoRule().as_qualified(ModificationLevel.LTA_UPDATES),
        XrefStreamRule().as_qualified(ModificationLevel.LTA_UPDATES),
        ObjectStreamRule().as_qualified(ModificationLevel.LTA_UPDATES),
        DSSCompareRule().as_qualified(ModificationLevel.LTA_UPDATES),
        MetadataUpdateRule().as_qualified(ModificationLevel.LTA_UPDATES),
    ],
    form_rule=FormUpdatingRule(
        field_rules=[SigFieldCreationRule(), SigFieldModificationRule(), GenericFieldModificationRule()],
        ignored_acroform_keys={*ACROFORM_EXEMPT_STRICT_COMPARISON, "/SigFlags"},
    ),
)
"""pyHanko's rules for changes after signing, and one more: a certification enters itself under /Perms."""


def _document_id(reader: PdfFileReader) -> bytes:
    try:
        return bytes(reader.trailer["/ID"][0].original_bytes)
    except (KeyError, IndexError, AttributeError):
        return b""
