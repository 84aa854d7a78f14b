"""What the commands of ``scada contract`` share: the open office, how a request is told, how a time is written."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from scada.clock import now_us
from scada.commands.context import config_of, told_failures
from scada.contract_office.office import Office, opened
from scada.contracts.request import ActionRefused, SupplyRequest
from scada.contracts.upkeep import OPEN_STATES
from scada.contracts.verdict import local_text
from scada.contracts.workdays import INDOCHINA

console = Console(soft_wrap=True, highlight=False)
T = TypeVar("T")

Number = Annotated[str, typer.Argument(help="Number of the request, such as HD-2026-000001.")]
At = Annotated[str, typer.Option(help="Time in Vietnam, 2036-09-21 or 2036-09-21T08:00; else now.")]


def run(context: typer.Context, work: Callable[[Office], Awaitable[T]]) -> T:
    """Do ``work`` with the office open; a failure is told and ends the program."""

    async def inside() -> T:
        async with opened(config_of(context)) as office:
            return await work(office)

    with told_failures():
        return asyncio.run(inside())
    raise AssertionError("told_failures ends the program on failure")


def step(context: typer.Context, work: Callable[[Office], Awaitable[SupplyRequest]]) -> None:
    """Do one step and tell where the request stands."""

    async def told(office: Office) -> None:
        tell(office, await work(office))

    run(context, told)


def tell(office: Office, request: SupplyRequest) -> None:
    """One line on a request, with its clock, and why it waits."""
    told = [request.number, request.customer.name, request.supply.metering_point, str(request.state)]
    console.print(" · ".join([*told, _clock(office, request)]), markup=False)
    if request.waiting:
        console.print(f"  waits since {local_text(request.waiting_since or 0)}: {request.waiting}", markup=False)


def _clock(office: Office, request: SupplyRequest) -> str:
    """When supply is due, while it is."""
    if request.state not in OPEN_STATES:
        return f"since {local_text(request.since)}"
    end = office.desk.deadline(request)
    left = office.desk.days_left(end)
    return f"due {end}, {abs(left)} working days {'left' if left >= 0 else 'late'}"


def time_of(text: str) -> int:
    """µs since 1970 UTC of a time as it is typed; now for nothing. Raises ActionRefused."""
    if not text:
        return now_us()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ActionRefused(f"{text!r} is no date") from None
    aware: Any = moment if moment.tzinfo else moment.replace(tzinfo=INDOCHINA)
    return int(aware.timestamp() * 1_000_000)
