"""Scanning at full depth: the province at its periods and at its limit, then a hundred stations at once.

Phases, each selectable with ``--phases``:

- province: 21 simulated stations at their periods: cycle, overruns, share of a core;
- limit: the 12 Modbus stations, read as fast as they answer, in turn with a bare client of the library that makes the
  same requests and has neither image nor historian, and with the adapter's own connection alone. A lean process answers
  for them: the simulators would be what is measured;
- opcua: processor time of one OPC UA data change, against asyncua's own handler on the same server;
- many: 100 stations of 1,000 points or a little more at their periods of 1, 5 and 10 s, on this machine, the lean
  process that answers for them included: how far it gets.
"""

import asyncio
import time
from collections.abc import Collection

from tests.bench._field import RunningField, simulated_field, still_field
from tests.bench._house import House, private_services
from tests.bench._opcua_cpu import compare
from tests.bench._pipe import telemetry_pipe, telemetry_sink, unaccounted
from tests.bench._saturation import saturate
from tests.bench.result import Result, say

SECONDS = 60.0
PHASES = ("province", "limit", "opcua", "many")
MODBUS_STATIONS = 12
MANY, MANY_POINTS = 100, 1_000


async def run(seconds: float | None, phases: Collection[str] = PHASES) -> Result:
    """An equal share of ``seconds`` for each phase."""
    span = (seconds or SECONDS) / len(PHASES)
    result = Result("scan")
    with private_services() as house:
        if "province" in phases:
            async with simulated_field(house.folder) as field:
                await _at_its_periods(house, field, span, result, prefix="")
        if "limit" in phases:
            async with still_field(MODBUS_STATIONS) as field:
                await _saturated(house, field, span, result)
        if "opcua" in phases:
            await _opcua_cpu(house, span, result)
        if "many" in phases:
            async with still_field(MANY, MANY_POINTS) as field:
                await _at_its_periods(house, field, span, result, prefix="many_")
    return result


async def _at_its_periods(house: House, field: RunningField, seconds: float, result: Result, *, prefix: str) -> None:
    async with telemetry_pipe(house, field) as pipe:
        await pipe.until_up()
        pipe.laps.clear()
        received, overruns = pipe.samples, pipe.overruns
        begun, cpu, field_cpu = time.monotonic(), time.process_time(), field.cpu_s()
        await asyncio.sleep(seconds)
        elapsed, cpu = time.monotonic() - begun, time.process_time() - cpu
        figures = {
            "stations": len(field.stations),
            "points": field.points,
            "samples_per_s": (pipe.samples - received) / elapsed,
            "cycle_p99_s": pipe.laps.duration_s(0.99),
            "cycle_jitter_p99_s": pipe.laps.jitter_s(0.99),
            "overruns": pipe.overruns - overruns,
            "cpu_share": cpu / elapsed,
            "field_cpu_share": (field.cpu_s() - field_cpu) / elapsed,
        }
    result.figures |= {prefix + name: value for name, value in figures.items()}
    result.lost += unaccounted(pipe.sink.stats())
    say(f"{figures['stations']} stations: {figures['samples_per_s']:,.0f} samples/s, {figures['overruns']} overruns")


async def _opcua_cpu(house: House, seconds: float, result: Result) -> None:
    for kind, suffix in (("double", ""), ("mixed", "_mixed")):
        ours, theirs = await compare(house.folder, kind, seconds / 2)
        result.figures[f"opcua_cpu_us_per_change{suffix}"] = ours.us_per_change
        result.limits[f"opcua_handler_cpu_us_per_change{suffix}"] = theirs.us_per_change
        result.ratios[f"opcua_cpu_vs_handler{suffix}"] = ours.us_per_change / theirs.us_per_change
        say(f"OPC UA, {kind}: {ours.us_per_change:.2f} µs a change, asyncua's handler {theirs.us_per_change:.2f} µs")


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
        "reads_points_per_s": found.reads.points_per_s,
    }
    result.ratios |= {
        "scan_vs_reads": found.pipe.points_per_s / found.reads.points_per_s,
        "scan_vs_bare": found.pipe.points_per_s / found.bare.points_per_s,
        "scan_vs_bare_by_cpu": found.bare.cpu_us_per_point / found.pipe.cpu_us_per_point,
    }
    result.lost += unaccounted(sink.stats())
    say(f"saturated: {found.pipe.points_per_s:,.0f} points/s, bare {found.bare.points_per_s:,.0f}")
