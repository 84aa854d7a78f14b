"""The commands of ``scada contract`` that change nothing: show, list, verify, valid, unbound, export, archive."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from scada.commands.context import config_of, told_failures
from scada.commands.contractcontext import At, Number, console, run, tell, time_of
from scada.contract_office.office import Office, settings_and_trust, settings_path
from scada.contracts import export as contract_export
from scada.contracts.layout import BUYER_FIELD, SELLER_FIELD
from scada.contracts.pdfreading import read_bounded
from scada.contracts.verdict import as_json, local_text, sentences
from scada.contracts.verify import SIZE_LIMIT
from scada.contracts.verify import verify as verify_content
from scada.model.contract import State

app = typer.Typer()

SHOWN = 50


@app.command()
def show(context: typer.Context, number: Number) -> None:
    """A request with its clock and its history."""

    async def work(office: Office) -> None:
        request = await office.desk.request(number)
        tell(office, request)
        table = Table("#", "time", "action", "actor", "document", "note")
        for event in await office.desk.history(number):
            note = str(event.details.get("reason", ""))[:60]
            digest = event.document_sha256[:12]
            table.add_row(str(event.sequence), local_text(event.time), event.action, event.actor, digest, note)
        console.print(table)

    run(context, work)


@app.command("list")
def list_requests(
    context: typer.Context,
    state: Annotated[list[State] | None, typer.Option(help="Only these states; repeat.")] = None,
) -> None:
    """All requests."""

    async def work(office: Office) -> None:
        whole = [Column(name, no_wrap=True, overflow="fold") for name in ("number", "state", "metering point")]
        number, stands, point = whole
        table = Table(number, "kind", stands, "customer", point, "tariff", "meter", "waits for")
        for row in await asyncio.to_thread(office.desk.store.records, tuple(state or ())):
            meter = "" if row.meter_serial is None else str(row.meter_serial)
            cells = (row.request, row.kind, row.state, row.customer, row.metering_point, row.tariff_class, meter)
            table.add_row(*cells, row.waiting[:40])
        console.print(table)

    run(context, work)


@app.command()
def verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The PDF to verify.")],
    at: At = "",
    as_data: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    buyer_only: Annotated[bool, typer.Option(help="The seller has not signed yet.")] = False,
) -> None:
    """Verify a signed file from its own evidence, offline. Exit code 0 valid, 1 invalid, 2 unclear, 3 unreadable."""
    with told_failures():
        settings, trust = settings_and_trust(settings_path(config_of(context)))
        seller = {} if buyer_only else {SELLER_FIELD: settings.seller.identity}
        holders = {BUYER_FIELD: "", **seller}
        content = read_bounded(file, SIZE_LIMIT)
        verdict = asyncio.run(verify_content(content, trust, time_of(at), holders=holders))
    if as_data:
        typer.echo(json.dumps(as_json(verdict), ensure_ascii=False, indent=1))
    else:
        for line in sentences(verdict):
            console.print(line, markup=False)
    raise typer.Exit(verdict.outcome.exit_code)


@app.command()
def valid(context: typer.Context, point: Annotated[str, typer.Argument(help="Metering point.")], at: At = "") -> None:
    """The contract that holds for a metering point: what billing asks. Exit code 1 when there is none."""

    async def work(office: Office) -> bool:
        row = await office.desk.valid_contract(point, time_of(at))
        if row is not None:
            registers = ", ".join(f"{code} = {value}" for code, value in row.start_registers.items())
            console.print(f"{row.request}: {row.customer}, {row.tariff_class}, meter {row.meter_serial}, {registers}")
        return row is not None

    if not run(context, work):
        console.print(f"No contract holds for {point}.")
        raise typer.Exit(1)


@app.command()
def unbound(context: typer.Context, at: At = "") -> None:
    """Metering points without a contract, and contracts whose meter was never there. Exit code 1 when there are any."""

    async def work(office: Office) -> int:
        store, moment = office.desk.store, time_of(at)
        points = await asyncio.to_thread(store.points_without_contract, moment)
        for point in points[:SHOWN]:
            console.print(point, markup=False)
        console.print(f"{len(points)} metering points without a valid contract")
        contracts = await asyncio.to_thread(store.contracts_without_meter, moment)
        for row in contracts[:SHOWN]:
            console.print(f"{row.request} {row.metering_point} meter {row.meter_serial}", markup=False)
        console.print(f"{len(contracts)} contracts whose meter the registry has never had at their metering point")
        return len(points) + len(contracts)

    if run(context, work):
        raise typer.Exit(1)


@app.command()
def export(context: typer.Context, number: Number, to: Annotated[Path, typer.Option(help="Folder.")]) -> None:
    """Write one contract as a folder that proves itself."""

    async def work(office: Office) -> None:
        console.print(f"Written: {await contract_export.export(office.desk, number, to)}")

    run(context, work)


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

    if not run(context, work):
        raise typer.Exit(1)
