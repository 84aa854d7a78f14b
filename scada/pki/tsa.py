"""Time-stamps (RFC 3161, RFC 5816): request bytes in, response bytes out. No socket; the time is an argument."""

import secrets
from typing import ClassVar

from asn1crypto import algos, cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from scada.pki.authority import Identity, instant

POLICY = "2.25.213498127340198723401982734"
"""An identifier under the UUID arc; the local authority promises nothing beyond its clock."""

DIGESTS = {"sha256": 32, "sha384": 48, "sha512": 64}


class _Rejection(core.Sequence):  # type: ignore[misc]  # asn1crypto has no types
    """A response without a token: asn1crypto's own class demands one, RFC 3161 2.4.2 forbids it."""

    _fields: ClassVar = [("status", tsp.PKIStatusInfo)]


def answer(signer: Identity, question: bytes, now: int) -> bytes:
    """The response to a time-stamp request; a rejection when it cannot be read or its digest is not allowed."""
    try:
        asked = tsp.TimeStampReq.load(question, strict=True)
        imprint = asked["message_imprint"]
        algorithm = imprint["hash_algorithm"]["algorithm"].native
        digest = imprint["hashed_message"].native
    except (ValueError, TypeError):
        return _rejection("bad_data_format")
    if len(digest) != DIGESTS.get(algorithm, -1):
        return _rejection("bad_alg")
    info = {
        "version": "v1",
        "policy": POLICY,
        "message_imprint": imprint,
        "serial_number": secrets.randbits(63),
        "gen_time": instant(now),
        "accuracy": {"seconds": 1},
    }
    if asked["nonce"].native is not None:
        info["nonce"] = asked["nonce"]
    token = _token(signer, tsp.TSTInfo(info))
    return bytes(tsp.TimeStampResp({"status": {"status": "granted"}, "time_stamp_token": token}).dump())


def _token(signer: Identity, info: tsp.TSTInfo) -> cms.ContentInfo:
    certificate = _asn1(signer.certificate)
    content = info.dump()
    attributes = cms.CMSAttributes(
        [
            cms.CMSAttribute({"type": "content_type", "values": ["tst_info"]}),
            cms.CMSAttribute({"type": "message_digest", "values": [_sha256(content)]}),
            cms.CMSAttribute({"type": "signing_certificate_v2", "values": [_certificate_id(signer.certificate)]}),
        ]
    )
    assert isinstance(signer.key, ec.EllipticCurvePrivateKey)
    signature = signer.key.sign(attributes.dump(), ec.ECDSA(hashes.SHA256()))
    signer_info = cms.SignerInfo(
        {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                {
                    "issuer_and_serial_number": cms.IssuerAndSerialNumber(
                        {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
                    )
                }
            ),
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "sha256_ecdsa"},
            "signature": signature,
        }
    )
    return cms.ContentInfo(
        {
            "content_type": "signed_data",
            "content": cms.SignedData(
                {
                    "version": "v3",
                    "digest_algorithms": [{"algorithm": "sha256"}],
                    "encap_content_info": {
                        "content_type": "tst_info",
                        "content": core.ParsableOctetString(content),
                    },
                    "certificates": [certificate, *(_asn1(each) for each in signer.chain)],
                    "signer_infos": [signer_info],
                }
            ),
        }
    )


def _certificate_id(certificate: x509.Certificate) -> tsp.SigningCertificateV2:
    digest = _sha256(certificate.public_bytes(Encoding.DER))
    return tsp.SigningCertificateV2(
        {"certs": [{"hash_algorithm": algos.DigestAlgorithm({"algorithm": "sha256"}), "cert_hash": digest}]}
    )


def _asn1(certificate: x509.Certificate) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))


def _sha256(content: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(content)
    return digest.finalize()


def _rejection(failure: str) -> bytes:
    status = {"status": "rejection", "fail_info": {failure}}
    return bytes(_Rejection({"status": status}).dump())
