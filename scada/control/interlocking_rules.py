"""The interlocking rules of switching devices, each a function of what is known of the field.

Knows circuits, isolation and earths. Does not know health, modes, measurements (``interlocking_device``,
``interlocking_voltage``) nor persons. Every rule answers with a ``Finding``: the facts it used and why not, if so.
Doubt never passes: what may conduct is taken as conducting, what may separate is taken as not separating.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from scada.control.interlocking_field import Field
from scada.control.interlocking_walk import Reach
from scada.grid.topology import Certainty
from scada.model.addcause import AddCause
from scada.model.point import DoublePoint
from scada.model.station import DeviceKind
from scada.model.switching import Fact, Refusal

INTERLOCKING = AddCause.BLOCKED_BY_INTERLOCKING


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says: the facts it looked at, why not, and what is worth knowing all the same."""

    facts: tuple[Fact, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    remarks: tuple[str, ...] = ()


def refused(cause: AddCause, sentence: str, facts: Sequence[Fact]) -> Finding:
    """A rule that stands against the operation."""
    return Finding(tuple(facts), (Refusal(cause, sentence, tuple(facts)),))


def move_without_current(field: Field, device: int) -> Finding:
    """A disconnector moves only while an open breaker interrupts its circuit, or both its sides are one node.

    Interrupted: from one side nothing is reached that takes or brings current, and no breaker there is closed. One node
    (bus transfer): with the disconnector left out, certainly closed devices of the station still join both sides.
    """
    first, second = field.topology.device_nodes[device].tolist()
    ways = field.ways(field.possibly)
    sides = [field.wiring.walk(end, ways, without=device) for end in (first, second)]
    for side in sides:
        if not _hindrances(field, side):
            facts = field.positions(_own_border(field, side, device))
            return Finding(facts)
    joined = field.wiring.walk(first, field.ways(field.certainly), without=device)
    if second in joined:
        path = joined.path(second)
        names = ", ".join(field.name(each) for each in path)
        return Finding(field.positions(path), remarks=(f"bus transfer: both sides are joined by {names}",))
    culprits = [culprit for side in sides if (culprit := _culprit(field, side)) is not None]
    if not culprits:
        return refused(INTERLOCKING, f"no open breaker interrupts the circuit of {field.name(device)}", [])
    bay = field.device(device)[1].bay
    culprit = next((each for each in culprits if field.device(each)[1].bay == bay), culprits[0])
    sentence = f"the circuit of {field.name(device)} is not interrupted: {field.told(culprit)}"
    return refused(INTERLOCKING, sentence, field.positions([culprit]))


def _hindrances(field: Field, side: Reach) -> bool:
    """Whether current may flow here, or would as soon as a device further on moves."""
    if any(node in field.wiring.equipment for node in side.nodes):
        return True
    breaker = DeviceKind.CIRCUIT_BREAKER
    touching = (device for node in side.nodes for device in field.wiring.devices_at[node])
    return any(field.index.kinds[each] is breaker and field.possibly[each] for each in touching)


def _culprit(field: Field, side: Reach) -> int | None:
    """The nearest closed breaker, or the nearest device whose position is in doubt."""
    for device in side.devices:
        is_breaker = field.index.kinds[device] is DeviceKind.CIRCUIT_BREAKER
        if is_breaker or field.trusted[device] != DoublePoint.CLOSED:
            return device
    return None


def _own_border(field: Field, side: Reach, device: int) -> list[int]:
    return [each for each in field.wiring.border(side) if each != device]


def close_without_earths(field: Field, device: int) -> Finding:
    """A disconnector or load break switch closes only while no earthing switch of its section is closed.

    The section goes through lines and through breakers in any position, and ends at disconnectors that are open and at
    nodes energised for certain.
    """
    ways = field.ways(field.possibly_or_breaker, lines=True)
    switches: list[int] = []
    for end in field.topology.device_nodes[device].tolist():
        reach = field.wiring.walk(end, ways, without=device, stop=field.live)
        switches += _earthing_switches(field, reach)
    return _unless_closed(field, switches, f"{field.name(device)} would close onto an earthed section")


def connect_no_source_to_earth(field: Field, device: int) -> Finding:
    """A device closes only while it joins no side that may be energised with one that may be earthed.

    A side energised for certain is not earthed. The other is followed through lines and transformers: an earth behind a
    winding is a short circuit too.
    """
    first, second = field.topology.device_nodes[device].tolist()
    ways = field.ways(field.possibly, lines=True, windings=True)
    switches: list[int] = []
    for side, other in ((first, second), (second, first)):
        if side not in field.live and (other in field.live or field.energised(other) != Certainty.NO):
            reach = field.wiring.walk(side, ways, without=device, stop=field.live)
            switches += _earthing_switches(field, reach)
    return _unless_closed(field, switches, f"{field.name(device)} would connect a source to an earth")


def _earthing_switches(field: Field, reach: Reach) -> list[int]:
    return [switch for node in reach.nodes for switch in field.wiring.earthing_switches_at[node]]


def _unless_closed(field: Field, switches: Sequence[int], what: str) -> Finding:
    closed = [each for each in switches if field.possibly[each]]
    if not closed:
        return Finding(field.positions(switches))
    return refused(INTERLOCKING, f"{what}: {field.told(closed[0])}", field.positions(closed))


def earth_isolated_only(field: Field, device: int) -> Finding:
    """An earthing switch closes only while every disconnector between its node and any source is open.

    An open breaker interrupts, but it does not isolate; transformers lead on, for they would be fed from behind.
    """
    node = int(field.topology.device_nodes[device, 0])
    ways = field.ways(field.possibly_or_breaker, lines=True, windings=True)
    reach = field.wiring.walk(node, ways)
    source = next((each for each in reach.nodes if each in field.wiring.sources), None)
    if source is None:
        isolating = [each for each in field.wiring.border(reach) if field.trusted[each] == DoublePoint.OPEN]
        return Finding(field.positions(isolating))
    path = reach.path(source)
    place = field.topology.nodes[node]
    to_open = next((each for each in path if field.index.kinds[each] is not DeviceKind.CIRCUIT_BREAKER), None)
    if to_open is None:
        return refused(INTERLOCKING, f"{place} cannot be isolated from a source", field.positions(path))
    energised = field.energised(node)
    if energised == Certainty.YES:
        sentence = f"{place} is energised: {field.told(to_open)}"
    elif energised == Certainty.UNKNOWN:
        doubtful = next((each for each in path if field.trusted[each] not in (1, 2)), to_open)
        sentence = f"whether {place} is energised is not known: {field.told(doubtful)}"
    else:
        sentence = f"only a circuit breaker separates {place} from a source: {field.told(to_open)}"
    return refused(INTERLOCKING, sentence, field.positions(path))
