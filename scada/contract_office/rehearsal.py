"""One sample contract from application to active, told step by step: proof that an installation can do it."""

import random
import secrets
from collections.abc import Callable
from contextlib import ExitStack

import httpx

from scada.clock import now_us
from scada.config import Config
from scada.contract_office.office import make_local, opened, settings_path
from scada.contracts import keys
from scada.contracts.verdict import sentences
from scada.contracts.verify import verify
from scada.model.contract import Action, Customer, MeterInstallation, Supply
from scada.pki import folder as pki_folder
from scada.pki import servers
from scada.pki.profiles import SIGNER, Subject
from scada.services.processes import choose_port

BUYER = Customer("Khách hàng mẫu 01", "CCCD:001000000001", "Phường Mẫu, Thái Nguyên")
SAMPLE_SERIAL = 700_000_001


async def rehearse(config: Config, tell: Callable[[str], None]) -> None:
    """Walk a sample request through every step. Makes a local office first when there is none."""
    if not settings_path(config).exists():
        tell(f"Local office made: {make_local(config, choose_port(random.SystemRandom()))}")
    pki = pki_folder.load(config.var / "pki")
    buyer = pki.issue(Subject(BUYER.name, BUYER.identity), SIGNER, now_us())
    pki_folder.save(pki, config.var / "pki")
    passphrase = secrets.token_hex(16)
    signer = keys.key_file(buyer.pkcs12(passphrase), passphrase)
    with ExitStack() as stack:
        if not _answers(pki.base_url):
            listener = servers.listening_socket(int(pki.base_url.rsplit(":", 1)[1]))
            stack.enter_context(servers.served(servers.application(pki, servers.doors(pki), now_us), listener))
        async with opened(config) as office:
            desk = office.desk
            request = await desk.apply(BUYER, Supply(f"SAMPLE-{now_us()}", BUYER.address, "residential"), "clerk")
            number = request.number
            tell(f"{number} application, due {desk.deadline(request)}")
            await desk.act(number, Action.SURVEY, "surveyor")
            await desk.act(number, Action.OFFER, "clerk", {"offer": {"connection_fee_vnd": 0}})
            prepared = await office.execution.prepare(number, "clerk")
            tell(f"{number} prepared, SHA-256 {prepared.document_sha256}")
            signed = await office.execution.sign_as_buyer(number, signer, BUYER.name)
            tell(f"{number} signed by the buyer, SHA-256 {signed.document_sha256}")
            both = await office.execution.sign_as_seller(number, "clerk")
            tell(f"{number} signed by the seller, SHA-256 {both.document_sha256}")
            meter = MeterInstallation(SAMPLE_SERIAL, {"1.8.0": 0}, "0" * 64, now_us())
            await desk.install_meter(number, meter, "field team")
            await desk.act(number, Action.ENERGISE, "field team")
            active = await desk.activate(number, "clerk")
            tell(f"{number} {active.state}")
            for line in sentences(await verify(desk.document(active), desk.trust, now_us())):
                tell(f"  {line}")
            held = await desk.valid_contract(active.supply.metering_point, now_us())
            tell(f"Billing asks for {active.supply.metering_point}: {held.request if held else 'no contract'}")


def _answers(base_url: str) -> bool:
    try:
        return httpx.get(f"{base_url}/crl/people.crl", timeout=2.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False
