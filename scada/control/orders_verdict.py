"""What can be said of a step: the simulation's verdict, what it claims of its place, whether its readings came.

Knows steps and readings. Does not know the network or any load flow: whoever only reads a record needs neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scada.control.interlocking import SiteFacts
from scada.control.orders import Expectation, Step
from scada.model.quality import Quality
from scada.model.switching import ImageView


@dataclass(frozen=True, slots=True)
class StepVerdict:
    """What the simulation says of one step: '' in ``refused`` when it may be done; the rest informs."""

    number: int
    step: str
    refused: str = ""
    remarks: tuple[str, ...] = ()
    lost_mw: float = 0.0
    lost_customers: int = 0

    def report(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "number": self.number,
            "step": self.step,
            "refused": self.refused,
            "remarks": list(self.remarks),
            "lost_mw": round(self.lost_mw, 3),
            "lost_customers": self.lost_customers,
        }


@dataclass(frozen=True, slots=True)
class OrderVerdict:
    """The simulation of a whole order, up to the first refused step."""

    steps: tuple[StepVerdict, ...]

    @property
    def passed(self) -> bool:
        """True when every step may be done."""
        return bool(self.steps) and not self.steps[-1].refused


def site_facts(step: Step) -> SiteFacts:
    """What a step claims of the place where it is done."""
    return SiteFacts(step.place, frozenset({step.device} if step.dead_on_site else ()))


def unmet_expectation(expect: Sequence[Expectation], view: ImageView) -> str:
    """The first expected reading that is not there, in words, or '' when all are. Doubtful readings prove nothing."""
    if not expect:
        return ""
    rows = view.read([each.point for each in expect])
    for each, row in zip(expect, rows, strict=True):
        quality, value = Quality(int(row["quality"])), float(row["value"])
        if quality != Quality.GOOD:
            return f"{each}, but it is {quality.label.replace('_', ' ')}"
        if not each.is_met(value):
            return f"{each}, but it is {value:g}"
    return ""
