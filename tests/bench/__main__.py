"""``python -m tests.bench NAME [--seconds N]``: runs one bench and prints its JSON as the last line.

A bench is a module of this folder with ``async def run(seconds: float | None) -> Result``. One that has PHASES also
takes their names, ``run(seconds, phases)``, and ``--phases a,b`` runs those alone.
"""

import argparse
import asyncio
import importlib
import signal
import sys
from pathlib import Path

from tests.bench.result import Result


def names() -> list[str]:
    """The benches there are."""
    here = Path(__file__).parent
    return sorted(
        path.stem
        for path in here.glob("*.py")
        if path.stem not in ("__main__", "result") and not path.stem.startswith("_")
    )


def main() -> int:
    """Run the bench named on the command line."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("name", choices=names())
    parser.add_argument(
        "--seconds", type=float, default=None, help="length of the measured part, where the bench has one"
    )
    parser.add_argument("--phases", default="", help="parts to run, by comma; all when left out")
    arguments = parser.parse_args()
    # A bench that is told to end takes its servers and simulators with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    bench = importlib.import_module(f"tests.bench.{arguments.name}")
    phases = tuple(name for name in arguments.phases.split(",") if name)
    unknown = [name for name in phases if name not in getattr(bench, "PHASES", ())]
    if unknown:
        parser.error(
            f"{arguments.name} has no phase {unknown[0]}; it has {', '.join(getattr(bench, 'PHASES', ['none']))}"
        )
    result: Result = asyncio.run(bench.run(arguments.seconds, phases) if phases else bench.run(arguments.seconds))
    print(result.as_json())
    return 0 if result.lost == 0 and result.duplicated == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
