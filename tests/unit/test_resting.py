"""Claims about reads that rest."""

import numpy as np

from scada.model.quality import Quality
from substations.link import FailedRead
from substations.resting import RestingReads

FAILED = FailedRead(np.array([1], dtype=np.int32), Quality.NOT_TOPICAL, "input_register 0..9: no answer within 2 s")


def scans_until_asked(reads: RestingReads) -> int:
    scans = 0
    while reads.left_out("one") is FAILED:
        scans += 1
    return scans


def test_a_read_that_keeps_failing_is_left_out_twice_as_long_each_time_up_to_32_scans() -> None:
    reads, rests = RestingReads(), []
    for _ in range(8):
        reads.failed("one", FAILED)
        rests.append(scans_until_asked(reads))
    assert rests == [1, 2, 4, 8, 16, 32, 32, 32]
    assert "one" in reads, "asked again, but not answered yet"
    assert reads.left_out("another") is None


def test_an_answer_or_a_new_connection_ends_the_rest() -> None:
    for end in (lambda reads: reads.answered("one"), RestingReads.clear):
        reads = RestingReads()
        for _ in range(3):
            reads.failed("one", FAILED)
        end(reads)
        assert "one" not in reads
        assert reads.left_out("one") is None
        reads.failed("one", FAILED)
        assert scans_until_asked(reads) == 1
