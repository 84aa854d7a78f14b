"""Topics: written and read by the same table, everything else is none of ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.topic import DIRECT, Subject, Topic, batch_topic, meter_topic, read_topic, state_topic, talk_topic

NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True)


def test_topics_are_written_as_documented() -> None:
    assert meter_topic("PC01", DIRECT, 17, Subject.PROFILE) == "ami/v1/PC01/direct/17/profile"
    assert batch_topic("PC01", "DCU0001") == "ami/v1/PC01/DCU0001/batch/profile"
    assert state_topic("PC01", "DCU0001") == "ami/v1/PC01/DCU0001/-/state"
    assert talk_topic("PC01", "DCU0001", None, Subject.REQUEST) == "ami/v1/PC01/DCU0001/-/request"
    assert talk_topic("PC01", DIRECT, 17, Subject.RESPONSE) == "ami/v1/PC01/direct/17/response"


@given(NAMES, NAMES, st.integers(0, 999_999_999_999), st.sampled_from(Subject))
def test_what_is_written_is_read(unit: str, concentrator: str, serial: int, subject: Subject) -> None:
    expected = Topic(unit, concentrator, serial, is_batch=False, subject=subject)
    assert read_topic(meter_topic(unit, concentrator, serial, subject)) == expected


@given(NAMES, NAMES)
def test_batches_and_states_name_no_meter(unit: str, concentrator: str) -> None:
    batch = Topic(unit, concentrator, None, is_batch=True, subject=Subject.PROFILE)
    state = Topic(unit, concentrator, None, is_batch=False, subject=Subject.STATE)
    assert read_topic(batch_topic(unit, concentrator)) == batch
    assert read_topic(state_topic(unit, concentrator)) == state


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ami/v1/PC01/direct/17",
        "ami/v1/PC01/direct/17/profile/x",
        "ami/v2/PC01/direct/17/profile",
        "ami/v1//direct/17/profile",
        "ami/v1/PC01/direct/17/PROFILE",
        "ami/v1/PC01/direct/17/firmware",
        "ami/v1/PC01/direct/1234567890123/profile",
        "ami/v1/PC01/direct/-17/profile",
        "ami/v1/PC01/direct/١٧/profile",
        "ami/v1/PC01/DCU0001/batch/event",
        "ami/v1/PC01/DCU0001/-/profile",
        "ami/v1/PC 01/direct/17/profile",
    ],
)
def test_other_topics_are_none_of_ours(text: str) -> None:
    assert read_topic(text) is None


def test_a_topic_that_could_not_be_read_again_is_not_written() -> None:
    with pytest.raises(ValueError, match="PC/01"):
        meter_topic("PC/01", DIRECT, 17, Subject.PROFILE)
    with pytest.raises(ValueError, match=r"\+"):
        batch_topic("PC01", "+")
    with pytest.raises(ValueError, match="10000000000000"):
        meter_topic("PC01", DIRECT, 10_000_000_000_000, Subject.EVENT)
