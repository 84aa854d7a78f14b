"""What an operation would bring about: a load flow of the network as it would be after it.

Knows positions, loads and taps of the moment and what to compare. Does not decide: it informs. One instance holds one
network and writes only what differs to it; use it from one thread at a time. Measured on the shipped province (21
stations): 19 ms of processor time on that thread where something is out of its limits and the state before is solved
too, else half of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scada.control.interlocking_device import SETTING, STEPPING, SWITCHING, WANTED
from scada.control.whatif_inputs import InputReader, Inputs
from scada.grid.loadflow import Flows, FlowStatus, LoadFlow
from scada.grid.topology import IndexArray, Topology
from scada.model.point import DoublePoint
from scada.model.sample import ValueArray
from scada.model.station import Province
from scada.model.switching import Action, Consequence, Consequences, ImageView, Operation

VOLTAGE_LIMITS_KV: Final = ((110.0, 104.0, 121.0), (35.0, 33.25, 38.5), (22.0, 20.9, 24.2))
"""Nominal, lowest and highest voltage of a busbar. 110 kV as in normal operation by the grid code of Vietnam; 35 and
22 kV at -5 and +10 % (both to be set to the practice of the company)."""
REGULATED: Final = "the regulator steps the taps towards it by itself, in its own time; that state is not solved"
WORSE_BY: Final = 0.001
"""Share of the rating or the nominal voltage by which a figure must get worse to be told."""


@dataclass(frozen=True, slots=True)
class _Supply:
    """What the positions leave energised, and in how many islands; shapes (nodes,)."""

    energised: NDArray[np.bool_]
    island: IndexArray


class LoadFlowWhatIf:
    """What-if of one province (``scada.model.switching.WhatIf``).

    ``customers`` counts the meters behind each load (``TN07/473``), as the registry has them.
    """

    def __init__(self, load_flow: LoadFlow | Province, customers: Mapping[str, int] | None = None) -> None:
        self._flow = load_flow if isinstance(load_flow, LoadFlow) else LoadFlow(load_flow)
        self._topology: Topology = self._flow.topology
        self._inputs = InputReader(self._topology, self._flow.neutral_taps())
        self.customers: Mapping[str, int] = customers or {}
        province = self._topology.province
        self._busbars = [(f"{s.code}/{b.name}", b.voltage_kv) for s in province.stations for b in s.busbars]
        self._busbar_nodes = np.array([self._topology.node_index[name] for name, _ in self._busbars], dtype=np.int32)
        self._low_kv = np.array([_limits(kv)[0] for _, kv in self._busbars])
        self._high_kv = np.array([_limits(kv)[1] for _, kv in self._busbars])
        self._transformers = [(f"{s.code}/{t.name}", t.rated_mva) for s in province.stations for t in s.transformers]
        self._transformer_row = {name: row for row, (name, _) in enumerate(self._transformers)}
        self._lines = [(each.name, each.rated_a) for each in province.lines]
        self._load_names = [each.name for each in self._topology.loads]

    def after(self, operation: Operation, view: ImageView, now: int) -> Consequences:
        """What the operation would bring about. Figures rest on the reported positions; doubts are told as remarks."""
        if operation.action in SETTING:
            return Consequences(known=False, reason=REGULATED)
        before = self._inputs.read(view)
        after = self._moved(operation, before)
        if after is None:
            return Consequences(known=True, remarks=(f"{operation.target} moves nothing in the network",))
        return self.compare(before, after)

    def compare(self, before: Inputs, after: Inputs) -> Consequences:
        """What differs between two states of the network.

        The state before is solved only when something is out of its limits after, to tell whether it was already.
        """
        first, second = self._supply(before), self._supply(after)
        nodes = self._topology.load_nodes
        lost = np.flatnonzero(first.energised[nodes] & ~second.energised[nodes])
        regained = np.flatnonzero(~first.energised[nodes] & second.energised[nodes])
        names = tuple(self._load_names[row] for row in lost.tolist())
        flows = self._solve(after)
        known = flows.status is FlowStatus.CONVERGED
        was = self._solve(before) if known and self._is_out_of_limits(flows) else flows
        return Consequences(
            known=known,
            reason="" if known else f"the load flow finds no answer: {flows.reason}",
            overloads=self._overloads(was, flows) if known else (),
            voltages=self._voltages(was, flows) if known else (),
            lost_loads=names,
            lost_mw=float(before.p_mw[lost].sum()),
            lost_customers=sum(self.customers.get(name, 0) for name in names),
            regained_mw=float(after.p_mw[regained].sum()),
            remarks=(*before.remarks, *self._splits(first, second), *self._dark_busbars(first, second)),
        )

    def _moved(self, operation: Operation, before: Inputs) -> Inputs | None:
        name = f"{operation.station}/{operation.device}"
        if operation.action in SWITCHING and name in self._topology.device_index:
            return before.with_position(self._topology.device_index[name], WANTED[operation.action])
        if operation.action in STEPPING and name in self._transformer_row:
            step = 1 if operation.action is Action.RAISE else -1
            return before.with_step(self._transformer_row[name], step)
        return None

    def _supply(self, inputs: Inputs) -> _Supply:
        island = self._topology.islands(inputs.positions == DoublePoint.CLOSED)
        energised = np.isin(island, island[self._topology.source_nodes])
        return _Supply(energised, island)

    def _solve(self, inputs: Inputs) -> Flows:
        closed = inputs.positions == DoublePoint.CLOSED
        return self._flow.solve(closed, inputs.p_mw, inputs.q_mvar, inputs.tap)

    def _is_out_of_limits(self, flows: Flows) -> bool:
        kv = flows.node_kv[self._busbar_nodes]
        loaded = max(flows.line_loading.max(initial=0.0), flows.transformer_loading.max(initial=0.0))
        return bool(loaded > 1.0 or ((kv > 0.0) & ((kv < self._low_kv) | (kv > self._high_kv))).any())

    def _overloads(self, before: Flows, after: Flows) -> tuple[Consequence, ...]:
        lines = _worse(before.line_loading, after.line_loading)
        transformers = _worse(before.transformer_loading, after.transformer_loading)
        return (
            *(_overload(f"line {self._lines[row][0]}", self._lines[row][1], "A", *rest) for row, *rest in lines),
            *(
                _overload(f"transformer {self._transformers[row][0]}", self._transformers[row][1], "MVA", *rest)
                for row, *rest in transformers
            ),
        )

    def _voltages(self, before: Flows, after: Flows) -> tuple[Consequence, ...]:
        found = []
        for name, nominal in self._busbars:
            node = self._topology.node_index[name]
            was, would = float(before.node_kv[node]), float(after.node_kv[node])
            low, high = _limits(nominal)
            outside, already = _outside(would, low, high), _outside(was, low, high)
            if would <= 0.0 or outside - already <= WORSE_BY * nominal:
                continue
            limit = low if would < low else high
            side = "below" if would < low else "above"
            sentence = f"busbar {name} at {would:.1f} kV, {side} {limit:g} kV (now {was:.1f} kV)"
            found.append(Consequence(f"busbar {name}", sentence, would, limit, "kV"))
        return tuple(found)

    def _splits(self, before: _Supply, after: _Supply) -> tuple[str, ...]:
        was, would = _islands(before), _islands(after)
        if would == was:
            return ()
        verb = "splits into" if would > was else "is joined to"
        return (f"the energised network {verb} {would} island{'s' if would != 1 else ''} (now {was})",)

    def _dark_busbars(self, before: _Supply, after: _Supply) -> tuple[str, ...]:
        nodes = [(name, self._topology.node_index[name]) for name, _ in self._busbars]
        dark = [name for name, node in nodes if before.energised[node] and not after.energised[node]]
        return (f"without voltage: busbar {', '.join(dark)}",) if dark else ()


def _worse(before: ValueArray, after: ValueArray) -> Sequence[tuple[int, float, float]]:
    """Row, loading before and after, of what is overloaded after and not already so, most loaded first."""
    rows = np.flatnonzero((after > 1.0) & (after > before + WORSE_BY))
    return sorted(((row, float(before[row]), float(after[row])) for row in rows.tolist()), key=lambda each: -each[2])


def _overload(subject: str, rated: float, unit: str, before: float, after: float) -> Consequence:
    sentence = f"{subject} at {after:.0%} of {rated:g} {unit} (now {before:.0%})"
    return Consequence(subject, sentence, after * rated, rated, unit)


def _limits(nominal_kv: float) -> tuple[float, float]:
    for nominal, low, high in VOLTAGE_LIMITS_KV:
        if nominal == nominal_kv:
            return low, high
    return 0.95 * nominal_kv, 1.1 * nominal_kv


def _outside(kv: float, low: float, high: float) -> float:
    """By how much a voltage is outside its limits; a dead busbar is not."""
    return max(low - kv, kv - high, 0.0) if kv > 0.0 else 0.0


def _islands(moment: _Supply) -> int:
    return len(np.unique(moment.island[moment.energised]))
