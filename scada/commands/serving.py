"""``scada run``, ``collect``, ``jobs``: the processes, each in the foreground until SIGINT or SIGTERM."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Annotated

import typer

from scada import collecting, logs, running
from scada import jobs as scheduling
from scada.commands.context import config_of, config_path, told_failures
from scada.commands.duration import seconds_of
from scada.files import load_installation
from scada.services import supervisor

Serve = Callable[[asyncio.Event], Coroutine[None, None, None]]


def run(
    context: typer.Context,
    base_port: Annotated[int, typer.Option("--base-port", min=0, max=65000, help="Overrides stations.base_port.")] = 0,
    *,
    standby: Annotated[
        bool, typer.Option("--standby", help="Wait until the process in control ends, then take over.")
    ] = False,
) -> None:
    """Scan the stations, keep the process image, be the control desk, bring telemetry to the historian."""
    with told_failures():
        path = config_path(context)
        installation = load_installation(path, base_port=base_port)
        endpoints = supervisor.addresses(installation.config)
        foreground(lambda stop: running.run(installation, endpoints, stop, standby=standby))


def collect(
    context: typer.Context,
    capture_period: Annotated[
        str, typer.Option("--capture-period", help="Overrides head_end.capture_period_s, e.g. 60s or 30min.")
    ] = "",
) -> None:
    """Read the meters: from the broker to the historian, acknowledged after the commit."""
    with told_failures():
        config = config_of(context)
        if capture_period:
            period_s = int(seconds_of(capture_period))
            config = replace(config, head_end=replace(config.head_end, capture_period_s=period_s))
        endpoints = supervisor.addresses(config)
        foreground(lambda stop: collecting.collect(config, endpoints, stop))


def jobs(context: typer.Context) -> None:
    """Do what has to be done from time to time; a second one stands by."""
    with told_failures():
        config = config_of(context)
        endpoints = supervisor.addresses(config)
        foreground(lambda stop: scheduling.jobs(config, endpoints, stop))


def foreground(serve: Serve) -> None:
    """Let ``serve`` run, with our log on standard error, until SIGINT or SIGTERM sets the event it was given."""
    logs.set_up()

    async def until_asked() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await serve(stop)

    asyncio.run(until_asked())
