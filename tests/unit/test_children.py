"""Children are restarted after a crash, left alone after a clean end, and stopped in the end."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scada.children import Child, ChildPlan, ending


class Clockwork:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def python(name: str, program: str, environment: dict[str, str] | None = None) -> ChildPlan:
    return ChildPlan(name, [sys.executable, "-c", program], environment or {})


@pytest.fixture
def clockwork() -> Clockwork:
    return Clockwork()


@pytest.fixture
def crashing(tmp_path: Path, clockwork: Clockwork) -> Iterator[Child]:
    child = Child(python("crashing", "import sys; print('port taken'); sys.exit(3)"), tmp_path, clockwork)
    child.start()
    wait(child)
    yield child
    child.stop(grace_s=60)


def wait(child: Child) -> None:
    assert child._process is not None
    child._process.wait(20)


def test_a_crash_is_reported_with_its_last_words_and_started_again_after_a_pause(
    crashing: Child, clockwork: Clockwork, caplog: pytest.LogCaptureFixture
) -> None:
    crashing.watch()
    assert caplog.messages == ["crashing ended with code 3; started again in 1 s; its last words: port taken"]
    clockwork.now = 0.9
    crashing.watch()
    assert crashing.restarts == 0
    clockwork.now = 1.0
    crashing.watch()
    assert crashing.restarts == 1


def test_the_pause_doubles_to_its_bound(crashing: Child, clockwork: Clockwork) -> None:
    pauses = []
    for _ in range(7):
        wait(crashing)
        crashing.watch()
        pauses.append(crashing._pause_s)
        clockwork.now += crashing._pause_s
        crashing.watch()
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_a_clean_end_is_no_crash(tmp_path: Path, clockwork: Clockwork) -> None:
    child = Child(python("clean", "pass"), tmp_path, clockwork)
    child.start()
    wait(child)
    child.watch()
    assert (child.finished, child.restarts, child.pid) == (True, 0, None)
    assert child.stop(grace_s=60)


def test_a_child_that_was_stopped_before_it_could_listen_is_not_started_again(
    tmp_path: Path, clockwork: Clockwork, caplog: pytest.LogCaptureFixture
) -> None:
    child = Child(python("importing", "import time; time.sleep(60)"), tmp_path, clockwork)
    child.start()
    assert child.stop(grace_s=60), "our own signal ended it, and it had begun nothing"
    assert child.ending == "signal 15"
    child.watch()
    clockwork.now = 100.0
    child.watch()
    assert (child.restarts, child.pid, caplog.messages) == (0, None, [])


def test_a_child_that_ignores_the_request_is_killed(
    tmp_path: Path, clockwork: Clockwork, caplog: pytest.LogCaptureFixture
) -> None:
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    child = Child(python("deaf", program), tmp_path, clockwork)
    child.start()
    while child.last_words() != "ready":
        assert child.pid is not None
    assert not child.stop(grace_s=0.1)
    assert caplog.messages == ["deaf did not stop within 0 s and was killed"]
    assert child.pid is None
    assert child.ending == "signal 9, killed after its time was over"


def test_an_end_by_another_signal_or_code_is_not_clean(tmp_path: Path, clockwork: Clockwork) -> None:
    program = (
        "import os, signal, sys; signal.signal(15, lambda *_: os._exit(4)); print('ready', flush=True); signal.pause()"
    )
    child = Child(python("failing", program), tmp_path, clockwork)
    child.start()
    assert child.ending == "still running"
    while child.last_words() != "ready":
        assert child.pid is not None
    assert not child.stop(grace_s=60)
    assert child.ending == "code 4"


def test_the_environment_of_the_plan_reaches_the_child(tmp_path: Path, clockwork: Clockwork) -> None:
    child = Child(python("told", "import os; print(os.environ['WORD'])", {"WORD": "open"}), tmp_path, clockwork)
    assert child.last_words() == "nothing"
    child.start()
    wait(child)
    assert child.last_words() == "open"


def test_stopping_what_never_started_is_fine(tmp_path: Path, clockwork: Clockwork) -> None:
    assert Child(python("never", "pass"), tmp_path, clockwork).stop(grace_s=1)


@pytest.mark.parametrize(("code", "words"), [(-9, "signal 9"), (3, "code 3")])
def test_an_ending_reads_as_words(code: int, words: str) -> None:
    assert ending(code) == words
