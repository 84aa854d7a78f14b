"""The meters of the province as columns: who they are, where they hang, how much they use.

Knows serial numbers, metering points, classes, multipliers, concentrators and feeders of a fictitious fleet, all
decided by a seed. Does not know time, energy (``simulators.fleet_energy``) or messages (``simulators.fleet_messages``).

Row n of every column is one meter. The meters behind concentrators come first, 180 to each, concentrators in the order
of their feeders; then the meters with their own modem, also in the order of their feeders. So a concentrator is one
slice and a feeder two. A concentrator and all its meters are fed by one feeder.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scada.model.station import CustomerShares, Province
from simulators.load_shapes import LoadClass, week_of

METERS_PER_CONCENTRATOR = 180
DIRECT_SHARE = 0.1
"""Share of meters with their own modem: 20,000 of 200,000."""

CLASSES = tuple(LoadClass)
"""Class of a meter by its number in ``Fleet.load_class``."""

UNITS = tuple(f"PN{number:02d}" for number in range(1, 10))
"""Codes of the district units, fictitious; a station belongs to one and so do the meters behind it."""

# Mean power at the meter's own terminals, low and high end, W; behind current transformers the primary is
# ``multiplier`` times it (assumed; a 5 A meter measures 3.4 kW at most).
_MEAN_W = ((60, 700), (300, 1200), (200, 1100), (150, 800))
_MULTIPLIERS = ((1,), (20, 30, 40, 60, 80, 120, 160), (1, 1, 1, 10, 20), (1,))
SOLAR_RATIO = 2.2
"""A rooftop makes this many times what its household uses (assumed); what is left over is exported."""
_TAN_PHI = (0.20, 0.45, 0.33, 0.20)
_STATION_SERVICES = "station_services"
_HIGHEST_START_WH = 40_000_000
_DIGITS = 6

IndexArray = NDArray[np.int64]
KeyArray = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class FeederShare:
    """What the fleet needs to know of a feeder: its name (``TN07/473``), its district unit, peak load and customers."""

    name: str
    unit: str
    p_mw: float
    shares: CustomerShares


@dataclass(frozen=True, slots=True)
class Fleet:
    """Columns, shape (n,), one row per meter; do not write to them.

    key: what makes a meter itself, mixed from the seed · load_class: index into ``CLASSES`` · feeder: index into
    ``feeders`` · concentrator: index into ``concentrators``, −1 with own modem · mean_w: mean power at the meter's
    terminals over a week, W · start_*: registers at the first day · phase_us: how much earlier than its class this
    customer lives · multiplier: current transformer ratio, primary = multiplier × register · wrap_wh: where the
    registers begin again at 0.
    """

    seed: int
    feeders: tuple[FeederShare, ...]
    concentrators: tuple[str, ...]
    concentrator_feeder: IndexArray
    key: KeyArray = field(repr=False)
    serial: IndexArray = field(repr=False)
    load_class: IndexArray = field(repr=False)
    feeder: IndexArray = field(repr=False)
    concentrator: IndexArray = field(repr=False)
    mean_w: NDArray[np.float64] = field(repr=False)
    tan_phi: NDArray[np.float64] = field(repr=False)
    start_import_wh: IndexArray = field(repr=False)
    start_export_wh: IndexArray = field(repr=False)
    start_import_varh: IndexArray = field(repr=False)
    phase_us: IndexArray = field(repr=False)
    multiplier: IndexArray = field(repr=False)
    wrap_wh: IndexArray = field(repr=False)

    def __len__(self) -> int:
        return len(self.serial)

    @property
    def behind_concentrators(self) -> int:
        """How many meters, the first rows, sit behind concentrators."""
        return len(self.concentrators) * METERS_PER_CONCENTRATOR

    def unit(self, row: int) -> str:
        """District unit of a meter."""
        return self.feeders[int(self.feeder[row])].unit

    def metering_point(self, row: int) -> str:
        """Metering-point code of a meter: unit and nine digits, 13 characters, unique in the fleet."""
        return f"{self.unit(row)}{row + 1:09d}"

    def concentrator_of(self, row: int) -> str:
        """Code of the concentrator, '' for a meter with its own modem."""
        index = int(self.concentrator[row])
        return self.concentrators[index] if index >= 0 else ""

    def rows_of_feeder(self, feeder: int) -> IndexArray:
        """Rows of all meters behind a feeder, ascending."""
        behind = self.behind_concentrators
        halves = ((0, self.feeder[:behind]), (behind, self.feeder[behind:]))
        slices = [
            np.arange(start + np.searchsorted(half, feeder), start + np.searchsorted(half, feeder, side="right"))
            for start, half in halves
        ]
        return np.concatenate(slices)


def feeders_of(province: Province) -> tuple[FeederShare, ...]:
    """The feeders of all stations that supply customers, in file order; not the stations' own services.

    The stations are spread evenly over the district units.
    """
    stations = province.stations
    return tuple(
        FeederShare(load.name, UNITS[index * len(UNITS) // len(stations)], abs(load.p_mw), load.shares)
        for index, station in enumerate(stations)
        for load in station.loads
        if load.bay not in {bay.name for bay in station.bays if bay.bay_type == _STATION_SERVICES}
    )


def make_fleet(
    feeders: Sequence[FeederShare], *, meters: int = 200_000, seed: int = 1, direct_share: float = DIRECT_SHARE
) -> Fleet:
    """A fleet of ``meters`` meters, spread over the feeders in proportion to their load.

    ``direct_share`` of them have their own modem, and whoever is left over by whole concentrators. The same arguments
    give the same fleet.
    Raises ValueError when there is no feeder with load, a mix is unknown, or ``meters`` is not 1..9,999,999.
    """
    if not 1 <= meters <= 9_999_999:
        raise ValueError(f"{meters} meters; 1 to 9 999 999 are possible")
    count = round(meters * (1.0 - direct_share) / METERS_PER_CONCENTRATOR)
    customers = _customers(feeders)
    weights = customers.sum(axis=1)
    concentrator_feeder = np.repeat(np.arange(len(feeders)), _apportion(count, weights))
    direct = meters - count * METERS_PER_CONCENTRATOR
    feeder = np.concatenate(
        (
            np.repeat(concentrator_feeder, METERS_PER_CONCENTRATOR),
            np.repeat(np.arange(len(feeders)), _apportion(direct, weights)),
        )
    )
    concentrator = np.full(meters, -1)
    concentrator[: meters - direct] = np.repeat(np.arange(count), METERS_PER_CONCENTRATOR)
    row = np.arange(meters)
    key = scramble(row.astype(np.uint64) + np.uint64(scramble_number(seed)))
    load_class = _classes(customers, feeder, unit_interval(key, 1))
    generates = load_class == CLASSES.index(LoadClass.PV)
    lowest, highest = np.array(_MEAN_W, dtype=np.float64)[load_class].T
    start = np.floor(unit_interval(key, 3) * _HIGHEST_START_WH).astype(np.int64)
    tan_phi = np.array(_TAN_PHI)[load_class]
    phase_us = np.floor((unit_interval(key, 4) - 0.5) * 90 * 60e6).astype(np.int64)
    return Fleet(
        seed=seed,
        feeders=tuple(feeders),
        concentrators=tuple(f"DCU{number:05d}" for number in range(1, count + 1)),
        concentrator_feeder=concentrator_feeder,
        key=key,
        # A running number with gaps, as delivered lots have: neighbours are not next to each other by number.
        serial=2_600_000_000 + row * 7 + np.floor(unit_interval(key, 5) * 7).astype(np.int64),
        load_class=load_class,
        feeder=feeder,
        concentrator=concentrator,
        mean_w=np.floor(lowest + (highest - lowest) * unit_interval(key, 2) ** 2),
        tan_phi=tan_phi,
        start_import_wh=start,
        start_export_wh=np.where(generates, start // 2, 0),
        start_import_varh=np.floor(start * tan_phi).astype(np.int64),
        phase_us=np.where(generates, 0, phase_us),  # the sun is early for nobody
        multiplier=_multipliers(load_class, unit_interval(key, 6)),
        wrap_wh=np.full(meters, 10**_DIGITS * 1000),
    )


def scramble(words: KeyArray) -> KeyArray:
    """64-bit words whose bits look random, one for each argument (finaliser of SplitMix64, Steele et al. 2014)."""
    mixed = words ^ (words >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def scramble_number(number: int) -> int:
    """``scramble`` for one number of any size."""
    return int(scramble(np.array([number & 0xFFFF_FFFF_FFFF_FFFF], dtype=np.uint64))[0])


def unit_interval(keys: KeyArray, purpose: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each key; another ``purpose`` gives another, independent one."""
    words = scramble(keys + np.uint64(purpose * 0x9E3779B97F4A7C15 & 0xFFFF_FFFF_FFFF_FFFF))
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _apportion(count: int, weights: NDArray[np.float64]) -> IndexArray:
    """Split ``count`` in proportion to the weights by largest remainder; the parts add up exactly."""
    if not weights.size or not weights.sum() > 0.0:
        raise ValueError("no feeder has a customer: the meters have nowhere to be")
    exact = count * weights / weights.sum()
    parts: IndexArray = np.floor(exact).astype(np.int64)
    short = count - int(parts.sum())
    parts[np.argsort(parts - exact, kind="stable")[:short]] += 1
    return parts


def _customers(feeders: Sequence[FeederShare]) -> NDArray[np.float64]:
    """How many customers of each class a feeder's peak load has room for; shape (feeders, classes)."""
    shares = np.array([(s.residential, s.production, s.business, s.pv) for s in (each.shares for each in feeders)])
    mean_w = np.array([low + (high - low) / 3 for low, high in _MEAN_W])  # of a square of an even distribution: 1/3
    through = np.array([np.mean(ratios) for ratios in _MULTIPLIERS]) * (1.0, 1.0, 1.0, SOLAR_RATIO)
    peak_w = mean_w * through * [week_of(each).max() for each in CLASSES]
    p_mw = np.array([each.p_mw for each in feeders])
    customers: NDArray[np.float64] = shares.reshape(-1, len(CLASSES)) * p_mw[:, None] * 1e6 / peak_w
    return customers


def _classes(customers: NDArray[np.float64], feeder: IndexArray, chance: NDArray[np.float64]) -> IndexArray:
    bounds = (np.cumsum(customers, axis=1) / np.maximum(customers.sum(axis=1, keepdims=True), 1e-12))[feeder]
    drawn: IndexArray = np.minimum((chance[:, None] >= bounds).sum(axis=1), len(CLASSES) - 1)
    return drawn


def _multipliers(load_class: IndexArray, chance: NDArray[np.float64]) -> IndexArray:
    longest = max(len(row) for row in _MULTIPLIERS)
    table = np.array([(row * longest)[:longest] for row in _MULTIPLIERS])
    lengths = np.array([len(row) for row in _MULTIPLIERS])
    drawn: IndexArray = table[load_class, np.floor(chance * lengths[load_class]).astype(np.int64)]
    return drawn
