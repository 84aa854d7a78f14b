"""How much of a process Python's collector of cycles walks through, and how often.

Knows the collector alone. What no cycle holds is freed at once, whatever is set here.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MANY: Final = 50_000
"""Objects made and not yet let go; Python's own 700 is for programs that hold little."""


def leave_out_what_stands() -> None:
    """What was built for as long as the process lives is never walked through again."""
    gc.collect()
    gc.freeze()


@contextmanager
def rarely_looked_for() -> Iterator[None]:
    """Walk through what is new only when very much has gathered.

    Messages in hand are many, hold no cycles and go by whole batches: with Python's own setting a fifth of the
    head-end's processor time is spent on walking through them.
    """
    before = gc.get_threshold()
    gc.set_threshold(MANY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
