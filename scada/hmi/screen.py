"""Where the demo shows itself: a live view on a terminal, plain lines into a pipe.

Knows the terminal. Does not know what is shown.
"""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live

LINE_EVERY_S = 10.0
PIPE_WIDTH = 200
"""Columns of a table that goes into a pipe or file, where nothing needs to be cut to fit a window."""


def paper() -> Console:
    """Where commands print their tables: the terminal at its width, or a wide sheet when there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)


class Screen:
    """``show`` replaces the live view (or, in a pipe, prints the line every ten seconds); ``say`` leaves a line."""

    def __init__(self, console: Console | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(highlight=False)
        self._monotonic = monotonic
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._next_line = 0.0

    def show(self, view: RenderableType, line: str) -> None:
        """Show the present state."""
        if self._console.is_terminal:
            self._live.update(view, refresh=True)
        elif self._monotonic() >= self._next_line:
            self._next_line = self._monotonic() + LINE_EVERY_S
            self.say(line)

    def say(self, sentence: str) -> None:
        """Print a sentence that stays."""
        self._console.print(sentence, markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
