"""Whatever is allowed, in any order, on any station: nothing live is earthed, no disconnector breaks a load.

Random stations from the shipped bay types, random operations of all devices, random doubts about positions while the
truth stays hidden. Only what the interlocking allows is carried out; the truth judges.
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scada.control import interlocking
from scada.control.interlocking import Place, SiteFacts, TopologyInterlocking, operation_on
from scada.control.interlocking_field import VOLTAGES, Field
from scada.control.interlocking_rules import Finding
from scada.model.station import DeviceKind, Province, Station
from scada.model.switching import Action, Allowed
from tests.fakes_interlocking import Seen, Truth, a_line, a_province, a_station

STEPS = 60


@st.composite
def provinces(draw: st.DrawFn) -> Province:
    """Two or three stations in a row, each with line bays, a coupler, transformers and feeders as drawn."""
    return build(lambda low, high: draw(st.integers(low, high)))


def build(choose: Callable[[int, int], int]) -> Province:
    count = choose(2, 3)
    codes = [f"S{number}" for number in range(1, count + 1)]
    ends: dict[str, list[str]] = {code: [] for code in codes}
    lines = []
    for one, other in itertools.pairwise(codes):
        for _ in range(choose(1, 2)):
            pair = [f"{code}/17{len(ends[code]) + 1}" for code in (one, other)]
            for end in pair:
                code, bay = end.split("/")
                ends[code].append(bay)
            lines.append(a_line(*pair))
    stations = [_station(code, number, ends[code], choose) for number, code in enumerate(codes, start=1)]
    infeeds = ["S1/C11"] + ([f"S{count}/C12"] if choose(0, 1) else [])
    return a_province(stations, lines, infeeds)


def _station(code: str, number: int, line_bays: list[str], choose: Callable[[int, int], int]) -> Station:
    bays: list[tuple[str, str, tuple[str, ...]]] = []
    if choose(0, 1):
        bays.append(("station_services", "TD", ("C11", "C12", "C31", "C32", "C41", "C42")))
    bays.append(("coupler_110", "112", ("C11", "C12")))
    has_bypass = choose(0, 1)
    if has_bypass:
        bays.append(("bypass_110", "100", ("C11", "C19")))
    for index, bay in enumerate(line_bays):
        arrangement = choose(0, 2)
        if arrangement == 0:
            bays.append(("line_110_double", bay, ("C11", "C12")))
        elif arrangement == 1 and has_bypass:
            bays.append(("line_110_bypassed", bay, ("C11", "C19")))
        else:
            bays.append(("line_110", bay, (("C11", "C12")[index % 2],)))
    for unit in range(1, choose(0, 2) + 1):
        bays.append(("transformer_110_35_22", f"T{unit}", (f"C1{unit}", f"C3{unit}", f"C4{unit}")))
    if choose(0, 1):
        bays += [("coupler_35", "312", ("C31", "C32")), ("coupler_22", "412", ("C41", "C42"))]
    bays += [("feeder_35", "371", ("C31",)), ("feeder_22", "472", ("C42",))][: choose(0, 2)]
    return a_station(code, number, bays, line_bays)


@dataclass
class Walk:
    """One sequence: what was allowed, and whether the truth was ever hurt."""

    province: Province
    chance: random.Random
    doubts: bool

    def run(self, steps: int) -> tuple[Counter[str], list[str]]:
        """Kinds of the allowed operations, and every harm done."""
        truth = Truth(self.province)
        seen = Seen(truth)
        desk = TopologyInterlocking(self.province)
        allowed: Counter[str] = Counter()
        names = list(truth.devices)
        voltages = [name for name, point in seen.points.items() if point.quantity in VOLTAGES]
        for _ in range(steps):
            name = self._choose(truth, names)
            station, device = truth.devices[name]
            action = Action.OPEN if name in truth.closed else Action.CLOSE
            self._doubt(seen, truth, voltages, name)
            site = SiteFacts(Place.ON_SITE, self._vouched(truth))
            if not isinstance(desk.decide(operation_on(station, device.name, action), seen, site), Allowed):
                continue
            if device.kind is DeviceKind.DISCONNECTOR and truth.carries_current(name):
                return allowed, [f"{name} {action} under load"]
            truth.move(name, action)
            seen.forget()
            allowed[f"{device.kind} {action}"] += 1
            if earthed := truth.short_circuits():
                return allowed, [f"{name} {action}: {', '.join(earthed)} at a live node"]
        return allowed, []

    def _choose(self, truth: Truth, names: list[str]) -> str:
        """Any device, but often one beside an open breaker: else most sequences end at closed doors."""
        name = self.chance.choice(names)
        bay = truth.devices[name][1].bay
        if self.chance.random() < 0.5:
            beside = [each for each in names if truth.devices[each][1].bay == bay]
            return self.chance.choice(beside)
        return name

    def _doubt(self, seen: Seen, truth: Truth, voltages: list[str], name: str) -> None:
        """Wrong positions of doubtful quality: anywhere, and often of what stands beside the device that is to move."""
        seen.doubtful.clear()
        if not self.doubts:
            return
        station, device = truth.devices[name]
        beside = [
            each
            for each, (there, other) in sorted(truth.devices.items())
            if there is station and each != name and (other.bay == device.bay or other.bay.endswith("12"))
        ]
        places = beside if self.chance.random() < 0.5 else sorted(truth.devices)
        for each in self.chance.sample(places, k=min(len(places), self.chance.randrange(3))):
            wrong = 1.0 if each in truth.closed else 2.0
            seen.doubtful[truth.devices[each][1].position.name] = wrong
        for each in self.chance.sample(voltages, k=min(len(voltages), self.chance.randrange(3))):
            seen.doubtful[each] = self.chance.choice([0.0, 110.0])

    def _vouched(self, truth: Truth) -> frozenset[str]:
        """Staff vouch for what is truly dead."""
        live = truth.energised()
        earthing = (each for each, (_, d) in truth.devices.items() if d.kind is DeviceKind.EARTHING_SWITCH)
        return frozenset(each for each in earthing if truth.ends(each)[0] not in live)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(province=provinces(), seed=st.integers(0, 2**32), doubts=st.booleans())
def test_no_sequence_of_allowed_operations_does_harm(province: Province, seed: int, doubts: bool) -> None:  # noqa: FBT001  # hypothesis passes it
    _, harm = Walk(province, random.Random(seed), doubts).run(STEPS)

    assert harm == []


def _walks(count: int, steps: int) -> tuple[Counter[str], list[str]]:
    total: Counter[str] = Counter()
    for seed in range(count):
        chance = random.Random(seed)
        allowed, harm = Walk(build(chance.randint), chance, doubts=seed % 2 == 1).run(steps)
        total += allowed
        if harm:
            return total, harm
    return total, []


def test_the_sequences_reach_every_kind_of_operation() -> None:
    allowed, harm = _walks(count=12, steps=250)

    assert harm == []
    assert set(allowed) == {
        "circuit_breaker open",
        "circuit_breaker close",
        "disconnector open",
        "disconnector close",
        "earthing_switch open",
        "earthing_switch close",
        "load_break_switch open",
        "load_break_switch close",
    }


def _nothing(*_: object) -> Finding:
    return Finding()


@pytest.mark.parametrize(
    ("rules", "harm"),
    [
        (["move_without_current"], "under load"),
        (["earth_isolated_only", "dead_by_voltage"], "at a live node"),
        (["connect_no_source_to_earth", "close_without_earths"], "at a live node"),
    ],
)
def test_without_a_rule_the_sequences_find_the_harm(
    monkeypatch: pytest.MonkeyPatch, rules: list[str], harm: str
) -> None:
    for rule in rules:
        monkeypatch.setattr(interlocking, rule, _nothing)

    assert harm in "".join(_walks(count=40, steps=200)[1])


@pytest.mark.parametrize("doubt", ["possibly", "trusted"])
def test_if_doubt_passed_the_sequences_would_find_the_harm(monkeypatch: pytest.MonkeyPatch, doubt: str) -> None:
    if doubt == "possibly":
        monkeypatch.setattr(Field, "possibly", property(lambda field: field.certainly))
        monkeypatch.setattr(Field, "possibly_or_breaker", property(lambda field: field.certainly))
    else:
        made = Field.__init__

        def trusting(field: Field, index: Any, view: Any, reported: Any, quality: Any, time: Any) -> None:
            made(field, index, view, reported, quality * 0, time)

        monkeypatch.setattr(Field, "__init__", trusting)

    assert _walks(count=60, steps=200)[1] != []


def test_the_stations_are_of_every_arrangement() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(20):
        for station in build(random.Random(seed).randint).stations:
            kinds.update(bay.bay_type for bay in station.bays)
    assert {
        "line_110",
        "line_110_double",
        "line_110_bypassed",
        "bypass_110",
        "coupler_110",
        "coupler_35",
        "coupler_22",
        "transformer_110_35_22",
        "feeder_35",
        "feeder_22",
        "station_services",
    } <= set(kinds)
