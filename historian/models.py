"""Models of meters: digits, where the register begins again, how long an interval is, and which register is which rate.

Knows the columns of a list of models and what makes a row unusable; one bad row costs that row only.

The list is CSV (UTF-8, comma, one header line) with the columns of ``COLUMNS``, in any order; others are ignored.
``rates`` is ``1-0:1.8.1=BT 1-0:1.8.2=CD 1-0:1.8.3=TD``, or empty for a model with one rate; ``wrap_kwh`` may be empty
where the register uses all its digits.
"""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg.types.json import Jsonb

from historian.connection import DatabaseLink
from historian.listfile import Undone, listed_rows, whole_number
from historian.queries import query
from scada.model.errors import Fault

COLUMNS = ("code", "digits", "wrap_kwh", "capture_period_s", "rates")
MODELS_LIMIT_S = 60.0
DAY_S = 86_400

_RATE = re.compile(r"(1-0:[12]\.8\.[1-9])=(\w{1,16})")


@dataclass(frozen=True, slots=True)
class MeterModel:
    """What all meters of a model have in common. ``rates``: OBIS code to the name of the rate."""

    code: str
    digits: int
    wrap_kwh: int
    capture_period_s: int
    rates: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ModelImport:
    """What became of a list: done + one fault for each line that was not."""

    done: int
    faults: tuple[Fault, ...]


def import_models(dsn: str, path: Path, *, dry_run: bool = False) -> ModelImport:
    """Read a list of models and bring the registry up to it. ``dry_run``: tell the same and change nothing.

    Raises StoreUnavailable, or ConfigurationError when the file cannot be read or lacks columns.
    """
    models, faults = read_models(path)
    link = DatabaseLink(dsn, application="scada models", limit_s=MODELS_LIMIT_S)
    with link, contextlib.suppress(Undone), link.transaction() as connection, connection.cursor() as cursor:
        rows = [
            {
                "code": each.code,
                "digits": each.digits,
                "wrap_kwh": each.wrap_kwh,
                "capture_period_s": each.capture_period_s,
                "rates": Jsonb(dict(each.rates)),
            }
            for each in models
        ]
        cursor.executemany(query("upsert_model"), rows)
        if dry_run:
            raise Undone
    return ModelImport(len(models), tuple(faults))


def known_models(dsn: str) -> tuple[MeterModel, ...]:
    """The models of the registry, by code. Raises StoreUnavailable."""
    link = DatabaseLink(dsn, application="scada models", limit_s=MODELS_LIMIT_S)
    with link, link.transaction() as connection:
        return tuple(MeterModel(*row) for row in connection.execute(query("list_models")).fetchall())


def read_models(path: Path) -> tuple[list[MeterModel], list[Fault]]:
    """The usable rows of a list, and what is wrong with the others. Raises ConfigurationError."""
    usable: list[MeterModel] = []
    faults: list[Fault] = []
    lines: dict[str, int] = {}
    for line, text in listed_rows(path, COLUMNS):
        model = _parse(text)
        if isinstance(model, MeterModel) and lines.setdefault(model.code, line) != line:
            model = f"model {model.code} stands in line {lines[model.code]} already"
        if isinstance(model, MeterModel):
            usable.append(model)
        else:
            faults.append(Fault(str(path), f"line {line}", model))
    return usable, faults


def _parse(text: Mapping[str, str]) -> MeterModel | str:
    if not text["code"]:
        return "code is empty"
    limits = {"digits": 15, "capture_period_s": DAY_S} | ({"wrap_kwh": 10**15} if text["wrap_kwh"] else {})
    for name, highest in limits.items():
        if fault := whole_number(text, name, 1, highest):
            return fault
    digits, period_s = int(text["digits"]), int(text["capture_period_s"])
    wrap_kwh = int(text["wrap_kwh"] or 10**digits)
    if DAY_S % period_s:
        return f"capture_period_s {period_s} does not divide a day"
    if wrap_kwh > 10**digits:
        return f"wrap_kwh {wrap_kwh} is more than {digits} digits show"
    words = text["rates"].split()
    pairs = [_RATE.fullmatch(word) for word in words]
    rates = {found[1]: found[2] for found in pairs if found}
    if len(rates) != len(words):
        return f"rates {text['rates']!r} is no list of OBIS=RATE, each register once"
    return MeterModel(text["code"], digits, wrap_kwh, period_s, rates)
