"""Scanning at full depth: the province at its periods and at its limit, then five provinces at once.

Phases, each selectable with ``--phases``:

- province: 21 stations at their periods (cycle, overruns, share of a core), then the Modbus stations saturated, in turn
  with a bare client that makes the same reads and has neither image nor historian;
- many: 105 stations of about 630 points from five simulators at once, on this machine: how far it gets. It needs a
  gigabyte and a half and a minute to start.
"""

import asyncio
import time
from collections.abc import Collection
from contextlib import AsyncExitStack

from tests.bench._field import RunningField, simulated_field
from tests.bench._house import House, private_services
from tests.bench._pipe import telemetry_pipe, telemetry_sink, unaccounted
from tests.bench._saturation import saturate
from tests.bench.result import Result, say

SECONDS = 40.0
PROVINCES = 5
PHASES = ("province", "many")


async def run(seconds: float | None, phases: Collection[str] = ("province", "many")) -> Result:
    """A quarter of ``seconds`` for each measured part; ``many`` takes half."""
    span = seconds or SECONDS
    result = Result("scan")
    with private_services() as house:
        if "province" in phases:
            async with simulated_field(house.folder) as field:
                await _at_its_periods(house, [field], span / 4, result, prefix="")
                await _saturated(house, field, span / 4, result)
        if "many" in phases:
            async with AsyncExitStack() as stack:
                fields = []
                for number in range(PROVINCES):
                    folder = house.folder / f"province-{number}"
                    folder.mkdir()
                    fields.append(await stack.enter_async_context(simulated_field(folder)))
                await _at_its_periods(house, fields, span / 2, result, prefix="many_")
    return result


async def _at_its_periods(
    house: House, fields: list[RunningField], seconds: float, result: Result, *, prefix: str
) -> None:
    async with AsyncExitStack() as stack:
        pipes = [
            await stack.enter_async_context(telemetry_pipe(house, field, index)) for index, field in enumerate(fields)
        ]
        for pipe in pipes:
            await pipe.until_up()
        for pipe in pipes:
            pipe.laps.clear()
        received, overruns = sum(pipe.samples for pipe in pipes), sum(pipe.overruns for pipe in pipes)
        begun, cpu = time.monotonic(), time.process_time()
        field_cpu = sum(field.cpu_s() for field in fields)
        await asyncio.sleep(seconds)
        elapsed, cpu = time.monotonic() - begun, time.process_time() - cpu
        figures = {
            "stations": sum(len(field.stations) for field in fields),
            "points": sum(field.points for field in fields),
            "samples_per_s": (sum(pipe.samples for pipe in pipes) - received) / elapsed,
            "cycle_p99_s": max(pipe.laps.duration_s(0.99) for pipe in pipes),
            "cycle_jitter_p99_s": max(pipe.laps.jitter_s(0.99) for pipe in pipes),
            "overruns": sum(pipe.overruns for pipe in pipes) - overruns,
            "cpu_share": cpu / elapsed,
            "field_cpu_share": (sum(field.cpu_s() for field in fields) - field_cpu) / elapsed,
        }
    result.figures |= {prefix + name: value for name, value in figures.items()}
    result.lost += sum(unaccounted(pipe.sink.stats()) for pipe in pipes)
    say(f"{figures['stations']} stations: {figures['samples_per_s']:,.0f} samples/s, {figures['overruns']} overruns")


async def _saturated(house: House, field: RunningField, seconds: float, result: Result) -> None:
    async with telemetry_sink(house) as sink:
        found = await saturate(field, sink, seconds=seconds)
    result.figures |= {
        "points_per_s": found.pipe.points_per_s,
        "cpu_us_per_point": found.pipe.cpu_us_per_point,
        "saturated_field_cpu_share": found.field_cpu_share,
    }
    result.limits |= {
        "points_per_s": found.bare.points_per_s,
        "bare_cpu_us_per_point": found.bare.cpu_us_per_point,
    }
    result.ratios |= {
        "scan_vs_bare": found.pipe.points_per_s / found.bare.points_per_s,
        "scan_vs_bare_by_cpu": found.bare.cpu_us_per_point / found.pipe.cpu_us_per_point,
    }
    result.lost += unaccounted(sink.stats())
    say(f"saturated: {found.pipe.points_per_s:,.0f} points/s, bare {found.bare.points_per_s:,.0f}")
