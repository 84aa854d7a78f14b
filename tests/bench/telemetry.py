"""The telemetry pipe: 21 simulated stations at their periods, then the pipe's two ends at their limits.

- at its periods: samples received and stored, scan durations, overruns, the scanning process' share of a core;
- saturated: the Modbus stations, answered for by a lean process, read as fast as they answer, against a bare client
  that makes the same requests;
- stored: samples through sink and store, against binary COPY of the same rows into the same table.

Everything offered must be stored: lost = offered less what the table holds.
"""

import asyncio
import time

import numpy as np
import psycopg
from numpy.typing import NDArray

from historian.batching import sort_by
from historian.copyformat import SAMPLE_COPY, encode
from historian.queries import query
from scada.clock import now_us
from scada.model.cause import Cause
from scada.model.sample import SampleArray, samples
from tests.bench._field import RunningField, simulated_field, still_field
from tests.bench._house import House, private_services
from tests.bench._pipe import telemetry_pipe, telemetry_sink, unaccounted
from tests.bench._saturation import saturate
from tests.bench.result import Result, say

SECONDS = 20.0
BATCH = 10_000
MODBUS_STATIONS = 12


async def run(seconds: float | None) -> Result:
    """Half of ``seconds`` at the stations' periods, half saturated; the historian's part takes as long as it takes."""
    span = seconds or SECONDS
    result = Result("telemetry")
    with private_services() as house:
        async with simulated_field(house.folder) as field:
            await _at_its_periods(house, field, span / 2, result)
        async with still_field(MODBUS_STATIONS) as field:
            await _saturated(house, field, span / 2, result)
        await _stored(house, rows=int(min(500_000, 25_000 * span)), result=result)
    return result


async def _at_its_periods(house: House, field: RunningField, seconds: float, result: Result) -> None:
    async with telemetry_pipe(house, field) as pipe:
        await pipe.until_up()
        pipe.laps.clear()
        received, stored, overruns = pipe.samples, pipe.sink.stats().stored, pipe.overruns
        begun, cpu = time.monotonic(), time.process_time()
        await asyncio.sleep(seconds)
        elapsed, cpu = time.monotonic() - begun, time.process_time() - cpu
        result.figures |= {
            "stations": len(field.stations),
            "points": field.points,
            "samples_per_s": (pipe.samples - received) / elapsed,
            "stored_samples_per_s": (pipe.sink.stats().stored - stored) / elapsed,
            "cycle_p50_s": pipe.laps.duration_s(0.5),
            "cycle_p99_s": pipe.laps.duration_s(0.99),
            "cycle_jitter_p99_s": pipe.laps.jitter_s(0.99),
            "overruns": pipe.overruns - overruns,
            "cpu_share": cpu / elapsed,
        }
    _account(house, unaccounted(pipe.sink.stats()), pipe.sink.stats().offered, result)
    say(
        f"at its periods: {result.figures['samples_per_s']:,.0f} samples/s, {result.figures['cpu_share']:.1%} of a core"
    )


async def _saturated(house: House, field: RunningField, seconds: float, result: Result) -> None:
    async with telemetry_sink(house) as sink:
        found = await saturate(field, sink, seconds=seconds)
    result.figures |= {
        "points_per_s": found.pipe.points_per_s,
        "cpu_us_per_point": found.pipe.cpu_us_per_point,
        "field_cpu_share": found.field_cpu_share,
    }
    result.limits |= {
        "bare_points_per_s": found.bare.points_per_s,
        "bare_cpu_us_per_point": found.bare.cpu_us_per_point,
    }
    result.ratios |= {
        "pipe_vs_bare": found.pipe.points_per_s / found.bare.points_per_s,
        "pipe_vs_bare_by_cpu": found.bare.cpu_us_per_point / found.pipe.cpu_us_per_point,
    }
    _account(house, unaccounted(sink.stats()), sink.stats().offered, result)
    say(f"saturated: {found.pipe.points_per_s:,.0f} points/s, bare {found.bare.points_per_s:,.0f}")


async def _stored(house: House, rows: int, result: Result) -> None:
    """In turns: one part through sink and store, one part by plain COPY, rows of the same shape."""
    sink_s = copy_s = 0.0
    offered = 0
    rounds = 4
    for number in range(rounds):
        batch = _synthetic(rows // rounds, number)
        begun = time.monotonic()
        async with telemetry_sink(house) as sink:
            for piece in _pieces(batch):
                sink.offer(piece)
        sink_s += time.monotonic() - begun
        offered += len(batch)
        _account(house, unaccounted(sink.stats()), len(batch), result)
        begun = time.monotonic()
        _copy(house, _synthetic(rows // rounds, number + rounds))
        copy_s += time.monotonic() - begun
        _forget_samples(house)
    result.figures["store_rows_per_s"] = offered / sink_s
    result.limits["copy_rows_per_s"] = offered / copy_s
    result.ratios["store_vs_copy"] = copy_s / sink_s
    say(f"stored: {offered / sink_s:,.0f} rows/s, plain COPY {offered / copy_s:,.0f}")


def _account(house: House, unstored: int, offered: int, result: Result) -> None:
    """Compare with the table itself, and empty it for the next part."""
    found = house.number("SELECT count(*) FROM sample")
    result.lost += max(unstored, offered - found, 0)
    result.duplicated += max(found - offered, 0)
    result.figures["samples_offered"] = result.figures.get("samples_offered", 0.0) + offered
    _forget_samples(house)


def _forget_samples(house: House) -> None:
    with psycopg.connect(house.dsn) as connection:
        connection.execute("TRUNCATE sample")


def _synthetic(rows: int, part: int) -> SampleArray:
    """One scan of 10,000 points a second; each part an own hour of today."""
    each = np.arange(rows, dtype=np.int64)
    hour = now_us() // 86_400_000_000 * 86_400_000_000 + part * 3_600_000_000
    points: NDArray[np.int32] = (each % BATCH + 1).astype(np.int32)
    return samples(points, hour + each // BATCH * 1_000_000, each.astype(np.float64), 0, Cause.SPONTANEOUS)


def _pieces(batch: SampleArray) -> list[SampleArray]:
    return np.array_split(batch, max(1, len(batch) // BATCH))


def _copy(house: House, batch: SampleArray) -> None:
    with psycopg.connect(house.dsn, autocommit=True) as connection:
        for piece in _pieces(batch):
            with connection.cursor() as cursor, cursor.copy(query("copy_samples")) as copy:
                copy.write(encode(sort_by(piece, "point", "time"), SAMPLE_COPY))
