"""Whom we trust: roots, intermediates, revocation and time-stamps. Everything fails closed.

Knows certificate paths (RFC 5280), CRL and OCSP, and RFC 3161 time-stamps over HTTP. Does not know contracts.

    check_certificate(…)   the findings against a certificate for signing, now; empty = accepted
    signing_context(…)     pyHanko's context for making a signature with fresh evidence
    validation_spec(…)     pyHanko's specification for judging one from embedded evidence only
"""

import contextlib
import ssl
import unicodedata
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

import aiohttp
import httpx
from asn1crypto import crl, ocsp, tsp, x509
from pyhanko.keys.pemder import load_certs_from_pemder
from pyhanko.sign.timestamps import TimeStamper, TimestampRequestError
from pyhanko.sign.validation.policy_decl import (
    LocalKnowledge,
    PdfSignatureValidationSpec,
    RevinfoOnlineFetchingRule,
    RevocationInfoGatheringSpec,
    SignatureValidationSpec,
)
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator import errors as path_errors
from pyhanko_certvalidator.context import CertValidationPolicySpec
from pyhanko_certvalidator.fetchers.aiohttp_fetchers import AIOHttpFetcherBackend
from pyhanko_certvalidator.policy_decl import REQUIRE_REVINFO, CertRevTrustPolicy
from pyhanko_certvalidator.registry import SimpleTrustManager
from pyhanko_certvalidator.revinfo.archival import CRLContainer, OCSPContainer

from scada.contracts.reasons import Finding, NotAccepted, Reason, told_by
from scada.contracts.settings import TrustSettings
from scada.contracts.workdays import utc
from scada.model.contract import Customer
from scada.model.ports import Clock

Evidence = tuple[list[bytes], list[bytes], list[bytes]]
"""Certificates, OCSP responses and revocation lists (DER)."""

TOLERANCE = timedelta(seconds=2)
"""X.509 times have whole seconds; an answer signed in this very second may seem to lie ahead."""


@cache
def _tls() -> ssl.SSLContext:
    """The machine's roots for HTTPS. Loading them takes 40 ms, a quarter of a signature."""
    return ssl.create_default_context()


USAGES = {"non_repudiation"}
"""Content commitment, RFC 5280 4.2.1.3: what distinguishes signing a contract from logging in."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Trust anchors and helpers, loaded. ``tsa_url`` '' means there is no time-stamping authority."""

    roots: tuple[x509.Certificate, ...]
    intermediates: tuple[x509.Certificate, ...] = ()
    tsa_url: str = ""
    tsa_tolerance_s: float = 60.0
    fetch_limit_s: float = 5.0

    @property
    def tsa_tolerance(self) -> timedelta:
        """How far the clock that stamped a signature may be from the clock by which its evidence was fetched."""
        return max(TOLERANCE, timedelta(seconds=self.tsa_tolerance_s))

    @contextlib.asynccontextmanager
    async def signing_context(self, now: int) -> AsyncIterator[ValidationContext]:
        """A context that fetches revocation evidence while the block lasts; certificates are judged as of ``now``.

        Evidence that is newer than ``now`` counts: fetching it takes time, and it is what we ask for.
        """
        connector = aiohttp.TCPConnector(ssl=_tls())
        async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
            yield ValidationContext(
                trust_roots=list(self.roots),
                other_certs=list(self.intermediates),
                moment=utc(now),
                retroactive_revinfo=True,
                allow_fetching=True,
                fetcher_backend=AIOHttpFetcherBackend(session, per_request_timeout=self.fetch_limit_s),
                revocation_mode="require",
                time_tolerance=TOLERANCE,
            )

    def offline_context(self, at: int, evidence: Evidence) -> ValidationContext:
        """A context as of ``at`` that knows only ``evidence``: certificates, OCSP responses and lists (DER)."""
        certificates, responses, lists = evidence
        return ValidationContext(
            trust_roots=list(self.roots),
            other_certs=[*self.intermediates, *(x509.Certificate.load(each) for each in certificates)],
            moment=utc(at),
            ocsps=[ocsp.OCSPResponse.load(each) for each in responses],
            crls=[crl.CertificateList.load(each) for each in lists],
            revocation_mode="require",
            time_tolerance=self.tsa_tolerance,
        )

    def validation_spec(self, evidence: Evidence) -> PdfSignatureValidationSpec:
        """Judge from the evidence in the file and our own certificates; never ask the network."""
        certificates, responses, lists = evidence
        policy = CertValidationPolicySpec(
            trust_manager=SimpleTrustManager.build(trust_roots=list(self.roots)),
            revinfo_policy=CertRevTrustPolicy(REQUIRE_REVINFO),
            time_tolerance=self.tsa_tolerance,
        )
        local_only = RevocationInfoGatheringSpec(online_fetching_rule=RevinfoOnlineFetchingRule.LOCAL_ONLY)
        return PdfSignatureValidationSpec(
            SignatureValidationSpec(
                cert_validation_policy=policy,
                revinfo_gathering_policy=local_only,
                local_knowledge=LocalKnowledge(
                    known_certs=[
                        *self.intermediates,
                        *self.roots,
                        *(x509.Certificate.load(each) for each in certificates),
                    ],
                    known_ocsps=[OCSPContainer(ocsp.OCSPResponse.load(each)) for each in responses],
                    known_crls=[CRLContainer(crl.CertificateList.load(each)) for each in lists],
                ),
            )
        )


def load_trust(settings: TrustSettings) -> Trust:
    """The certificates named in the settings. Raises OSError or ValueError for a file that is none."""
    return Trust(
        roots=tuple(load_certificates(settings.roots)),
        intermediates=tuple(load_certificates(settings.intermediates)),
        tsa_url=settings.tsa_url,
        tsa_tolerance_s=settings.tsa_tolerance_s,
        fetch_limit_s=settings.fetch_limit_s,
    )


def load_certificates(paths: Iterable[Path]) -> list[x509.Certificate]:
    """Certificates from PEM or DER files."""
    return list(load_certs_from_pemder([str(path) for path in paths]))


def identity_of(certificate: x509.Certificate) -> tuple[str, str]:
    """Name and identity number in a certificate's subject; '' where there is none.

    Vietnamese authorities write the number as user id (``CCCD:…``, ``MST:…``); some write it as serial number.
    """
    native = certificate.subject.native
    identity = native.get("user_id") or native.get("serial_number") or ""
    return str(native.get("common_name", "")), identity[0] if isinstance(identity, list) else str(identity)


def holder_findings(certificate: x509.Certificate, holder: Customer) -> list[Finding]:
    """What speaks against this certificate being the holder's."""
    name, identity = identity_of(certificate)
    findings = []
    if _plain(identity) != _plain(holder.identity):
        findings.append(Finding(Reason.IDENTITY_DIFFERS, identity or "–"))
    if _plain(name) != _plain(holder.name):
        findings.append(Finding(Reason.NAME_DIFFERS, name or "–"))
    return findings


async def check_certificate(
    trust: Trust, certificate: x509.Certificate, others: Sequence[x509.Certificate], context: ValidationContext
) -> list[Finding]:
    """What speaks against signing a contract with this certificate, as of the context's time; empty when nothing."""
    validator = CertificateValidator(
        certificate, intermediate_certs=[*others, *trust.intermediates], validation_context=context
    )
    try:
        await validator.async_validate_usage(USAGES)
    except (path_errors.ValidationError, path_errors.PathBuildingError) as error:
        return [path_finding(certificate, error)]
    return []


_BY_ERROR = (
    (path_errors.NotYetValidError, Reason.CERTIFICATE_NOT_YET_VALID),
    (path_errors.ExpiredError, Reason.CERTIFICATE_EXPIRED),
    (path_errors.RevokedError, Reason.CERTIFICATE_REVOKED),
    (path_errors.InsufficientRevinfoError, Reason.REVOCATION_UNKNOWN),
    (path_errors.InvalidCertificateError, Reason.CERTIFICATE_WRONG_USAGE),
)


def path_finding(certificate: x509.Certificate, error: Exception) -> Finding:
    """The meaning of a failed path."""
    detail = identity_of(certificate)[0]
    if certificate.self_issued and certificate.self_signed != "no":
        return Finding(Reason.CERTIFICATE_SELF_SIGNED, detail)
    for kind, reason in _BY_ERROR:
        if isinstance(error, kind):
            return Finding(reason, detail)
    return Finding(Reason.CERTIFICATE_UNTRUSTED, detail)


class CheckedTimeStamper(TimeStamper):
    """Asks the time-stamping authority over HTTP and compares its clock with ours.

    Raises NotAccepted: TSA_DOWN when it does not answer, TSA_REFUSED when it says no, TSA_WRONG_TIME.
    """

    def __init__(self, trust: Trust, clock: Clock) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # pyHanko's class has no types
        self._trust, self._clock = trust, clock

    async def async_request_tsa_response(self, req: tsp.TimeStampReq) -> tsp.TimeStampResp:
        """One request, one answer."""
        if not self._trust.tsa_url:
            raise NotAccepted(Finding(Reason.TSA_DOWN, "tsa_url is not set"))
        headers = {"Content-Type": "application/timestamp-query"}
        limit_s = self._trust.fetch_limit_s
        try:
            async with httpx.AsyncClient(timeout=limit_s, trust_env=False, verify=_tls()) as client:
                answer = await client.post(self._trust.tsa_url, content=req.dump(), headers=headers)
                answer.raise_for_status()
        except httpx.HTTPError as error:
            raise NotAccepted(Finding(Reason.TSA_DOWN, told_by(error))) from error
        try:
            return tsp.TimeStampResp.load(answer.content, strict=True)
        except ValueError as error:
            raise NotAccepted(Finding(Reason.TSA_REFUSED, "the answer is no time-stamp")) from error

    async def async_timestamp(self, message_digest: bytes, md_algorithm: str) -> object:
        """A token whose time is close to ours."""
        try:
            token = await super().async_timestamp(message_digest, md_algorithm)
        except (TimestampRequestError, ValueError) as error:
            raise NotAccepted(Finding(Reason.TSA_REFUSED, told_by(error))) from error
        stamped = token["content"]["encap_content_info"]["content"].parsed["gen_time"].native
        off_s = stamped.timestamp() - self._clock() / 1e6
        if abs(off_s) > self._trust.tsa_tolerance_s:
            raise NotAccepted(Finding(Reason.TSA_WRONG_TIME, f"{off_s:+.0f} s"))
        return token


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
