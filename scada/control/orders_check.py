"""Checking a switching order: every step tried on a copy of the network, with interlocking, before anything moves.

Knows steps, rules and consequences. Does not know signatures or files. The first refused step ends the check.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scada.control.interlocking import SiteFacts, TopologyInterlocking
from scada.control.orders import Expectation, Step, SwitchingOrder, operation_of
from scada.control.orders_copy import NetworkCopy
from scada.control.whatif import LoadFlowWhatIf
from scada.grid.loadflow import LoadFlow
from scada.model.quality import Quality
from scada.model.switching import Blocked, Consequences, ImageView


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


class OrderCheck:
    """Simulates orders on one province. One at a time: it owns a load flow."""

    def __init__(self, load_flow: LoadFlow, rules: TopologyInterlocking, what_if: LoadFlowWhatIf) -> None:
        self._flow = load_flow
        self._rules = rules
        self._what_if = what_if
        self._province = load_flow.topology.province

    def simulate(self, order: SwitchingOrder, image: ImageView | None, now: int) -> OrderVerdict:
        """Try the order on the network as ``image`` shows it, or on the normal switching state without one."""
        copy = NetworkCopy(self._flow, image, now)
        verdicts: list[StepVerdict] = []
        for number, step in enumerate(order.step, start=1):
            verdicts.append(self._try(number, step, copy))
            if verdicts[-1].refused:
                break
        return OrderVerdict(tuple(verdicts))

    def _try(self, number: int, step: Step, copy: NetworkCopy) -> StepVerdict:
        operation = operation_of(step, self._province)
        remarks: tuple[str, ...] = ()
        lost_mw, lost_customers = 0.0, 0
        if operation is not None:
            decision = self._rules.decide(operation, copy, site_facts(step))
            if isinstance(decision, Blocked):
                return StepVerdict(number, str(step), str(decision.refusals[0]))
            before = copy.inputs
            copy.apply(operation)
            consequences = self._what_if.compare(before, copy.inputs)
            remarks = (*decision.remarks, *told(consequences))
            lost_mw, lost_customers = consequences.lost_mw, consequences.lost_customers
        if unmet := unmet_expectation(step.expect, copy):
            return StepVerdict(number, str(step), f"the expected reading would not come: {unmet}")
        return StepVerdict(number, str(step), "", remarks, lost_mw, lost_customers)


def site_facts(step: Step) -> SiteFacts:
    """What a step claims of the place where it is done."""
    return SiteFacts(step.place, frozenset({step.device} if step.dead_on_site else ()))


def told(consequences: Consequences) -> tuple[str, ...]:
    """The consequences in sentences."""
    sentences = [each.sentence for each in (*consequences.overloads, *consequences.voltages)]
    if consequences.lost_loads:
        shown = ", ".join(consequences.lost_loads[:5]) + (" …" if len(consequences.lost_loads) > 5 else "")
        customers = f", {consequences.lost_customers} customers" if consequences.lost_customers else ""
        sentences.append(f"{consequences.lost_mw:.1f} MW lost{customers}: {shown}")
    if consequences.regained_mw:
        sentences.append(f"{consequences.regained_mw:.1f} MW supplied again")
    if not consequences.known:
        sentences.append(consequences.reason)
    return (*sentences, *consequences.remarks)


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
