"""What the certificates of the local authority are for. One table: who issues, how long it holds, which usages it has.

Knows RFC 5280 key usages. Does not know roles or areas: those are bound to a certificate elsewhere, and may change
without a new certificate.
"""

from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

DAY_US = 86_400_000_000
YEAR_US = 36525 * DAY_US // 100

DOCUMENT_SIGNING = ObjectIdentifier("1.3.6.1.5.5.7.3.36")
"""id-kp-documentSigning, RFC 9336."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate names. ``identity`` is written as the user id, the way Vietnamese authorities do:
    ``CCCD:`` and twelve digits for a person, ``MST:`` and the tax code for a company."""

    common_name: str
    identity: str = ""
    organization: str = ""
    unit: str = ""
    country: str = "VN"

    def name(self) -> x509.Name:
        """The distinguished name."""
        parts = [
            (NameOID.COUNTRY_NAME, self.country),
            (NameOID.ORGANIZATION_NAME, self.organization),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, self.unit),
            (NameOID.COMMON_NAME, self.common_name),
            (NameOID.USER_ID, self.identity),
        ]
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value])


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of certificate. ``path_length`` is None for end entities; ``years`` is the usual time it holds."""

    name: str
    years: float
    digital_signature: bool = False
    content_commitment: bool = False
    path_length: int | None = None
    extended: tuple[ObjectIdentifier, ...] = ()
    extended_critical: bool = False
    no_revocation_check: bool = False

    @property
    def is_authority(self) -> bool:
        """True when certificates of this kind sign other certificates."""
        return self.path_length is not None

    def key_usage(self) -> x509.KeyUsage:
        """The key usage extension, always critical."""
        return x509.KeyUsage(
            digital_signature=self.digital_signature,
            content_commitment=self.content_commitment,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=self.is_authority,
            crl_sign=self.is_authority,
            encipher_only=False,
            decipher_only=False,
        )


ROOT = Profile("root", years=30, path_length=1)
SUBORDINATE = Profile("subordinate", years=20, path_length=0)
SIGNER = Profile("signer", years=2, digital_signature=True, content_commitment=True, extended=(DOCUMENT_SIGNING,))
DISPATCHER = Profile("dispatcher", years=2, digital_signature=True, extended=(ExtendedKeyUsageOID.CLIENT_AUTH,))
SERVICE = Profile(
    "service",
    years=1,
    digital_signature=True,
    extended=(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
)
OCSP_RESPONDER = Profile(
    "ocsp-responder",
    years=5,
    digital_signature=True,
    extended=(ExtendedKeyUsageOID.OCSP_SIGNING,),
    no_revocation_check=True,
)
TIME_STAMPING = Profile(
    "time-stamping",
    years=5,
    digital_signature=True,
    extended=(ExtendedKeyUsageOID.TIME_STAMPING,),
    extended_critical=True,
)

PROFILES = {
    profile.name: profile for profile in (ROOT, SUBORDINATE, SIGNER, DISPATCHER, SERVICE, OCSP_RESPONDER, TIME_STAMPING)
}
