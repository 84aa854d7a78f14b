"""Certificates of OPC UA applications: RSA, self-signed, bound to an application URI.

Knows what OPC UA Part 6, 6.2.2 asks of an application instance certificate. Does not know who trusts it: a copy in the
other side's folder of trusted certificates does that. Separate from the authority for people: the policy
Basic256Sha256 allows RSA only.
"""

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS = 5


def make_application(folder: Path, name: str, uri: str, now: int, *, hosts: tuple[str, ...] = ("localhost",)) -> Path:
    """A new key ``NAME.pem`` (mode 0600) and its certificate ``NAME.der`` in ``folder``; returns the latter.

    ``now`` in µs UTC; valid from an hour before it for five years, because clocks of stations differ.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = _certificate(key, name, uri, _EPOCH + timedelta(microseconds=now), hosts)
    folder.mkdir(parents=True, exist_ok=True)
    private = folder / f"{name}.pem"
    private.touch(mode=0o600)
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public = folder / f"{name}.der"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    return public


def _certificate(
    key: rsa.RSAPrivateKey, name: str, uri: str, now: datetime, hosts: tuple[str, ...]
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.UniformResourceIdentifier(uri)]
    alternative: list[x509.GeneralName] = [*names, *(x509.DNSName(host) for host in (*hosts, socket.gethostname()))]
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
