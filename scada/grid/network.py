"""The province as a pypowsybl node-breaker network: every device a switch, every bay terminal a piece of equipment.

Knows the equivalent circuits and the names of the elements in the network. Does not know positions, loads of the moment
or results. Earthing switches are left out: a load flow has no place for them.

Names in the network: substation ``TN07``, voltage level ``TN07/110``, switch ``TN07/171-7``, busbar section
``TN07/C11``, load ``TN07/473 load``, transformer ``TN07/T1``, lines and infeeds by their own names.
"""

from dataclasses import dataclass

import pandas as pd

from scada.grid.powsybl import net
from scada.model.station import Device, DeviceKind, Load, Province, Station, TerminalKind, Transformer

SWITCH_KINDS = {
    DeviceKind.CIRCUIT_BREAKER: "BREAKER",
    DeviceKind.DISCONNECTOR: "DISCONNECTOR",
    DeviceKind.LOAD_BREAK_SWITCH: "LOAD_BREAK_SWITCH",
}
SLACK_SHARE = 1.0
OTHER_SHARE = 0.001
"""How a difference between generation and consumption is shared: the slack takes it all where an island has it."""
INFEED_LIMIT_MW = 5000.0


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg of the star equivalent of a three-winding transformer, ohms at the rated voltage of the first winding."""

    r_ohm: float
    x_ohm: float


@dataclass(frozen=True, slots=True)
class _Place:
    """A node inside a voltage level of the network."""

    level: str
    number: int


def transformer_legs(transformer: Transformer) -> tuple[Leg, Leg, Leg]:
    """Star equivalent from the short-circuit test.

    The reactance of a leg is half of what the two tests it takes part in exceed the third by; the load loss is measured
    between the first two windings at rated power and shared equally, all windings being rated alike. A small negative
    reactance of the middle leg is right: it stands for the coupling of the other two.
    """
    u12, u13, u23 = transformer.short_circuit_percent
    base_ohm = transformer.rated_kv[0] ** 2 / transformer.rated_mva
    r_ohm = transformer.load_loss_kw / 1000.0 / transformer.rated_mva / 2.0 * base_ohm
    parts = ((u12 + u13 - u23) / 2.0, (u12 + u23 - u13) / 2.0, (u13 + u23 - u12) / 2.0)
    first, second, third = (Leg(r_ohm, percent / 100.0 * base_ohm) for percent in parts)
    return first, second, third


def magnetising_admittance(transformer: Transformer) -> complex:
    """Shunt at the terminals of the first winding, siemens at its rated voltage, from the no-load test."""
    base_s = transformer.rated_mva / transformer.rated_kv[0] ** 2
    conductance = transformer.no_load_loss_kw / 1000.0 / transformer.rated_mva
    admittance = max(transformer.no_load_current_percent / 100.0, conductance)
    return complex(conductance, -((admittance**2 - conductance**2) ** 0.5)) * base_s


def tap_ratio(transformer: Transformer, tap: int) -> float:
    """Voltage at the star point relative to that at neutral tap: the lowest position has the most turns."""
    return 1.0 / (1.0 + (transformer.tap_neutral - tap) * transformer.tap_step_percent / 100.0)


def build_network(province: Province) -> net.Network:
    """The network in its normal switching state, at peak load and neutral taps."""
    network = net.create_empty("province")
    places = _create_levels(network, province)
    _create_switches(network, province, places)
    _create_loads(network, province, places)
    _create_transformers(network, province, places)
    _create_lines(network, province, places)
    _create_infeeds(network, province, places)
    return network


def load_element(load: Load) -> str:
    """Name of a load in the network: its own would be that of the feeder's breaker."""
    return f"{load.name} load"


def _level(station: Station, voltage_kv: float) -> str:
    return f"{station.code}/{voltage_kv:g}"


def _create_levels(network: net.Network, province: Province) -> dict[str, _Place]:
    places: dict[str, _Place] = {}
    used: dict[str, int] = {}

    def place(station: Station, node: str, voltage_kv: float) -> None:
        name, level = f"{station.code}/{node}", _level(station, voltage_kv)
        if node and name not in places:
            places[name] = _Place(level, used.get(level, 0))
            used[level] = used.get(level, 0) + 1

    for station in province.stations:
        for busbar in station.busbars:
            place(station, busbar.name, busbar.voltage_kv)
        for device in station.devices:
            place(station, device.node_1, device.voltage_kv)
            place(station, device.node_2, device.voltage_kv)
        for terminal in station.terminals:
            place(station, terminal.node, terminal.voltage_kv)
    network.create_substations(_table([{"id": station.code} for station in province.stations]))
    network.create_voltage_levels(
        _table(
            [
                {"id": level, "substation_id": code, "topology_kind": "NODE_BREAKER", "nominal_v": float(voltage)}
                for level in used
                for code, voltage in [level.split("/")]
            ]
        )
    )
    sections = [(f"{s.code}/{b.name}", places[f"{s.code}/{b.name}"]) for s in province.stations for b in s.busbars]
    network.create_busbar_sections(
        _table([{"id": name, "voltage_level_id": at.level, "node": at.number} for name, at in sections])
    )
    return places


def _create_switches(network: net.Network, province: Province, places: dict[str, _Place]) -> None:
    network.create_switches(
        _table(
            [
                _switch(station, device, places)
                for station in province.stations
                for device in station.devices
                if device.kind is not DeviceKind.EARTHING_SWITCH
            ]
        )
    )


def _switch(station: Station, device: Device, places: dict[str, _Place]) -> dict[str, object]:
    first, second = places[f"{station.code}/{device.node_1}"], places[f"{station.code}/{device.node_2}"]
    return {
        "id": f"{station.code}/{device.name}",
        "voltage_level_id": first.level,
        "node1": first.number,
        "node2": second.number,
        "kind": SWITCH_KINDS[device.kind],
        "open": not device.normally_closed,
    }


def _create_loads(network: net.Network, province: Province, places: dict[str, _Place]) -> None:
    at = {
        terminal.equipment: places[f"{station.code}/{terminal.node}"]
        for station in province.stations
        for terminal in station.terminals
        if terminal.kind is TerminalKind.LOAD
    }
    rows = [
        {
            "id": load_element(load),
            "voltage_level_id": at[load.name].level,
            "node": at[load.name].number,
            "p0": load.p_mw,
            "q0": load.q_mvar,
        }
        for station in province.stations
        for load in station.loads
    ]
    if rows:
        network.create_loads(_table(rows))


def _create_transformers(network: net.Network, province: Province, places: dict[str, _Place]) -> None:
    rows, changers, steps = [], [], []
    for station in province.stations:
        for transformer in station.transformers:
            name = f"{station.code}/{transformer.name}"
            windings = winding_nodes(station, transformer)
            rows.append(_transformer(name, transformer, [places[node] for node in windings]))
            low, neutral = transformer.tap_low, transformer.tap_neutral
            changers.append({"id": name, "tap": neutral, "low_tap": low, "oltc": True, "side": "ONE"})
            changers[-1] |= {"regulating": False, "target_v": float("nan"), "target_deadband": float("nan")}
            for tap in range(low, transformer.tap_high + 1):
                ratio = tap_ratio(transformer, tap)
                steps.append({"id": name, "g": 0.0, "b": 0.0, "r": 0.0, "x": 0.0, "rho": ratio})
    if rows:
        network.create_3_windings_transformers(_table(rows))
        network.create_ratio_tap_changers(_table(changers), _table(steps))


def winding_nodes(station: Station, transformer: Transformer) -> list[str]:
    """Names of the nodes (``STATION/…``) of the windings, highest voltage first."""
    windings = [
        (terminal.voltage_kv, f"{station.code}/{terminal.node}")
        for terminal in station.terminals
        if terminal.kind is TerminalKind.WINDING and terminal.equipment == transformer.name
    ]
    return [node for _, node in sorted(windings, reverse=True)]


def _transformer(name: str, transformer: Transformer, at: list[_Place]) -> dict[str, object]:
    magnetising = magnetising_admittance(transformer)
    row: dict[str, object] = {"id": name, "rated_u0": transformer.rated_kv[0]}
    for side, (leg, place, rated_kv) in enumerate(
        zip(transformer_legs(transformer), at, transformer.rated_kv, strict=True), start=1
    ):
        row |= {
            f"voltage_level{side}_id": place.level,
            f"node{side}": place.number,
            f"rated_u{side}": rated_kv,
            f"rated_s{side}": transformer.rated_mva,
            f"r{side}": leg.r_ohm,
            f"x{side}": leg.x_ohm,
            f"g{side}": magnetising.real if side == 1 else 0.0,
            f"b{side}": magnetising.imag if side == 1 else 0.0,
        }
    return row


def _create_lines(network: net.Network, province: Province, places: dict[str, _Place]) -> None:
    at = line_ends(province)
    rows = [
        {
            "id": line.name,
            "voltage_level1_id": places[at[line.end_1]].level,
            "node1": places[at[line.end_1]].number,
            "voltage_level2_id": places[at[line.end_2]].level,
            "node2": places[at[line.end_2]].number,
            "r": line.r_ohm,
            "x": line.x_ohm,
            "g1": 0.0,
            "g2": 0.0,
            "b1": line.b_us * 1e-6 / 2.0,
            "b2": line.b_us * 1e-6 / 2.0,
        }
        for line in province.lines
    ]
    if rows:
        network.create_lines(_table(rows))


def line_ends(province: Province) -> dict[str, str]:
    """Node (``STATION/…``) of every line bay (``STATION/BAY``)."""
    return {
        f"{station.code}/{terminal.bay}": f"{station.code}/{terminal.node}"
        for station in province.stations
        for terminal in station.terminals
        if terminal.kind is TerminalKind.LINE
    }


def _create_infeeds(network: net.Network, province: Province, places: dict[str, _Place]) -> None:
    numbers: dict[str, int] = {}
    for place in places.values():
        numbers[place.level] = max(numbers.get(place.level, 0), place.number)
    rows, joints, shares = [], [], []
    for infeed in province.infeeds:
        busbar = places[infeed.busbar]
        numbers[busbar.level] += 1
        own = numbers[busbar.level]
        rows.append(
            {
                "id": infeed.name,
                "voltage_level_id": busbar.level,
                "node": own,
                "energy_source": "OTHER",
                "min_p": -INFEED_LIMIT_MW,
                "max_p": INFEED_LIMIT_MW,
                "target_p": infeed.p_mw,
                "target_v": infeed.target_kv,
                "voltage_regulator_on": True,
            }
        )
        joints.append({"voltage_level_id": busbar.level, "node1": busbar.number, "node2": own})
        share = SLACK_SHARE if infeed.slack else OTHER_SHARE
        shares.append({"id": infeed.name, "droop": 4.0, "participate": True, "participation_factor": share})
    if not rows:
        return
    network.create_generators(_table(rows))
    network.create_internal_connections(pd.DataFrame(joints).set_index("voltage_level_id"))
    network.create_extensions("activePowerControl", _table(shares))


def _table(rows: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(rows).set_index("id")
