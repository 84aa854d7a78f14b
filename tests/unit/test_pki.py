"""The local certificate authority, judged by the cryptography library's own path validation and by openssl."""

import subprocess
from pathlib import Path

import httpx
import pytest
from asn1crypto import tsp
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as x509_ocsp

from scada.pki import folder, ocsp, servers, tsa
from scada.pki.authority import instant, self_signed
from scada.pki.folder import LocalPki, PkiError
from scada.pki.profiles import DAY_US, PROFILES, SIGNER, Subject

NOW = 1_790_000_000_000_000
SAMPLE = Subject("Khách hàng mẫu 01", "CCCD:001000000001")


@pytest.fixture
def pki() -> LocalPki:
    return folder.create("http://127.0.0.1:1", NOW)


def _openssl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)


def test_openssl_accepts_the_chain_and_the_list_of_the_revoked(pki: LocalPki, tmp_path: Path) -> None:
    person = pki.issue(SAMPLE, SIGNER, NOW)
    (tmp_path / "root.pem").write_bytes(pki.root.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "people.pem").write_bytes(pki.people.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "person.pem").write_bytes(person.certificate.public_bytes(Encoding.PEM))
    crl = x509.load_der_x509_crl(pki.people.crl(NOW)).public_bytes(Encoding.PEM)
    (tmp_path / "crl.pem").write_bytes(crl)
    common = ["verify", "-attime", str(NOW // 1_000_000), "-CAfile", str(tmp_path / "root.pem")]
    common += ["-untrusted", str(tmp_path / "people.pem"), "-CRLfile", str(tmp_path / "crl.pem"), "-crl_check"]
    assert _openssl(*common, str(tmp_path / "person.pem")).returncode == 0
    pki.revoke(person.certificate.serial_number, NOW)
    revoked = x509.load_der_x509_crl(pki.people.crl(NOW)).public_bytes(Encoding.PEM)
    (tmp_path / "crl.pem").write_bytes(revoked)
    refused = _openssl(*common, str(tmp_path / "person.pem"))
    assert refused.returncode != 0
    assert "certificate revoked" in refused.stderr


def test_ocsp_answers_good_then_revoked_and_never_for_another_authority(pki: LocalPki) -> None:
    person = pki.issue(SAMPLE, SIGNER, NOW)
    question = ocsp.request(person.certificate, pki.people.certificate)
    good = x509_ocsp.load_der_ocsp_response(ocsp.answer(pki.people, pki.responders["people"], question, NOW))
    assert good.certificate_status is x509_ocsp.OCSPCertStatus.GOOD
    pki.revoke(person.certificate.serial_number, NOW + 5_000_000)
    after = ocsp.answer(pki.people, pki.responders["people"], question, NOW + DAY_US)
    revoked = x509_ocsp.load_der_ocsp_response(after)
    assert revoked.certificate_status is x509_ocsp.OCSPCertStatus.REVOKED
    assert revoked.revocation_time_utc == instant(NOW + 5_000_000)
    before = x509_ocsp.load_der_ocsp_response(ocsp.answer(pki.people, pki.responders["people"], question, NOW))
    assert before.certificate_status is x509_ocsp.OCSPCertStatus.GOOD
    foreign = x509_ocsp.load_der_ocsp_response(ocsp.answer(pki.time, pki.responders["time"], question, NOW))
    assert foreign.response_status is x509_ocsp.OCSPResponseStatus.UNAUTHORIZED
    broken = x509_ocsp.load_der_ocsp_response(ocsp.answer(pki.people, pki.responders["people"], b"no", NOW))
    assert broken.response_status is x509_ocsp.OCSPResponseStatus.MALFORMED_REQUEST


def test_openssl_accepts_the_time_stamp(pki: LocalPki, tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(b"content")
    query, reply = tmp_path / "query.tsq", tmp_path / "reply.tsr"
    made = _openssl("ts", "-query", "-data", str(tmp_path / "content"), "-sha256", "-cert", "-out", str(query))
    assert made.returncode == 0, made.stderr
    reply.write_bytes(tsa.answer(pki.time_stamper, query.read_bytes(), NOW))
    (tmp_path / "root.pem").write_bytes(pki.root.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "time.pem").write_bytes(pki.time.certificate.public_bytes(Encoding.PEM))
    arguments = ["ts", "-verify", "-in", str(reply), "-CAfile", str(tmp_path / "root.pem")]
    arguments += ["-untrusted", str(tmp_path / "time.pem"), "-attime", str(NOW // 1_000_000)]
    verified = _openssl(*arguments, "-queryfile", str(query))
    assert "Verification: OK" in verified.stdout + verified.stderr
    other = tmp_path / "other"
    other.write_bytes(b"other")
    assert "Verification: OK" not in _openssl(*arguments, "-data", str(other)).stdout


@pytest.mark.parametrize(
    ("question", "failure"),
    [
        (b"no", "the data submitted has the wrong format"),
        (
            tsp.TimeStampReq(
                {
                    "version": "v1",
                    "message_imprint": {"hash_algorithm": {"algorithm": "sha1"}, "hashed_message": b"x" * 20},
                }
            ).dump(),
            "unrecognized or unsupported algorithm identifier",
        ),
    ],
    ids=["unreadable", "sha1"],
)
def test_a_time_stamp_request_that_cannot_be_honoured_is_rejected(
    pki: LocalPki, tmp_path: Path, question: bytes, failure: str
) -> None:
    (tmp_path / "reply").write_bytes(tsa.answer(pki.time_stamper, question, NOW))
    shown = _openssl("ts", "-reply", "-in", str(tmp_path / "reply"), "-text").stdout
    assert "Status: Rejected." in shown
    assert failure in shown


def test_a_saved_authority_loads_with_its_revocations(pki: LocalPki, tmp_path: Path) -> None:
    person = pki.issue(SAMPLE, SIGNER, NOW)
    pki.revoke(person.certificate.serial_number, NOW)
    folder.save(pki, tmp_path)
    loaded = folder.load(tmp_path)
    assert loaded.issued == pki.issued
    assert loaded.people.revoked == pki.people.revoked
    assert loaded.root.certificate == pki.root.certificate
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0
    with pytest.raises(PkiError, match="no certificate with serial"):
        loaded.revoke(1, NOW)


def test_a_folder_without_an_authority_is_named(tmp_path: Path) -> None:
    with pytest.raises(PkiError, match="scada pki init"):
        folder.load(tmp_path)


@pytest.mark.parametrize("profile", [each for each in PROFILES.values() if not each.is_authority])
def test_an_end_entity_never_signs_certificates(pki: LocalPki, profile: object) -> None:
    person = pki.issue(SAMPLE, profile, NOW)  # type: ignore[arg-type]  # parametrised value has no type
    usage = person.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.crl_sign) == (False, False)


def test_a_certificate_never_outlives_its_issuer(pki: LocalPki) -> None:
    late = pki.issue(SAMPLE, SIGNER, NOW, not_after=NOW + 40 * 366 * DAY_US)
    assert late.certificate.not_valid_after_utc == pki.people.certificate.not_valid_after_utc
    assert self_signed(SAMPLE, SIGNER, NOW).certificate.issuer == SAMPLE.name()


@pytest.mark.integration
def test_the_doors_answer_over_http_and_a_closed_one_says_so() -> None:
    listener = servers.listening_socket()
    pki = folder.create(servers.base_url(listener), NOW)
    doors = servers.doors(pki)
    with servers.served(servers.application(pki, doors, lambda: NOW), listener), httpx.Client() as client:
        crl = client.get(f"{pki.base_url}/crl/people.crl")
        assert x509.load_der_x509_crl(crl.content).issuer == pki.people.certificate.subject
        assert client.get(f"{pki.base_url}/crl/nobody.crl").status_code == 404
        doors.tsa = None
        assert client.post(f"{pki.base_url}/tsa", content=b"").status_code == 503
