"""Contracts signed by both per minute and verified per second, on one core, against the bare cryptography.

The authority (OCSP, time-stamps) is served by a process of its own, the token by another; what is measured is this
process, and so are the limits: the same number of P-256 signatures and SHA-256 digests of the same bytes.

Memory: the store of the bench forgets finished contracts, so what grows is the product's. Interpreter, libraries and
allocator fill up during the first contracts; growth is the slope of the resident size over the contracts after them.
"""

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from scada.clock import now_us
from scada.contracts.archive import Archive
from scada.contracts.desk import ContractDesk
from scada.contracts.execution import Execution
from scada.contracts.keys import TokenSigner
from scada.contracts.settings import ContractSettings, SellerSettings
from scada.contracts.token import TokenProcess
from scada.contracts.trust import Trust
from scada.contracts.verdict import Outcome
from scada.contracts.verify import verify
from scada.model.contract import Action
from scada.pki import folder, servers
from scada.pki.profiles import SIGNER, Subject
from tests.bench.result import Result, say
from tests.fakes_contracts import BUYER, SELLER, SUPPLY, MemoryContractStore, asn1, signer_of
from tests.fakes_softhsm import SoftToken, soft_token

ACTOR = "bench"
SETTINGS = ContractSettings(seller=SellerSettings(SELLER.name, SELLER.identity, SELLER.address))
BATCH = 1000
WARM_UP = 30
"""Contracts before measuring. The resident size climbs by 15 MiB over the first 30, then stands."""

GROWTH_OVER = 100
"""Contracts over which growth is measured: a leak of 10 KiB per contract would be seen above the allocator's noise."""


async def run(seconds: float | None) -> Result:
    """``seconds`` of complete contracts and half as many of verification, 1,000 seller signatures, and memory."""
    length = 20.0 if seconds is None else seconds
    home = Path(tempfile.mkdtemp(prefix="contracts-bench-"))
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    try:
        return await _run(length, home, BATCH if length >= 20 else 100)
    finally:
        shutil.rmtree(home)


async def _run(length: float, home: Path, batch: int) -> Result:
    result = Result("contracts")
    with servers.listening_socket() as listener:
        port = listener.getsockname()[1]
    pki = folder.create(f"http://127.0.0.1:{port}", now_us())
    seller = pki.issue(Subject(SELLER.name, SELLER.identity), SIGNER, now_us())
    buyer = pki.issue(Subject(BUYER.name, BUYER.identity), SIGNER, now_us())
    folder.save(pki, home / "pki")
    trust = Trust(
        (asn1(pki.root.identity),), (asn1(pki.people.identity), asn1(pki.time.identity)), f"{pki.base_url}/tsa"
    )
    command = [
        sys.executable,
        "-c",
        "from scada.commands.pki import app; app()",
        "serve",
        "--folder",
        str(home / "pki"),
    ]
    authority = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: ASYNC220 - started before anything is measured
    os.sched_setaffinity(authority.pid, range(os.cpu_count() or 1))
    try:
        await _answering(port)
        with soft_token(home / "hsm", seller) as soft, Archive(home / "archive") as archive:
            async with TokenProcess(soft.token) as process:
                desk = ContractDesk(MemoryContractStore(), archive, trust, SETTINGS, now_us)
                execution = Execution(desk, TokenSigner(process, asn1(seller), trust.intermediates))
                signer = signer_of(buyer)
                document = await _sign(result, desk, execution, signer, length)
                await _verify(result, trust, document, length / 2)
                await _batch(result, desk, execution, signer, soft, batch)
                await _memory(result, desk, execution, signer, GROWTH_OVER if length >= 20 else 5)
    finally:
        authority.terminate()
        authority.wait()
    return result


async def _answering(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            await asyncio.sleep(0.1)


async def _contract(desk: ContractDesk, execution: Execution, signer: object) -> bytes:
    """A contract signed by both; its document."""
    number = await _buyer_signed(desk, execution, signer)
    document = desk.document(await execution.sign_as_seller(number, ACTOR))
    store = desk.store
    assert isinstance(store, MemoryContractStore)
    store.forget(number)
    return document


async def _buyer_signed(desk: ContractDesk, execution: Execution, signer: object) -> str:
    point = replace(SUPPLY, metering_point=f"BENCH-{time.monotonic_ns()}")
    number = (await desk.apply(BUYER, point, ACTOR)).number
    await desk.act(number, Action.SURVEY, ACTOR)
    await desk.act(number, Action.OFFER, ACTOR, {"offer": {}})
    await execution.prepare(number, ACTOR)
    await execution.sign_as_buyer(number, signer, ACTOR)  # type: ignore[arg-type]  # a pyHanko signer
    return number


async def _sign(result: Result, desk: ContractDesk, execution: Execution, signer: object, length: float) -> bytes:
    """Returns the document of one of them."""
    for _ in range(WARM_UP if length >= 20 else 2):
        document = await _contract(desk, execution, signer)
    started, cpu, count = time.monotonic(), time.process_time(), 0
    while time.monotonic() - started < length:
        document = await _contract(desk, execution, signer)
        count += 1
    took, used = time.monotonic() - started, time.process_time() - cpu
    cpu_ms = 1000 * used / count
    say(f"{count} contracts in {took:.1f} s, {cpu_ms:.0f} ms of CPU each")
    bare = _bare_sign_s(document)
    result.figures["contracts_per_min"] = 60 * count / took
    result.figures["contract_cpu_ms"] = cpu_ms
    result.limits["bare_sign_per_min"] = 60 / bare
    result.ratios["sign_vs_bare"] = took / count / bare
    return document


async def _verify(result: Result, trust: Trust, document: bytes, length: float) -> None:
    started, count = time.monotonic(), 0
    while time.monotonic() - started < length:
        verdict = await verify(document, trust, now_us())
        assert verdict.outcome is Outcome.VALID
        count += 1
    took = (time.monotonic() - started) / count
    bare = _bare_verify_s(document)
    say(f"{1 / took:.1f} verified per second")
    result.figures["verified_per_s"] = 1 / took
    result.limits["bare_verify_per_s"] = 1 / bare
    result.ratios["verify_vs_bare"] = took / bare


async def _batch(
    result: Result, desk: ContractDesk, execution: Execution, signer: object, soft: SoftToken, size: int
) -> None:
    """``size`` signatures for as many distinct documents through the one token, to B-B; then every one is checked."""
    number = await _buyer_signed(desk, execution, signer)
    document = desk.document(await desk.request(number))
    started = time.monotonic()
    digests = [hashlib.sha256(document + ordinal.to_bytes(4, "big")).digest() for ordinal in range(size)]
    async with TokenProcess(soft.token) as process:
        halves = await asyncio.gather(process.sign_batch(digests[::2]), process.sign_batch(digests[1::2]))
        key = execution._seller.signing_cert.public_key  # type: ignore[union-attr]  # set in this bench
    took = time.monotonic() - started
    public = _public(key)
    signed = sum(_verifies(public, each, digest) for each, digest in zip(halves[0], digests[::2], strict=True))
    signed += sum(_verifies(public, each, digest) for each, digest in zip(halves[1], digests[1::2], strict=True))
    result.figures["batch_signed"] = signed
    result.figures["batch_signatures_per_s"] = size / took
    result.lost = size - signed
    numbers = [await _buyer_signed(desk, execution, signer) for _ in range(size // 50)]
    outcome = await execution.sign_batch(numbers, ACTOR)
    result.figures["batch_contracts_signed"] = len(outcome.signed)
    result.lost += len(numbers) - len(outcome.signed)
    say(f"{signed} of {size} token signatures, {len(outcome.signed)} of {len(numbers)} contracts in the batch")


async def _memory(result: Result, desk: ContractDesk, execution: Execution, signer: object, contracts: int) -> None:
    """Whether another contract costs memory that does not come back."""
    process = psutil.Process()
    sizes = []
    for _ in range(contracts):
        await _contract(desk, execution, signer)
        sizes.append(process.memory_info().rss / 1024)
    slope, _ = np.polyfit(range(len(sizes)), sizes, 1)
    result.figures["memory_mib"] = sizes[-1] / 1024
    result.figures["memory_growth_kib_per_contract"] = float(slope)
    say(f"memory {sizes[-1] / 1024:.0f} MiB, {slope:+.1f} KiB per contract over {contracts}")


def _public(key: object) -> ec.EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415 - used here only

    public = load_der_public_key(key.dump())  # type: ignore[attr-defined]  # asn1crypto has no types
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return public


def _verifies(public: ec.EllipticCurvePublicKey, signature: bytes, digest: bytes) -> bool:
    public.verify(signature, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    return True


def _bare_sign_s(document: bytes) -> float:
    """Two P-256 signatures and two digests of the same bytes."""
    key, rounds, started = ec.generate_private_key(ec.SECP256R1()), 200, time.monotonic()
    for _ in range(rounds):
        for _ in range(2):
            key.sign(hashlib.sha256(document).digest(), ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    return (time.monotonic() - started) / rounds


def _bare_verify_s(document: bytes) -> float:
    """Verification of two P-256 signatures, with the digests of the same bytes."""
    key, rounds = ec.generate_private_key(ec.SECP256R1()), 200
    signature = key.sign(hashlib.sha256(document).digest(), ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    started = time.monotonic()
    for _ in range(rounds):
        for _ in range(2):
            _verifies(key.public_key(), signature, hashlib.sha256(document).digest())
    return (time.monotonic() - started) / rounds
