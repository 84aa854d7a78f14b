"""A simulated station that speaks signed and encrypted only: its own key, and the one control centre it trusts.

Knows asyncua's certificates and the folder that ``scada pki opcua`` makes: ``field/STATION.der`` and ``.pem`` are the
station's, ``control_centre.der`` is who may connect. Does not know how certificates are made.
"""

from pathlib import Path
from typing import Final

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from asyncua.server.server import Server
from asyncua.ua.status_codes import StatusCodes
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scada.model.errors import Fault

_CLIENT: Final = "control_centre.der"
_CHECKS: Final = CertificateValidatorOptions.EXT_VALIDATION | CertificateValidatorOptions.PEER_CLIENT


def missing_certificates(station: str, folder: Path) -> list[Fault]:
    """What of the station's certificates is not in ``folder``."""
    wanted = (folder / "field" / f"{station}.der", folder / "field" / f"{station}.pem", folder / _CLIENT)
    return [
        Fault("--opcua-security", station, f"needs {path}; `scada pki opcua {station}` makes it")
        for path in wanted
        if not path.is_file()
    ]


async def secure(server: Server, station: str, folder: Path) -> None:
    """Offer Basic256Sha256, signed and encrypted, and nothing else; before the server starts."""
    server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    await server.load_certificate(folder / "field" / f"{station}.der")
    await server.load_private_key(folder / "field" / f"{station}.pem")
    server.set_certificate_validator(_OnlyThisClient((folder / _CLIENT).read_bytes()))


class _OnlyThisClient(CertificateValidator):
    """Trusts one certificate, because it lies there; dates, application URI and usages are checked as well."""

    def __init__(self, trusted: bytes) -> None:
        super().__init__(_CHECKS)
        self._only = trusted

    async def __call__(self, cert: x509.Certificate, app_description: ua.ApplicationDescription) -> None:
        if cert.public_bytes(Encoding.DER) != self._only:
            raise ServiceError(StatusCodes.BadCertificateUntrusted)
        await self.validate(cert, app_description)
