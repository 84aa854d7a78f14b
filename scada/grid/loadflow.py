"""AC load flow of the province for given positions, loads and taps.

Knows pypowsybl and how its results become figures per terminal. Does not know time, curves or who asks. Importing this
module costs 0.6 s; ``scada.grid.topology`` answers what needs no flows. One instance is for one thread.

A part without an infeed is dead: zeros, not gaps. The network itself keeps the previous figures of what went dead or
did not converge, so the topology decides what is alive. Measured on the shipped province: 4 ms for one
solution.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scada.grid.couplers import coupler_flows
from scada.grid.network import (
    build_network,
    line_ends,
    load_element,
    magnetising_admittance,
    tap_ratio,
    transformer_legs,
    winding_nodes,
)
from scada.grid.powsybl import engine, flow, results
from scada.grid.topology import IndexArray, Topology
from scada.model.sample import ValueArray
from scada.model.station import DeviceKind, Province, TerminalKind

SQRT_3 = 3.0**0.5
MISMATCH_MW = "0.01"
"""How far an island's balance may be off; the default of 1 MW would show as a meter that does not add up."""
_Kind = engine.ElementType
_LEGS: Final = ("p1", "q1", "p2", "q2", "p3", "q3")


class FlowStatus(StrEnum):
    """Whether a load flow found an answer. Dead islands need none."""

    CONVERGED = "converged"
    NOT_CONVERGED = "not_converged"


@dataclass(frozen=True, slots=True)
class Flows:
    """One solution.

    ``p_mw``, ``q_mvar``, ``i_a``, ``u_kv``: shape (terminals,), order of ``Topology.terminals``; power is positive from
    the bay into the equipment (line, load, winding) or from a coupler's first busbar to its second, current is a
    magnitude, voltage line to line. ``node_kv``: shape (nodes,). ``infeed_mw``, ``infeed_mvar``: shape (infeeds,),
    positive into the province. ``line_loading``: shape (lines,), ``transformer_loading``: shape (transformers,), 1 =
    rated current or power. With NOT_CONVERGED, ``reason`` tells why and the island concerned has zeros.
    """

    status: FlowStatus
    reason: str
    p_mw: ValueArray
    q_mvar: ValueArray
    i_a: ValueArray
    u_kv: ValueArray
    node_kv: ValueArray
    infeed_mw: ValueArray
    infeed_mvar: ValueArray
    line_loading: ValueArray
    transformer_loading: ValueArray


@dataclass(frozen=True, slots=True)
class _Elements:
    """Results of the network as they come, dead parts zero. Legs in columns, sides in columns; complex power in MVA."""

    busbar_kv: ValueArray
    load_mva: NDArray[np.complex128]
    line_mva: NDArray[np.complex128]
    leg_mva: NDArray[np.complex128]
    infeed_mva: NDArray[np.complex128]


class LoadFlow:
    """The network of one province, solved as often as wanted; only what changed is written to it."""

    def __init__(self, province: Province, topology: Topology | None = None) -> None:
        self.topology = topology or Topology(province)
        self._province = province
        self._network = build_network(province)
        self._parameters = _parameters()
        self._transformers = [(s, t) for s in province.stations for t in s.transformers]
        self._peak_mw = sum(load.p_mw for load in self.topology.loads)
        self._name_elements()
        self._number_nodes()
        self._number_couplers()
        self._closed = self.topology.normal_positions() == 2
        self._taps = self.neutral_taps()
        self._loads = self.peak_loads()

    def neutral_taps(self) -> NDArray[np.int64]:
        """The neutral tap position of every transformer, shape (transformers,), station by station."""
        return np.array([each.tap_neutral for _, each in self._transformers], dtype=np.int64)

    def peak_loads(self) -> tuple[ValueArray, ValueArray]:
        """Active and reactive power of every load at peak, MW and Mvar, shape (loads,) each."""
        loads = self.topology.loads
        return np.array([each.p_mw for each in loads]), np.array([each.q_mvar for each in loads])

    def solve(self, closed: NDArray[np.bool_], p_mw: ValueArray, q_mvar: ValueArray, tap: NDArray[np.int64]) -> Flows:
        """The flows with these devices closed, loads and taps.

        closed: shape (devices,), True only where a device conducts for certain; p_mw, q_mvar: shape (loads,); tap:
        shape (transformers,). A tap outside its range is held at the end of it. The scheduled infeeds follow the
        consumption.
        """
        held = np.clip(tap, self._tap_low, self._tap_high)
        self._write(closed, p_mw, q_mvar, held)
        components = flow.run_ac(self._network, self._parameters)
        failed = [each for each in components if each.status.name not in ("CONVERGED", "NO_CALCULATION")]
        reason = "; ".join(dict.fromkeys(each.status_text for each in failed))
        elements = self._read(self._alive(closed, [each.connected_component_num for each in failed]))
        section = self.topology.sections(closed)
        node_kv = self._node_voltages(elements, section, held)
        status = FlowStatus.NOT_CONVERGED if failed else FlowStatus.CONVERGED
        return self._flows(status, reason, elements, node_kv, closed)

    def _name_elements(self) -> None:
        topology, province = self.topology, self._province
        self._load_ids = [load_element(each) for each in topology.loads]
        self._line_ids = [each.name for each in province.lines]
        self._transformer_ids = [f"{station.code}/{each.name}" for station, each in self._transformers]
        self._infeed_ids = [each.name for each in province.infeeds]
        self._busbar_ids = [f"{s.code}/{each.name}" for s in province.stations for each in s.busbars]
        self._switch_ids = np.array(list(topology.device_index), dtype=object)
        self._switches = np.array([d.kind is not DeviceKind.EARTHING_SWITCH for _, d in topology.devices])
        self._tap_low = np.array([each.tap_low for _, each in self._transformers], dtype=np.int64)
        self._tap_high = np.array([each.tap_high for _, each in self._transformers], dtype=np.int64)

    def _number_nodes(self) -> None:
        node, province = self.topology.node_index, self._province
        ends = line_ends(province)
        self._busbar_nodes = np.array([node[each] for each in self._busbar_ids], dtype=np.int32)
        self._infeed_nodes = np.array([node[each.busbar] for each in province.infeeds], dtype=np.int32)
        self._line_nodes = np.array(
            [[node[ends[each.end_1]], node[ends[each.end_2]]] for each in province.lines], dtype=np.int32
        ).reshape(-1, 2)
        self._leg_nodes = np.array(
            [[node[each] for each in winding_nodes(s, t)] for s, t in self._transformers], dtype=np.int32
        ).reshape(-1, 3)
        impedance = np.array([complex(each.r_ohm, each.x_ohm) for each in province.lines])
        susceptance = np.array([each.b_us for each in province.lines]) * 1e-6
        self._open_end_ratio = 1.0 / np.abs(1.0 + impedance * 0.5j * susceptance)
        self._line_rated_a = np.array([each.rated_a for each in province.lines])
        self._rated_kv = np.array([t.rated_kv for _, t in self._transformers]).reshape(-1, 3)
        self._rated_mva = np.array([t.rated_mva for _, t in self._transformers])
        self._leg_ohm = np.array(
            [[complex(leg.r_ohm, leg.x_ohm) for leg in transformer_legs(t)] for _, t in self._transformers]
        ).reshape(-1, 3)
        self._magnetising_s = np.array([magnetising_admittance(t) for _, t in self._transformers])
        self._tap_ratios = [
            {tap: tap_ratio(t, tap) for tap in range(t.tap_low, t.tap_high + 1)} for _, t in self._transformers
        ]
        terminals = {
            int(self.topology.terminal_nodes[index]): index
            for index, (_, terminal) in enumerate(self.topology.terminals)
            if terminal.kind in (TerminalKind.LINE, TerminalKind.WINDING)
        }
        by_load = {t.equipment: i for i, (_, t) in enumerate(self.topology.terminals) if t.kind is TerminalKind.LOAD}
        self._load_terminals = np.array([by_load[each.name] for each in self.topology.loads], dtype=np.int32)
        ends_at = [[terminals[node] for node in pair] for pair in self._line_nodes.tolist()]
        legs_at = [[terminals[node] for node in legs] for legs in self._leg_nodes.tolist()]
        self._line_terminals = np.array(ends_at, dtype=np.int32).reshape(-1, 2)
        self._leg_terminals = np.array(legs_at, dtype=np.int32).reshape(-1, 3)

    def _number_couplers(self) -> None:
        topology = self.topology
        rows = []
        for index, (station, terminal) in enumerate(topology.terminals):
            if terminal.kind is not TerminalKind.BUSBAR:
                continue
            for device_index, (owner, device) in enumerate(topology.devices):
                if owner is station and device.bay == terminal.bay and device.kind is DeviceKind.CIRCUIT_BREAKER:
                    first, second = topology.device_nodes[device_index].tolist()
                    near = topology.node_index[f"{station.code}/{terminal.node}"]
                    if near in (first, second):
                        rows.append((index, device_index, near, second if first == near else first))
        table = np.array(rows, dtype=np.int32).reshape(-1, 4)
        self._coupler_terminals, self._coupler_devices = table[:, 0], table[:, 1]
        self._coupler_nodes = table[:, 2:]

    def _write(self, closed: NDArray[np.bool_], p_mw: ValueArray, q_mvar: ValueArray, tap: NDArray[np.int64]) -> None:
        moved = np.flatnonzero((closed != self._closed) & self._switches)
        if moved.size:
            self._network.update_switches(id=self._switch_ids[moved], open=~closed[moved])
        self._closed = closed.copy()
        loads_changed = not (np.array_equal(p_mw, self._loads[0]) and np.array_equal(q_mvar, self._loads[1]))
        if self._load_ids and loads_changed:
            self._network.update_loads(id=self._load_ids, p0=p_mw, q0=q_mvar)
        stepped = np.flatnonzero(tap != self._taps)
        if stepped.size:
            names = [self._transformer_ids[index] for index in stepped.tolist()]
            self._network.update_3_windings_transformers(id=names, ratio_tap_position1=tap[stepped])
        self._taps = tap.copy()
        if self._infeed_ids and loads_changed:
            share = float(p_mw.sum()) / self._peak_mw if self._peak_mw else 1.0
            scheduled = [each.p_mw * share for each in self._province.infeeds]
            self._network.update_generators(id=self._infeed_ids, target_p=scheduled)
        self._loads = (p_mw.copy(), q_mvar.copy())

    def _alive(self, closed: NDArray[np.bool_], failed: list[int]) -> NDArray[np.bool_]:
        """Nodes in an island with an infeed and a solution, shape (nodes,)."""
        island = self.topology.islands(closed)
        alive = np.zeros(len(island), dtype=np.bool_)
        alive[island[self._infeed_nodes]] = True
        if failed:
            component = self._network.get_buses(attributes=["connected_component"])["connected_component"]
            bus = self._network.get_busbar_sections(attributes=["bus_id"])["bus_id"].reindex(self._busbar_ids)
            in_failed = bus.map(component).isin(failed).to_numpy()
            alive[island[self._busbar_nodes[in_failed]]] = False
        answer: NDArray[np.bool_] = alive[island]
        return answer

    def _read(self, alive: NDArray[np.bool_]) -> _Elements:
        network = self._network
        loads = results(network, _Kind.LOAD, ["p", "q"], self._load_ids)
        lines = results(network, _Kind.LINE, ["p1", "q1", "p2", "q2"], self._line_ids)
        legs = results(network, _Kind.THREE_WINDINGS_TRANSFORMER, _LEGS, self._transformer_ids)
        infeeds = results(network, _Kind.GENERATOR, ["p", "q"], self._infeed_ids)
        busbars = results(network, _Kind.BUSBAR_SECTION, ["v"], self._busbar_ids)
        return _Elements(
            busbar_kv=busbars[:, 0] * alive[self._busbar_nodes],
            load_mva=_powers(loads)[:, 0] * alive[self.topology.load_nodes],
            line_mva=_powers(lines) * alive[self._line_nodes],
            leg_mva=_powers(legs) * alive[self._leg_nodes],
            infeed_mva=_powers(infeeds)[:, 0] * alive[self._infeed_nodes],
        )

    def _node_voltages(self, elements: _Elements, section: IndexArray, tap: NDArray[np.int64]) -> ValueArray:
        """Voltage of every node: from the busbars, then from the far end of lines and windings that are open here."""
        section_kv = np.zeros(len(self.topology.nodes))
        section_kv[section[self._busbar_nodes]] = elements.busbar_kv
        self._raise_open_windings(section_kv, section, elements, tap)
        for here, there in ((0, 1), (1, 0)):
            near, far = section[self._line_nodes[:, here]], section[self._line_nodes[:, there]]
            is_open = (section_kv[near] == 0.0) & (section_kv[far] > 0.0)
            section_kv[near[is_open]] = (section_kv[far] * self._open_end_ratio)[is_open]
        kv: ValueArray = section_kv[section]
        return kv

    def _raise_open_windings(
        self, section_kv: ValueArray, section: IndexArray, elements: _Elements, tap: NDArray[np.int64]
    ) -> None:
        legs = section[self._leg_nodes]
        ratio = self._rated_kv[:, :1] / self._rated_kv
        ratio[:, 0] *= [ratios[int(each)] for ratios, each in zip(self._tap_ratios, tap, strict=True)]
        referred = section_kv[legs] * ratio
        alive = referred > 0.0
        some = np.argmax(alive, axis=1)
        rows = np.arange(len(legs))
        source = np.where(alive[rows, some], referred[rows, some], 1.0)
        magnetising = np.where(some == 0, np.conj(self._magnetising_s) * source**2, 0.0)
        current = np.conj((elements.leg_mva[rows, some] - magnetising) / source)
        star = np.abs(source - current * self._leg_ohm[rows, some]) * alive[rows, some]
        is_open = ~alive & alive.any(axis=1, keepdims=True)
        section_kv[legs[is_open]] = (star[:, None] / ratio)[is_open]

    def _flows(
        self, status: FlowStatus, reason: str, elements: _Elements, node_kv: ValueArray, closed: NDArray[np.bool_]
    ) -> Flows:
        power = np.zeros(len(self.topology.terminals), dtype=np.complex128)
        power[self._load_terminals] = elements.load_mva
        power[self._line_terminals] = elements.line_mva
        power[self._leg_terminals] = elements.leg_mva
        power[self._coupler_terminals] = self._coupler_powers(power, elements, closed)
        u_kv = node_kv[self.topology.terminal_nodes]
        i_a = np.abs(power) * 1000.0 / (SQRT_3 * np.where(u_kv > 0.0, u_kv, np.inf))
        ends_a = i_a[self._line_terminals].reshape(-1, 2)
        return Flows(
            status=status,
            reason=reason,
            p_mw=power.real,
            q_mvar=power.imag,
            i_a=i_a,
            u_kv=u_kv,
            node_kv=node_kv,
            infeed_mw=-elements.infeed_mva.real,
            infeed_mvar=-elements.infeed_mva.imag,
            line_loading=ends_a.max(axis=1, initial=0.0) / self._line_rated_a,
            transformer_loading=np.abs(elements.leg_mva).max(axis=1, initial=0.0) / self._rated_mva,
        )

    def _coupler_powers(
        self, power: NDArray[np.complex128], elements: _Elements, closed: NDArray[np.bool_]
    ) -> NDArray[np.complex128]:
        uncoupled = closed.copy()
        uncoupled[self._coupler_devices] = False
        section = self.topology.sections(uncoupled)
        drawn = np.zeros(len(section), dtype=np.complex128)
        np.add.at(drawn, section[self.topology.terminal_nodes], power)
        np.add.at(drawn, section[self._infeed_nodes], elements.infeed_mva)
        through = np.zeros(len(self._coupler_devices), dtype=np.complex128)
        conducting = closed[self._coupler_devices]
        edges = section[self._coupler_nodes[conducting]]
        through[conducting] = coupler_flows(edges, drawn.real) + 1j * coupler_flows(edges, drawn.imag)
        return through


def _parameters() -> flow.Parameters:
    """Voltages from a flat start: the previous solution saves nothing (6 ms either way) and may be far off."""
    return flow.Parameters(
        voltage_init_mode=flow.VoltageInitMode.UNIFORM_VALUES,
        transformer_voltage_control_on=False,
        use_reactive_limits=False,
        read_slack_bus=False,
        write_slack_bus=False,
        distributed_slack=True,
        balance_type=flow.BalanceType.PROPORTIONAL_TO_GENERATION_PARTICIPATION_FACTOR,
        component_mode=flow.ComponentMode.ALL_CONNECTED,
        provider_parameters={
            "slackBusPMaxMismatch": MISMATCH_MW,
            "slackDistributionFailureBehavior": "LEAVE_ON_SLACK_BUS",
            "generatorsWithZeroMwTargetAreNotStarted": "false",
        },
    )


def _powers(columns: ValueArray) -> NDArray[np.complex128]:
    """Columns p, q of each side as complex power, shape (elements, sides)."""
    return columns[:, 0::2] + 1j * columns[:, 1::2]
