"""Each interlocking rule: an example it blocks, with its sentence and facts, and the same allowed once it is mended."""

import pytest

from scada.control.interlocking import Place, SiteFacts, TopologyInterlocking, operation_on
from scada.control.interlocking_voltage import SynchrocheckLimits
from scada.grid.topology import Topology
from scada.model.addcause import AddCause
from scada.model.quality import Quality
from scada.model.station import Province
from scada.model.switching import Action, Allowed, Blocked, Decision, Fact, Operation
from tests.fakes_interlocking import Seen, Truth, a_province, two_stations

OPEN, CLOSE, RAISE, LOWER = Action.OPEN, Action.CLOSE, Action.RAISE, Action.LOWER
INTERLOCKING, SYNCHROCHECK = AddCause.BLOCKED_BY_INTERLOCKING, AddCause.BLOCKED_BY_SYNCHROCHECK
HIERARCHY, HEALTH, PROCESS = (
    AddCause.BLOCKED_BY_SWITCHING_HIERARCHY,
    AddCause.BLOCKED_BY_HEALTH,
    AddCause.BLOCKED_BY_PROCESS,
)
MODE, POSITION, REACHED, LIMIT = (
    AddCause.BLOCKED_BY_MODE,
    AddCause.INVALID_POSITION,
    AddCause.POSITION_REACHED,
    AddCause.STEP_LIMIT,
)
ON_SITE = SiteFacts(Place.ON_SITE)


PROVINCE = two_stations()
TOPOLOGY = Topology(PROVINCE)


class Network:
    """The two stations, what the control centre sees of them, and the rules."""

    def __init__(self, province: Province = PROVINCE, topology: Topology = TOPOLOGY) -> None:
        self.truth = Truth(province)
        self.seen = Seen(self.truth)
        self.rules = TopologyInterlocking(topology, SynchrocheckLimits(frequency_hz=0.1, voltage_share=0.1))

    def opened(self, *names: str) -> "Network":
        for name in names:
            self.truth.move(name, OPEN)
        return self

    def closed(self, *names: str) -> "Network":
        for name in names:
            self.truth.move(name, CLOSE)
        return self

    def showing(self, **values: float) -> "Network":
        """Points that differ from what the truth gives; ``S1_171_f86`` stands for S1/171/f86."""
        for name, value in values.items():
            self.seen.said[name.replace("_", "/", 2)] = value
        return self

    def says(self, name: str, value: float) -> "Network":
        self.seen.said[name] = value
        return self

    def doubting(self, name: str, value: float) -> "Network":
        self.seen.doubtful[name] = value
        return self

    def ask(self, target: str, action: Action, site: SiteFacts | None = None) -> Decision:
        operation = self.operation(target, action)
        self.seen.forget()
        if site is not None:
            return self.rules.decide(operation, self.seen, site)
        return self.rules.check(operation, self.seen, 0)

    def operation(self, target: str, action: Action) -> Operation:
        code, device = target.split("/")
        station = next(each for each in self.truth.province.stations if each.code == code)
        return operation_on(station, device, action)


@pytest.fixture
def network() -> Network:
    """Both stations in their normal switching state."""
    return Network()


def blocked(decision: Decision) -> list[tuple[AddCause, str]]:
    assert isinstance(decision, Blocked), decision
    return [(each.cause, each.sentence) for each in decision.refusals]


def allowed(decision: Decision) -> tuple[str, ...]:
    assert isinstance(decision, Allowed), decision
    return decision.remarks


def facts(decision: Decision) -> list[str]:
    return [str(each) for each in decision.facts]


# --- disconnectors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("disconnector", ["S1/171-1", "S1/171-7", "S1/131-1", "S1/131-3", "S1/371-7", "S1/471-1"])
def test_a_disconnector_does_not_open_while_its_breaker_is_closed(network: Network, disconnector: str) -> None:
    breaker = disconnector.split("-", maxsplit=1)[0]

    assert blocked(network.ask(disconnector, OPEN)) == [
        (INTERLOCKING, f"the circuit of {disconnector} is not interrupted: {breaker} is closed")
    ]
    assert allowed(network.opened(breaker).ask(disconnector, OPEN)) == ()


def test_a_disconnector_does_not_close_while_its_breaker_is_closed(network: Network) -> None:
    network.opened("S1/171-7")

    assert blocked(network.ask("S1/171-7", CLOSE)) == [
        (INTERLOCKING, "the circuit of S1/171-7 is not interrupted: S1/171 is closed")
    ]
    assert allowed(network.opened("S1/171").ask("S1/171-7", CLOSE)) == ()


def test_the_answer_names_the_positions_it_rests_on(network: Network) -> None:
    decision = network.opened("S1/171").ask("S1/171-7", OPEN)

    assert isinstance(decision, Allowed)
    assert Fact("S1/171/171.position", "open", Quality.GOOD, 1_000_000) in decision.facts
    assert Fact("S1/171/171-7.position", "closed", Quality.GOOD, 1_000_000) in decision.facts
    assert Fact("S1/171/local_remote", "remote", Quality.GOOD, 1_000_000) in decision.facts


def test_a_breaker_whose_position_is_doubtful_interrupts_nothing(network: Network) -> None:
    network.opened("S1/171").doubting("S1/171/171.position", 1.0)
    decision = network.ask("S1/171-7", OPEN)

    assert blocked(decision) == [
        (INTERLOCKING, "the circuit of S1/171-7 is not interrupted: the position of S1/171 is not topical")
    ]
    assert isinstance(decision, Blocked)
    assert decision.refusals[0].facts == (Fact("S1/171/171.position", "open", Quality.NOT_TOPICAL, 1_000_000),)


@pytest.mark.parametrize(("value", "word"), [(0.0, "intermediate"), (3.0, "faulty")])
def test_a_breaker_in_no_end_position_interrupts_nothing(network: Network, value: float, word: str) -> None:
    network.says("S1/171/171.position", value)

    assert blocked(network.ask("S1/171-7", OPEN)) == [
        (INTERLOCKING, f"the circuit of S1/171-7 is not interrupted: S1/171 is in {word} position")
    ]


def test_an_open_disconnector_beside_it_does_not_replace_the_open_breaker(network: Network) -> None:
    network.opened("S1/171-7")

    assert blocked(network.ask("S1/171-1", OPEN)) == [
        (INTERLOCKING, "the circuit of S1/171-1 is not interrupted: S1/171 is closed")
    ]


def test_the_disconnector_of_a_voltage_transformer_breaks_no_load_and_may_move(network: Network) -> None:
    assert allowed(network.ask("S1/TUC11-1", OPEN)) == ()


def test_a_bay_is_transferred_to_the_other_busbar_while_the_coupler_joins_them(network: Network) -> None:
    assert allowed(network.ask("S1/173-2", CLOSE)) == (
        "bus transfer: both sides are joined by S1/112-2, S1/112, S1/112-1, S1/173-1",
    )
    assert allowed(network.closed("S1/173-2").ask("S1/173-1", OPEN)) == (
        "bus transfer: both sides are joined by S1/112-1, S1/112, S1/112-2, S1/173-2",
    )


def test_without_the_coupler_there_is_no_bus_transfer(network: Network) -> None:
    network.opened("S1/112")

    assert blocked(network.ask("S1/173-2", CLOSE)) == [
        (INTERLOCKING, "the circuit of S1/173-2 is not interrupted: S1/173 is closed")
    ]


def test_a_coupler_in_doubt_proves_no_bus_transfer(network: Network) -> None:
    network.doubting("S1/112/112.position", 2.0)

    assert blocked(network.ask("S1/173-2", CLOSE))[0][0] is INTERLOCKING


@pytest.mark.parametrize("earth", ["S1/171-15", "S1/171-75", "S1/171-76", "S2/171-76"])
def test_a_disconnector_does_not_close_onto_an_earthed_section(network: Network, earth: str) -> None:
    network.opened("S1/171", "S1/171-7", "S1/171-1", "S2/171", "S2/171-7").closed(earth)
    disconnector = "S1/171-1" if earth == "S1/171-15" else "S1/171-7"

    assert (INTERLOCKING, f"{disconnector} would close onto an earthed section: {earth} is closed") in blocked(
        network.ask(disconnector, CLOSE)
    )
    assert allowed(network.opened(earth).ask(disconnector, CLOSE)) == ()


def test_an_earthing_switch_in_doubt_counts_as_closed(network: Network) -> None:
    network.opened("S1/171", "S1/171-7", "S2/171", "S2/171-7").doubting("S1/171/171-76.position", 1.0)

    assert blocked(network.ask("S1/171-7", CLOSE)) == [
        (
            INTERLOCKING,
            "S1/171-7 would close onto an earthed section: the position of S1/171-76 is not topical",
        )
    ]


def test_an_earthing_switch_that_says_closed_is_believed_against_a_line_that_counts_as_live(network: Network) -> None:
    """S2 feeds the line as far as positions tell; one of the two is wrong, and nobody may find out by closing."""
    network.opened("S1/171", "S1/171-7").says("S1/171/171-76.position", 2.0)

    assert (INTERLOCKING, "S1/171-7 would close onto an earthed section: S1/171-76 is closed") in blocked(
        network.ask("S1/171-7", CLOSE)
    )
    network.closed("S1/171-7")
    assert (INTERLOCKING, "S1/171 would connect a source to an earth: S1/171-76 is closed") in blocked(
        network.ask("S1/171", CLOSE)
    )


# --- earthing switches ---------------------------------------------------------------------------------------------


def test_a_live_line_is_not_earthed(network: Network) -> None:
    assert blocked(network.ask("S2/171-76", CLOSE, ON_SITE)) == [
        (INTERLOCKING, "S2/171:line is energised: S1/171-7 is closed")
    ]


def test_a_line_that_is_open_here_but_live_from_the_far_end_is_not_earthed(network: Network) -> None:
    network.opened("S2/171", "S2/171-7")

    assert blocked(network.ask("S2/171-76", CLOSE, ON_SITE)) == [
        (INTERLOCKING, "S2/171:line is energised: S1/171-7 is closed")
    ]


def test_an_open_breaker_alone_does_not_isolate(network: Network) -> None:
    network.opened("S1/171", "S2/171", "S2/171-7")

    assert blocked(network.ask("S2/171-76", CLOSE, ON_SITE)) == [
        (INTERLOCKING, "only a circuit breaker separates S2/171:line from a source: S1/171-7 is closed")
    ]


def test_an_isolated_line_without_voltage_is_earthed(network: Network) -> None:
    network.opened("S1/171", "S1/171-7", "S2/171", "S2/171-7")
    decision = network.ask("S2/171-76", CLOSE, ON_SITE)

    assert allowed(decision) == ()
    assert "S1/171/171-7.position is open" in facts(decision)
    assert "S2/171/171-7.position is open" in facts(decision)
    assert "S2/171/voltage_l12 is 0.00 kV" in facts(decision)


def test_a_far_disconnector_in_doubt_leaves_open_whether_the_line_is_live(network: Network) -> None:
    network.opened("S1/171-7", "S2/171", "S2/171-7").doubting("S1/171/171-7.position", 1.0)

    assert blocked(network.ask("S2/171-76", CLOSE, ON_SITE)) == [
        (INTERLOCKING, "whether S2/171:line is energised is not known: the position of S1/171-7 is not topical")
    ]


def test_voltage_overrules_the_positions(network: Network) -> None:
    network.opened("S1/171", "S1/171-7", "S2/171", "S2/171-7").says("S2/171/voltage_l23", 63.5)

    assert blocked(network.ask("S2/171-76", CLOSE, ON_SITE)) == [
        (INTERLOCKING, "S2/171:line is not dead: S2/171/voltage_l23 shows 63.5 kV")
    ]


@pytest.mark.parametrize(("kv", "is_dead"), [(10.99, True), (11.0, False)])
def test_dead_is_below_a_tenth_of_the_nominal_voltage(network: Network, kv: float, is_dead: bool) -> None:  # noqa: FBT001  # a parameter
    network.opened("S1/171", "S1/171-7", "S2/171", "S2/171-7").says("S2/171/voltage_l12", kv)

    assert isinstance(network.ask("S2/171-76", CLOSE, ON_SITE), Allowed if is_dead else Blocked)


def test_the_fuse_of_the_voltage_transformer_makes_its_zero_worthless(network: Network) -> None:
    network.opened("S1/171", "S1/171-7", "S2/171", "S2/171-7")
    network.says("S1/171/vt_mcb_tripped", 1.0)
    assert isinstance(network.ask("S2/171-76", CLOSE, ON_SITE), Allowed), "the other end still proves it"

    network.says("S2/171/vt_mcb_tripped", 1.0)
    assert blocked(network.ask("S2/171-76", CLOSE, ON_SITE)) == [
        (
            INTERLOCKING,
            "S2/171:line is not proven dead: S2/171/vt_mcb_tripped tells that the voltage transformer is switched off",
        )
    ]


def test_where_no_voltage_is_measured_staff_on_site_must_vouch(network: Network) -> None:
    network.opened("S1/471", "S1/471-1")

    assert blocked(network.ask("S1/471-76", CLOSE, ON_SITE)) == [
        (INTERLOCKING, "S1/471:feeder is not proven dead: no voltage is measured there")
    ]
    assert allowed(network.ask("S1/471-76", CLOSE, SiteFacts(Place.ON_SITE, frozenset({"S1/471-76"})))) == ()


def test_nobody_can_vouch_against_a_voltage_or_a_source(network: Network) -> None:
    vouched = SiteFacts(Place.ON_SITE, frozenset({"S2/171-76"}))

    assert isinstance(network.ask("S2/171-76", CLOSE, vouched), Blocked)
    network.opened("S1/171", "S1/171-7", "S2/171", "S2/171-7").says("S2/171/voltage_l12", 30.0)
    assert isinstance(network.ask("S2/171-76", CLOSE, vouched), Blocked)


def test_a_piece_between_two_open_disconnectors_needs_no_voltage_to_be_earthed(network: Network) -> None:
    network.opened("S1/171", "S1/171-1", "S1/171-7")

    assert allowed(network.ask("S1/171-15", CLOSE, ON_SITE)) == ()


def test_a_transformer_is_earthed_only_when_isolated_on_all_sides(network: Network) -> None:
    """35 kV comes over the coupler: open on the high side alone, the transformer could be fed from behind."""
    network.opened("S1/131", "S1/131-1", "S1/131-3", "S1/331", "S1/431").closed("S1/312")

    assert blocked(network.ask("S1/131-38", CLOSE, ON_SITE)) == [
        (INTERLOCKING, "only a circuit breaker separates S1/T1:hv_winding from a source: S1/331-3 is closed")
    ]
    assert allowed(network.opened("S1/331-3").ask("S1/131-38", CLOSE, ON_SITE)) == ()


def test_an_earthing_switch_may_always_be_opened(network: Network) -> None:
    network.opened("S1/171", "S1/171-7", "S2/171", "S2/171-7").closed("S1/171-76")

    assert allowed(network.ask("S1/171-76", OPEN, ON_SITE)) == ()


# --- breakers ------------------------------------------------------------------------------------------------------


def test_a_breaker_may_break_its_load(network: Network) -> None:
    assert allowed(network.ask("S1/471", OPEN)) == ()


def test_a_breaker_does_not_close_onto_an_earth(network: Network) -> None:
    network.opened("S1/171", "S2/171", "S2/171-7").closed("S1/171-76")

    assert blocked(network.ask("S1/171", CLOSE)) == [
        (INTERLOCKING, "S1/171 would connect a source to an earth: S1/171-76 is closed")
    ]
    assert allowed(network.opened("S1/171-76").ask("S1/171", CLOSE)) == ()


def test_an_earth_at_the_far_end_of_the_line_counts(network: Network) -> None:
    network.opened("S1/171", "S2/171", "S2/171-7").closed("S2/171-76")

    assert blocked(network.ask("S1/171", CLOSE)) == [
        (INTERLOCKING, "S1/171 would connect a source to an earth: S2/171-76 is closed")
    ]


def test_an_earth_behind_a_transformer_counts(network: Network) -> None:
    network.opened("S1/131", "S1/331", "S1/431", "S1/431-1").closed("S1/431-38")

    assert blocked(network.ask("S1/131", CLOSE)) == [
        (INTERLOCKING, "S1/131 would connect a source to an earth: S1/431-38 is closed")
    ]
    assert allowed(network.opened("S1/431-38").ask("S1/131", CLOSE)) == ()


def test_a_breaker_between_two_dead_sides_may_close_beside_an_earth(network: Network) -> None:
    """Nothing is connected to a source: the earthed bay's breaker may be tried."""
    network.opened("S1/171", "S1/171-1", "S1/171-7").closed("S1/171-15")

    assert allowed(network.ask("S1/171", CLOSE)) == ()


def test_a_lost_station_blocks_the_line_to_it_and_nothing_else(network: Network) -> None:
    network.opened("S1/171", "S2/171", "S1/471")
    for _, device in TOPOLOGY.devices:
        if device.position.name.startswith("S2/"):
            network.doubting(device.position.name, 1.0)

    assert blocked(network.ask("S1/171", CLOSE))[0][0] is INTERLOCKING
    assert allowed(network.ask("S1/471", CLOSE)) == ()


def test_measured_voltage_proves_a_section_alive_while_the_way_to_the_infeed_is_in_doubt(network: Network) -> None:
    """S1 does not answer; the busbars of S2 are under voltage, so they are not earthed and a feeder may be closed."""
    network.opened("S2/471")
    for _, device in TOPOLOGY.devices:
        if device.position.name.startswith("S1/"):
            network.doubting(device.position.name, 1.0)
    assert allowed(network.ask("S2/471", CLOSE)) == ()

    for transformer in ("T1/lv.", "T1/mv.", "T1/hv.", "T2/lv.", "T2/mv.", "T2/hv."):
        network.doubting(f"S2/{transformer}voltage_l12", 22.0)
    for busbar in ("C11", "C12", "C31", "C32", "C41", "C42"):
        network.doubting(f"S2/TD/TU{busbar}.voltage_l12", 110.0)
    for line in ("171", "173"):
        network.doubting(f"S2/{line}/voltage_l12", 110.0)
    network.opened("S2/131").closed("S2/131-38")
    assert isinstance(network.ask("S2/131", CLOSE), Blocked)


# --- synchrocheck --------------------------------------------------------------------------------------------------


def fed_twice() -> Network:
    """The supply at both stations, the lines between them open at S1: two islands."""
    province = a_province(PROVINCE.stations, PROVINCE.lines, ["S1/C11", "S2/C11"])
    return Network(province, Topology(province)).opened("S1/171", "S1/173")


def test_two_islands_in_step_may_be_joined() -> None:
    decision = fed_twice().ask("S1/171", CLOSE)

    assert allowed(decision) == ("joins two islands: synchrocheck conditions are met",)
    assert [each for each in facts(decision) if "synchro" in each or "voltage" in each or "frequency" in each] == [
        "S1/171/synchrocheck_released is 1",
        "S1/TD/TUC11.voltage_l12 is 110.00 kV",
        "S1/171/voltage_l12 is 110.00 kV",
        "S1/TD/TUC11.frequency is 50.00 Hz",
        "S1/171/frequency is 50.00 Hz",
    ]


@pytest.mark.parametrize(
    ("point", "value", "sentence"),
    [
        ("S1/171/synchrocheck_released", 0.0, "the synchrocheck release of S1/171 is not given"),
        (
            "S1/171/frequency",
            49.85,
            "the frequencies on both sides of S1/171 differ by 0.15 Hz, more than 0.1 Hz",
        ),
        (
            "S1/171/voltage_l12",
            98.5,
            "the voltages on both sides of S1/171 differ by 11.5 kV, more than 11.0 kV",
        ),
    ],
)
def test_two_islands_out_of_step_are_not_joined(point: str, value: float, sentence: str) -> None:
    assert blocked(fed_twice().says(point, value).ask("S1/171", CLOSE)) == [(SYNCHROCHECK, sentence)]


def test_what_is_not_known_does_not_join_islands() -> None:
    assert blocked(fed_twice().doubting("S1/171/synchrocheck_released", 1.0).ask("S1/171", CLOSE)) == [
        (SYNCHROCHECK, "the synchrocheck release of S1/171 is not topical")
    ]
    assert blocked(fed_twice().doubting("S1/171/frequency", 50.0).ask("S1/171", CLOSE)) == [
        (SYNCHROCHECK, "the frequency at S1/171:breaker_line is not known for synchrocheck")
    ]


def test_a_breaker_without_synchrocheck_joins_no_islands() -> None:
    assert blocked(fed_twice().ask("S1/173", CLOSE)) == [
        (SYNCHROCHECK, "S1/173 would join two islands and has no synchrocheck")
    ]


def test_a_ring_and_a_dead_side_need_no_synchrocheck(network: Network) -> None:
    network.says("S1/171/synchrocheck_released", 0.0)
    ring = network.opened("S1/171").ask("S1/171", CLOSE)
    assert allowed(ring) == ("both sides belong to one island: a ring is closed",)

    assert allowed(network.opened("S2/171").ask("S1/171", CLOSE)) == ()


# --- the device itself ---------------------------------------------------------------------------------------------


def test_a_device_that_stands_there_already_is_not_moved(network: Network) -> None:
    assert blocked(network.ask("S1/471", CLOSE)) == [(REACHED, "S1/471 is already closed")]


@pytest.mark.parametrize(("value", "word"), [(0.0, "intermediate"), (3.0, "faulty")])
def test_a_device_in_no_end_position_is_not_moved(network: Network, value: float, word: str) -> None:
    network.says("S1/471/471.position", value)

    assert blocked(network.ask("S1/471", OPEN)) == [(POSITION, f"S1/471 is in {word} position")]


def test_a_device_whose_position_is_doubtful_is_not_moved(network: Network) -> None:
    network.doubting("S1/471/471.position", 2.0)

    assert blocked(network.ask("S1/471", OPEN)) == [(POSITION, "the position of S1/471 is not topical")]


def test_a_bay_in_local_is_operated_on_site_only(network: Network) -> None:
    network.says("S1/471/local_remote", 0.0)

    assert blocked(network.ask("S1/471", OPEN)) == [
        (HIERARCHY, "Local/remote switch (1 = remote): S1/471/local_remote is local")
    ]
    assert allowed(network.ask("S1/471", OPEN, ON_SITE)) == ()


def test_the_local_switch_of_one_side_of_a_transformer_leaves_the_others_alone(network: Network) -> None:
    network.says("S1/T1/hv.local_remote", 0.0)

    assert [cause for cause, _ in blocked(network.ask("S1/131", OPEN))] == [HIERARCHY]
    assert allowed(network.ask("S1/331", OPEN)) == ()


@pytest.mark.parametrize(
    ("signal", "device", "cause"),
    [
        ("S1/171/171.sf6_lockout", "S1/171", HEALTH),
        ("S1/171/171.trip_circuit_fault", "S1/171", HEALTH),
        ("S1/171/control_supply_fault", "S1/171", HEALTH),
        ("S1/171/bay_unit_fault", "S1/171", HEALTH),
        ("S1/T1/hv.control_supply_fault", "S1/131", HEALTH),
        ("S1/T1/oltc_in_progress", "S1/131", PROCESS),
    ],
)
def test_a_sick_device_is_not_moved(network: Network, signal: str, device: str, cause: AddCause) -> None:
    assert allowed(network.ask(device, OPEN)) == ()
    assert [each for each, _ in blocked(network.says(signal, 1.0).ask(device, OPEN))] == [cause]
    network.seen.said.clear()
    assert [each for each, _ in blocked(network.doubting(signal, 0.0).ask(device, OPEN))] == [cause]


@pytest.mark.parametrize(
    ("signal", "cause"),
    [
        ("S1/471/471.spring_not_charged", HEALTH),
        ("S1/471/protection_relay_fault", HEALTH),
    ],
)
def test_what_forbids_closing_does_not_forbid_opening(network: Network, signal: str, cause: AddCause) -> None:
    network.says(signal, 1.0)

    assert allowed(network.ask("S1/471", OPEN)) == ()
    assert [each for each, _ in blocked(network.opened("S1/471").ask("S1/471", CLOSE))] == [cause]


def test_a_breaker_is_not_closed_before_its_lockout_relay_is_reset(network: Network) -> None:
    network.opened("S1/131").says("S1/T1/f86", 1.0)

    assert blocked(network.ask("S1/131", CLOSE)) == [(PROCESS, "Lockout relay (F86): S1/T1/f86 is on")]


def test_the_health_of_a_breaker_does_not_block_its_neighbour(network: Network) -> None:
    network.says("S1/T1/131.sf6_lockout", 1.0)

    assert allowed(network.ask("S1/331", OPEN)) == ()


# --- tap changers --------------------------------------------------------------------------------------------------


@pytest.fixture
def manual(network: Network) -> Network:
    """Automatic voltage regulation switched off at T1 of S1."""
    return network.says("S1/T1/oltc_automatic", 0.0)


def test_a_tap_changer_steps_by_hand(manual: Network) -> None:
    assert allowed(manual.ask("S1/T1", RAISE)) == ()
    assert allowed(manual.ask("S1/T1", LOWER)) == ()


@pytest.mark.parametrize(
    ("signal", "value", "cause", "sentence"),
    [
        ("oltc_automatic", 1.0, MODE, "automatic voltage regulation is on"),
        ("oltc_in_progress", 1.0, PROCESS, "Tap change in progress: S1/T1/oltc_in_progress is on"),
        ("oltc_fault", 1.0, HEALTH, "Tap changer fault: S1/T1/oltc_fault is on"),
        (
            "oltc_local_remote",
            0.0,
            HIERARCHY,
            "Tap changer local/remote (1 = remote): S1/T1/oltc_local_remote is local",
        ),
        ("tap_position", 19.0, LIMIT, "the tap changer is at its last step 19"),
    ],
)
def test_a_tap_changer_does_not_step_while(
    manual: Network, signal: str, value: float, cause: AddCause, sentence: str
) -> None:
    assert blocked(manual.says(f"S1/T1/{signal}", value).ask("S1/T1", RAISE)) == [(cause, sentence)]


SET_VOLTAGE = Operation("S1", "T1", "avr.voltage_setpoint", "", Action.SET, 23.1, "kV")


def test_a_set_point_is_free_also_while_the_regulator_is_on_or_the_tap_at_its_end(network: Network) -> None:
    network.says("S1/T1/tap_position", 19.0)
    assert allowed(network.rules.check(SET_VOLTAGE, network.seen, 0)) == ()


@pytest.mark.parametrize(
    ("signal", "value", "cause"),
    [
        ("oltc_in_progress", 1.0, PROCESS),
        ("oltc_fault", 1.0, HEALTH),
        ("bay_unit_fault", 1.0, HEALTH),
        ("oltc_local_remote", 0.0, HIERARCHY),
    ],
)
def test_a_set_point_is_not_changed_while(network: Network, signal: str, value: float, cause: AddCause) -> None:
    network.says(f"S1/T1/{signal}", value)
    ((found, sentence),) = blocked(network.rules.check(SET_VOLTAGE, network.seen, 0))
    assert found is cause and f"S1/T1/{signal} is" in sentence


def test_a_signal_in_doubt_keeps_the_set_point(network: Network) -> None:
    network.doubting("S1/T1/oltc_in_progress", 0.0)
    ((found, sentence),) = blocked(network.rules.check(SET_VOLTAGE, network.seen, 0))
    assert found is PROCESS and sentence.endswith("is not topical")


def test_at_the_last_step_the_way_back_is_free(manual: Network) -> None:
    assert allowed(manual.says("S1/T1/tap_position", 19.0).ask("S1/T1", LOWER)) == ()
    assert [cause for cause, _ in blocked(manual.says("S1/T1/tap_position", 1.0).ask("S1/T1", LOWER))] == [LIMIT]


def test_a_tap_position_in_doubt_is_not_stepped_from(manual: Network) -> None:
    assert blocked(manual.doubting("S1/T1/tap_position", 10.0).ask("S1/T1", RAISE)) == [
        (POSITION, "the tap position is not topical")
    ]


# --- the rest ------------------------------------------------------------------------------------------------------


def test_resets_and_automatics_concern_no_network(network: Network) -> None:
    reset = Operation("S1", "171", "f86.reset", "", Action.RESET)

    assert network.rules.check(reset, network.seen, 0) == Allowed()


@pytest.mark.parametrize(
    "operation",
    [
        Operation("S9", "171", "171.operate", "171", OPEN),
        Operation("S1", "999", "171.operate", "171", OPEN),
        Operation("S1", "171", "f99.reset", "", Action.RESET),
        Operation("S1", "171", "171.operate", "171", RAISE),
        Operation("S1", "T1", "tap.operate", "T1", OPEN),
    ],
)
def test_what_does_not_exist_is_not_supported(network: Network, operation: Operation) -> None:
    decision = network.rules.check(operation, network.seen, 0)

    assert [cause for cause, _ in blocked(decision)] == [AddCause.NOT_SUPPORTED]


def test_several_reasons_are_all_told_the_danger_first(network: Network) -> None:
    network.opened("S1/171", "S2/171", "S2/171-7").closed("S1/171-76")
    network.says("S1/171/local_remote", 0.0).says("S1/171/171.sf6_lockout", 1.0)

    assert [cause for cause, _ in blocked(network.ask("S1/171", CLOSE))] == [INTERLOCKING, HIERARCHY, HEALTH]


def test_a_station_the_image_does_not_have_is_in_doubt(network: Network) -> None:
    read = network.seen.read

    class Half:
        """Only S1 is scanned here."""

        def read(self, names):  # type: ignore[no-untyped-def]  # as Seen.read
            if any(name.startswith("S2/") for name in names):
                raise KeyError(names[0])
            return read(names)

    operation = network.operation("S2/471", OPEN)

    assert blocked(network.rules.check(operation, Half(), 0)) == [
        (POSITION, "the position of S2/471 is not topical+invalid")
    ]


def test_an_unknown_device_has_no_operation() -> None:
    with pytest.raises(KeyError, match="S1 has no device '999'"):
        operation_on(PROVINCE.stations[0], "999", OPEN)


def test_an_operation_of_staff_on_site_has_no_command() -> None:
    assert operation_on(PROVINCE.stations[0], "171-76", CLOSE) == Operation("S1", "171", "", "171-76", CLOSE)
    assert operation_on(PROVINCE.stations[0], "171", OPEN) == Operation("S1", "171", "171.operate", "171", OPEN)
