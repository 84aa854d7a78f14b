"""What the control desk is made of, put together by whoever runs it.

Knows the pieces and their types. Does not know what is done with them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from scada.control.authority import AuthorityTable
from scada.control.journal import Journal
from scada.control.policy import Policy
from scada.control.readiness import Controllable
from scada.control.recovery import Carried
from scada.control.tenure import Tenure
from scada.control.trust import Trust
from scada.model.commandlink import CommandLinks
from scada.model.meterlink import SupplyControl
from scada.model.ports import Clock
from scada.model.sample import SampleArray
from scada.model.station import Station
from scada.model.switching import Consequences, ImageView, Interlocking, Operation

Foresight = Callable[[], Awaitable[Consequences]]
WhatIfAsked = Callable[[Operation], Foresight]
"""Takes the picture of this moment; what it gives works the answer out, when that is wanted."""
Credentials = Callable[[int], tuple[Trust | None, AuthorityTable]]


@dataclass(frozen=True, slots=True)
class DeskParts:
    """What the desk is made of. ``what_if`` works on a thread of its own; ``take`` feeds the process image."""

    stations: Sequence[Station]
    controllables: Mapping[str, Controllable]
    near: Mapping[str, frozenset[str]]
    links: CommandLinks
    view: ImageView
    take: Callable[[SampleArray], None]
    interlocking: Interlocking
    what_if: WhatIfAsked
    credentials: Credentials
    policy: Policy
    tenure: Tenure
    journal: Journal
    carried: Carried
    clock: Clock
    monotonic: Callable[[], float]
    supply: SupplyControl | None = None
