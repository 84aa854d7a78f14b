"""Secure channels to OPC UA stations: our certificate, the station's pinned one, signed and encrypted messages.

Knows policies and where certificates lie. Does not know sessions or how certificates are made (``scada pki opcua``).

The folder holds ``control_centre.der`` and ``control_centre.pem`` (our key) and, for every station,
``trusted/STATION.der``. A station is trusted because its own certificate lies there; nothing else makes it trusted.
"""

from pathlib import Path
from typing import Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto.security_policies import SecurityPolicy, SecurityPolicyBasic256Sha256

from scada.model.errors import LinkError
from scada.model.station import NO_SECURITY, Endpoint

POLICIES: Final[dict[str, type[SecurityPolicy]]] = {"Basic256Sha256": SecurityPolicyBasic256Sha256}
APPLICATION_URI: Final = "urn:gridscada:control-centre"
OUR_CERTIFICATE, OUR_KEY = "control_centre.der", "control_centre.pem"


async def secure(client: Client, endpoint: Endpoint, station: str) -> None:
    """Give the client what the station's policy needs, before it connects. Raises LinkError naming the missing file."""
    if endpoint.security in ("", NO_SECURITY):
        return
    policy = POLICIES.get(endpoint.security)
    if policy is None:
        raise LinkError(
            f"unknown security policy {endpoint.security!r}; known are {', '.join(POLICIES)}, {NO_SECURITY}"
        )
    folder = Path(endpoint.certificates)
    ours, key, theirs = folder / OUR_CERTIFICATE, folder / OUR_KEY, folder / "trusted" / f"{station}.der"
    for path in (ours, key, theirs):
        if not path.is_file():
            raise LinkError(f"{endpoint.security} needs {path}; `scada pki opcua` makes certificates for trials")
    client.application_uri = APPLICATION_URI
    try:
        await client.set_security(
            policy, ours, key, server_certificate=str(theirs), mode=ua.MessageSecurityMode.SignAndEncrypt
        )
    except ValueError as error:
        raise LinkError(f"a certificate in {folder} cannot be read: {error}") from None
