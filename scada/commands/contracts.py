"""``scada contract``: supply contracts from application to active, and by night. All through the desk."""

import asyncio
import logging
from collections.abc import Awaitable
from pathlib import Path
from typing import Annotated

import typer

from scada.clock import now_us
from scada.commands import contractlooking as looking
from scada.commands.context import config_of, told_failures
from scada.commands.contractcontext import Number, console, run, step, time_of
from scada.commands.serving import foreground
from scada.contract_office.office import Office, make_local
from scada.contract_office.rehearsal import rehearse as rehearse_contract
from scada.contract_office.serving import serve as serve_office
from scada.contracts import intake, keys
from scada.contracts.execution import BatchOutcome
from scada.contracts.keys import KeyFileError, RemoteCredential
from scada.contracts.pdfreading import read_bounded
from scada.contracts.request import SupplyRequest
from scada.contracts.token import Token, TokenProcess
from scada.contracts.trust import load_certificates
from scada.model.contract import Action, Customer, MeterInstallation, RequestKind, State, Supply

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Electronic supply contracts.",
    no_args_is_help=True,
)
app.add_typer(looking.app)
Actor = Annotated[str, typer.Option("--actor", envvar="SCADA_ACTOR", help="Who acts.")]
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
        config = config_of(context)
        console.print(f"Local office made: {make_local(config, port)}", markup=False)
        console.print(f"Keep its authority running: scada pki serve --folder {config.var / 'pki'}", markup=False)


@app.command()
def new(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="The buyer's name, as in the certificate.")],
    identity: Annotated[str, typer.Option(help="CCCD: and 12 digits, or MST: and the tax code.")],
    address: Annotated[str, typer.Option(help="The buyer's address.")],
    point: Annotated[str, typer.Option(help="Metering point.")],
    tariff: Annotated[str, typer.Option(help="Tariff class.")] = "residential",
    supply_address: Annotated[str, typer.Option(help="Place of supply, if another.")] = "",
    kw: Annotated[int, typer.Option(min=1, help="Contracted power.")] = 3,
    phases: Annotated[int, typer.Option(min=1, max=3, help="1 or 3.")] = 1,
    households: Annotated[int, typer.Option(min=1, help="Households behind the meter.")] = 1,
    phone: Annotated[str, typer.Option(help="Of the customer.")] = "",
    email: Annotated[str, typer.Option(help="Of the customer.")] = "",
    actor: Actor = DEFAULT_ACTOR,
) -> None:
    """Enter an application."""
    customer = Customer(name, identity, address, phone, email)
    supply = Supply(point, supply_address or address, tariff, phases, kw, households)
    if faults := intake.application_faults(customer, supply):
        raise typer.BadParameter("; ".join(faults))
    step(context, lambda office: office.desk.apply(customer, supply, actor))


@app.command()
def survey(context: typer.Context, number: Number, actor: Actor = DEFAULT_ACTOR) -> None:
    """The site has been surveyed."""
    step(context, lambda office: office.desk.act(number, Action.SURVEY, actor))


@app.command()
def offer(
    context: typer.Context,
    number: Number,
    fee: Annotated[int, typer.Option(help="Connection fee in đồng.")] = 0,
    actor: Actor = DEFAULT_ACTOR,
) -> None:
    """The offer has been made."""
    details = {"offer": {"connection_fee_vnd": fee}}
    step(context, lambda office: office.desk.act(number, Action.OFFER, actor, details))


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
        request = await office.execution.prepare(number, actor, time_of(effective) if effective else None)
        if out is not None:
            out.write_bytes(office.desk.document(request))
        console.print(f"SHA-256 {request.document_sha256}")
        return request

    step(context, work)


@app.command()
def sign(
    context: typer.Context,
    number: Annotated[str, typer.Argument(help="Number of the request; 'all' signs every waiting one as seller.")],
    party: Annotated[str, typer.Option("--as", help="buyer or seller.")],
    p12: Annotated[Path | None, typer.Option(help="The buyer's key file (PKCS#12).")] = None,
    passphrase: Annotated[
        str | None, typer.Option(envvar="SCADA_PASSPHRASE", help="Of the key file; asked for when left out.")
    ] = None,
    module: Annotated[Path | None, typer.Option(help="PKCS#11 module of the buyer's token; PIN in SCADA_PIN.")] = None,
    token: Annotated[str, typer.Option(help="Label of that token and of the key on it.")] = "",
    certificate: Annotated[Path | None, typer.Option(help="The certificate of that key.")] = None,
    remote: Annotated[str, typer.Option(help="Address of the buyer's remote signing service.")] = "",
    credential: Annotated[str, typer.Option(help="Credential at that service.")] = "",
    access_token: Annotated[
        str, typer.Option(envvar="SCADA_REMOTE_TOKEN", help="For the remote signing service.")
    ] = "",
    pin: Annotated[str, typer.Option(envvar="SCADA_PIN", help="Of the token or the remote credential.")] = "",
    actor: Actor = DEFAULT_ACTOR,
) -> None:
    """Sign as buyer (key file, token or remote service) or as seller (the seller's token)."""
    if party == "seller":
        if number == "all":
            _batch(context, actor)
        else:
            step(context, lambda office: office.execution.sign_as_seller(number, actor))
        return
    if party != "buyer" or sum((p12 is not None, module is not None, bool(remote))) != 1:
        raise typer.BadParameter("--as buyer needs one of --p12, --module, --remote; --as seller needs none")

    if p12 is not None and passphrase is None:
        passphrase = typer.prompt("Passphrase", hide_input=True, default="", show_default=False)

    async def work(office: Office) -> SupplyRequest:
        if p12 is not None:
            held = keys.key_file(p12.read_bytes(), passphrase or "")
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
        step(context, work)
    except (KeyFileError, OSError) as error:
        raise typer.BadParameter(str(error), param_hint="--p12") from None


@app.command()
def upload(
    context: typer.Context,
    number: Number,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The PDF the buyer has signed.")],
    actor: Actor = DEFAULT_ACTOR,
) -> None:
    """Take the document that the buyer signed elsewhere."""

    def work(office: Office) -> Awaitable[SupplyRequest]:
        limit = office.settings.rules.upload_limit_kib * 1024
        return office.execution.upload(number, read_bounded(file, limit), actor)

    step(context, work)


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
    step(context, lambda office: office.desk.install_meter(number, meter, actor))


@app.command()
def energise(context: typer.Context, number: Number, actor: Actor = DEFAULT_ACTOR) -> None:
    """Supply has been switched on."""
    step(context, lambda office: office.desk.act(number, Action.ENERGISE, actor))


@app.command()
def activate(context: typer.Context, number: Number, actor: Actor = DEFAULT_ACTOR) -> None:
    """Let the contract hold; an amendment replaces, a termination ends the one before."""
    step(context, lambda office: office.desk.activate(number, actor))


@app.command()
def reject(
    context: typer.Context,
    number: Number,
    reason: Annotated[str, typer.Option(help="Why; the applicant will read it.")],
    actor: Actor = DEFAULT_ACTOR,
) -> None:
    """Reject a request that is not signed by both yet."""
    step(context, lambda office: office.desk.act(number, Action.REJECT, actor, {"reason": reason}))


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
    step(context, lambda office: office.desk.change(number, kind, actor, tariff_class=tariff, customer_name=name))


@app.command()
def terminate(context: typer.Context, number: Number, actor: Actor = DEFAULT_ACTOR) -> None:
    """Begin the termination of an active contract."""
    step(context, lambda office: office.desk.change(number, RequestKind.TERMINATION, actor))


@app.command()
def renew(context: typer.Context, actor: Actor = "night") -> None:
    """Renew the archive time-stamps that end soon."""

    async def work(office: Office) -> None:
        outcome = await office.upkeep.renew_due(actor)
        console.print(f"{len(outcome.renewed)} renewed, {len(outcome.not_renewed)} could not be")
        for number, reason in outcome.not_renewed:
            console.print(f"  {number}: {reason}", markup=False)

    run(context, work)


@app.command()
def night(context: typer.Context, actor: Actor = "night") -> None:
    """Reminders, expiry, retries of what waits, renewals."""

    async def work(office: Office) -> None:
        day = await office.upkeep.day(actor)
        again = await office.execution.retry_waiting(actor)
        renewal = await office.upkeep.renew_due(actor)
        console.print(f"{len(day.reminded)} reminded, {len(day.expired)} expired, {len(renewal.renewed)} renewed")
        _tell_batch(again)

    run(context, work)


@app.command()
def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port of the REST door; 0 = a free one.")] = 0,
) -> None:
    """Keep the office open: REST door, another try each minute for what waits, upkeep each day."""
    with told_failures():
        config = config_of(context)
        foreground(lambda stop: serve_office(config, stop, port=port))


@app.command()
def rehearse(context: typer.Context) -> None:
    """A sample contract from application to active, with the local authority served meanwhile."""
    with told_failures():
        asyncio.run(rehearse_contract(config_of(context), lambda line: console.print(line, markup=False)))


def _batch(context: typer.Context, actor: str) -> None:
    async def work(office: Office) -> None:
        rows = await asyncio.to_thread(office.desk.store.records, (State.BUYER_SIGNED,))
        _tell_batch(await office.execution.sign_batch([row.request for row in rows], actor))

    run(context, work)


def _tell_batch(outcome: BatchOutcome) -> None:
    console.print(f"{len(outcome.signed)} signed, {len(outcome.waiting)} waiting, {len(outcome.refused)} refused")
    for number, reason in (*outcome.waiting, *outcome.refused):
        console.print(f"  {number}: {reason}", markup=False)
