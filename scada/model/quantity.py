"""What a point shows, in one vocabulary: the bay types use it, the console words it, the simulator's plant computes it.

Knows for every quantity the kind of information object, the unit and, for single points, the value of a healthy bay.
Does not know where a quantity is measured (the point's ``device`` and ``terminal`` tell) or how it is transported.

Conventions. Active and reactive power are positive when they leave the busbar: out of the station on a line or feeder,
into the transformer on its 110 kV side, hence negative on its 35 and 22 kV sides; a coupler's are positive from the
first busbar to the second. ``export`` counts what leaves the busbar, ``import`` what enters it. Currents are the
magnitude per phase, voltages are line to line. Protection signals are 1 while the function has picked up or holds its
trip; ``Fnn`` are the device function numbers of IEEE C37.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from scada.model.point import PointKind


class Role(StrEnum):
    """What a quantity is to the person reading it."""

    POSITION = "position"
    MEASUREMENT = "measurement"
    COUNTER = "counter"
    PROTECTION = "protection"
    STATUS = "status"


class Quantity(StrEnum):
    """Every quantity a point of a substation may show."""

    POSITION = "position"
    TAP_POSITION = "tap_position"

    CURRENT_L1 = "current_l1"
    CURRENT_L2 = "current_l2"
    CURRENT_L3 = "current_l3"
    RESIDUAL_CURRENT = "residual_current"
    VOLTAGE_L12 = "voltage_l12"
    VOLTAGE_L23 = "voltage_l23"
    VOLTAGE_L31 = "voltage_l31"
    RESIDUAL_VOLTAGE = "residual_voltage"
    ACTIVE_POWER = "active_power"
    REACTIVE_POWER = "reactive_power"
    POWER_FACTOR = "power_factor"
    FREQUENCY = "frequency"
    FAULT_DISTANCE = "fault_distance"
    OIL_TEMPERATURE = "oil_temperature"
    WINDING_TEMPERATURE = "winding_temperature"
    AMBIENT_TEMPERATURE = "ambient_temperature"
    ROOM_TEMPERATURE = "room_temperature"
    DC_VOLTAGE = "dc_voltage"
    DC_CURRENT = "dc_current"
    AUXILIARY_VOLTAGE = "auxiliary_voltage"
    VOLTAGE_SET_POINT = "voltage_set_point"

    ENERGY_IMPORT = "energy_import"
    ENERGY_EXPORT = "energy_export"
    REACTIVE_ENERGY_IMPORT = "reactive_energy_import"
    REACTIVE_ENERGY_EXPORT = "reactive_energy_export"
    OPERATIONS_COUNTER = "operations_counter"

    F21_ZONE_1 = "f21_zone_1"
    F21_ZONE_2 = "f21_zone_2"
    F21_ZONE_3 = "f21_zone_3"
    F27 = "f27"
    F49 = "f49"
    F50 = "f50"
    F51 = "f51"
    F50N = "f50n"
    F51N = "f51n"
    F50BF = "f50bf"
    F59 = "f59"
    F59N = "f59n"
    F67 = "f67"
    F67N = "f67n"
    F81 = "f81"
    F86 = "f86"
    F87L = "f87l"
    F87N = "f87n"
    F87T = "f87t"
    AUTORECLOSE_IN_PROGRESS = "autoreclose_in_progress"
    AUTORECLOSE_LOCKOUT = "autoreclose_lockout"
    BUCHHOLZ_ALARM = "buchholz_alarm"
    BUCHHOLZ_TRIP = "buchholz_trip"
    OLTC_BUCHHOLZ_TRIP = "oltc_buchholz_trip"
    PRESSURE_RELIEF = "pressure_relief"
    OIL_TEMPERATURE_ALARM = "oil_temperature_alarm"
    OIL_TEMPERATURE_TRIP = "oil_temperature_trip"
    WINDING_TEMPERATURE_ALARM = "winding_temperature_alarm"
    WINDING_TEMPERATURE_TRIP = "winding_temperature_trip"

    LOCAL_REMOTE = "local_remote"
    AUTORECLOSE_ON = "autoreclose_on"
    SYNCHROCHECK_RELEASED = "synchrocheck_released"
    SPRING_NOT_CHARGED = "spring_not_charged"
    SF6_LOW = "sf6_low"
    SF6_LOCKOUT = "sf6_lockout"
    VACUUM_FAULT = "vacuum_fault"
    TRIP_CIRCUIT_FAULT = "trip_circuit_fault"
    CONTROL_SUPPLY_FAULT = "control_supply_fault"
    MOTOR_SUPPLY_FAULT = "motor_supply_fault"
    VT_MCB_TRIPPED = "vt_mcb_tripped"
    PROTECTION_RELAY_FAULT = "protection_relay_fault"
    PROTECTION_LINK_FAULT = "protection_link_fault"
    BAY_UNIT_FAULT = "bay_unit_fault"
    EARTH_FAULT_INDICATED = "earth_fault_indicated"
    OIL_LEVEL_LOW = "oil_level_low"
    OLTC_OIL_LEVEL_LOW = "oltc_oil_level_low"
    OLTC_IN_PROGRESS = "oltc_in_progress"
    OLTC_FAULT = "oltc_fault"
    OLTC_LOCAL_REMOTE = "oltc_local_remote"
    OLTC_AUTOMATIC = "oltc_automatic"
    FANS_RUNNING = "fans_running"
    COOLING_FAULT = "cooling_fault"
    AUXILIARY_SUPPLY_LOST = "auxiliary_supply_lost"
    AUXILIARY_CHANGEOVER_AUTOMATIC = "auxiliary_changeover_automatic"
    BATTERY_CHARGER_FAULT = "battery_charger_fault"
    DC_EARTH_FAULT = "dc_earth_fault"
    DC_VOLTAGE_LOW = "dc_voltage_low"
    INVERTER_FAULT = "inverter_fault"
    FIRE_DETECTED = "fire_detected"
    FIRE_SYSTEM_FAULT = "fire_system_fault"
    FIRE_PUMP_RUNNING = "fire_pump_running"
    DOOR_OPEN = "door_open"
    INTRUSION = "intrusion"
    FLOODING = "flooding"
    AIR_CONDITIONING_FAULT = "air_conditioning_fault"
    LIGHTING_ON = "lighting_on"
    RTU_FAULT = "rtu_fault"
    RTU_SUPPLY_FAULT = "rtu_supply_fault"
    GPS_CLOCK_FAULT = "gps_clock_fault"
    NETWORK_FAULT = "network_fault"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a quantity is: its role, the kind of information object, its unit.

    ``normal`` is the value of a single point while nothing is wrong (``local_remote`` 1 = remote); 0.0 for all others.
    """

    role: Role
    kind: PointKind
    unit: str = ""
    normal: float = 0.0


def _measured(**units: str) -> dict[Quantity, Meaning]:
    return {Quantity(name): Meaning(Role.MEASUREMENT, PointKind.MEASURED_VALUE, unit) for name, unit in units.items()}


def _single(role: Role, first: Quantity, last: Quantity) -> dict[Quantity, Meaning]:
    names = list(Quantity)
    run = names[names.index(first) : names.index(last) + 1]
    return {name: Meaning(role, PointKind.SINGLE_POINT, "", 1.0 if name in _NORMALLY_ONE else 0.0) for name in run}


_NORMALLY_ONE = frozenset(
    {
        Quantity.LOCAL_REMOTE,
        Quantity.AUTORECLOSE_ON,
        Quantity.SYNCHROCHECK_RELEASED,
        Quantity.OLTC_LOCAL_REMOTE,
        Quantity.OLTC_AUTOMATIC,
        Quantity.AUXILIARY_CHANGEOVER_AUTOMATIC,
    }
)

MEANINGS: Mapping[Quantity, Meaning] = MappingProxyType(
    {
        Quantity.POSITION: Meaning(Role.POSITION, PointKind.DOUBLE_POINT),
        Quantity.TAP_POSITION: Meaning(Role.POSITION, PointKind.STEP_POSITION),
        **_measured(
            current_l1="A",
            current_l2="A",
            current_l3="A",
            residual_current="A",
            voltage_l12="kV",
            voltage_l23="kV",
            voltage_l31="kV",
            residual_voltage="kV",
            active_power="MW",
            reactive_power="Mvar",
            power_factor="",
            frequency="Hz",
            fault_distance="km",
            oil_temperature="°C",
            winding_temperature="°C",
            ambient_temperature="°C",
            room_temperature="°C",
            dc_voltage="V",
            dc_current="A",
            auxiliary_voltage="V",
            voltage_set_point="kV",
        ),
        Quantity.ENERGY_IMPORT: Meaning(Role.COUNTER, PointKind.INTEGRATED_TOTAL, "kWh"),
        Quantity.ENERGY_EXPORT: Meaning(Role.COUNTER, PointKind.INTEGRATED_TOTAL, "kWh"),
        Quantity.REACTIVE_ENERGY_IMPORT: Meaning(Role.COUNTER, PointKind.INTEGRATED_TOTAL, "kvarh"),
        Quantity.REACTIVE_ENERGY_EXPORT: Meaning(Role.COUNTER, PointKind.INTEGRATED_TOTAL, "kvarh"),
        Quantity.OPERATIONS_COUNTER: Meaning(Role.COUNTER, PointKind.INTEGRATED_TOTAL),
        **_single(Role.PROTECTION, Quantity.F21_ZONE_1, Quantity.WINDING_TEMPERATURE_TRIP),
        **_single(Role.STATUS, Quantity.LOCAL_REMOTE, Quantity.NETWORK_FAULT),
    }
)
"""The meaning of every quantity; a test holds it complete."""
