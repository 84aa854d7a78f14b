"""The local authority as a folder: root, two subordinates (people, time), their keys, and what was issued and revoked.

    root.cer people.cer time.cer      certificates, PEM
    keys/*.key                        private keys, PEM, readable by the owner only; for demonstrations and tests
    crl/*.crl                         revocation lists for verifiers that read files, as of the last change
    index.json                        addresses, and serial, profile, subject and revocation of each certificate

Does not serve anything, and reads no clock.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from scada.model.errors import GridScadaError
from scada.pki.authority import Addresses, Authority, Identity, PrivateKey, Revocation
from scada.pki.profiles import DAY_US, OCSP_RESPONDER, PROFILES, SUBORDINATE, TIME_STAMPING, Profile, Subject

LISTS_HOLD_US = 30 * DAY_US
AUTHORITIES = ("root", "people", "time")


class PkiError(GridScadaError):
    """The authority's folder is missing, exists already, or does not know the certificate."""


@dataclass(slots=True)
class LocalPki:
    """Root → people (persons, services) and root → time (time-stamping). ``responders`` sign OCSP answers."""

    base_url: str
    authorities: dict[str, Authority]
    responders: dict[str, Identity]
    time_stamper: Identity
    issued: dict[int, tuple[str, str]]
    """Profile name and subject by serial."""

    @property
    def root(self) -> Authority:
        """Whom verifiers trust."""
        return self.authorities["root"]

    @property
    def people(self) -> Authority:
        """Issues to persons and services."""
        return self.authorities["people"]

    @property
    def time(self) -> Authority:
        """Issues to time-stampers."""
        return self.authorities["time"]

    def issue(self, subject: Subject, profile: Profile, now: int, **options: Any) -> Identity:
        """A certificate with its key for a person or a service; options as in ``Authority.identify``."""
        identity = self.people.identify(subject, profile, now, **options)
        self.issued[identity.certificate.serial_number] = (profile.name, subject.common_name)
        return identity

    def renew_time_stamper(self, now: int) -> None:
        """A new key and certificate for the time-stamper: an authority does so well before the old one ends."""
        subject = Subject("Local time-stamping unit", organization="gridscada")
        self.time_stamper = self.time.identify(subject, TIME_STAMPING, now)
        self.responders = {name: _responder(each, now) for name, each in self.authorities.items()}

    def revoke(self, serial: int, now: int, reason: x509.ReasonFlags = x509.ReasonFlags.unspecified) -> None:
        """Revoke a certificate issued here. Raises PkiError when it is not known."""
        if serial not in self.issued:
            raise PkiError(f"no certificate with serial {serial:x} was issued here")
        self.people.revoke(serial, now, reason)


def create(base_url: str, now: int) -> LocalPki:
    """A new authority whose lists and answers will be served under ``base_url``."""
    root = Authority.root(Subject("Local root authority", organization="gridscada"), now, addresses(base_url, "root"))
    authorities = {"root": root}
    for name in ("people", "time"):
        subject = Subject(f"Local authority for {name}", organization="gridscada")
        authorities[name] = Authority(root.identify(subject, SUBORDINATE, now), addresses(base_url, name))
    stamper = authorities["time"].identify(
        Subject("Local time-stamping unit", organization="gridscada"), TIME_STAMPING, now
    )
    responders = {name: _responder(authority, now) for name, authority in authorities.items()}
    return LocalPki(base_url, authorities, responders, stamper, {})


def addresses(base_url: str, name: str) -> Addresses:
    """Where an authority's list, answers and certificate are served."""
    return Addresses(f"{base_url}/crl/{name}.crl", f"{base_url}/ocsp/{name}", f"{base_url}/ca/{name}.cer")


def save(pki: LocalPki, folder: Path) -> None:
    """Write everything; private keys readable by the owner only. The index is replaced in one step."""
    (folder / "keys").mkdir(parents=True, exist_ok=True)
    (folder / "keys").chmod(0o700)
    for name, authority in pki.authorities.items():
        _write(folder, name, authority.identity)
        _write(folder, f"ocsp-{name}", pki.responders[name])
    _write(folder, "tsa", pki.time_stamper)
    revoked = {
        name: {f"{entry.serial:x}": [entry.at, entry.reason.value] for entry in authority.revoked.values()}
        for name, authority in pki.authorities.items()
    }
    issued = {f"{serial:x}": list(entry) for serial, entry in pki.issued.items()}
    text = json.dumps({"base_url": pki.base_url, "revoked": revoked, "issued": issued}, ensure_ascii=False, indent=1)
    fresh = folder / "index.json.new"
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(folder / "index.json")


def write_lists(pki: LocalPki, folder: Path, now: int, *, holds_us: int = LISTS_HOLD_US) -> None:
    """Write every authority's revocation list to ``crl/NAME.crl``, for verifiers on this machine."""
    (folder / "crl").mkdir(parents=True, exist_ok=True)
    for name, authority in pki.authorities.items():
        fresh = folder / "crl" / f"{name}.new"
        fresh.write_bytes(authority.crl(now, holds_us=holds_us))
        fresh.replace(folder / "crl" / f"{name}.crl")


def load(folder: Path) -> LocalPki:
    """The authority in ``folder``. Raises PkiError."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PkiError(f"there is no certificate authority in {folder}; make one with `scada pki init`") from error
    authorities: dict[str, Authority] = {}
    for name in AUTHORITIES:
        chain = () if name == "root" else (authorities["root"].certificate,)
        identity = _read(folder, name, chain)
        where = addresses(index["base_url"], name)
        authorities[name] = Authority(identity, where, _revocations(index["revoked"].get(name, {})))
    responders = {name: _read(folder, f"ocsp-{name}", ()) for name in AUTHORITIES}
    time = authorities["time"]
    stamper = _read(folder, "tsa", (time.certificate, *time.identity.chain))
    issued = {int(serial, 16): (entry[0], entry[1]) for serial, entry in index["issued"].items()}
    return LocalPki(index["base_url"], authorities, responders, stamper, issued)


def profile_named(name: str) -> Profile:
    """A profile by name. Raises PkiError."""
    try:
        return PROFILES[name]
    except KeyError:
        raise PkiError(f"no profile {name!r}; known are {', '.join(sorted(PROFILES))}") from None


def _responder(authority: Authority, now: int) -> Identity:
    return authority.identify(Subject("Local OCSP responder", organization="gridscada"), OCSP_RESPONDER, now)


def _revocations(entries: Mapping[str, Any]) -> dict[int, Revocation]:
    return {
        int(serial, 16): Revocation(int(serial, 16), at, x509.ReasonFlags(reason))
        for serial, (at, reason) in entries.items()
    }


def _write(folder: Path, name: str, identity: Identity) -> None:
    (folder / f"{name}.cer").write_bytes(identity.certificate.public_bytes(Encoding.PEM))
    path = folder / "keys" / f"{name}.key"
    path.touch(mode=0o600)
    path.write_bytes(identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _read(folder: Path, name: str, chain: tuple[x509.Certificate, ...]) -> Identity:
    certificate = x509.load_pem_x509_certificate((folder / f"{name}.cer").read_bytes())
    key = load_pem_private_key((folder / "keys" / f"{name}.key").read_bytes(), None)
    assert isinstance(key, PrivateKey)
    return Identity(key, certificate, chain)
