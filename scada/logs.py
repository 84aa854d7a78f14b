"""How our processes write their log: one line an event, UTC to the millisecond, to standard error.

Knows format and levels. Does not know files: whoever starts a process decides where its output goes.
"""

import logging
import sys
import time

OURS = ("scada", "substations", "meters", "historian", "simulators")


def set_up(level: int = logging.INFO) -> None:
    """Send our own messages from ``level`` up and the libraries' warnings to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    # Both drivers log each lost connection at ERROR or WARNING, each attempt again; we log the transition.
    for name in ("asyncua", "pymodbus"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
