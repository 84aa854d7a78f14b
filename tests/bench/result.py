"""What a bench prints: one JSON object with its figures, the limits measured in the same run, and their ratios."""

import json
import os
import platform
import sys
from dataclasses import dataclass, field

import psutil


def machine() -> dict[str, float]:
    """What the bench runs on; ``load_1min`` above one or two tells that others ran there too."""
    major, minor, _ = platform.python_version_tuple()
    return {
        "cores": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python_version": float(f"{major}.{minor}"),
        "load_1min": round(os.getloadavg()[0], 2),
    }


@dataclass(slots=True)
class Result:
    """Flat maps of numbers, units in the names; ``lost`` and ``duplicated`` are rows or frames."""

    bench: str
    figures: dict[str, float] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    lost: int = 0
    duplicated: int = 0
    machine: dict[str, float] = field(default_factory=machine)

    def as_json(self) -> str:
        """One line; figures rounded to six significant digits."""
        return json.dumps(
            {
                "bench": self.bench,
                "figures": _rounded(self.figures),
                "limits": _rounded(self.limits),
                "ratios": _rounded(self.ratios),
                "lost": self.lost,
                "duplicated": self.duplicated,
                "machine": self.machine,
            }
        )


def say(sentence: str) -> None:
    """Progress goes to standard error; standard output ends with the JSON line."""
    print(sentence, file=sys.stderr, flush=True)


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in values.items()}
