"""Issues and revokes certificates (RFC 5280) with ECDSA P-256, and signs the list of the revoked.

Knows one authority: its key, its certificate, what it revoked. Knows no file, no clock and no socket: ``now`` is
µs since 1970 UTC, and where its lists will be served is told to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12
from cryptography.x509.oid import AuthorityInformationAccessOID

from scada.pki.profiles import DAY_US, ROOT, YEAR_US, Profile, Subject

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

BACKDATE_US = 60_000_000
"""A certificate holds from a minute before it is issued: clocks of other machines run behind."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """One entry of a revocation list."""

    serial: int
    at: int
    reason: x509.ReasonFlags = x509.ReasonFlags.unspecified


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with the key that belongs to it, and the certificates up to the root, the issuer first."""

    key: PrivateKey
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()

    def pkcs12(self, passphrase: str, name: str = "") -> bytes:
        """The key, its certificate and the chain as an encrypted PKCS#12 file."""
        encryption = BestAvailableEncryption(passphrase.encode())
        return pkcs12.serialize_key_and_certificates(
            name.encode() or None, self.key, self.certificate, list(self.chain), encryption
        )


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the answers of one authority are served; '' leaves the extension out."""

    crl: str = ""
    ocsp: str = ""
    issuer: str = ""


def instant(time_us: int) -> datetime:
    """Aware UTC time of ``time_us``, whole seconds (X.509 knows no fractions)."""
    return datetime.fromtimestamp(time_us // 1_000_000, UTC)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


class Authority:
    """A certificate authority, root or subordinate."""

    def __init__(
        self,
        identity: Identity,
        addresses: Addresses,
        revoked: Mapping[int, Revocation] | None = None,
    ) -> None:
        self.identity = identity
        self.addresses = addresses
        self.revoked: dict[int, Revocation] = dict(revoked or {})

    @classmethod
    def root(cls, subject: Subject, now: int, addresses: Addresses) -> "Authority":
        """A new self-signed authority."""
        key = new_key()
        builder = _builder(subject.name(), subject.name(), key.public_key(), ROOT, now - BACKDATE_US, _end(ROOT, now))
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return cls(Identity(key, builder.sign(key, hashes.SHA256())), addresses)

    @property
    def certificate(self) -> x509.Certificate:
        """The authority's own certificate."""
        return self.identity.certificate

    def issue(
        self,
        subject: Subject,
        profile: Profile,
        now: int,
        *,
        public_key: PublicKey,
        not_before: int | None = None,
        not_after: int | None = None,
    ) -> x509.Certificate:
        """A certificate for ``public_key``; its period follows the profile unless given, never beyond the issuer's."""
        start = now - BACKDATE_US if not_before is None else not_before
        end = _end(profile, now) if not_after is None else not_after
        last = int(self.certificate.not_valid_after_utc.timestamp()) * 1_000_000
        builder = _builder(subject.name(), self.certificate.subject, public_key, profile, start, min(end, last))
        own = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False
        )
        builder = _with_addresses(builder, self.addresses, profile)
        return builder.sign(self.identity.key, hashes.SHA256())

    def identify(
        self,
        subject: Subject,
        profile: Profile,
        now: int,
        *,
        key: PrivateKey | None = None,
        not_before: int | None = None,
        not_after: int | None = None,
    ) -> Identity:
        """A certificate together with its key, a new one unless given."""
        own = key or new_key()
        certificate = self.issue(
            subject, profile, now, public_key=own.public_key(), not_before=not_before, not_after=not_after
        )
        return Identity(own, certificate, (self.certificate, *self.identity.chain))

    def revoke(self, serial: int, at: int, reason: x509.ReasonFlags = x509.ReasonFlags.unspecified) -> None:
        """Revoke from ``at`` on. The first revocation stands; a second one changes nothing."""
        self.revoked.setdefault(serial, Revocation(serial, at, reason))

    def crl(self, now: int, *, holds_us: int = DAY_US) -> bytes:
        """The revocation list as of ``now`` (DER), to be replaced after ``holds_us``."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(instant(now))
            .next_update(instant(now + holds_us))
            .add_extension(x509.CRLNumber(now // 1_000_000), critical=False)
        )
        own = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False
        )
        for entry in self.revoked.values():
            if entry.at <= now:
                builder = builder.add_revoked_certificate(_revoked(entry))
        signed = builder.sign(self.identity.key, hashes.SHA256())
        return signed.public_bytes(Encoding.DER)


def self_signed(subject: Subject, profile: Profile, now: int) -> Identity:
    """A certificate that nobody vouches for: what a verifier must refuse."""
    key = new_key()
    builder = _builder(subject.name(), subject.name(), key.public_key(), profile, now - BACKDATE_US, now + YEAR_US)
    return Identity(key, builder.sign(key, hashes.SHA256()))


def _end(profile: Profile, now: int) -> int:
    return now + int(profile.years * YEAR_US)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: PublicKey, profile: Profile, start: int, end: int
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(instant(start))
        .not_valid_after(instant(end))
        .add_extension(x509.BasicConstraints(ca=profile.is_authority, path_length=profile.path_length), critical=True)
        .add_extension(profile.key_usage(), critical=True)
    )
    if profile.extended:
        usage = x509.ExtendedKeyUsage(list(profile.extended))
        builder = builder.add_extension(usage, critical=profile.extended_critical)
    if profile.no_revocation_check:
        builder = builder.add_extension(x509.OCSPNoCheck(), critical=False)
    return builder


def _with_addresses(
    builder: x509.CertificateBuilder, addresses: Addresses, profile: Profile
) -> x509.CertificateBuilder:
    if profile.no_revocation_check:
        return builder
    if addresses.crl:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(addresses.crl)], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    access = [
        x509.AccessDescription(method, x509.UniformResourceIdentifier(address))
        for method, address in (
            (AuthorityInformationAccessOID.OCSP, addresses.ocsp),
            (AuthorityInformationAccessOID.CA_ISSUERS, addresses.issuer),
        )
        if address
    ]
    return builder.add_extension(x509.AuthorityInformationAccess(access), critical=False) if access else builder


def _revoked(entry: Revocation) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(entry.serial).revocation_date(instant(entry.at))
    if entry.reason is not x509.ReasonFlags.unspecified:
        builder = builder.add_extension(x509.CRLReason(entry.reason), critical=False)
    return builder.build()
