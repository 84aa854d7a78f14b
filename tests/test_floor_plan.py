"""The floor plan holds: who may import whom, and what a pure import may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DRIVERS = ("pymodbus", "asyncua", "paho", "psycopg", "pypowsybl", "uvicorn", "apscheduler")
PURE = [
    "scada.model.sample",
    "scada.model.station",
    "scada.model.ports",
    "scada.tables",
    "scada.config",
    "scada.stationfile",
    "scada.image",
    "scada.grid.topology",
    "substations.registermap",
    "substations.nodemap",
    "substations.polling",
    "substations.decode",
    "substations.quality",
    "substations.adapters",
    "meters.obis",
    "meters.payload",
    "meters.validate",
    "meters.ingest",
    "historian.copyformat",
    "historian.batching",
    "simulators.meter_fleet",
    "simulators.load_shapes",
]


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_loads_no_driver(module: str) -> None:
    program = f"import {module}, sys; print([d for d in {DRIVERS!r} if d in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_package_roots_are_free_of_imports() -> None:
    for package in ("scada", "substations", "meters", "historian", "simulators"):
        for root in (ROOT / package).rglob("__init__.py"):
            tree = ast.parse(root.read_text(encoding="utf-8"))
            imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
            assert imports == [], f"{root.relative_to(ROOT)} imports something"


def test_the_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(linter)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_sql_stands_in_the_historian_only() -> None:
    """A statement in a Python file outside ``historian/sql`` is a second place that knows the schema."""
    words = ("SELECT ", "INSERT INTO", "CREATE TABLE", "DELETE FROM", "UPDATE ")
    for package in ("scada", "substations", "meters", "historian", "simulators"):
        for source in (ROOT / package).rglob("*.py"):
            # An enumeration may name the step of a control that is called SELECT.
            lines = source.read_text(encoding="utf-8").replace("SELECT = ", "").splitlines()
            hits = [line for line in lines if any(word in line for word in words) and '"""' not in line]
            assert hits == [], f"{source.relative_to(ROOT)}: {hits}"
