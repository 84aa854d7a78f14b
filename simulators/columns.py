"""The province as numbered rows: which device, terminal, transformer and load stands in which row of the arrays.

Knows names and numbers. Does not know the state of anything.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scada.model.station import (
    Bay,
    CommandPoint,
    Device,
    Load,
    Province,
    Station,
    Terminal,
    TerminalKind,
    Transformer,
)

Name = tuple[str, str]
"""Station and a name unique in it."""

SIDES = 3
"""Windings of a transformer: high, medium, low voltage, in this order everywhere."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows of everything; a terminal's key is (station, ``BAY/TERMINAL``)."""

    devices: tuple[Device, ...]
    device_row: dict[Name, int]
    terminals: tuple[Terminal, ...]
    terminal_station: tuple[str, ...]
    terminal_row: dict[Name, int]
    transformers: tuple[Transformer, ...]
    transformer_row: dict[Name, int]
    windings: NDArray[np.intp]
    """Terminal rows of the windings, high to low; shape (transformers, 3)."""
    loads: tuple[Load, ...]
    load_row: dict[str, int]
    load_terminal: NDArray[np.intp]
    """Terminal row of each load; shape (loads,)."""
    commands: dict[str, tuple[Station, Bay, CommandPoint]]
    """By ``STATION/BAY/command``."""


def columns_of(province: Province) -> Columns:
    """Number everything in the order of the files."""
    devices = [(station.code, each) for station in province.stations for each in station.devices]
    terminals = [(station.code, each) for station in province.stations for each in station.terminals]
    transformers = [(station.code, each) for station in province.stations for each in station.transformers]
    loads = [(station.code, each) for station in province.stations for each in station.loads]
    terminal_row = {(code, f"{each.bay}/{each.name}"): row for row, (code, each) in enumerate(terminals)}
    return Columns(
        devices=tuple(each for _, each in devices),
        device_row={(code, each.name): row for row, (code, each) in enumerate(devices)},
        terminals=tuple(each for _, each in terminals),
        terminal_station=tuple(code for code, _ in terminals),
        terminal_row=terminal_row,
        transformers=tuple(each for _, each in transformers),
        transformer_row={(code, each.name): row for row, (code, each) in enumerate(transformers)},
        windings=_windings(terminals, transformers),
        loads=tuple(each for _, each in loads),
        load_row={each.name: row for row, (_, each) in enumerate(loads)},
        load_terminal=np.array(
            [terminal_row[code, f"{each.bay}/{each.terminal}"] for code, each in loads], dtype=np.intp
        ),
        commands={
            f"{station.code}/{bay.name}/{command.name}": (station, bay, command)
            for station in province.stations
            for bay in station.bays
            for command in bay.commands
        },
    )


def _windings(terminals: list[tuple[str, Terminal]], transformers: list[tuple[str, Transformer]]) -> NDArray[np.intp]:
    sides: dict[Name, list[tuple[float, int]]] = {(code, each.name): [] for code, each in transformers}
    for row, (code, each) in enumerate(terminals):
        if each.kind is TerminalKind.WINDING:
            sides[code, each.equipment].append((-each.voltage_kv, row))
    rows = [[row for _, row in sorted(sides[code, each.name])] for code, each in transformers]
    return np.array(rows, dtype=np.intp).reshape(len(transformers), SIDES)
