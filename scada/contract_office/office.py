"""Puts the contract desk together: settings, trust, archive, database, token. And makes a local office for trying out.

    opened(config, settings)   desk, execution and upkeep over the real database, while the block lasts
    make_local(config)         a local authority, a software token and ``contracts.toml`` under ``var/contracts``

Knows where everything lies. The steps themselves are the desk's.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from asn1crypto import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from historian.contracts import ContractDatabase
from historian.migrate import migrate
from scada.clock import now_us
from scada.config import Config
from scada.contracts.archive import Archive
from scada.contracts.desk import ContractDesk
from scada.contracts.execution import Execution
from scada.contracts.keys import TokenSigner
from scada.contracts.settings import ContractSettings, TokenSettings, load_settings
from scada.contracts.token import Token, TokenProcess
from scada.contracts.trust import Trust, load_certificates, load_trust
from scada.contracts.upkeep import Upkeep
from scada.hashchain import ChainTaken
from scada.hmi.processes import ProcessSilent, ask
from scada.model.errors import GridScadaError
from scada.pki import folder as pki_folder
from scada.pki.authority import Identity
from scada.pki.profiles import SIGNER, Subject
from scada.services import supervisor

SELLER = Subject("Công ty Điện lực mẫu", "MST:0000000000")
DOOR = "contracts"
"""The name under which the process that keeps the office open writes down where it answers."""

MODULES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"),
)


class OfficeError(GridScadaError):
    """The office cannot be opened: settings, token or authority are missing."""


@dataclass(frozen=True, slots=True)
class Office:
    """Everything the doors need."""

    desk: ContractDesk
    execution: Execution
    upkeep: Upkeep
    settings: ContractSettings


def settings_path(config: Config) -> Path:
    """Where ``contracts.toml`` is expected."""
    return config.var / "contracts" / "contracts.toml"


def settings_and_trust(path: Path) -> tuple[ContractSettings, Trust]:
    """What verifying needs; no database, no token. Raises OfficeError or ConfigurationError."""
    if not path.exists():
        raise OfficeError(f"there is no {path}; write it, or make a local office with `scada contract setup`")
    settings = load_settings(path)
    try:
        return settings, load_trust(settings.trust)
    except (OSError, ValueError) as error:
        raise OfficeError(f"a trusted certificate cannot be read: {error}") from error


def seller_certificate(path: Path) -> x509.Certificate:
    """The certificate of the token's key, the first in the file. Raises OfficeError."""
    try:
        certificate, *_ = load_certificates([path])
    except (OSError, ValueError) as error:
        raise OfficeError(f"the certificate of the seller's token cannot be had from {path}: {error}") from error
    return certificate


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Office]:
    """The office, its archive locked for others.

    Raises OfficeError (also when another process has it open), ServicesDown, ChainError or StoreUnavailable.
    """
    path = settings_path(config)
    settings, trust = settings_and_trust(path)
    certificate = seller_certificate(settings.token.certificate)
    dsn = supervisor.endpoints(config).postgres_dsn
    migrate(dsn)
    with (
        _archive(config) as archive,
        ContractDatabase(dsn, application="contracts") as store,
    ):
        async with TokenProcess(_token(settings.token)) as process:
            desk = ContractDesk(store, archive, trust, settings, now_us)
            seller = TokenSigner(process, certificate, trust.intermediates)
            await desk.recover()
            yield Office(desk, Execution(desk, seller), Upkeep(desk), settings)


def _archive(config: Config) -> Archive:
    try:
        return Archive(config.var / "contracts" / "archive")
    except ChainTaken:
        raise OfficeError(_who_has_it(config.var)) from None


def _who_has_it(var: Path) -> str:
    with contextlib.suppress(ProcessSilent, KeyError):
        holder = ask(var, DOOR, timeout_s=30.0)  # it has the archive, so it runs and will answer, however busy
        place = json.loads((var / "run" / f"{DOOR}.json").read_text(encoding="utf-8"))
        if holder.get("process") == DOOR:
            return (
                f"the contract office is open in `scada contract serve` (process {holder['pid']}): ask it over REST at "
                f"{place['url']}/api/v1/contracts, or end it first"
            )
    return "the contract office is open in another `scada contract` command; try again when that has ended"


def _token(settings: TokenSettings) -> Token:
    if settings.softhsm_conf.is_file():
        os.environ["SOFTHSM2_CONF"] = str(settings.softhsm_conf)
    pin = os.environ.get(settings.pin_variable, "")
    if not pin and settings.pin_file.is_file():
        pin = settings.pin_file.read_text(encoding="utf-8").strip()
    return Token(settings.module, settings.label, settings.key, pin)


def make_local(config: Config, port: int) -> Path:
    """A local authority, a software token with the sample seller's key, and the settings. Raises OfficeError."""
    folder = config.var / "contracts"
    if settings_path(config).exists():
        raise OfficeError(f"{settings_path(config)} exists already")
    pki_home = config.var / "pki"
    if not (pki_home / "index.json").exists():
        pki_folder.save(pki_folder.create(f"http://127.0.0.1:{port}", now_us()), pki_home)
    pki = pki_folder.load(pki_home)
    seller = pki.issue(SELLER, SIGNER, now_us())
    pki_folder.save(pki, pki_home)
    (folder / "local").mkdir(parents=True, exist_ok=True)
    (folder / "seller.cer").write_bytes(seller.certificate.public_bytes(Encoding.PEM))
    _make_token(folder / "local", seller)
    trusted = os.path.relpath(pki_home, folder)
    settings_path(config).write_text(
        _SETTINGS.format(pki=trusted, url=pki.base_url, module=_module(), name=SELLER.common_name, id=SELLER.identity),
        encoding="utf-8",
    )
    return settings_path(config)


def _module() -> Path:
    for module in MODULES:
        if module.exists():
            return module
    raise OfficeError("there is no software token on this machine; install the package softhsm2")


def _make_token(folder: Path, seller: Identity) -> None:
    if shutil.which("softhsm2-util") is None:
        raise OfficeError("there is no software token on this machine; install the package softhsm2")
    tokens, pin = folder / "tokens", secrets.token_hex(8)
    shutil.rmtree(tokens, ignore_errors=True)
    tokens.mkdir(mode=0o700)
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tokens.resolve()}\nobjectstore.backend = file\nlog.level = ERROR\n")
    pin_file, key = folder / "pin", folder / "key.pem"
    for secret in (pin_file, key):
        secret.touch(mode=0o600)
    pin_file.write_text(pin)
    key.write_bytes(seller.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    environment = {**os.environ, "SOFTHSM2_CONF": str(conf)}
    common = ["--pin", pin]
    for arguments in (
        ["--init-token", "--free", "--label", "seller", "--so-pin", secrets.token_hex(8)],
        ["--import", str(key), "--token", "seller", "--label", "seller", "--id", "01"],
    ):
        done = subprocess.run(
            ["softhsm2-util", *arguments, *common], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise OfficeError(f"the software token cannot be made: {done.stderr.strip() or done.stdout.strip()}")
    key.unlink()


_SETTINGS = """# Settings of electronic contracts. Made for a local office: sample names, a local authority.

[seller]
name = "{name}"
identity = "{id}"
address = "Thái Nguyên"

[trust]
roots = ["{pki}/root.cer"]
intermediates = ["{pki}/people.cer", "{pki}/time.cer"]
tsa_url = "{url}/tsa"

[token]
module = "{module}"
certificate = "seller.cer"
pin_file = "local/pin"
softhsm_conf = "local/softhsm2.conf"
"""
