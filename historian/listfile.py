"""Lists somebody hands over: CSV (UTF-8, comma, one header line), columns in any order, others ignored.

Knows how such a file is read and how a number in it is judged. Does not know what the columns mean.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scada.model.errors import ConfigurationError, Fault


class Undone(Exception):
    """Leaves the transaction of a dry run: everything was done to see what would happen."""


def listed_rows(
    path: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Line and stripped text of each row; an optional column that is not there is ''.

    Raises ConfigurationError when the file cannot be read or lacks columns.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise ConfigurationError([Fault(str(path), name, "the column is missing") for name in missing])
            for line, row in enumerate(reader, start=2):
                yield line, {name: (row.get(name) or "").strip() for name in (*columns, *optional)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError([Fault(str(path), "", f"cannot be read: {error}")]) from error


def whole_number(text: Mapping[str, str], name: str, lowest: int, highest: int) -> str:
    """What is wrong with a column that must be a whole number, or ''."""
    value = text[name]
    if value.isascii() and value.isdecimal() and lowest <= int(value) <= highest:
        return ""
    return f"{name} {value!r} is no whole number from {lowest} to {highest}"
