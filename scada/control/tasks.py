"""What is told of a task that ended: a fault of this program never goes by unseen."""

import asyncio
import logging
from typing import Any

log = logging.getLogger(__name__)


def tell_fault(task: asyncio.Task[Any]) -> None:
    """Log what ended ``task``, if it was an error; for ``add_done_callback``."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s: a fault of this program ended it", task.get_name(), exc_info=error)
