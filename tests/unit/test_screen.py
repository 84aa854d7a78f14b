"""The demo's screen: live on a terminal, a line every ten seconds into a pipe, sentences in both."""

import io

from rich.console import Console
from rich.text import Text

from scada.hmi.screen import PIPE_WIDTH, Screen, paper

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


class Clockwork:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_into_a_pipe_goes_one_line_every_ten_seconds() -> None:
    out, clockwork = io.StringIO(), Clockwork()
    with Screen(Console(file=out, width=80), clockwork) as screen:
        for second in range(21):
            clockwork.now = 100.0 + second
            screen.show(Text("the view"), f"line {second}")
    assert out.getvalue() == "line 0\nline 10\nline 20\n"


def test_a_long_sentence_is_not_broken_and_brackets_are_no_markup() -> None:
    out = io.StringIO()
    with Screen(Console(file=out, width=20)) as screen:
        screen.say("a sentence [bold]longer[/] than twenty columns")
    assert out.getvalue() == "a sentence [bold]longer[/] than twenty columns\n"


def test_on_a_terminal_the_view_is_live_and_gone_afterwards() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, height=20, force_terminal=True, legacy_windows=False, _environ={})
    with Screen(console) as screen:
        screen.show(Text("first view"), "a line")
        screen.say("a sentence that stays")
        screen.show(Text("second view"), "a line")
    text = out.getvalue()
    assert text.index("first view") < text.index("a sentence that stays") < text.index("second view")
    assert "a line" not in text
    assert text.count(HIDE) == text.count(SHOW) == 1
    assert text.rindex("\x1b[2K") > text.rindex("second view"), "the view is erased at the end"


def test_the_cursor_comes_back_after_a_failure() -> None:
    out = io.StringIO()
    try:
        with Screen(Console(file=out, width=80, force_terminal=True, _environ={})) as screen:
            screen.show(Text("view"), "line")
            raise RuntimeError("a bug")
    except RuntimeError:
        assert out.getvalue().rindex(SHOW) > out.getvalue().rindex(HIDE)


def test_without_a_terminal_tables_get_a_wide_sheet() -> None:
    assert paper().width == PIPE_WIDTH
