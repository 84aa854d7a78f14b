"""The contract desk with a real authority, token and HTTP doors; the store in memory and in PostgreSQL."""

import asyncio
import hashlib
import io
import itertools
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ClientTimeout
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import PdfSignatureMetadata, PdfSigner
from pyhanko.sign.fields import SigSeedSubFilter
from starlette.requests import Request
from starlette.responses import JSONResponse

from historian.contracts import ContractDatabase
from scada import hashchain
from scada.contract_office.office import Office as ServedOffice
from scada.contract_office.serving import Round, Rounds
from scada.contracts.archive import Archive
from scada.contracts.desk import ContractDesk
from scada.contracts.execution import BatchOutcome, Execution
from scada.contracts.export import export
from scada.contracts.keys import RemoteCredential, TokenSigner, remote
from scada.contracts.reasons import NotAccepted, Reason
from scada.contracts.request import ActionRefused, SupplyRequest
from scada.contracts.settings import ContractSettings, SellerSettings
from scada.contracts.token import TokenProcess
from scada.contracts.upkeep import Upkeep
from scada.contracts.verdict import Outcome
from scada.contracts.verify import verify
from scada.model.contract import (
    Action,
    ContractEvent,
    ContractRecord,
    ContractStore,
    MeterInstallation,
    RequestKind,
    State,
)
from scada.model.errors import StoreRejected, StoreUnavailable
from scada.pki import servers, tsa
from scada.pki.profiles import DAY_US, YEAR_US
from scada.pki.remote import Credential, RemoteSigning
from tests.fakes_contracts import BUYER, NOW, SELLER, SUPPLY, MemoryContractStore, World, asn1, signer_of, world
from tests.fakes_softhsm import SoftToken, soft_token

pytestmark = pytest.mark.integration

ACTOR = "sample clerk"
METER = MeterInstallation(700000001, {"1.8.0": 120, "2.8.0": 0}, hashlib.sha256(b"photo").hexdigest(), NOW)
SETTINGS = ContractSettings(seller=SellerSettings(SELLER.name, SELLER.identity, SELLER.address))


@pytest.fixture(scope="module")
def shared_world() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def here(shared_world: World) -> World:
    shared_world.reset()
    return shared_world


@pytest.fixture(scope="module")
def token(shared_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SoftToken, object]]:
    identity = shared_world.person(SELLER)
    with soft_token(tmp_path_factory.mktemp("token"), identity) as made:
        yield made, identity


class Office:
    """A desk with everything that belongs to it."""

    def __init__(
        self, here: World, store: ContractStore, archive: Archive, process: TokenProcess, seller: object
    ) -> None:
        self.world, self.store, self.archive, self.process = here, store, archive, process
        self.desk = ContractDesk(store, archive, here.trust, SETTINGS, here.clock)
        certificate = asn1(seller)  # type: ignore[arg-type]  # Identity, kept opaque here
        self.execution = Execution(self.desk, TokenSigner(process, certificate, here.trust.intermediates))
        self.upkeep = Upkeep(self.desk)
        self.buyer = signer_of(here.person())

    async def prepared(self) -> str:
        request = await self.desk.apply(BUYER, SUPPLY, ACTOR)
        await self.desk.act(request.number, Action.SURVEY, ACTOR)
        await self.desk.act(request.number, Action.OFFER, ACTOR, {"offer": {"connection_fee": 0}})
        return (await self.execution.prepare(request.number, ACTOR)).number

    async def buyer_signed(self) -> str:
        number = await self.prepared()
        await self.execution.sign_as_buyer(number, self.buyer, ACTOR)  # type: ignore[arg-type]  # a pyHanko signer
        return number

    def document_path(self, request: SupplyRequest) -> Path:
        digest = request.document_sha256
        return self.archive.folder / "objects" / digest[:2] / f"{digest}.pdf"

    async def active(self) -> str:
        number = await self.buyer_signed()
        await self.execution.sign_as_seller(number, ACTOR)
        await self.desk.install_meter(number, METER, ACTOR)
        await self.desk.act(number, Action.ENERGISE, ACTOR)
        await self.desk.activate(number, ACTOR)
        return number


@pytest.fixture
async def office(here: World, token: tuple[SoftToken, object], tmp_path: Path) -> AsyncIterator[Office]:
    async with TokenProcess(token[0].token) as process:
        with Archive(tmp_path / "contracts") as archive:
            yield Office(here, MemoryContractStore(), archive, process, token[1])


@pytest.fixture
async def stored_office(
    here: World, token: tuple[SoftToken, object], tmp_path: Path, database: str
) -> AsyncIterator[Office]:
    async with TokenProcess(token[0].token) as process:
        with Archive(tmp_path / "contracts") as archive, ContractDatabase(database, application="test") as store:
            yield Office(here, store, archive, process, token[1])


async def test_from_application_to_active_and_on_to_the_amendment_and_the_end(stored_office: Office) -> None:
    office = stored_office
    number = await office.active()
    request = await office.desk.request(number)
    assert request.state is State.ACTIVE
    verdict = await verify(office.desk.document(request), office.world.trust, NOW)
    assert verdict.outcome is Outcome.VALID
    assert [(each.field, each.signer, each.level) for each in verdict.signatures] == [
        ("BenMua", BUYER.name, "B-LT"),
        ("BenBan", SELLER.name, "B-LTA"),
    ]
    held = await office.desk.valid_contract(SUPPLY.metering_point, NOW)
    assert held is not None
    assert (held.request, held.meter_serial, held.start_registers) == (number, METER.serial, METER.start_registers)
    assert await office.desk.valid_contract(SUPPLY.metering_point, NOW - 1) is None

    office.world.clock.time = NOW + DAY_US
    change = await office.desk.change(number, RequestKind.AMENDMENT, ACTOR, tariff_class="business")
    await office.execution.prepare(change.number, ACTOR)
    await office.execution.sign_as_buyer(change.number, office.buyer, ACTOR)  # type: ignore[arg-type]  # a pyHanko signer
    await office.execution.sign_as_seller(change.number, ACTOR)
    await office.desk.activate(change.number, ACTOR)
    before = await office.desk.valid_contract(SUPPLY.metering_point, NOW + DAY_US - 1)
    now = await office.desk.valid_contract(SUPPLY.metering_point, NOW + DAY_US)
    assert before is not None
    assert now is not None
    assert (before.request, before.tariff_class) == (number, "residential")
    assert (now.request, now.tariff_class, now.meter_serial) == (change.number, "business", METER.serial)

    office.world.clock.time = NOW + 2 * DAY_US
    end = await office.desk.change(change.number, RequestKind.TERMINATION, ACTOR)
    await office.execution.prepare(end.number, ACTOR)
    await office.execution.sign_as_buyer(end.number, office.buyer, ACTOR)  # type: ignore[arg-type]  # a pyHanko signer
    await office.execution.sign_as_seller(end.number, ACTOR)
    await office.desk.activate(end.number, ACTOR)
    assert await office.desk.valid_contract(SUPPLY.metering_point, NOW + 2 * DAY_US) is None
    assert (await office.desk.request(change.number)).state is State.TERMINATED
    assert (await office.desk.request(number)).state is State.AMENDED
    assert office.archive.verify().intact


async def test_a_meter_the_registry_has_at_another_metering_point_is_not_bound(office: Office) -> None:
    number = await office.buyer_signed()
    await office.execution.sign_as_seller(number, ACTOR)
    office.store.meters[METER.serial] = "P-of-the-neighbour"  # type: ignore[attr-defined]  # the store in memory
    with pytest.raises(ActionRefused, match=f"meter {METER.serial} is installed at P-of-the-neighbour"):
        await office.desk.install_meter(number, METER, ACTOR)
    assert (await office.desk.request(number)).state is State.SELLER_SIGNED
    office.store.meters[METER.serial] = SUPPLY.metering_point  # type: ignore[attr-defined]
    assert (await office.desk.install_meter(number, METER, ACTOR)).state is State.METER_INSTALLED


async def test_a_second_contract_for_a_metering_point_never_holds(stored_office: Office) -> None:
    await stored_office.active()
    second = await stored_office.buyer_signed()
    await stored_office.execution.sign_as_seller(second, ACTOR)
    await stored_office.desk.install_meter(second, METER, ACTOR)
    await stored_office.desk.act(second, Action.ENERGISE, ACTOR)
    with pytest.raises(StoreRejected):
        await stored_office.desk.activate(second, ACTOR)
    held = await stored_office.desk.valid_contract(SUPPLY.metering_point, NOW)
    assert held is not None
    assert held.request != second


async def test_the_buyer_signs_at_a_remote_service(office: Office) -> None:
    number = await office.prepared()
    identity = office.world.person()
    service = RemoteSigning({"sample": Credential(identity, "token-1", "4711")})
    listener = servers.listening_socket()
    with servers.served(service.application(), listener):
        where = RemoteCredential(servers.base_url(listener), "sample", "token-1", "4711")
        async with remote(where, 20.0) as signer:
            await office.execution.sign_as_buyer(number, signer, ACTOR)
        assert (await office.desk.request(number)).state is State.BUYER_SIGNED
        other = await office.prepared()
        async with remote(replace(where, pin="0000"), 20.0) as signer:
            with pytest.raises(NotAccepted) as refused:
                await office.execution.sign_as_buyer(other, signer, ACTOR)
        assert [found.reason for found in refused.value.findings] == [Reason.REMOTE_SIGNING_FAILED]
    with pytest.raises(NotAccepted):
        async with remote(where, 1.0):
            pass


class _SilentRemoteSigning(RemoteSigning):
    """Takes the request for authorisation and never answers it."""

    async def _authorize(self, request: Request) -> JSONResponse:
        await request.body()
        assert (await request.receive())["type"] == "http.disconnect"
        return JSONResponse({})


async def test_a_remote_service_that_falls_silent_did_not_sign(office: Office) -> None:
    number = await office.prepared()
    service = _SilentRemoteSigning({"sample": Credential(office.world.person(), "token-1", "4711")})
    listener = servers.listening_socket()
    with servers.served(service.application(), listener):
        where = RemoteCredential(servers.base_url(listener), "sample", "token-1", "4711")
        async with remote(where, 20.0) as signer:
            signer.auth_manager._session._timeout = ClientTimeout(total=0.2)
            with pytest.raises(NotAccepted) as refused:
                await office.execution.sign_as_buyer(number, signer, ACTOR)
    assert [found.reason for found in refused.value.findings] == [Reason.REMOTE_SIGNING_FAILED]
    assert (await office.desk.request(number)).state is State.PREPARED


async def test_without_a_time_stamp_the_contract_waits_and_is_signed_later(office: Office) -> None:
    number = await office.buyer_signed()
    office.world.doors.tsa = None
    with pytest.raises(NotAccepted):
        await office.execution.sign_as_seller(number, ACTOR)
    waiting = await office.desk.request(number)
    assert (waiting.state, waiting.waiting_since) == (State.BUYER_SIGNED, NOW)
    assert Reason.TSA_DOWN.en in waiting.waiting
    still = await office.execution.retry_waiting("night")
    assert [number for number, _ in still.waiting] == [number]
    office.world.reset()
    done = await office.execution.retry_waiting("night")
    assert done.signed == (number,)
    after = await office.desk.request(number)
    assert (after.state, after.waiting) == (State.SELLER_SIGNED, "")


async def test_an_upload_waits_for_the_time_stamp_and_needs_no_buyer_again(office: Office) -> None:
    number = await office.prepared()
    request = await office.desk.request(number)
    signed = await _signed_elsewhere(office, office.desk.document(request))
    office.world.doors.tsa = None
    with pytest.raises(NotAccepted):
        await office.execution.upload(number, signed, BUYER.name)
    office.world.reset()
    assert (await office.execution.retry_waiting("night")).signed == (number,)
    await office.execution.sign_as_seller(number, ACTOR)
    final = await office.desk.request(number)
    verdict = await verify(office.desk.document(final), office.world.trust, NOW)
    assert verdict.outcome is Outcome.VALID
    assert office.desk.document(final).startswith(signed)


async def _signed_elsewhere(office: Office, prepared: bytes) -> bytes:
    """A plain PAdES B-B signature, as signing programs without our services make it."""
    meta = PdfSignatureMetadata(field_name="BenMua", md_algorithm="sha256", subfilter=SigSeedSubFilter.PADES)
    writer = IncrementalPdfFileWriter(io.BytesIO(prepared))
    out = await PdfSigner(meta, office.buyer).async_sign_pdf(writer, existing_fields_only=True)  # type: ignore[arg-type]  # a pyHanko signer
    return bytes(out.getvalue())


async def test_an_upload_waits_also_where_the_buyer_waited_before_and_whatever_is_tried_after(office: Office) -> None:
    """The same service is down all the time, so every try waits for the same reason."""
    number = await office.prepared()
    signed = await _signed_elsewhere(office, office.desk.document(await office.desk.request(number)))
    office.world.doors.tsa = None
    for _ in range(2):
        with pytest.raises(NotAccepted):
            await office.execution.sign_as_buyer(number, office.buyer, ACTOR)  # type: ignore[arg-type]  # a pyHanko signer
        with pytest.raises(NotAccepted):
            await office.execution.upload(number, signed, BUYER.name)
    with pytest.raises(NotAccepted):
        await office.execution.sign_as_buyer(number, office.buyer, ACTOR)  # type: ignore[arg-type]  # a pyHanko signer
    office.world.reset()
    assert (await office.execution.retry_waiting("night")).signed == (number,)
    assert office.desk.document(await office.desk.request(number)).startswith(signed)


async def test_what_waits_for_one_reason_all_night_is_told_once(office: Office) -> None:
    """A clock that drifts tells another number each minute."""
    number = await office.buyer_signed()
    pki, late = office.world.pki, itertools.count(61)
    office.world.doors.tsa = lambda _, asked, now: tsa.answer(pki.time_stamper, asked, now - next(late) * 1_000_000)
    with pytest.raises(NotAccepted, match="-6"):
        await office.execution.sign_as_seller(number, ACTOR)
    events = await office.desk.history(number)
    for _ in range(2):
        assert [waits for waits, _ in (await office.execution.retry_waiting("night")).waiting] == [number]
    assert await office.desk.history(number) == events
    office.world.doors.tsa = None
    await office.execution.retry_waiting("night")
    assert [event.details["reasons"] for event in await office.desk.history(number) if event.action is Action.WAIT] == [
        ["TSA_WRONG_TIME"], ["TSA_DOWN"]
    ]  # fmt: skip


async def test_a_waiting_upload_that_is_refused_after_all_waits_no_more(office: Office) -> None:
    number = await office.prepared()
    signed = await _signed_elsewhere(office, office.desk.document(await office.desk.request(number)))
    office.world.doors.tsa = None
    with pytest.raises(NotAccepted):
        await office.execution.upload(number, signed, BUYER.name)
    with pytest.raises(NotAccepted):
        await office.execution.upload(number, b"another file", BUYER.name)
    assert (await office.desk.request(number)).waiting, "refusing another file does not end the wait"
    office.world.reset()
    serial = office.buyer.signing_cert.serial_number  # type: ignore[attr-defined]  # a pyHanko signer
    office.world.pki.revoke(serial, NOW, x509.ReasonFlags.key_compromise)
    outcome = await office.execution.retry_waiting("night")
    assert [refused for refused, _ in outcome.refused] == [number]
    assert (await office.desk.request(number)).waiting == ""
    events = len(await office.desk.history(number))
    assert await office.execution.retry_waiting("night") == BatchOutcome((), (), ())
    assert len(await office.desk.history(number)) == events


async def test_the_rounds_sign_what_waited_and_do_each_day_once(office: Office) -> None:
    number = await office.buyer_signed()
    office.world.doors.tsa = None
    with pytest.raises(NotAccepted):
        await office.execution.sign_as_seller(number, ACTOR)
    rounds = Rounds(ServedOffice(office.desk, office.execution, office.upkeep, SETTINGS), office.world.clock)
    await rounds.once()
    assert rounds.retry == Round(NOW, "", {"signed": 0, "waiting": 1, "refused": 0})
    office.world.reset()
    office.world.clock.time = NOW + 8 * DAY_US
    await rounds.once()
    assert rounds.retry.done == {"signed": 1, "waiting": 0, "refused": 0}
    assert rounds.upkeep == Round(NOW + 8 * DAY_US, "", {"reminded": 1, "expired": 0, "renewed": 0, "not_renewed": 0})
    office.world.clock.time += 60_000_000
    await rounds.once()
    assert rounds.upkeep.ended == NOW + 8 * DAY_US, "once a day"


async def test_a_day_that_failed_is_tried_again_with_the_next_minute(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = Rounds(ServedOffice(office.desk, office.execution, office.upkeep, SETTINGS), office.world.clock)
    assert isinstance(office.store, MemoryContractStore)
    office.store.unavailable = True
    await rounds.once()
    await rounds.once()
    assert (rounds.upkeep.failed, rounds.retry.failed) == ("sample outage", "sample outage")
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "Contracts: try again what waits failed, next try within a minute: sample outage",
        "Contracts: upkeep failed, next try within a minute: sample outage",
    ]
    office.store.unavailable = False
    await rounds.once()
    assert (rounds.upkeep.failed, rounds.retry.failed) == ("", "")


async def test_a_wrong_pin_is_tried_once_because_tokens_lock_themselves(token: tuple[SoftToken, object]) -> None:
    async with TokenProcess(replace(token[0].token, pin="9999")) as process:
        with pytest.raises(NotAccepted, match="PinIncorrect"):
            await process.sign(bytes(32))
        with pytest.raises(NotAccepted, match="not tried again before a restart"):
            await process.sign(bytes(32))
        assert process.pid is None


async def test_two_persons_signing_at_once_make_one_signature(office: Office) -> None:
    number = await office.buyer_signed()
    results = await asyncio.gather(
        office.execution.sign_as_seller(number, "sample clerk 1"),
        office.execution.sign_as_seller(number, "sample clerk 2"),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in results) == ["ActionRefused", "SupplyRequest"]
    document = office.desk.document(await office.desk.request(number))
    assert len((await verify(document, office.world.trust, NOW)).signatures) == 2


async def test_a_writer_in_another_process_is_refused_by_the_store(office: Office) -> None:
    number = await office.buyer_signed()
    store = office.store
    assert isinstance(store, MemoryContractStore)

    def another() -> None:
        store.before_append = lambda: None
        events = store.stored[number]
        other = replace(events[-1], sequence=len(events) + 1, action=Action.REJECT, details={"reason": "sample"})
        store.stored[number] = [*events, other]

    store.before_append = another
    with pytest.raises(ActionRefused, match="somebody else was first"):
        await office.execution.sign_as_seller(number, ACTOR)
    assert (await office.desk.request(number)).state is State.REJECTED


class _Crash(Exception):
    """The process dies here."""


async def test_killed_between_signing_and_storing_nothing_is_lost_and_nothing_doubled(office: Office) -> None:
    number = await office.buyer_signed()
    store = office.store
    assert isinstance(store, MemoryContractStore)

    def die() -> None:
        raise _Crash

    store.before_append = die
    with pytest.raises(_Crash):
        await office.execution.sign_as_seller(number, ACTOR)
    store.before_append = lambda: None
    assert (await office.desk.request(number)).state is State.BUYER_SIGNED
    assert await office.desk.recover() == 1
    assert await office.desk.recover() == 0
    request = await office.desk.request(number)
    assert request.state is State.SELLER_SIGNED
    assert (await verify(office.desk.document(request), office.world.trust, NOW)).outcome is Outcome.VALID
    with pytest.raises(ActionRefused):
        await office.execution.sign_as_seller(number, ACTOR)


async def test_what_was_signed_while_the_database_went_away_is_stored_with_the_next_round(office: Office) -> None:
    number = await office.buyer_signed()
    store = office.store
    assert isinstance(store, MemoryContractStore)

    def go_away() -> None:
        raise StoreUnavailable("sample outage")

    store.before_append = go_away
    with pytest.raises(StoreUnavailable):
        await office.execution.sign_as_seller(number, ACTOR)
    rounds = Rounds(ServedOffice(office.desk, office.execution, office.upkeep, SETTINGS), office.world.clock)
    await rounds.once()
    assert rounds.retry.failed == "sample outage"
    store.before_append = lambda: None
    await rounds.once()
    request = await office.desk.request(number)
    assert (request.state, office.desk.behind) == (State.SELLER_SIGNED, False)
    assert (await verify(office.desk.document(request), office.world.trust, NOW)).outcome is Outcome.VALID


def _go_away() -> None:
    raise StoreUnavailable("sample outage")


async def test_a_request_is_read_as_the_journal_knows_it_once_the_store_answers_again(office: Office) -> None:
    """Or the clerk would do it again, and of two documents that were signed one would be forgotten."""
    number = (await office.desk.apply(BUYER, SUPPLY, ACTOR)).number
    store = office.store
    assert isinstance(store, MemoryContractStore)
    store.before_append = _go_away
    with pytest.raises(StoreUnavailable):
        await office.desk.act(number, Action.SURVEY, ACTOR)
    store.before_append = lambda: None
    assert (await office.desk.request(number)).state is State.SURVEYED
    assert not office.desk.behind


async def test_what_the_store_refuses_when_it_is_told_again_does_not_keep_the_office_shut(office: Office) -> None:
    """The database went away in the middle of a step that it would have refused."""
    await office.active()
    second = await office.buyer_signed()
    await office.execution.sign_as_seller(second, ACTOR)
    await office.desk.install_meter(second, METER, ACTOR)
    await office.desk.act(second, Action.ENERGISE, ACTOR)
    store = office.store
    assert isinstance(store, MemoryContractStore)
    store.before_append = _go_away
    with pytest.raises(StoreUnavailable):
        await office.desk.activate(second, ACTOR)
    store.before_append = lambda: None
    assert await office.desk.recover() == 0
    assert (await office.desk.request(second)).state is State.ENERGISED
    assert [told.events[0].action for told in office.archive.announced(second)][-1] is Action.ENERGISE, "withdrawn"


async def test_what_is_being_stored_is_not_taken_for_lost(office: Office) -> None:
    """Told twice, it would be refused to whoever is doing it, and withdrawn from the journal though it happened."""
    number = (await office.desk.apply(BUYER, SUPPLY, ACTOR)).number
    store = office.store
    assert isinstance(store, MemoryContractStore)
    storing, go_on = threading.Event(), threading.Event()

    def slowly() -> None:
        store.before_append = lambda: None
        storing.set()
        go_on.wait(60)

    store.before_append = slowly
    step = asyncio.create_task(office.desk.act(number, Action.SURVEY, ACTOR))
    await asyncio.to_thread(storing.wait)
    recovery = asyncio.create_task(office.desk.recover())
    await asyncio.wait([recovery], timeout=0.2)
    go_on.set()
    assert (await step).state is State.SURVEYED
    assert await recovery == 0


async def test_a_step_the_database_cannot_hold_is_refused_and_forgotten(stored_office: Office) -> None:
    """PostgreSQL holds no NUL; and an office that must tell it of one can never be opened again."""
    desk = stored_office.desk
    number = (await desk.apply(BUYER, SUPPLY, ACTOR)).number
    with pytest.raises(StoreRejected):
        await desk.act(number, Action.REJECT, ACTOR, {"reason": "\0"})
    with pytest.raises(StoreRejected):
        await desk._applied(RequestKind.NEW, replace(BUYER, name="\0"), SUPPLY, ACTOR, "")
    assert [told.events[0].action for told in stored_office.archive.announced()] == [Action.APPLY]
    assert await desk.recover() == 0


async def test_a_token_pulled_in_mid_batch_leaves_the_rest_waiting(here: World, tmp_path: Path) -> None:
    seller = here.person(SELLER)
    with soft_token(tmp_path / "hsm", seller) as soft, Archive(tmp_path / "contracts") as archive:
        async with TokenProcess(soft.token) as process:
            store = MemoryContractStore()
            office = Office(here, store, archive, process, seller)
            numbers = [await office.buyer_signed() for _ in range(3)]
            away = soft.folder.with_name("away")

            def pull() -> None:
                """After the first signature of the batch: the token goes, and its process dies of it."""
                store.before_append = lambda: None
                soft.folder.rename(away)
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)

            store.before_append = pull
            outcome = await office.execution.sign_batch(numbers, ACTOR)
            assert outcome.signed == tuple(numbers[:1])
            assert [number for number, _ in outcome.waiting] == numbers[1:]
            assert all(Reason.TOKEN_GONE.en in why for _, why in outcome.waiting)
            away.rename(soft.folder)
            assert (await office.execution.retry_waiting(ACTOR)).signed == tuple(numbers[1:])


async def test_an_rsa_key_on_a_token_signs_with_pss(here: World, tmp_path: Path) -> None:
    buyer = here.person(key=rsa.generate_private_key(65537, 2048))  # type: ignore[arg-type]  # options pass through
    with soft_token(tmp_path / "hsm", buyer) as soft, Archive(tmp_path / "contracts") as archive:
        async with TokenProcess(soft.token) as process:
            office = Office(here, MemoryContractStore(), archive, process, buyer)
            number = await office.prepared()
            signer = TokenSigner(process, asn1(buyer), here.trust.intermediates)
            signed = await office.execution.sign_as_buyer(number, signer, BUYER.name)
            (judged,) = (
                await verify(office.desk.document(signed), here.trust, NOW, holders={"BenMua": BUYER.identity})
            ).signatures
            assert judged.accepted


async def test_an_empty_store_is_rebuilt_from_the_journal_alone(office: Office) -> None:
    number = await office.active()
    empty = MemoryContractStore()
    (office.archive.folder / "settled").unlink(missing_ok=True)
    again = ContractDesk(empty, office.archive, office.world.trust, SETTINGS, office.world.clock)
    assert await again.recover() == 9
    assert await again.history(number) == await office.desk.history(number)
    assert await again.recover() == 0


async def test_what_the_store_refused_is_never_told_again(office: Office) -> None:
    first = await office.active()
    second = await office.buyer_signed()
    await office.execution.sign_as_seller(second, ACTOR)
    await office.desk.install_meter(second, METER, ACTOR)
    await office.desk.act(second, Action.ENERGISE, ACTOR)
    with pytest.raises(StoreRejected):
        await office.desk.activate(second, ACTOR)
    assert await office.desk.recover() == 0
    store = office.store
    assert isinstance(store, MemoryContractStore)
    store.rows[first] = replace(store.rows[first], valid_to=NOW)
    (office.archive.folder / "settled").unlink()
    assert await office.desk.recover() == 0
    assert (await office.desk.request(second)).state is State.ENERGISED


async def test_a_contract_verifies_ten_years_on_without_network_when_it_was_renewed(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await office.active()
    signed = office.desk.document(await office.desk.request(number))
    assert (await office.upkeep.renew_due("night")).renewed == ()
    for years in (4.8, 9.5):
        office.world.clock.time = int(NOW + years * YEAR_US)
        office.world.pki.renew_time_stamper(office.world.clock())
        assert (await office.upkeep.renew_due("night")).renewed == (number,)
    target = await export(office.desk, number, tmp_path / "export")
    ten_years_on = NOW + 10 * YEAR_US
    offline = replace(office.world.trust, tsa_url="http://127.0.0.1:1/none")
    office.world.doors.ocsp = office.world.doors.crl = office.world.doors.tsa = None
    monkeypatch.setattr(socket.socket, "connect", _no_network)
    renewed = (target / "contract.pdf").read_bytes()
    verdict = await verify(renewed, offline, ten_years_on)
    assert (verdict.outcome, verdict.findings) == (Outcome.VALID, ())
    assert {each.time for each in verdict.signatures} == {NOW}
    lapsed = await verify(signed, offline, ten_years_on)
    assert lapsed.outcome is Outcome.INDETERMINATE
    assert Reason.ARCHIVE_LAPSED in {found.reason for found in lapsed.findings}

    assert _sums_agree(target)
    assert hashchain.verify(target / "journal.jsonl", office.archive.head).intact
    assert json.loads((target / "report.json").read_text())["outcome"] == "VALID"
    revisions = sorted(path.name for path in (target / "revisions").iterdir())
    assert revisions == [
        "04-prepare.pdf", "05-sign-buyer.pdf", "06-sign-seller.pdf", "10-renew.pdf", "11-renew.pdf"
    ]  # fmt: skip


def _no_network(*_: object) -> None:
    raise AssertionError("verifying asked the network")


def _sums_agree(folder: Path) -> bool:
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, check=False)
    return done.returncode == 0


async def test_a_seller_with_another_tax_code_today_still_renews_and_exports_what_was_signed_before(
    office: Office, tmp_path: Path
) -> None:
    number = await office.active()
    office.desk.settings = replace(SETTINGS, seller=replace(SETTINGS.seller, identity="MST:0000000001"))
    office.world.clock.time = int(NOW + 4.8 * YEAR_US)
    office.world.pki.renew_time_stamper(office.world.clock())
    night = await office.upkeep.renew_due("night")
    assert (night.renewed, night.not_renewed) == ((number,), ())
    target = await export(office.desk, number, tmp_path / "export")
    assert json.loads((target / "report.json").read_text())["outcome"] == "VALID"


async def test_a_silent_time_stamper_stops_the_renewal_and_says_so(office: Office) -> None:
    number = await office.active()
    office.world.clock.time = int(NOW + 4.9 * YEAR_US)
    office.world.doors.tsa = None
    outcome = await office.upkeep.renew_due("night")
    assert outcome.renewed == ()
    assert [entry[0] for entry in outcome.not_renewed] == [number]
    assert Reason.TSA_DOWN.en in outcome.not_renewed[0][1]


async def test_one_lost_document_stops_neither_the_batch_nor_the_renewal_of_the_others(office: Office) -> None:
    """Whose evidence would lapse, night by night, because of it."""
    lost, other = await office.buyer_signed(), await office.buyer_signed()
    path = office.document_path(await office.desk.request(lost))
    path.rename(path.with_suffix(".away"))
    outcome = await office.execution.sign_batch([lost, other], ACTOR)
    assert (outcome.signed, [number for number, _ in outcome.refused]) == ((other,), [lost])
    path.with_suffix(".away").rename(path)
    await office.execution.sign_as_seller(lost, ACTOR)
    office.document_path(await office.desk.request(lost)).unlink()
    office.world.clock.time = int(NOW + 4.8 * YEAR_US)
    office.world.pki.renew_time_stamper(office.world.clock())
    night = await office.upkeep.renew_due("night")
    assert (night.renewed, [number for number, _ in night.not_renewed]) == ((other,), [lost])
    assert "is missing from the archive" in night.not_renewed[0][1]


async def test_a_late_request_is_reminded_once_a_day_and_an_unsigned_one_expires(office: Office) -> None:
    number = await office.prepared()
    office.world.clock.time = NOW + 8 * DAY_US
    assert (await office.upkeep.day("night")).reminded == (number,)
    assert (await office.upkeep.day("night")).reminded == ()
    office.world.clock.time = NOW + 31 * DAY_US
    assert (await office.upkeep.day("night")).expired == (number,)
    with pytest.raises(ActionRefused, match="expired"):
        await office.execution.sign_as_buyer(number, office.buyer, ACTOR)  # type: ignore[arg-type]  # a pyHanko signer


async def test_a_changed_object_or_journal_is_found(office: Office) -> None:
    await office.buyer_signed()
    victim = next((office.archive.folder / "objects").glob("*/*.pdf"))
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes() + b" ")
    verdict = office.archive.verify()
    assert verdict.chain.intact
    assert verdict.faults == (f"object {victim.stem} was changed",)


@pytest.mark.parametrize("kind", ["memory", "database"])
def test_stores_agree_on_what_a_store_is(kind: str, request: pytest.FixtureRequest) -> None:
    store: ContractStore
    if kind == "memory":
        store = MemoryContractStore()
    else:
        store = ContractDatabase(request.getfixturevalue("database"), application="test")
    try:
        _judge(store)
    finally:
        if isinstance(store, ContractDatabase):
            store.close()


def _judge(store: ContractStore) -> None:
    record = ContractRecord(
        "HD-1", RequestKind.NEW, State.ACTIVE, BUYER.name, BUYER.identity, "P-1", "residential", 7, {"1.8.0": 5}, NOW,
        None, "", "", NOW,
    )  # fmt: skip
    event = ContractEvent("HD-1", 1, NOW, ACTOR, Action.APPLY, "a" * 64, {"ghi chú": ["đã ký", 1]})
    assert store.append([(event, record)])
    assert not store.append([(event, record)])
    assert not store.append([(replace(event, sequence=3), record)])
    assert tuple(store.events("HD-1")) == (event,)
    assert tuple(store.events("HD-9")) == ()
    assert tuple(store.records()) == (record,)
    assert tuple(store.records((State.EXPIRED,))) == ()
    assert store.counts() == {State.ACTIVE: 1}
    assert store.valid_contract("P-1", NOW) == record
    assert store.valid_contract("P-1", NOW - 1) is None
    other = replace(record, request="HD-2")
    with pytest.raises(StoreRejected):
        store.append([(replace(event, request="HD-2"), other)])
    assert tuple(store.events("HD-2")) == ()
    ended = replace(record, valid_to=NOW + 5)
    later = replace(other, valid_from=NOW + 5)
    both = [(replace(event, request="HD-2"), later), (replace(event, sequence=2), ended)]
    assert store.append(both)
    assert store.valid_contract("P-1", NOW + 5) == later
    assert store.valid_contract("P-1", NOW + 4) == ended
    assert store.next_number() < store.next_number()
