"""Checking a switching order: every step tried on a copy of the network, with interlocking, before anything moves.

Knows steps, rules and consequences. Does not know signatures or files. The first refused step ends the check.
"""

from scada.control.interlocking import TopologyInterlocking
from scada.control.orders import Step, SwitchingOrder, operation_of
from scada.control.orders_copy import NetworkCopy
from scada.control.orders_verdict import OrderVerdict, StepVerdict, site_facts, unmet_expectation
from scada.control.whatif import LoadFlowWhatIf
from scada.grid.loadflow import LoadFlow
from scada.model.switching import Blocked, Consequences, ImageView


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
