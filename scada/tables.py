"""TOML tables to frozen dataclasses, with every fault found in one pass.

Knows field names, types and bounds. Does not know what any table means.

A dataclass is the schema: its fields are the allowed keys, its defaults the optional ones, ``bounded`` its limits.
A key that is no field is refused by name with the nearest known one; nothing is converted silently, except a whole
number where a float is wanted.
"""

import difflib
import math
import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from scada.model.errors import ConfigurationError, Fault

T = TypeVar("T")
_NOTHING = object()


def bounded(
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
    default: Any = MISSING,
    default_factory: Any = MISSING,
) -> Any:
    """A dataclass field whose value must lie in [low, high] or be one of ``choices``."""
    metadata = {"low": low, "high": high, "choices": tuple(choices)}
    if default_factory is not MISSING:
        return field(default_factory=default_factory, metadata=metadata)
    return field(default=default, metadata=metadata) if default is not MISSING else field(metadata=metadata)


def nearest(name: str, known: Sequence[str]) -> str:
    """``; did you mean X?`` for the known name most like ``name``, else the known names, else ''."""
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.6):
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(sorted(known))}" if known else ""


@dataclass(slots=True)
class Faults:
    """Collects what is wrong in one file."""

    file: str
    found: list[Fault]

    def add(self, key: str, message: str) -> None:
        """Note one fault at ``key`` (a dotted path)."""
        self.found.append(Fault(self.file, key, message))


def load_toml(path: Path, found: list[Fault], *, name: str = "") -> dict[str, Any] | None:
    """The file's tables, or None with the reason in ``found``. ``name`` is how the file is called in messages."""
    label = name or path.name
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        found.append(Fault(label, "", f"no such file: {path}"))
    except UnicodeDecodeError as error:
        found.append(Fault(label, "", f"is not UTF-8: byte {error.start}"))
    except OSError as error:
        found.append(Fault(label, "", f"cannot be read: {error.strerror}"))
    except tomllib.TOMLDecodeError as error:
        found.append(Fault(label, "", f"is not TOML: {error}"))
    return None


def read_table(schema: type[T], table: Mapping[str, Any], faults: Faults, *, key: str = "") -> T | None:
    """``table`` as a ``schema``, or None when something in it is wrong; every fault goes into ``faults``."""
    hints = _hints(schema)
    known = [each.name for each in fields(schema)] if is_dataclass(schema) else []
    before = len(faults.found)
    for name in table:
        if name not in known:
            faults.add(_join(key, name), f"unknown key{nearest(name, known)}")
    values: dict[str, Any] = {}
    for each in fields(schema):  # type: ignore[arg-type]  # schema is always a dataclass
        if each.name not in table:
            if each.default is MISSING and each.default_factory is MISSING:
                faults.add(_join(key, each.name), "is missing")
            continue
        value = _convert(hints[each.name], table[each.name], faults, _join(key, each.name))
        if value is not _NOTHING and _in_bounds(value, each.metadata, faults, _join(key, each.name)):
            values[each.name] = value
    return schema(**values) if len(faults.found) == before else None


def load_table(schema: type[T], path: Path, found: list[Fault], *, name: str = "") -> T | None:
    """The file as a ``schema``, or None with every fault in ``found``."""
    tables = load_toml(path, found, name=name)
    return None if tables is None else read_table(schema, tables, Faults(name or path.name, found))


def refuse_faults(found: Sequence[Fault]) -> None:
    """Raise ConfigurationError with all faults, if there is one."""
    if found:
        raise ConfigurationError(found)


def _hints(schema: type) -> dict[str, Any]:
    return get_type_hints(schema)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _in_bounds(value: Any, metadata: Mapping[str, Any], faults: Faults, key: str) -> bool:
    low, high, choices = metadata.get("low"), metadata.get("high"), metadata.get("choices", ())
    if choices and value not in choices:
        faults.add(key, f"{value!r} is not allowed{nearest(str(value), choices)}")
        return False
    if low is not None and value < low:
        faults.add(key, f"{value} is below {low}")
        return False
    if high is not None and value > high:
        faults.add(key, f"{value} is above {high}")
        return False
    return True


def _convert(wanted: Any, value: Any, faults: Faults, key: str) -> Any:
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return _convert(next(each for each in arguments if each is not type(None)), value, faults, key)
    if origin is tuple:
        return _convert_list(arguments[0], value, faults, key)
    if origin is dict:
        return _convert_map(arguments[1], value, faults, key)
    if is_dataclass(wanted):
        if not isinstance(value, dict):
            return _wrong(faults, key, "a table", value)
        result = read_table(wanted, value, faults, key=key)  # type: ignore[arg-type]  # narrowed to an instance
        return _NOTHING if result is None else result
    return _convert_scalar(wanted, value, faults, key)


def _convert_list(item: Any, value: Any, faults: Faults, key: str) -> Any:
    if not isinstance(value, list):
        return _wrong(faults, key, "a list", value)
    items = [_convert(item, each, faults, f"{key}[{index}]") for index, each in enumerate(value, start=1)]
    return _NOTHING if any(each is _NOTHING for each in items) else tuple(items)


def _convert_map(item: Any, value: Any, faults: Faults, key: str) -> Any:
    if not isinstance(value, dict):
        return _wrong(faults, key, "a table", value)
    items = {name: _convert(item, each, faults, _join(key, name)) for name, each in value.items()}
    return _NOTHING if any(each is _NOTHING for each in items.values()) else items


def _convert_scalar(wanted: Any, value: Any, faults: Faults, key: str) -> Any:
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        known = [str(each.value) for each in wanted]
        if value in known:
            return wanted(value)
        faults.add(key, f"{value!r} is not allowed{nearest(str(value), known)}")
        return _NOTHING
    if wanted is float and type(value) in (int, float):
        if not math.isfinite(value):
            return _wrong(faults, key, "a finite number", value)
        return float(value)
    if wanted is Path and type(value) is str:
        return Path(value)
    if type(value) is wanted:
        return value
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
    return _wrong(faults, key, names.get(wanted, str(wanted)), value)


def _wrong(faults: Faults, key: str, wanted: str, value: Any) -> Any:
    faults.add(key, f"must be {wanted}, is {value!r}")
    return _NOTHING
