"""Reads every register of a station's map once and judges what came. Commands are never touched.

Knows the link. Does not know what is plausible.
"""

from scada.model.errors import LinkError
from scada.model.ports import Clock
from scada.model.station import Endpoint
from substations.modbus import ModbusLink
from substations.polling import ReadBlock, halves, plan_reads
from substations.registers import StationRegisters
from substations.verification import Finding, Verification, Weight, judge_registers


async def verify(endpoint: Endpoint, registers: StationRegisters, now: Clock) -> Verification:
    """What does not fit between the map and the device. Raises LinkError when the station cannot be reached."""
    link = ModbusLink(endpoint, registers, now)
    findings: list[Finding] = []
    checked = 0
    await link.open()
    try:
        for read in plan_reads(registers.points):
            found = await _verify_block(link, read)
            findings += found
            checked += len(read.entries)
    finally:
        await link.close()
    return Verification(checked, tuple(findings))


async def _verify_block(link: ModbusLink, read: ReadBlock) -> list[Finding]:
    where = read.place
    try:
        raw = await link.raw(read)
    except LinkError as error:
        await link.open()
        return [Finding(Weight.FAULT, where, f"{error}; {len(read.entries)} points")]
    if not isinstance(raw, str):
        return judge_registers(read, raw)
    parts = halves(read)
    if not parts:
        return [Finding(Weight.FAULT, read.entries[0].point.name, f"{where}: {raw}")]
    found = [each for part in parts for each in await _verify_block(link, part)]
    if not found:
        found.append(Finding(Weight.FAULT, where, f"{raw} for the whole, not for its parts: the map's gap is too wide"))
    return found
