"""Claims about the certificates of OPC UA applications and the command that makes them."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from typer.testing import CliRunner

from scada.commands.pki import app
from scada.pki.application import make_application
from substations.opcua_security import APPLICATION_URI

NOW = 1_700_000_000_000_000


def test_a_certificate_names_its_application_and_its_key_is_ours_alone(tmp_path: Path) -> None:
    path = make_application(tmp_path, "TN13", "urn:x:TN13", NOW)
    certificate = x509.load_der_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:x:TN13"]
    extension = certificate.extensions.get_extension_for_class
    own = extension(x509.SubjectKeyIdentifier).value.digest
    assert extension(x509.AuthorityKeyIdentifier).value.key_identifier == own, "signed by itself, and says so"
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 2048
    assert (tmp_path / "TN13.pem").stat().st_mode & 0o777 == 0o600
    assert certificate.not_valid_before_utc.timestamp() == NOW / 1e6 - 3600


def test_the_command_makes_both_sides_once_and_keeps_them(tmp_path: Path) -> None:
    folder = tmp_path / "opcua"
    made = CliRunner().invoke(app, ["opcua", "TN13", "TN14", "--folder", str(folder)])
    assert made.exit_code == 0, made.output
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert sorted(path.relative_to(folder).as_posix() for path in before) == [
        "control_centre.der",
        "control_centre.pem",
        "field/TN13.der",
        "field/TN13.pem",
        "field/TN14.der",
        "field/TN14.pem",
        "trusted/TN13.der",
        "trusted/TN14.der",
    ]
    again = CliRunner().invoke(app, ["opcua", "TN13", "--folder", str(folder)])
    assert again.exit_code == 0
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    ours = x509.load_der_x509_certificate(before[folder / "control_centre.der"])
    names = ours.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [APPLICATION_URI]
