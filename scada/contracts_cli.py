"""``scada contract``: supply contracts from application to active, verification, archive. All through the desk."""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from scada.clock import now_us
from scada.commands.context import config_of, told_failures
from scada.contracts import export as contract_export
from scada.contracts import keys
from scada.contracts.execution import BatchOutcome
from scada.contracts.keys import KeyFileError, RemoteCredential
from scada.contracts.layout import BUYER_FIELD, SELLER_FIELD
from scada.contracts.request import ActionRefused, SupplyRequest
from scada.contracts.token import Token, TokenProcess
from scada.contracts.trust import load_certificates
from scada.contracts.verdict import as_json, local_text, sentences
from scada.contracts.verify import verify as verify_content
from scada.contracts.workdays import INDOCHINA, vietnam, working_days_left
from scada.contracts_office import Office, make_local, opened, settings_and_trust, settings_path
from scada.contracts_rehearsal import rehearse as rehearse_contract
from scada.model.contract import Action, Customer, MeterInstallation, RequestKind, State, Supply

app = typer.Typer(help="Electronic supply contracts.", no_args_is_help=True)
console = Console(soft_wrap=True, highlight=False)
T = TypeVar("T")

Number = Annotated[str, typer.Argument(help="Number of the request, such as HD-2026-000001.")]
Actor = Annotated[str, typer.Option("--actor", envvar="SCADA_ACTOR", help="Who acts.")]
At = Annotated[str, typer.Option(help="Time in Vietnam, 2036-09-21 or 2036-09-21T08:00; else now.")]
DEFAULT_ACTOR = "clerk"


@app.callback()
def contract() -> None:
    """Electronic supply contracts."""
    # What the signing library logs with traces are findings to us, and told as such.
    for name in ("pyhanko", "pyhanko_certvalidator"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@app.command()
def setup(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Loopback port of the local authority.")] = 8765,
) -> None:
    """Make a local office for trying out: authority, software token, settings."""
    with told_failures():
        path = make_local(config_of(context), port)
        console.print(f"Local office made: {path}. Start its authority with: scada pki serve")


@app.command()
def new(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="The buyer's name, as in the certificate.")],
    identity: Annotated[str, typer.Option(help="CCCD: and 12 digits, or MST: and the tax code.")],
    address: Annotated[str, typer.Option(help="The buyer's address.")],
    point: Annotated[str, typer.Option(help="Metering point.")],
    tariff: Annotated[str, typer.Option(help="Tariff class.")] = "residential",
    supply_address: Annotated[str, typer.Option(help="Place of supply, if another.")] = "",
    kw: Annotated[int, typer.Option(help="Contracted power.")] = 3,
    phases: Annotated[int, typer.Option()] = 1,
    phone: Annotated[str, typer.Option()] = "",
    actor: Actor = DEFAULT_ACTOR,
) -> None:
    """Enter an application."""
    if not re.fullmatch(r"CCCD:\d{12}|MST:\d{10}(-\d{3})?", identity):
        raise typer.BadParameter("identity is CCCD: and 12 digits, or MST: and a tax code", param_hint="--identity")
    customer = Customer(name, identity, address, phone)
    supply = Supply(point, supply_address or address, tariff, phases, kw)
    _step(context, lambda office: office.desk.apply(customer, supply, actor))


@app.command()
def survey(context: typer.Context, number: Number, actor: Actor = DEFAULT_ACTOR) -> None:
    """The site has been surveyed."""
    _step(context, lambda office: office.desk.act(number, Action.SURVEY, actor))


@app.command()
def offer(
    context: typer.Context,
    number: Number,
    fee: Annotated[int, typer.Option(help="Connection fee in đồng.")] = 0,
    actor: Actor = DEFAULT_ACTOR,
) -> None:
    """The offer has been made."""
    details = {"offer": {"connection_fee_vnd": fee}}
    _step(context, lambda office: office.desk.act(number, Action.OFFER, actor, details))


@app.command()
def prepare(
    context: typer.Context,
    number: Number,
    out: Annotated[Path | None, typer.Option(help="Write the PDF here as well, for the buyer to sign.")] = None,
    effective: Annotated[str, typer.Option(help="Day from which an amendment or termination holds.")] = "",
    actor: Actor = DEFAULT_ACTOR,
) -> None:
    """Render the final document with both signature fields."""

    async def work(office: Office) -> SupplyRequest:
        request = await office.execution.prepare(number, actor, _time(effective) if effective else None)
        if out is not None:
            out.write_bytes(office.desk.document(request))
        console.print(f"SHA-256 {request.document_sha256}")
        return request

    _step(context, work)


@app.command()
def sign(
    context: typer.Context,
    number: Annotated[str, typer.Argument(help="Number of the request; 'all' signs every waiting one as seller.")],
    party: Annotated[str, typer.Option("--as", help="buyer or seller.")],
    p12: Annotated[Path | None, typer.Option(help="The buyer's key file (PKCS#12).")] = None,
    passphrase: Annotated[str, typer.Option(envvar="SCADA_PASSPHRASE", help="Of the key file.")] = "",
    module: Annotated[Path | None, typer.Option(help="PKCS#11 module of the buyer's token; PIN in SCADA_PIN.")] = None,
    token: Annotated[str, typer.Option(help="Label of that token and of the key on it.")] = "",
    certificate: Annotated[Path | None, typer.Option(help="The certificate of that key.")] = None,
    remote: Annotated[str, typer.Option(help="Address of the buyer's remote signing service.")] = "",
    credential: Annotated[str, typer.Option(help="Credential at that service.")] = "",
    access_token: Annotated[str, typer.Option(envvar="SCADA_REMOTE_TOKEN")] = "",
    pin: Annotated[str, typer.Option(envvar="SCADA_PIN", help="Of the token or the remote credential.")] = "",
    actor: Actor = DEFAULT_ACTOR,
) -> None:
    """Sign as buyer (key file, token or remote service) or as seller (the seller's token)."""
    if party == "seller":
        if number == "all":
            _batch(context, actor)
        else:
            _step(context, lambda office: office.execution.sign_as_seller(number, actor))
        return
    if party != "buyer" or sum((p12 is not None, module is not None, bool(remote))) != 1:
        raise typer.BadParameter("--as buyer needs one of --p12, --module, --remote; --as seller needs none")

    async def work(office: Office) -> SupplyRequest:
        if p12 is not None:
            held = keys.key_file(p12.read_bytes(), passphrase)
            return await office.execution.sign_as_buyer(number, held, actor)
        if module is not None:
            own = load_certificates([certificate] if certificate else [])
            if not own:
                raise KeyFileError("--module needs --certificate as well")
            async with TokenProcess(Token(module, token, token, pin)) as process:
                signer = keys.TokenSigner(process, own[0], own[1:])
                return await office.execution.sign_as_buyer(number, signer, actor)
        where = RemoteCredential(remote, credential, access_token, pin)
        async with keys.remote(where, 30.0) as remote_signer:
            return await office.execution.sign_as_buyer(number, remote_signer, actor)

    try:
        _step(context, work)
    except (KeyFileError, OSError) as error:
        raise typer.BadParameter(str(error), param_hint="--p12") from None


@app.command()
def upload(
    context: typer.Context,
    number: Number,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    actor: Actor = DEFAULT_ACTOR,
) -> None:
    """Take the document that the buyer signed elsewhere."""
    _step(context, lambda office: office.execution.upload(number, file.read_bytes(), actor))


@app.command()
def install(
    context: typer.Context,
    number: Number,
    serial: Annotated[int, typer.Option(help="Serial number of the meter.")],
    register: Annotated[list[str], typer.Option(help="Start register, OBIS=Wh; repeat for each.")],
    photo: Annotated[str, typer.Option(help="SHA-256 of the photo.")] = "",
    actor: Actor = DEFAULT_ACTOR,
) -> None:
    """The meter is installed."""
    try:
        registers = {code: int(value) for code, value in (entry.split("=") for entry in register)}
    except ValueError:
        raise typer.BadParameter("a register is OBIS=Wh, such as 1.8.0=1200", param_hint="--register") from None
    meter = MeterInstallation(serial, registers, photo, now_us())
    _step(context, lambda office: office.desk.install_meter(number, meter, actor))


@app.command()
def energise(context: typer.Context, number: Number, actor: Actor = DEFAULT_ACTOR) -> None:
    """Supply has been switched on."""
    _step(context, lambda office: office.desk.act(number, Action.ENERGISE, actor))


@app.command()
def activate(context: typer.Context, number: Number, actor: Actor = DEFAULT_ACTOR) -> None:
    """Let the contract hold; an amendment replaces, a termination ends the one before."""
    _step(context, lambda office: office.desk.activate(number, actor))


@app.command()
def reject(
    context: typer.Context,
    number: Number,
    reason: Annotated[str, typer.Option(help="Why; the applicant will read it.")],
    actor: Actor = DEFAULT_ACTOR,
) -> None:
    """Reject a request that is not signed by both yet."""
    _step(context, lambda office: office.desk.act(number, Action.REJECT, actor, {"reason": reason}))


@app.command()
def amend(
    context: typer.Context,
    number: Number,
    tariff: Annotated[str, typer.Option(help="New tariff class.")] = "",
    name: Annotated[str, typer.Option(help="New name of the buyer.")] = "",
    actor: Actor = DEFAULT_ACTOR,
) -> None:
    """Begin an amendment of an active contract; it is prepared, signed and activated like a new one."""
    kind = RequestKind.AMENDMENT
    _step(context, lambda office: office.desk.change(number, kind, actor, tariff_class=tariff, customer_name=name))


@app.command()
def terminate(context: typer.Context, number: Number, actor: Actor = DEFAULT_ACTOR) -> None:
    """Begin the termination of an active contract."""
    _step(context, lambda office: office.desk.change(number, RequestKind.TERMINATION, actor))


@app.command()
def show(context: typer.Context, number: Number) -> None:
    """A request with its clock and its history."""

    async def work(office: Office) -> None:
        request = await office.desk.request(number)
        _tell(office, request)
        table = Table("#", "time", "action", "actor", "document", "note")
        for event in await office.desk.history(number):
            note = str(event.details.get("reason", ""))[:60]
            digest = event.document_sha256[:12]
            table.add_row(str(event.sequence), local_text(event.time), event.action, event.actor, digest, note)
        console.print(table)

    _run(context, work)


@app.command("list")
def list_requests(
    context: typer.Context,
    state: Annotated[list[State] | None, typer.Option(help="Only these states; repeat.")] = None,
) -> None:
    """All requests."""

    async def work(office: Office) -> None:
        table = Table("number", "kind", "state", "customer", "metering point", "tariff", "meter", "waits for")
        for row in await asyncio.to_thread(office.desk.store.records, tuple(state or ())):
            meter = "" if row.meter_serial is None else str(row.meter_serial)
            cells = (row.request, row.kind, row.state, row.customer, row.metering_point, row.tariff_class, meter)
            table.add_row(*cells, row.waiting[:40])
        console.print(table)

    _run(context, work)


@app.command()
def verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    at: At = "",
    as_data: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    buyer_only: Annotated[bool, typer.Option(help="The seller has not signed yet.")] = False,
) -> None:
    """Verify a signed file from its own evidence, offline. Exit code 0 valid, 1 invalid, 2 unclear, 3 unreadable."""
    with told_failures():
        settings, trust = settings_and_trust(settings_path(config_of(context)))
        seller = {} if buyer_only else {SELLER_FIELD: settings.seller.identity}
        holders = {BUYER_FIELD: "", **seller}
        verdict = asyncio.run(verify_content(file.read_bytes(), trust, _time(at), holders=holders))
    if as_data:
        typer.echo(json.dumps(as_json(verdict), ensure_ascii=False, indent=1))
    else:
        for line in sentences(verdict):
            console.print(line, markup=False)
    raise typer.Exit(verdict.outcome.exit_code)


@app.command()
def renew(context: typer.Context, actor: Actor = "night") -> None:
    """Renew the archive time-stamps that end soon."""

    async def work(office: Office) -> None:
        outcome = await office.upkeep.renew_due(actor)
        console.print(f"{len(outcome.renewed)} renewed, {len(outcome.not_renewed)} could not be")
        for number, reason in outcome.not_renewed:
            console.print(f"  {number}: {reason}", markup=False)

    _run(context, work)


@app.command()
def night(context: typer.Context, actor: Actor = "night") -> None:
    """Reminders, expiry, retries of what waits, renewals."""

    async def work(office: Office) -> None:
        day = await office.upkeep.day(actor)
        again = await office.execution.retry_waiting(actor)
        renewal = await office.upkeep.renew_due(actor)
        console.print(f"{len(day.reminded)} reminded, {len(day.expired)} expired, {len(renewal.renewed)} renewed")
        _tell_batch(again)

    _run(context, work)


@app.command()
def valid(context: typer.Context, point: Annotated[str, typer.Argument(help="Metering point.")], at: At = "") -> None:
    """The contract that holds for a metering point: what billing asks. Exit code 1 when there is none."""

    async def work(office: Office) -> bool:
        row = await office.desk.valid_contract(point, _time(at))
        if row is not None:
            registers = ", ".join(f"{code} = {value}" for code, value in row.start_registers.items())
            console.print(f"{row.request}: {row.customer}, {row.tariff_class}, meter {row.meter_serial}, {registers}")
        return row is not None

    if not _run(context, work):
        console.print(f"No contract holds for {point}.")
        raise typer.Exit(1)


@app.command()
def unbound(context: typer.Context, at: At = "") -> None:
    """Metering points with a meter and without a valid contract. Exit code 1 when there are any."""

    async def work(office: Office) -> int:
        points = await asyncio.to_thread(office.desk.store.points_without_contract, _time(at))
        for point in points[:50]:
            console.print(point, markup=False)
        console.print(f"{len(points)} metering points without a valid contract")
        return len(points)

    if _run(context, work):
        raise typer.Exit(1)


@app.command()
def export(context: typer.Context, number: Number, to: Annotated[Path, typer.Option(help="Folder.")]) -> None:
    """Write one contract as a folder that proves itself."""

    async def work(office: Office) -> None:
        console.print(f"Written: {await contract_export.export(office.desk, number, to)}")

    _run(context, work)


@app.command("archive")
def check_archive(context: typer.Context) -> None:
    """Check the hash chain and every object of the archive. Exit code 1 when something was changed."""

    async def work(office: Office) -> bool:
        verdict = office.desk.archive.verify()
        console.print(f"{verdict.chain.entries} entries, {verdict.objects} objects, head {verdict.chain.head}")
        for fault in (verdict.chain.broken, *verdict.faults):
            if fault:
                console.print(fault, markup=False)
        return verdict.intact

    if not _run(context, work):
        raise typer.Exit(1)


@app.command()
def rehearse(context: typer.Context) -> None:
    """A sample contract from application to active, with the local authority served meanwhile."""
    with told_failures():
        asyncio.run(rehearse_contract(config_of(context), lambda line: console.print(line, markup=False)))


def _run(context: typer.Context, work: Callable[[Office], Awaitable[T]]) -> T:
    async def inside() -> T:
        async with opened(config_of(context)) as office:
            return await work(office)

    with told_failures():
        return asyncio.run(inside())
    raise AssertionError("told_failures ends the program on failure")


def _step(context: typer.Context, work: Callable[[Office], Awaitable[SupplyRequest]]) -> None:
    async def told(office: Office) -> None:
        _tell(office, await work(office))

    _run(context, told)


def _batch(context: typer.Context, actor: str) -> None:
    async def work(office: Office) -> None:
        rows = await asyncio.to_thread(office.desk.store.records, (State.BUYER_SIGNED,))
        _tell_batch(await office.execution.sign_batch([row.request for row in rows], actor))

    _run(context, work)


def _tell_batch(outcome: BatchOutcome) -> None:
    console.print(f"{len(outcome.signed)} signed, {len(outcome.waiting)} waiting, {len(outcome.refused)} refused")
    for number, reason in (*outcome.waiting, *outcome.refused):
        console.print(f"  {number}: {reason}", markup=False)


def _tell(office: Office, request: SupplyRequest) -> None:
    end = office.desk.deadline(request)
    left = working_days_left(vietnam(), now_us(), end.day)
    clock = f"due {end.day}{' (provisional)' if end.provisional else ''}, {left} working days left"
    console.print(
        f"{request.number} · {request.customer.name} · {request.supply.metering_point} · {request.state} · {clock}"
    )
    if request.waiting:
        console.print(f"  waits since {local_text(request.waiting_since or 0)}: {request.waiting}", markup=False)


def _time(text: str) -> int:
    if not text:
        return now_us()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ActionRefused(f"{text!r} is no date") from None
    aware: Any = moment if moment.tzinfo else moment.replace(tzinfo=INDOCHINA)
    return int(aware.timestamp() * 1_000_000)
