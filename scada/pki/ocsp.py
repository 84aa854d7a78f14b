"""Answers whether a certificate is revoked (RFC 6960). Request bytes in, response bytes out; no socket, no clock."""

from asn1crypto import keys
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from scada.pki.authority import Authority, Identity, instant
from scada.pki.profiles import DAY_US


def request(certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    """The question about one certificate (DER)."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA256())
    return builder.build().public_bytes(Encoding.DER)


def answer(authority: Authority, responder: Identity, question: bytes, now: int, *, holds_us: int = DAY_US) -> bytes:
    """The signed answer about the certificate asked for; *unauthorized* when another authority issued it.

    ``responder`` holds a certificate of this authority for OCSP signing.
    """
    try:
        asked = ocsp.load_der_ocsp_request(question)
        serial, issuer_hash, algorithm = asked.serial_number, asked.issuer_key_hash, asked.hash_algorithm
    except ValueError:
        return _unsuccessful(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
    if issuer_hash != _issuer_key_hash(authority.certificate, algorithm):
        return _unsuccessful(ocsp.OCSPResponseStatus.UNAUTHORIZED)
    entry = authority.revoked.get(serial)
    is_revoked = entry is not None and entry.at <= now
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response_by_hash(
            asked.issuer_name_hash,
            issuer_hash,
            serial,
            algorithm,
            ocsp.OCSPCertStatus.REVOKED if is_revoked else ocsp.OCSPCertStatus.GOOD,
            instant(now),
            instant(now + holds_us),
            instant(entry.at) if entry is not None and is_revoked else None,
            entry.reason if entry is not None and is_revoked else None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, responder.certificate)
        .certificates([responder.certificate])
    )
    for extension in asked.extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            builder = builder.add_extension(extension.value, critical=False)
    return builder.sign(responder.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _issuer_key_hash(issuer: x509.Certificate, algorithm: hashes.HashAlgorithm) -> bytes:
    """Hash of the issuer's public key without its header, as RFC 6960 4.1.1 wants it."""
    key = keys.PublicKeyInfo.load(issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    digest = hashes.Hash(algorithm)
    digest.update(bytes(key["public_key"].contents)[1:])
    return digest.finalize()


def _unsuccessful(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
