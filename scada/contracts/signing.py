"""Makes PAdES signatures (ETSI EN 319 142-1) in the prepared document, with evidence, and renews archive time-stamps.

    sign(…)      one signature in one field, to B-LT or B-LTA
    preserve(…)  adds evidence and a time-stamp to a signature that came without (uploads)
    renew(…)     a further archive time-stamp, before the last one's certificate ends

Checks the certificate first and asks for time second: when either fails nothing is signed and NotAccepted says why.
The level is never lowered. Knows PDF and pyHanko; does not know requests, files or a clock of its own.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pyhanko.pdf_utils.content import RawContent
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import BasePdfFileWriter
from pyhanko.sign.fields import MDPPerm, SigSeedSubFilter
from pyhanko.sign.general import SigningError
from pyhanko.sign.signers.constants import ESIC_EXTENSION_1
from pyhanko.sign.signers.pdf_cms import Signer
from pyhanko.sign.signers.pdf_signer import (
    DSSContentSettings,
    PdfSignatureMetadata,
    PdfSigner,
    PdfSigningSession,
    PdfTimeStamper,
    TimestampDSSContentSettings,
)
from pyhanko.sign.validation.dss import async_add_validation_info
from pyhanko.stamp import StaticStampStyle
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator import errors as path_errors

from scada.contracts.layout import BUYER_FIELD, SignatureBox
from scada.contracts.reasons import Finding, NotAccepted, Reason, told_by
from scada.contracts.trust import CheckedTimeStamper, Trust, check_certificate, holder_findings
from scada.contracts.workdays import utc
from scada.model.contract import Customer
from scada.model.ports import Clock


class Level(StrEnum):
    """PAdES levels: bare, with time, with evidence, with evidence kept alive."""

    B_B = "B-B"
    B_T = "B-T"
    B_LT = "B-LT"
    B_LTA = "B-LTA"


@dataclass(frozen=True, slots=True)
class Signing:
    """Who signs which field, up to which level."""

    box: SignatureBox
    holder: Customer
    level: Level


_NO_VRI = DSSContentSettings(include_vri=False)
"""EN 319 142-1 calls VRI entries optional; without them evidence common to several signatures is stored once."""

_TICK = StaticStampStyle(
    border_width=0,
    background=RawContent(
        b"q 0.05 0.45 0.20 RG 2.2 w 1 J 1 j 165 22 m 178 10 l 200 44 l S Q",
    ),
    background_opacity=1.0,
)
"""The mark that appears with the signature: a tick drawn without fonts, so that the file stays PDF/A."""


class _ArchivalSigner(PdfSigner):
    """Writes the given time, not the machine's, into the signature dictionary, and leaves the file a PDF/A-2."""

    moment: datetime

    def init_signing_session(self, *args: Any, **options: Any) -> PdfSigningSession:
        session = super().init_signing_session(*args, **options)
        session.system_time = self.moment
        return session

    def register_extensions(self, pdf_out: BasePdfFileWriter, *, md_algorithm: str) -> None:
        """PAdES as an extension of PDF 1.7. For an elliptic curve the library would declare PDF 2.0 (ISO/TS 32002), and
        PDF/A-2 rests on 1.7."""
        pdf_out.register_extension(ESIC_EXTENSION_1)


async def sign(pdf: bytes, signer: Signer, signing: Signing, trust: Trust, clock: Clock) -> bytes:
    """``pdf`` with one more signature. The buyer's is a certification that permits only filling in the other field.

    Raises NotAccepted; nothing was signed then.
    """
    now = clock()
    findings = holder_findings(signer.signing_cert, signing.holder)
    async with trust.signing_context(now) as context:
        findings += await check_certificate(trust, signer.signing_cert, list(signer.cert_registry), context)
        if findings:
            raise NotAccepted(*findings)
        metadata = PdfSignatureMetadata(
            field_name=signing.box.field,
            md_algorithm="sha256",
            subfilter=SigSeedSubFilter.PADES,
            embed_validation_info=True,
            use_pades_lta=signing.level is Level.B_LTA,
            validation_context=context,
            certify=signing.box.field == BUYER_FIELD,
            docmdp_permissions=MDPPerm.FILL_FORMS,
            dss_settings=_NO_VRI,
        )
        pdf_signer = _ArchivalSigner(metadata, signer, timestamper=CheckedTimeStamper(trust, clock), stamp_style=_TICK)
        pdf_signer.moment = utc(now)
        writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
        with _translated():
            out = await pdf_signer.async_sign_pdf(writer, existing_fields_only=True)
    return _bytes(out)


async def preserve(pdf: bytes, trust: Trust, clock: Clock) -> bytes:
    """``pdf`` with the evidence for its last signature and a time-stamp over both. Raises NotAccepted."""
    reader = PdfFileReader(io.BytesIO(pdf))
    embedded = reader.embedded_regular_signatures[-1]
    async with trust.signing_context(clock()) as context:
        with _translated():
            out = await async_add_validation_info(
                embedded, context, add_vri_entry=False, in_place=True, embed_roots=False
            )
            writer = IncrementalPdfFileWriter(io.BytesIO(_bytes(out)))
            stamped = await _stamp(writer, context, trust, clock)
    return _bytes(stamped)


async def renew(pdf: bytes, trust: Trust, clock: Clock) -> bytes:
    """``pdf`` with one more archive time-stamp. Validate first: renewing does not. Raises NotAccepted."""
    reader = PdfFileReader(io.BytesIO(pdf))
    async with trust.signing_context(clock()) as context:
        with _translated():
            stamper = PdfTimeStamper(CheckedTimeStamper(trust, clock))
            out = await stamper.async_update_archival_timestamp_chain(
                reader,
                context,
                in_place=False,
                output=io.BytesIO(),
                default_md_algorithm="sha256",
                embed_roots=False,
            )
    return _bytes(out)


async def _stamp(
    writer: IncrementalPdfFileWriter, context: ValidationContext, trust: Trust, clock: Clock
) -> io.BytesIO:
    stamper = PdfTimeStamper(CheckedTimeStamper(trust, clock))
    settings = TimestampDSSContentSettings(include_vri=False, update_before_ts=True)
    out = await stamper.async_timestamp_pdf(writer, "sha256", context, dss_settings=settings)
    assert isinstance(out, io.BytesIO)
    return out


class _translated:  # noqa: N801 - used as a statement, like contextlib's
    """What pyHanko and its path validator raise, as our reasons."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        causes: Sequence[BaseException | None] = (error, getattr(error, "__cause__", None))
        for cause in causes:
            if isinstance(cause, path_errors.RevokedError):
                raise NotAccepted(Finding(Reason.CERTIFICATE_REVOKED, str(cause))) from error
            if isinstance(cause, path_errors.InsufficientRevinfoError):
                raise NotAccepted(Finding(Reason.REVOCATION_UNKNOWN, str(cause))) from error
            if isinstance(cause, path_errors.ValidationError | path_errors.PathBuildingError):
                raise NotAccepted(Finding(Reason.TSA_REFUSED, str(cause))) from error
        if isinstance(error, SigningError | TimeoutError):
            raise NotAccepted(Finding(Reason.REMOTE_SIGNING_FAILED, told_by(error))) from error


def _bytes(out: Any) -> bytes:
    out.seek(0)
    content = out.read()
    assert isinstance(content, bytes)
    return content
