"""``scada demo``: the main job on one machine."""

from typing import Annotated

import typer

from scada.commands.context import FAILED, config_path, told_failures
from scada.commands.duration import seconds_of
from scada.demo import Demo, DemoPlan
from scada.files import load_installation
from scada.hmi.screen import Screen


def demo(
    context: typer.Context,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.1, help="End after this long; else run until Ctrl-C.")
    ] = None,
    capture_period: Annotated[
        str, typer.Option("--capture-period", help="Interval of the meters' load profile in the demo.")
    ] = "60s",
    meters: Annotated[int, typer.Option("--meters", min=1, max=400_000, help="Size of the fleet.")] = 200_000,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the simulated field.")] = 1,
    scenario: Annotated[
        str, typer.Option("--scenario", help="What goes wrong in the field: line_fault, silent_station, …, or a file.")
    ] = "",
    keep_services: Annotated[
        bool, typer.Option("--keep-services", help="Leave database and broker running at the end.")
    ] = False,
    restart_services: Annotated[
        bool,
        typer.Option(
            "--restart-services/--no-restart-services", help="Start database and broker again when they have died."
        ),
    ] = True,
) -> None:
    """Start everything, show it live, stop it cleanly and prove the sums; also in var/demo/summary.json."""
    with told_failures():
        path = config_path(context)
        plan = DemoPlan(
            minutes=minutes,
            capture_period_s=int(seconds_of(capture_period)),
            meters=meters,
            seed=seed,
            keep_services=keep_services,
            restart_services=restart_services,
            scenario=scenario,
        )
        with Screen() as screen:
            summary = Demo(load_installation(path), path, plan, screen).run()
    if summary.faults or (minutes is not None and not summary.complete and not summary.stopped_early):
        raise typer.Exit(FAILED)
