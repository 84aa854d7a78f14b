"""Claims about the read plan."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from substations.polling import most_addresses, plan_reads
from substations.registers import BoundPoint
from substations.wiretypes import Table, WireType
from tests.fakes_substations import make_entry

REGISTERS = Table.INPUT_REGISTER


@st.composite
def stations(draw: st.DrawFn) -> list[BoundPoint]:
    """Points of any table, period and gap that do not overlap; a third have a quality register beside them."""
    entries = []
    for table in draw(st.sets(st.sampled_from(Table), min_size=1)):
        address = draw(st.integers(0, 50))
        for _ in range(draw(st.integers(1, 40))):
            wire_type = WireType.BIT if table.of_bits else draw(st.sampled_from([WireType.INT16, WireType.FLOAT64]))
            period_s = draw(st.sampled_from([1.0, 1.0, 10.0]))
            entry = make_entry(
                len(entries), table, address, wire_type, gap=draw(st.sampled_from([0, 3])), period_s=period_s
            )
            address += entry.size
            if not table.of_bits and draw(st.integers(0, 2)) == 0:
                entry = make_entry(
                    len(entries), table, entry.address, wire_type, quality_address=address, period_s=period_s
                )
                address += 1
            entries.append(entry)
            address += draw(st.sampled_from([0, 0, 0, 1, 2, 5, 300]))
    return entries


def addresses(each: BoundPoint) -> set[int]:
    own = set(range(each.address, each.address + each.size))
    return own if each.quality_address is None else own | {each.quality_address}


@given(stations())
def test_every_point_is_read_exactly_once_and_whole(entries: list[BoundPoint]) -> None:
    plan = plan_reads(entries)
    read = [each for block in plan for each in block.entries]
    assert sorted(each.point.id for each in read) == sorted(each.point.id for each in entries)
    for block in plan:
        span = set(range(block.start, block.start + block.count))
        for each in block.entries:
            assert addresses(each) <= span
            assert (each.table, each.period_s) == (block.table, block.period_s)


@given(stations())
def test_no_request_is_larger_than_the_protocol_allows(entries: list[BoundPoint]) -> None:
    assert all(1 <= block.count <= most_addresses(block.table) for block in plan_reads(entries))


@given(stations())
def test_undefined_addresses_are_read_only_where_the_map_allows_the_gap(entries: list[BoundPoint]) -> None:
    defined = {(each.table, address) for each in entries for address in addresses(each)}
    for block in plan_reads(entries):
        run = longest = 0
        for address in range(block.start, block.start + block.count):
            run = 0 if (block.table, address) in defined else run + 1
            longest = max(longest, run)
        assert longest <= max(each.gap for each in block.entries)


@given(stations())
def test_every_request_begins_and_ends_at_a_point(entries: list[BoundPoint]) -> None:
    for block in plan_reads(entries):
        mine = set().union(*(addresses(each) for each in block.entries))
        assert {block.start, block.start + block.count - 1} <= mine


def test_neighbours_share_a_request_and_a_hole_parts_them() -> None:
    entries = [make_entry(n, REGISTERS, address, WireType.INT16) for n, address in enumerate((0, 1, 2, 4))]
    assert [(block.start, block.count) for block in plan_reads(entries)] == [(0, 3), (4, 1)]


def test_the_smaller_gap_of_both_sides_counts() -> None:
    left = make_entry(1, REGISTERS, 0, WireType.INT16, gap=4)
    right = make_entry(2, REGISTERS, 5, WireType.INT16, gap=3)
    assert len(plan_reads([left, right])) == 2
    assert len(plan_reads([left, make_entry(2, REGISTERS, 5, WireType.INT16, gap=4)])) == 1


def test_a_request_of_126_registers_is_two() -> None:
    entries = [make_entry(n, REGISTERS, n, WireType.INT16) for n in range(126)]
    assert [(block.start, block.count) for block in plan_reads(entries)] == [(0, 125), (125, 1)]


def test_a_long_value_is_never_cut() -> None:
    entries = [make_entry(n, REGISTERS, n, WireType.INT16) for n in range(124)]
    entries.append(make_entry(124, REGISTERS, 124, WireType.FLOAT32))
    assert [(block.start, block.count) for block in plan_reads(entries)] == [(0, 124), (124, 2)]


def test_a_quality_register_out_of_reach_is_refused() -> None:
    with pytest.raises(ValueError, match="TN07/171/P1"):
        plan_reads([make_entry(1, REGISTERS, 0, WireType.INT16, quality_address=300)])


def test_no_points_need_no_reads() -> None:
    assert plan_reads([]) == ()


def test_points_of_two_units_are_never_read_by_one_request() -> None:
    entries = [make_entry(number, REGISTERS, number, WireType.INT16, unit=1 + number % 2, gap=9) for number in range(4)]
    assert [(block.unit, block.start, block.count) for block in plan_reads(entries)] == [(1, 0, 3), (2, 1, 3)]
