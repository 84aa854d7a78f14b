"""A night at the control desk, as its journal has it: what a new desk must take over."""

from typing import Any

NOW = 1_795_000_000_000_000


def entries_of_a_night() -> list[tuple[str, dict[str, Any]]]:
    """A tag, a command whose frame left and one that waits, neither with an outcome; an alarm that was seen."""
    received = {"do": "operate", "by": "a", "expires": NOW + 60_000_000, "document": "{}"}
    tag = {"id": "t1", "target": "TN01/473", "kind": "control_inhibit", "owner": "a", "text": "", "since": NOW}
    return [
        ("tag", {**tag, "by": "a"}),
        ("received", {"id": "c1", "target": "TN01/471", "action": "open", **received}),
        ("execute", {"id": "c1", "command": "TN01/471/471.operate", "action": "open", "persons": ["a", "b"]}),
        ("received", {"id": "c2", "target": "TN01/474", "action": "open", **received}),
        ("authority", {"version": 1, "digest": "d"}),
    ]
