"""Claims about the point-to-point test with a person at the device: nothing said is lost, and only numbers pass."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scada import commissioning
from scada.commands import p2p
from scada.files import Installation, load_installation
from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.point import Point
from scada.model.quality import Quality
from scada.model.sample import no_samples, samples
from scada.pointtest import PointVerdict, Verdict
from substations.link import FailedRead, ScanAnswer

ROOT = Path(__file__).resolve().parents[2]


class Link:
    """A station whose points all show 7; the scans numbered in ``broken`` find the connection gone, those in
    ``undelivered`` bring nothing of any point."""

    periods = (1.0,)

    def __init__(self, points: tuple[Point, ...]) -> None:
        self.ids = np.array([point.id for point in points], dtype=np.int32)
        self.broken: set[int] = set()
        self.undelivered: set[int] = set()
        self.is_gone = False
        self.scans = self.opens = self.closes = 0

    async def open(self) -> None:
        if self.is_gone:
            raise LinkError("cannot connect")
        self.opens += 1

    async def close(self) -> None:
        self.closes += 1

    async def scan(self, period_s: float, cause: Cause) -> ScanAnswer:
        self.scans += 1
        if self.scans in self.broken:
            raise LinkError("connection lost")
        if self.scans in self.undelivered:
            return ScanAnswer(no_samples(), (FailedRead(self.ids, Quality.NOT_TOPICAL, "no answer within 2 s"),))
        return ScanAnswer(samples(self.ids, 1, np.full(len(self.ids), 7.0), 0, cause))


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    config = tmp_path_factory.mktemp("house") / "config.toml"
    config.write_text(f'language = "en"\n[stations]\nfolder = "{ROOT / "substations"}"\nonly = ["TN05"]\n', "utf-8")
    return load_installation(config)


@pytest.fixture
def link(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Link:
    made = Link(installation.stations[0].points)
    monkeypatch.setattr(commissioning, "open_link", lambda *_: made)
    monkeypatch.setattr(commissioning, "SEEN_WITHIN_S", 0.0)
    return made


def walked(installation: Installation, monkeypatch: pytest.MonkeyPatch, *says: str) -> list[PointVerdict]:
    """The verdicts over as many points as the person says something of."""
    (station,) = installation.stations
    measured = [point for point in station.points if point.high is not None and point.high > 7.0 and point.low == 0.0]
    answers: Iterator[str] = iter(says)
    monkeypatch.setattr(p2p.typer, "prompt", lambda *_, **__: next(answers))
    return list(p2p._asked(installation, station, measured[:3]))


def test_a_connection_that_ended_while_the_person_walked_is_made_again(
    installation: Installation, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    link.broken = {2}
    verdicts = walked(installation, monkeypatch, "7", "7", "9999")
    assert [each.verdict for each in verdicts] == [Verdict.PASS, Verdict.PASS, Verdict.FAIL]
    assert (link.opens, link.closes) == (2, 2)


def test_what_was_tested_before_the_station_went_away_is_kept(
    installation: Installation, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    link.broken = {2, 3, 4, 5}
    verdicts = walked(installation, monkeypatch, "7", "7", "7")
    assert [(each.verdict, each.why) for each in verdicts] == [
        (Verdict.PASS, ""),
        (Verdict.SKIPPED, "connection lost"),
        (Verdict.SKIPPED, "connection lost"),
    ]


def test_a_point_that_is_not_delivered_any_more_does_not_pass_for_what_it_showed_before(
    installation: Installation, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    link.undelivered = {2}
    verdicts = walked(installation, monkeypatch, "7", "7", "7")
    assert [(each.verdict, each.why) for each in verdicts] == [
        (Verdict.PASS, ""),
        (Verdict.FAIL, "quality not_topical"),
        (Verdict.PASS, ""),
    ]


def test_what_is_no_number_is_asked_again_and_never_passes(
    installation: Installation, link: Link, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts = walked(installation, monkeypatch, "nan", "inf", "seven", "7", "q")
    assert [each.verdict for each in verdicts] == [Verdict.PASS, Verdict.SKIPPED, Verdict.SKIPPED]
    assert capsys.readouterr().out.count("is no number") == 3
