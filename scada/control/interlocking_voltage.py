"""The interlocking rules that rest on measured values: dead proven by voltage, and synchrocheck.

Knows which measuring points belong to a section. Does not know positions beyond what ``Field`` says of them. A fuse of
the voltage transformer that has tripped, or of which nothing is known, makes its voltage worthless.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from scada.control.interlocking_field import Field, Measurement, Value
from scada.control.interlocking_rules import INTERLOCKING, Finding, refused
from scada.control.interlocking_walk import Reach
from scada.grid.topology import Certainty
from scada.model.addcause import AddCause
from scada.model.quantity import Quantity
from scada.model.station import DeviceKind
from scada.model.switching import Fact

DEAD_BELOW = 0.1
"""Share of the nominal voltage below which a section counts as dead; coupling from a parallel line stays below it
(assumed, to be set to the practice of the company)."""


@dataclass(frozen=True, slots=True)
class SynchrocheckLimits:
    """What two energised islands may differ by when they are joined.

    Usual settings of synchrocheck relays (assumed, to be set to the practice of the company). The angle between them is
    not transmitted: the relay of the bay judges it and tells by its release (F25).
    """

    frequency_hz: float = 0.1
    voltage_share: float = 0.1


def dead_by_voltage(field: Field, device: int, dead_on_site: Collection[str]) -> Finding:
    """An earthing switch closes only on a section that no voltage transformer shows alive and one shows dead.

    A section without busbar, line, load or winding needs no such proof: nothing can feed it once it is isolated. Where
    no voltage is measured, only staff on site can prove it; ``dead_on_site`` names the earthing switches concerned.
    """
    node = int(field.topology.device_nodes[device, 0])
    zone = field.wiring.walk(node, field.ways(field.possibly, lines=True))
    certain = field.wiring.walk(node, field.ways(field.certainly, lines=True))
    place = field.topology.nodes[node]
    measured = _measured(field, field.index.voltages, zone)
    for measurement, value in measured:
        if abs(value.value) >= DEAD_BELOW * measurement.nominal_kv:
            sentence = f"{place} is not dead: {value.point.name} shows {value.value:.1f} kV"
            return refused(INTERLOCKING, sentence, [value.fact])
    proofs = [_proof(field, measurement, value) for measurement, value in measured if measurement.node in certain]
    if good := [proof for proof in proofs if not any(each.is_doubtful or _tripped(each) for each in proof)]:
        return Finding(tuple(each.fact for each in good[0]))
    if field.name(device) in dead_on_site:
        return Finding((Fact(f"{place} dead", "proven on site"),))
    if proofs:
        facts = [each.fact for each in proofs[0]]
        return refused(INTERLOCKING, f"{place} is not proven dead: {_doubt(proofs[0])}", facts)
    if any(each in field.wiring.equipment or each in field.wiring.busbars for each in zone.nodes):
        fact = Fact(f"{place} voltage", "not measured")
        return refused(INTERLOCKING, f"{place} is not proven dead: no voltage is measured there", [fact])
    return Finding()


def synchronous(field: Field, device: int, limits: SynchrocheckLimits) -> Finding:
    """A breaker or load break switch joins two energised islands only when synchrocheck conditions are met.

    Needed unless one side is dead for certain or both are one island for certain.
    """
    first, second = field.topology.device_nodes[device].tolist()
    energised = (field.energised(first), field.energised(second))
    if Certainty.NO in energised:
        return Finding()
    if field.state.island[first] == field.state.island[second]:
        return Finding(remarks=("both sides belong to one island: a ring is closed",))
    release = _release(field, device)
    if release is None:
        fact = Fact(f"{field.name(device)} synchrocheck", "not available")
        return _out_of_step(f"{field.name(device)} would join two islands and has no synchrocheck", [fact])
    if release.is_doubtful or release.value != 1.0:
        why = release.quality.label.replace("_", " ") if release.is_doubtful else "not given"
        return _out_of_step(f"the synchrocheck release of {field.name(device)} is {why}", [release.fact])
    return _agreement(field, (first, second), device, release, limits)


def _agreement(field: Field, ends: tuple[int, int], device: int, release: Value, limits: SynchrocheckLimits) -> Finding:
    ways = field.ways(field.certainly)
    sides = [field.wiring.walk(end, ways, without=device) for end in ends]
    voltages = [_first_good(field, field.index.voltages, side) for side in sides]
    frequencies = [_first_good(field, field.index.frequencies, side) for side in sides]
    for found, what in ((voltages, "voltage"), (frequencies, "frequency")):
        for end, one in zip(ends, found, strict=True):
            if one is None:
                place = field.topology.nodes[end]
                fact = Fact(f"{place} {what}", "unknown")
                return _out_of_step(f"the {what} at {place} is not known for synchrocheck", [release.fact, fact])
    (at_1, u_1), (_, u_2) = [each for each in voltages if each is not None]
    (_, f_1), (_, f_2) = [each for each in frequencies if each is not None]
    facts = [release.fact, u_1.fact, u_2.fact, f_1.fact, f_2.fact]
    if abs(u_1.value - u_2.value) > limits.voltage_share * at_1.nominal_kv:
        apart = f"{abs(u_1.value - u_2.value):.1f} kV, more than {limits.voltage_share * at_1.nominal_kv:.1f} kV"
        return _out_of_step(f"the voltages on both sides of {field.name(device)} differ by {apart}", facts)
    if abs(f_1.value - f_2.value) > limits.frequency_hz:
        apart = f"{abs(f_1.value - f_2.value):.2f} Hz, more than {limits.frequency_hz:g} Hz"
        return _out_of_step(f"the frequencies on both sides of {field.name(device)} differ by {apart}", facts)
    return Finding(tuple(facts), remarks=("joins two islands: synchrocheck conditions are met",))


def _out_of_step(sentence: str, facts: list[Fact]) -> Finding:
    return refused(AddCause.BLOCKED_BY_SYNCHROCHECK, sentence, facts)


def _release(field: Field, device: int) -> Value | None:
    """The bay's synchrocheck release, where the device is the breaker it acts on."""
    station, found = field.device(device)
    if found.kind is not DeviceKind.CIRCUIT_BREAKER:
        return None
    bay = next(each for each in station.bays if each.name == found.bay)
    points = [each for each in bay.points if each.quantity == Quantity.SYNCHROCHECK_RELEASED]
    return field.values(points)[0] if points else None


def _measured(field: Field, places: Mapping[int, list[Measurement]], reach: Reach) -> list[tuple[Measurement, Value]]:
    found = [each for node in reach.nodes for each in places.get(node, ())]
    return list(zip(found, field.values([each.point for each in found]), strict=True))


def _proof(field: Field, measurement: Measurement, value: Value) -> tuple[Value, ...]:
    """A measured value and the fuses it depends on."""
    return (value, *field.values(measurement.fuses))


def _first_good(field: Field, places: Mapping[int, list[Measurement]], side: Reach) -> tuple[Measurement, Value] | None:
    for measurement, value in _measured(field, places, side):
        if not any(each.is_doubtful or _tripped(each) for each in _proof(field, measurement, value)):
            return measurement, value
    return None


def _tripped(value: Value) -> bool:
    return value.point.quantity == Quantity.VT_MCB_TRIPPED and value.value != 0.0


def _doubt(proof: tuple[Value, ...]) -> str:
    doubtful = next(each for each in proof if each.is_doubtful or _tripped(each))
    if doubtful.is_doubtful:
        return f"{doubtful.point.name} is {doubtful.quality.label.replace('_', ' ')}"
    return f"{doubtful.point.name} tells that the voltage transformer is switched off"
