"""Claims about how a fault of a link is written and when it holds."""

import pytest

from simulators.impairments import FaultSyntax, Impairment, LinkFault, impairment_at, next_change_s, parse_fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("TN03=silent@30s:20s", LinkFault("TN03", Impairment.SILENT, 30.0, 50.0)),
        ("TN03=silent@30:20", LinkFault("TN03", Impairment.SILENT, 30.0, 50.0)),
        ("TN11=cut@1.5s", LinkFault("TN11", Impairment.CUT, 1.5, float("inf"))),
        ("TN11=refuse", LinkFault("TN11", Impairment.REFUSE, 0.0, float("inf"))),
    ],
)
def test_a_fault_is_read_as_written(text: str, fault: LinkFault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("TN03", "write STATION=KIND@START:LENGTH"),
        ("TN03=silent@", "write STATION=KIND@START:LENGTH"),
        ("TN03=silent@-1", "write STATION=KIND@START:LENGTH"),
        ("TN03=silence@30s", "did you mean 'silent'?"),
        ("TN03=none", "is no kind of fault"),
    ],
)
def test_a_fault_that_cannot_be_read_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(FaultSyntax, match=hint.replace("?", r"\?")):
        parse_fault(text)


def test_a_fault_holds_from_its_start_until_before_its_end() -> None:
    faults = [parse_fault("TN03=silent@30s:20s"), parse_fault("TN04=cut")]
    held = [impairment_at(faults, "TN03", second) for second in (0.0, 29.9, 30.0, 49.9, 50.0)]
    none, silent = Impairment.NONE, Impairment.SILENT
    assert held == [none, none, silent, silent, none]
    assert impairment_at(faults, "TN04", 0.0) is Impairment.CUT
    assert impairment_at(faults, "TN05", 30.0) is Impairment.NONE


def test_the_next_change_is_the_next_start_or_end() -> None:
    faults = [parse_fault("TN03=silent@30s:20s"), parse_fault("TN03=cut@40s:5s")]
    assert [next_change_s(faults, "TN03", at) for at in (0.0, 30.0, 40.0, 45.0)] == [30.0, 40.0, 45.0, 50.0]
    assert next_change_s(faults, "TN03", 50.0) == float("inf")
