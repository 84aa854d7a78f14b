"""Whether a certificate is to be trusted now: path to the anchor, periods, usages, revocation (RFC 5280, 6).

Knows the anchor and the revocation lists it was given. Does not know files, roles or what was signed. A list that is
missing, badly signed or past its next update makes every certificate it should speak for untrusted: no news is not
good news.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes

LONGEST_PATH: Final = 4
MOST_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Trust:
    """The root everything hangs on, the intermediates we know, and the newest list of each issuer."""

    anchor: x509.Certificate
    intermediates: tuple[x509.Certificate, ...] = ()
    lists: tuple[x509.CertificateRevocationList, ...] = ()
    proven: dict[tuple[bytes, bytes], bool] = field(default_factory=dict, compare=False)
    """Which (certificate, issuer) signatures were verified before: they do not change, periods and lists do."""
    trusted: dict[bytes, tuple[datetime, datetime]] = field(default_factory=dict, compare=False)
    """Certificates found trusted, and from when until when every period and list on their path allows it. What may be
    revoked comes with new lists, and new lists with a new Trust."""

    def why_not(self, chain: Sequence[x509.Certificate], now: int) -> str:
        """'' when the first certificate of ``chain`` is trusted for signing at ``now``, else why not."""
        moment = datetime.fromtimestamp(now / 1e6, UTC)
        leaf = chain[0].fingerprint(hashes.SHA256())
        known = self.trusted.get(leaf)
        if known is not None and known[0] <= moment <= known[1]:
            return ""
        path: list[x509.Certificate] = []
        if not (fault := self._walk(chain, moment, path)):
            if len(self.trusted) > MOST_REMEMBERED:
                self.trusted.clear()
            self.trusted[leaf] = self._span(path)
        return fault

    def _walk(self, chain: Sequence[x509.Certificate], moment: datetime, path: list[x509.Certificate]) -> str:
        """Follow the path to the anchor; ``path`` gets its certificates, the signer's first."""
        candidates = (*chain[1:], *self.intermediates, self.anchor)
        current = chain[0]
        if fault := _signer_fault(current):
            return fault
        for _ in range(LONGEST_PATH):
            path.append(current)
            name = current.subject.rfc4514_string()
            if moment < current.not_valid_before_utc:
                return f"certificate {name} is not valid before {current.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC"
            if moment > current.not_valid_after_utc:
                return f"certificate {name} expired on {current.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"
            if current == self.anchor:
                return ""
            issuer = next((each for each in candidates if self._issued(current, each)), None)
            if issuer is None:
                return f"certificate {name} was issued by nobody we trust ({current.issuer.rfc4514_string()})"
            if fault := _issuer_fault(issuer) or self._revocation_fault(current, issuer, moment):
                return fault
            current = issuer
        return "the path of certificates is too long"

    def _issued(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        if certificate.issuer != issuer.subject:
            return False
        key = (certificate.fingerprint(hashes.SHA256()), issuer.fingerprint(hashes.SHA256()))
        if key not in self.proven:
            if len(self.proven) > MOST_REMEMBERED:
                self.proven.clear()
            self.proven[key] = _signed_by(certificate, issuer)
        return self.proven[key]

    def _vouched(self, revoked: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
        key = (revoked.fingerprint(hashes.SHA256()), issuer.fingerprint(hashes.SHA256()))
        if key not in self.proven:
            self.proven[key] = _list_signed_by(revoked, issuer)
        return self.proven[key]

    def _newest_list(self, issuer: x509.Certificate) -> x509.CertificateRevocationList | None:
        mine = [each for each in self.lists if each.issuer == issuer.subject and self._vouched(each, issuer)]
        return max(mine, key=lambda each: each.last_update_utc) if mine else None

    def _span(self, path: Sequence[x509.Certificate]) -> tuple[datetime, datetime]:
        """From when until when a path that is trusted now stays so, with the lists there are."""
        lists = [self._newest_list(issuer) for issuer in path[1:]]
        ends = [each.next_update_utc for each in lists if each is not None and each.next_update_utc is not None]
        begin = max(each.not_valid_before_utc for each in path)
        return begin, min(*ends, *(each.not_valid_after_utc for each in path))

    def _revocation_fault(self, certificate: x509.Certificate, issuer: x509.Certificate, moment: datetime) -> str:
        name = certificate.subject.rfc4514_string()
        newest = self._newest_list(issuer)
        if newest is None:
            return f"there is no revocation list of {issuer.subject.rfc4514_string()}"
        if newest.next_update_utc is None or moment > newest.next_update_utc:
            return f"the revocation list of {issuer.subject.rfc4514_string()} is out of date"
        entry = newest.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if entry is not None:
            return f"certificate {name} was revoked on {entry.revocation_date_utc:%Y-%m-%d %H:%M:%S} UTC"
        return ""


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER certificate, lower-case hexadecimal: how the authority table names it."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _list_signed_by(revoked: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return revoked.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # other key types raise TypeError
    except TypeError:
        return False


def _signer_fault(certificate: x509.Certificate) -> str:
    name = certificate.subject.rfc4514_string()
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError):
        return f"certificate {name} does not say what it is for"
    if not usage.digital_signature or constraints.ca:
        return f"certificate {name} is not for signing commands"
    return ""


def _issuer_fault(issuer: x509.Certificate) -> str:
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError):
        return f"{issuer.subject.rfc4514_string()} is no authority"
    if not constraints.ca or not usage.key_cert_sign:
        return f"{issuer.subject.rfc4514_string()} is no authority"
    return ""
