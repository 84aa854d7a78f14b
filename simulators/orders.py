"""Select before operate as a device does it: one selection per command, with a time limit.

Knows the states of a command at the device. Does not know registers, nodes or physics: what carries the order out is an
argument.
"""

from collections.abc import Callable
from dataclasses import dataclass

from scada.model.addcause import AddCause

Action = str | float
"""``open``, ``close``, ``raise``, ``lower``, ``reset``, or the value of a set-point."""

CarryOut = Callable[[str, Action, int], AddCause | None]
"""(command name, action, now) → why not, or None when the device has begun."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What is selected, and until when (µs UTC)."""

    action: Action
    until: int


class OrderSlot:
    """One command of one device: selected, operated, cancelled. Every method answers why not, or None."""

    def __init__(self, name: str, carry_out: CarryOut, *, needs_select: bool, select_timeout_s: float) -> None:
        self.name = name
        self._carry_out = carry_out
        self._needs_select = needs_select
        self._timeout_us = int(select_timeout_s * 1e6)
        self._selection: Selection | None = None

    def selected(self, now: int) -> Action | None:
        """What is selected at ``now``; a selection whose time is over is gone."""
        if self._selection is not None and now >= self._selection.until:
            self._selection = None
        return None if self._selection is None else self._selection.action

    def select(self, action: Action, now: int) -> AddCause | None:
        """Reserve the command for ``action``; refused while another selection holds."""
        if self.selected(now) is not None:
            return AddCause.OBJECT_ALREADY_SELECTED
        self._selection = Selection(action, now + self._timeout_us)
        return None

    def cancel(self) -> None:
        """Withdraw the selection, if there is one."""
        self._selection = None

    def operate(self, action: Action, now: int) -> AddCause | None:
        """Carry ``action`` out. A selection is used up by any operate, also by one that is refused."""
        selected = self.selected(now)
        self._selection = None
        if self._needs_select and selected is None:
            return AddCause.OBJECT_NOT_SELECTED
        if self._needs_select and selected != action:
            return AddCause.INCONSISTENT_PARAMETERS
        return self._carry_out(self.name, action, now)
