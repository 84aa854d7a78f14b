"""``scada check``: is every file right?"""

import typer
from rich.console import Console

from scada.commands.context import WRONG_FILES, config_path
from scada.files import read_installation
from scada.model.errors import Fault


def check(context: typer.Context) -> None:
    """Read every file, open nothing, and print all faults at once. Silent with exit code 0 when there is none."""
    found: list[Fault] = []
    read_installation(config_path(context), found)
    out = Console(soft_wrap=True, highlight=False)
    for fault in sorted(found):
        out.print(str(fault), markup=False)
    if found:
        raise typer.Exit(WRONG_FILES)
