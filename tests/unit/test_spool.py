"""Telemetry on disk: in order, whole or not at all, and honest about damage."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from historian.spool import Spool, SpooledBatch, pack, scan
from scada.model.errors import SpoolError
from scada.model.sample import SAMPLE, SampleArray

MIB = 2**20


def batch(sequence: int, rows: int = 3) -> SpooledBatch:
    samples = np.zeros(rows, dtype=SAMPLE)
    samples["point"] = np.arange(1, rows + 1)
    samples["value"] = sequence
    return SpooledBatch("telemetry/1", sequence, 1000 + sequence, samples)


def spool(folder: Path, *, limit_bytes: int = MIB, segment_bytes: int = 200) -> Spool:
    return Spool(folder, limit_bytes=limit_bytes, segment_bytes=segment_bytes)


def drain(opened: Spool) -> list[int]:
    sequences = []
    while (record := opened.oldest()) is not None:
        assert_same(record, batch(record.sequence, len(record.rows)))
        sequences.append(record.sequence)
        opened.stored()
    return sequences


def assert_same(found: SpooledBatch, expected: SpooledBatch) -> None:
    assert found.rows.tolist() == expected.rows.tolist()
    assert (found.source, found.sequence, found.offered_at) == (expected.source, expected.sequence, expected.offered_at)


@given(
    st.text(max_size=20),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
    hnp.arrays(SAMPLE, st.integers(0, 5)),
)
def test_a_record_reads_back_as_it_was(source: str, sequence: int, offered_at: int, rows: SampleArray) -> None:
    (found,) = scan(pack(SpooledBatch(source, sequence, offered_at, rows))).records
    assert (found.source, found.sequence, found.offered_at) == (source, sequence, offered_at)
    assert found.rows.tobytes() == rows.tobytes()


def test_batches_come_back_in_order_over_several_segments(tmp_path: Path) -> None:
    opened = spool(tmp_path)
    for sequence in range(1, 8):
        opened.append(batch(sequence))
    assert len(list(tmp_path.glob("*.spool"))) == 4
    assert (opened.rows, opened.oldest_offered_at) == (21, 1001)
    assert drain(opened) == [1, 2, 3, 4, 5, 6, 7]
    assert (opened.rows, opened.bytes, opened.oldest_offered_at) == (0, 0, None)
    assert list(tmp_path.glob("*.spool")) == []


def test_batches_may_be_added_while_others_are_replayed(tmp_path: Path) -> None:
    opened = spool(tmp_path, segment_bytes=MIB)
    opened.append(batch(1))
    opened.append(batch(2))
    first = opened.oldest()
    assert first is not None
    opened.stored()
    opened.append(batch(3))
    assert first.sequence == 1
    assert opened.oldest_offered_at == 1002
    assert drain(opened) == [2, 3]


def test_the_next_run_finds_what_was_left(tmp_path: Path) -> None:
    first = spool(tmp_path)
    for sequence in (1, 2, 3):
        first.append(batch(sequence))
    first.close()
    second = spool(tmp_path)
    assert (second.rows, second.oldest_offered_at) == (9, 1001)
    second.append(batch(4))
    assert drain(second) == [1, 2, 3, 4]


def test_the_next_run_does_not_find_what_is_stored(tmp_path: Path) -> None:
    first = spool(tmp_path, segment_bytes=MIB)
    for sequence in (1, 2, 3):
        first.append(batch(sequence))
    assert first.oldest() is not None
    first.stored()
    first.close()
    second = spool(tmp_path)
    assert (second.rows, second.oldest_offered_at) == (6, 1002)
    assert drain(second) == [2, 3]


@pytest.mark.parametrize("kept_bytes", range(len(pack(batch(2)))))
def test_a_torn_record_is_cut_wherever_it_is_torn(
    tmp_path: Path, kept_bytes: int, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "0000000005.spool"
    file.write_bytes(pack(batch(1)) + pack(batch(2))[:kept_bytes])
    opened = spool(tmp_path)
    expected = (
        [f"Spool {file.name}: {kept_bytes} bytes of a torn record cut off after 1 whole ones"] if kept_bytes else []
    )
    assert [record.message for record in caplog.records] == expected
    assert file.stat().st_size == len(pack(batch(1)))
    opened.append(batch(3))
    assert drain(opened) == [1, 3]


def test_a_segment_with_only_a_torn_record_is_removed(tmp_path: Path) -> None:
    (tmp_path / "0000000001.spool").write_bytes(pack(batch(1))[:-1])
    opened = spool(tmp_path)
    assert (opened.rows, opened.oldest(), list(tmp_path.glob("*.spool"))) == (0, None, [])


def test_damage_between_records_costs_only_the_damaged_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    damaged = bytearray(pack(batch(2)))
    damaged[30] ^= 1
    (tmp_path / "0000000001.spool").write_bytes(pack(batch(1)) + bytes(damaged) + pack(batch(3)))
    opened = spool(tmp_path)
    assert caplog.messages == [
        f"Spool 0000000001.spool: {len(damaged)} bytes between records are damaged; kept as .damaged"
    ]
    assert drain(opened) == [1, 3]
    assert [path.name for path in tmp_path.iterdir() if path.name != "lock"] == ["0000000001.damaged"]


def test_rows_that_rot_while_the_spool_is_open_are_counted_as_lost(tmp_path: Path) -> None:
    opened = spool(tmp_path)
    for sequence in (1, 2, 3):
        opened.append(batch(sequence))
    file = tmp_path / "0000000001.spool"
    content = bytearray(file.read_bytes())
    content[30] ^= 1
    file.write_bytes(bytes(content))
    assert drain(opened) == [2, 3]
    assert (opened.rows, opened.lost_rows) == (0, 3)


def test_a_full_spool_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    opened = spool(tmp_path, limit_bytes=len(pack(batch(1))) + 10)
    opened.append(batch(1))
    with pytest.raises(SpoolError, match="is full"):
        opened.append(batch(2))
    assert drain(opened) == [1]
    opened.append(batch(3))
    assert drain(opened) == [3]


def test_a_second_process_may_not_use_the_folder(tmp_path: Path) -> None:
    opened = spool(tmp_path)
    with pytest.raises(SpoolError, match="is in use by another process"):
        spool(tmp_path)
    opened.close()
    spool(tmp_path).close()


def test_a_folder_that_is_a_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    with pytest.raises(SpoolError, match=r"the spool folder .*/spool cannot be used: File exists"):
        spool(tmp_path / "spool")


def test_a_disk_that_fills_up_leaves_nothing_of_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = spool(tmp_path, segment_bytes=MIB)
    opened.append(batch(1))
    size = opened.bytes
    real_write = os.write
    room = [10, 0]

    def full_after_ten_bytes(descriptor: int, content: bytes) -> int:
        free = room.pop(0)
        if not free:
            raise OSError(28, "No space left on device")
        return real_write(descriptor, content[:free])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full_after_ten_bytes)
        with pytest.raises(SpoolError, match="cannot be written: No space left on device"):
            opened.append(batch(2))
    assert (tmp_path / "0000000001.spool").stat().st_size == size
    opened.append(batch(3))
    assert drain(opened) == [1, 3]


def test_a_refused_first_record_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = spool(tmp_path)

    def failing_fsync(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("historian.spool._sync_folder", lambda folder: None)
        patch.setattr(os, "fsync", failing_fsync)
        with pytest.raises(SpoolError, match="Input/output error"):
            opened.append(batch(1))
    assert (opened.rows, list(tmp_path.glob("*.spool"))) == (0, [])
    opened.append(batch(2))
    assert drain(opened) == [2]


def test_a_batch_is_on_the_disk_when_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real_fsync = os.fsync

    def noted_fsync(descriptor: int) -> None:
        synced.append(descriptor)
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    opened = spool(tmp_path)
    opened.append(batch(1))
    assert len(synced) == 2  # the folder's new entry and the record
    opened.append(batch(2))
    assert len(synced) == 3
    opened.close()
