"""What every command shares: the configuration it was given and how a failure is told.

Knows exit codes: 0 done, 1 could not be done, 2 the files or the words of the call are wrong.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import typer
from rich.console import Console

from scada.config import SOURCE_ROOT, Config, load_config
from scada.hmi.deskwords import told
from scada.model.errors import ConfigurationError, GridScadaError

FAILED, WRONG_FILES = 1, 2


def config_path(context: typer.Context) -> Path:
    """``--config``, else $SCADA_CONFIG, else ``config.toml`` here, else the one beside the source."""
    chosen = context.find_root().params.get("config") or os.environ.get("SCADA_CONFIG")
    if chosen:
        return Path(chosen)
    here = Path("config.toml")
    return here if here.exists() else SOURCE_ROOT / "config.toml"


def config_of(context: typer.Context) -> Config:
    """The configuration of this call. Raises ConfigurationError with every fault."""
    return load_config(config_path(context))


def _language(context: typer.Context | None) -> str:
    """The language of this call's configuration; English when even that cannot be read."""
    try:
        return "en" if context is None else config_of(context).language
    except GridScadaError:
        return "en"


@contextlib.contextmanager
def told_failures(context: typer.Context | None = None) -> Iterator[None]:
    """Turns our exceptions into one sentence on standard error and an exit code; ours only, a bug keeps its trace.

    With the ``context`` of the call, what the control desk says is told in the language of the configuration.
    """
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        yield
    except ConfigurationError as error:
        for fault in error.faults:
            errors.print(str(fault), markup=False)
        raise typer.Exit(WRONG_FILES) from None
    except GridScadaError as error:
        errors.print(told(str(error), _language(context)), markup=False, style="red")
        raise typer.Exit(FAILED) from None
