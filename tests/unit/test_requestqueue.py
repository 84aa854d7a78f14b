"""Requests on their way: the most urgent first, one at a time at each place, each ended exactly once."""

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.rejection import Reason, Rejected
from meters.request import (
    MAX_ASKED,
    Answered,
    Asked,
    ControlState,
    RequestKind,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from meters.requestqueue import (
    NO_ANSWER,
    NOT_NAMED,
    NOT_SENT_IN_TIME,
    Ending,
    MeterRequest,
    Priority,
    RequestQueue,
    Result,
)

NOW = 1_748_748_600_000_000
LATER = NOW + 60_000_000


def request(
    serial: int,
    place: str = "DCU1",
    *,
    kind: RequestKind = RequestKind.READ,
    priority: Priority = Priority.ON_DEMAND,
    expires_at: int = LATER,
    first: int = 0,
) -> MeterRequest:
    return MeterRequest(f"r{serial}", kind, priority, "PC01", place, Asked(serial, "P", first), expires_at)


@pytest.fixture
def queue() -> RequestQueue:
    numbers: Iterator[int] = count(1)
    return RequestQueue(lambda: bytes([next(numbers)]))


def serials(bundle_requests: tuple[MeterRequest, ...]) -> list[int]:
    return [each.asked.serial for each in bundle_requests]


def test_requests_for_one_concentrator_go_in_one_bundle(queue: RequestQueue) -> None:
    queue.add([request(1), request(2), request(3, "DCU2"), request(4, ""), request(5, "")])
    bundles = queue.next_bundles(NOW)
    assert [serials(each.requests) for each in bundles] == [[1, 2], [3], [4], [5]]
    assert (queue.waiting, queue.under_way) == (0, 5)


def test_only_one_bundle_is_under_way_at_a_place(queue: RequestQueue) -> None:
    queue.add([request(1)])
    (first,) = queue.next_bundles(NOW)
    queue.add([request(2)])
    assert queue.next_bundles(NOW) == ()
    queue.answered(first.correlation, [Answered(1)])
    assert [serials(each.requests) for each in queue.next_bundles(NOW)] == [[2]]


def test_the_dark_go_before_the_curious_and_these_before_gaps(queue: RequestQueue) -> None:
    queue.add([request(1, kind=RequestKind.PROFILE, priority=Priority.GAP), request(2)])
    queue.add([request(3, kind=RequestKind.RECONNECT, priority=Priority.SUPPLY)])
    order = []
    for _ in range(3):
        (bundle,) = queue.next_bundles(NOW)
        order += serials(bundle.requests)
        queue.answered(bundle.correlation, [])
    assert order == [3, 2, 1]


def test_different_spans_of_one_meter_share_a_bundle_and_the_same_span_does_not(queue: RequestQueue) -> None:
    queue.add([request(1, first=10), request(1, first=20), request(1, first=20)])
    (bundle,) = queue.next_bundles(NOW)
    assert [each.asked.first for each in bundle.requests] == [10, 20]
    results = queue.answered(bundle.correlation, [Answered(1, 10, sent=4), Answered(1, 20, sent=5)])
    assert [each.answer.sent for each in results if each.answer] == [4, 5]
    assert queue.waiting == 1


def test_each_meter_of_an_answer_ends_its_own_request(queue: RequestQueue) -> None:
    wanted = [request(1), request(2), request(3)]
    queue.add(wanted)
    (bundle,) = queue.next_bundles(NOW)
    done, refusal = Answered(1, time=NOW), Answered(2, refused="not mine")
    assert queue.answered(bundle.correlation, [done, refusal]) == (
        Result(wanted[0], Ending.DONE, "", done),
        Result(wanted[1], Ending.REFUSED, "not mine", refusal),
        Result(wanted[2], Ending.UNKNOWN, NOT_NAMED),
    )


def test_an_answer_nobody_waits_for_ends_nothing(queue: RequestQueue) -> None:
    queue.add([request(1)])
    (bundle,) = queue.next_bundles(NOW)
    assert queue.answered(b"other", [Answered(1)]) == ()
    assert len(queue.answered(bundle.correlation, [Answered(1)])) == 1
    assert queue.answered(bundle.correlation, [Answered(1)]) == ()


def test_no_answer_is_unknown_but_what_never_left_is_refused(queue: RequestQueue) -> None:
    queue.add([request(1)])
    queue.next_bundles(NOW)
    queue.add([request(2)])
    assert queue.expire(LATER - 1) == ()
    assert [(each.request.asked.serial, each.ending, each.why) for each in queue.expire(LATER)] == [
        (2, Ending.REFUSED, NOT_SENT_IN_TIME),
        (1, Ending.UNKNOWN, NO_ANSWER),
    ]
    assert (queue.waiting, queue.under_way) == (0, 0)


def test_an_answer_after_the_time_limit_ends_nothing(queue: RequestQueue) -> None:
    queue.add([request(1)])
    (bundle,) = queue.next_bundles(NOW)
    queue.expire(LATER)
    assert queue.answered(bundle.correlation, [Answered(1)]) == ()


def test_a_bundle_is_no_longer_than_allowed() -> None:
    queue = RequestQueue(bundle=2)
    queue.add([request(serial) for serial in range(1, 6)])
    sizes = []
    while bundles := queue.next_bundles(NOW):
        sizes.append(len(bundles[0].requests))
        queue.answered(bundles[0].correlation, [])
    assert sizes == [2, 2, 1]


@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from(["", "A", "B"]), st.sampled_from(Priority), st.integers(1, 5)),
        max_size=40,
    ),
    st.data(),
)
def test_every_request_ends_exactly_once(wanted: list[tuple[int, str, Priority, int]], data: st.DataObject) -> None:
    """Whatever is answered, half answered or never answered."""
    queue = RequestQueue()
    asked = [
        MeterRequest(str(number), RequestKind.READ, priority, "U", place, Asked(serial, "P"), NOW + limit)
        for number, (serial, place, priority, limit) in enumerate(wanted)
    ]
    queue.add(asked)
    ended: list[Result] = []
    for step in range(6):
        for bundle in queue.next_bundles(NOW + step):
            if data.draw(st.booleans()):
                answers = [Answered(s) for s in serials(bundle.requests) if data.draw(st.booleans())]
                ended += queue.answered(bundle.correlation, answers)
        ended += queue.expire(NOW + step)
    assert sorted(each.request.reference for each in ended) == sorted(each.reference for each in asked)


TIMES = st.integers(1, 4_000_000_000).map(lambda seconds: seconds * 1_000_000)


@given(
    st.sampled_from(RequestKind),
    st.lists(st.builds(Asked, st.integers(0, 999_999_999_999), st.text(max_size=20), TIMES, TIMES), min_size=1),
)
def test_a_request_survives_the_wire(kind: RequestKind, asked: list[Asked]) -> None:
    assert decode_request(encode_request(kind, tuple(asked))) == (kind, tuple(asked))


@given(
    st.lists(
        st.builds(
            Answered,
            st.integers(0, 999_999_999_999),
            TIMES,
            st.text(max_size=20),
            TIMES,
            st.integers(0, 9),
            st.lists(st.tuples(TIMES, TIMES), max_size=2).map(tuple),
            st.dictionaries(st.sampled_from(["1-0:1.8.0", "1-0:2.8.0"]), st.integers(0, 10**12)).map(
                lambda registers: tuple(sorted(registers.items()))
            ),
            st.none() | st.sampled_from(ControlState),
            st.none() | st.floats(-1e6, 1e6),
            st.lists(st.tuples(TIMES, st.integers(1, 255)), max_size=2).map(tuple),
        )
    )
)
def test_an_answer_survives_the_wire(answers: list[Answered]) -> None:
    assert decode_response(encode_response(tuple(answers))) == tuple(answers)


def test_a_request_looks_as_documented() -> None:
    asked = (Asked(17, "PC01000000017", NOW, NOW + 1_800_000_000),)
    assert encode_request(RequestKind.PROFILE, asked) == (
        b'{"v":1,"kind":"profile","meters":[{"serial":"17","point":"PC01000000017",'
        b'"first":"2025-06-01T03:30:00Z","last":"2025-06-01T04:00:00Z"}]}'
    )


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", Reason.WRONG_TYPE),
        (b'{"v":2,"kind":"read","meters":[]}', Reason.UNKNOWN_VERSION),
        (b'{"v":1,"kind":"explode","meters":[]}', Reason.WRONG_TYPE),
        (b'{"v":1,"kind":"read","meters":[{"serial":"-1","point":""}]}', Reason.WRONG_TYPE),
        (
            b'{"v":1,"kind":"read","meters":[{"serial":"1","point":"","first":"2025-06-01T03:30:00"}]}',
            Reason.WRONG_TYPE,
        ),
    ],
)
def test_a_request_that_cannot_be_understood_is_refused(payload: bytes, reason: Reason) -> None:
    outcome = decode_request(payload)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is reason


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b'{"v":9,"meters":[]}', b'{"v":1,"meters":[{"serial":"x"}]}', b" " * 5_000_000]
)
def test_an_answer_that_cannot_be_understood_is_refused(payload: bytes) -> None:
    assert isinstance(decode_response(payload), Rejected)


@pytest.mark.parametrize("number", [0, MAX_ASKED + 1])
def test_none_or_too_many_meters_are_not_asked(number: int) -> None:
    with pytest.raises(ValueError, match="meters in one request"):
        encode_request(RequestKind.READ, tuple(Asked(n, "P") for n in range(number)))
