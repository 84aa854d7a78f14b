"""Which of our processes run now, and what they say of themselves.

Knows ``var/run`` and the state door's address. Does not interpret the state.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from scada.model.errors import GridScadaError

NAMES = ("run", "collect", "jobs")


class ProcessSilent(GridScadaError):
    """The process is not running, or does not answer."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process; ``state`` is what its door answered, or None with the reason in ``why``."""

    name: str
    pid: int | None
    state: dict[str, Any] | None
    why: str


def ask(var: Path, name: str, path: str = "/api/v1/state", *, timeout_s: float = 2.0) -> Any:
    """The door's answer to ``path``. Raises ProcessSilent with the reason and what to do, KeyError for a 404.

    After a crash the written port may belong to somebody else: what does not answer like a door of ours is silent too.
    """
    place = var / "run" / f"{name}.json"
    try:
        url = json.loads(place.read_text(encoding="utf-8"))["url"]
    except FileNotFoundError:
        raise ProcessSilent(f"scada {name} is not running (no {place})") from None
    except (OSError, ValueError, KeyError) as error:
        raise ProcessSilent(f"{place} cannot be read: {error}") from None
    try:
        # The door speaks plain HTTP on the loopback: without this, every call reads certificates for 40 ms.
        answer = httpx.get(url + path, timeout=timeout_s, trust_env=False, verify=False)
    except httpx.HTTPError as error:
        raise ProcessSilent(f"scada {name} does not answer at {url}: {type(error).__name__} {error}") from None
    try:
        content = answer.json()
    except ValueError:
        content = None
    if answer.status_code == 404 and isinstance(content, dict) and "error" in content:
        raise KeyError(content["error"])
    if answer.status_code != 200 or not isinstance(content, dict):
        raise ProcessSilent(f"{url} answers with status {answer.status_code}, and not as scada {name} would")
    return content


def processes(var: Path) -> list[Process]:
    """Every process of ours, running or not, in the order of ``NAMES``."""
    return [_process(var, name) for name in NAMES]


def _process(var: Path, name: str) -> Process:
    try:
        state = ask(var, name)
        if state.get("process") != name:
            raise ProcessSilent(f"scada {name} is not running; at its address answers {state.get('process')}")
    except ProcessSilent as error:
        return Process(name, None, None, str(error))
    return Process(name, state.get("pid"), state, "")
