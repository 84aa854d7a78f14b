"""What the file of a map must fulfil in either protocol.

Knows actions and scales. Does not know addresses or nodes.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from scada.model.errors import Fault
from scada.tables import Faults, load_table, nearest
from substations.mapnames import ACTIONS

M = TypeVar("M")


class CommandRow(Protocol):
    """How one command is given, in a map of either protocol."""

    @property
    def name(self) -> str:
        """Of the command, words in braces included."""
        ...

    @property
    def values(self) -> Mapping[str, int]:
        """What is written for each action."""
        ...

    @property
    def set_point(self) -> bool:
        """Whether a value is written instead."""
        ...

    @property
    def scale(self) -> float:
        """Of that value."""
        ...


def load_map(schema: type[M], check: Callable[[M, Faults], None], path: Path, found: list[Fault]) -> M | None:
    """The map in ``path``, or None with every fault in ``found``; ``check`` notes those that no field has by itself."""
    before = len(found)
    loaded = load_table(schema, path, found)
    if loaded is not None:
        check(loaded, Faults(path.name, found))
    return loaded if len(found) == before else None


def check_command(command: CommandRow, faults: Faults) -> None:
    """Note what is wrong with a command wherever it is placed."""
    key = f"command {command.name}"
    if command.set_point == bool(command.values):
        faults.add(key, "needs either values or set_point = true")
    for action in command.values:
        if action not in ACTIONS:
            faults.add(f"{key}.values", f"unknown action {action!r}{nearest(action, ACTIONS)}")
    if len(set(command.values.values())) < len(command.values):
        faults.add(f"{key}.values", "two actions have the same value")
    if command.scale == 0.0:
        faults.add(key, "scale must not be 0")
