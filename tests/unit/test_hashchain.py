"""The hash chain: whatever is done to its file is seen."""

import errno
import json
import os
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada import hashchain
from scada.hashchain import ChainError, HashChain

BODIES = [{"contract": "HD-1", "sha256": "aa"}, {"contract": "HD-2"}, {"ghi chú": "đã ký"}, {}]


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    path = tmp_path / "journal.jsonl"
    with HashChain(path) as writer:
        for number, body in enumerate(BODIES):
            writer.append("stored", body, number)
    return path


def test_an_untouched_chain_is_intact_and_reads_back(chain: Path) -> None:
    verdict = hashchain.verify(chain)
    assert (verdict.entries, verdict.intact) == (4, True)
    assert [entry.body for entry in hashchain.entries(chain)] == BODIES
    with HashChain(chain) as writer:
        assert writer.head == verdict.head


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda lines: [lines[0].replace("HD-1", "HD-9"), *lines[1:]], "entry 1: its content was changed"),
        (lambda lines: [lines[0], *lines[2:]], "entry 2: numbered 3"),
        (lambda lines: [lines[0], lines[0], *lines[1:]], "entry 2: numbered 1"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "entry 1: numbered 2"),
        (lambda lines: [*lines[:3], "nonsense\n"], "entry 4: cannot be read"),
        (lambda lines: lines[:3], "cut off after number 3"),
    ],
    ids=["changed", "removed", "inserted", "re-ordered", "unreadable", "cut off"],
)
def test_any_harm_is_seen_and_named(chain: Path, harm: object, sentence: str) -> None:
    head = hashchain.verify(chain).head
    chain.write_text("".join(harm(_lines(chain))), encoding="utf-8")  # type: ignore[operator]  # parametrised lambda
    verdict = hashchain.verify(chain, head)
    assert not verdict.intact
    assert sentence in verdict.broken


def test_an_entry_made_anew_does_not_follow(chain: Path) -> None:
    lines = _lines(chain)
    entry = json.loads(lines[1])
    entry["body"] = {"contract": "HD-9"}
    entry["hash"] = hashchain.entry_hash(
        entry["sequence"], entry["time"], entry["kind"], hashchain.body_hash(entry["body"]), entry["previous"]
    )
    chain.write_text("".join([lines[0], json.dumps(entry) + "\n", *lines[2:]]), encoding="utf-8")
    assert "entry 3: does not follow" in hashchain.verify(chain).broken


def test_a_line_torn_by_a_crash_is_dropped_and_the_chain_goes_on(chain: Path) -> None:
    with chain.open("ab") as file:
        file.write(b'{"sequence": 5, "ti')
    with HashChain(chain) as writer:
        writer.append("stored", {}, 9)
    assert hashchain.verify(chain).entries == 5


def test_an_entry_a_full_disk_refuses_leaves_the_chain_whole_and_the_next_one_follows(chain: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with HashChain(chain) as writer:
        resource.setrlimit(resource.RLIMIT_FSIZE, (chain.stat().st_size + 40, limits[1]))
        try:
            with pytest.raises(ChainError, match="cannot be written: File too large"):
                writer.append("stored", {}, 9)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert hashchain.verify(chain).entries == 4
        writer.append("stored", {}, 10)
    assert hashchain.verify(chain) == hashchain.ChainVerdict(5, writer.head)


def test_a_chain_whose_flush_failed_takes_nothing_more(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with HashChain(chain) as writer:
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", refuse)
            with pytest.raises(ChainError, match="flushed to the disk"):
                writer.append("stored", {}, 9)
        with pytest.raises(ChainError, match="flushed to the disk"):
            writer.add("stored", {}, 10)
    assert hashchain.verify(chain).intact


def test_an_added_entry_is_in_the_file_at_once_and_on_the_disk_with_the_next_flush(
    chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda _: flushed.append(hashchain.verify(chain).entries))
    with HashChain(chain) as writer:
        writer.add("stored", {}, 9)
        assert (hashchain.verify(chain).entries, flushed) == (5, [])
        writer.append("stored", {}, 10)
        writer.flush()
    assert flushed == [6]


def test_a_second_writer_is_refused(chain: Path) -> None:
    with HashChain(chain), pytest.raises(ChainError, match="another process"):
        HashChain(chain)


def test_a_broken_chain_is_not_written_to(chain: Path) -> None:
    chain.write_text("".join(_lines(chain)[1:]), encoding="utf-8")
    with pytest.raises(ChainError, match="numbered 2"):
        HashChain(chain)


def test_a_chain_that_is_gone_is_missed(tmp_path: Path) -> None:
    assert hashchain.verify(tmp_path / "none").intact
    assert "gone" in hashchain.verify(tmp_path / "none", "a" * 64).broken


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4))
def test_the_hash_depends_on_the_content_and_not_on_the_order_of_keys(body: dict[str, object]) -> None:
    turned = dict(reversed(body.items()))
    assert hashchain.body_hash(body) == hashchain.body_hash(turned)
    assert hashchain.body_hash({**body, "x!": 1}) != hashchain.body_hash(body)


def test_a_sealed_entry_keeps_the_chain_verifiable_and_tells_nothing(chain: Path, tmp_path: Path) -> None:
    entries = list(hashchain.entries(chain))
    copy = tmp_path / "copy.jsonl"
    copy.write_text("".join(hashchain.line(hashchain.sealed(entry)) for entry in entries), encoding="utf-8")
    assert hashchain.verify(copy) == hashchain.verify(chain)
    assert "HD-1" not in copy.read_text(encoding="utf-8")
    copy.write_text(
        copy.read_text(encoding="utf-8").replace('"body_sha256":"', '"body_sha256":"0', 1), encoding="utf-8"
    )
    assert "entry 1: its content was changed" in hashchain.verify(copy).broken
