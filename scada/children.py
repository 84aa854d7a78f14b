"""Our own processes as children: started, watched, restarted after a crash, stopped in order.

Knows processes and signals. Does not know what a child does; a child that ends by itself with code 0 is finished, any
other end is a crash and it is started again after a pause that doubles from 1 s to 30 s.
"""

import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """What to start. ``environment`` is added to ours: the place for a password, which argv is not."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class Child:
    """One supervised process; its output goes to ``folder/NAME.log``.

    ``monotonic`` returns seconds and is injected so that tests need not wait.
    """

    def __init__(self, plan: ChildPlan, folder: Path, monotonic: Callable[[], float]) -> None:
        self.plan = plan
        self.restarts = 0
        self._log_file = folder / f"{plan.name}.log"
        self._monotonic = monotonic
        self._pause_s = FIRST_PAUSE_S
        self._start_again_at: float | None = None
        self._asked_to_stop = False
        self._killed = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def finished(self) -> bool:
        """True once it ended by itself with code 0."""
        return self._process is not None and self._process.poll() == 0

    @property
    def ending(self) -> str:
        """How it ended, in words; ``still running`` while it has not."""
        code = self._process.poll() if self._process is not None else 0
        if code is None:
            return "still running"
        return f"{ending(code)}, killed after its time was over" if self._killed else ending(code)

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C in our terminal reaches us alone. Raises OSError."""
        self._asked_to_stop = False
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as output:
            self._process = subprocess.Popen(
                list(self.plan.command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.plan.environment},
                start_new_session=True,
            )

    def watch(self) -> None:
        """Notice a crash and start again when the pause is over; call it every second or so."""
        if self._process is None or self._asked_to_stop or self._process.poll() in (None, 0):
            return
        now = self._monotonic()
        if self._start_again_at is None:
            self._start_again_at = now + self._pause_s
            log.warning(
                "%s ended with %s; started again in %.0f s; its last words: %s",
                self.plan.name,
                ending(self._process.returncode),
                self._pause_s,
                self.last_words(),
            )
        elif now >= self._start_again_at:
            self._start_again_at = None
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
            self.restarts += 1
            self.start()

    def stop(self, *, grace_s: float) -> bool:
        """Ask it to end and wait; kill it after ``grace_s``. True when it ended with code 0, or by our very request.

        The request itself is deadly only for a process that has not come to listen to it, and so has begun nothing.
        """
        self._asked_to_stop = True
        if self._process is None:
            return True
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                self._process.wait(grace_s)
            except subprocess.TimeoutExpired:
                log.error("%s did not stop within %.0f s and was killed", self.plan.name, grace_s)
                self._killed = True
                self._process.kill()
                self._process.wait()
        return self._process.returncode in (0, -signal.SIGTERM)

    def last_words(self) -> str:
        """The last line of its log, or ``nothing``."""
        try:
            lines = self._log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "nothing"
        return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")


def ending(code: int) -> str:
    """A return code in words: ``code 3`` or ``signal 9``."""
    return f"signal {-code}" if code < 0 else f"code {code}"
