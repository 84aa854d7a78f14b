# ruff: noqa: E501  # TOML keeps a table on its line
"""A province of two stations, small enough to be computed by hand: a supply at A01, a line to A02 and a load there.

A01 also has a transformer T1 and a coupler 312 between its two 35 kV busbars, one of which has a feeder.
"""

from pathlib import Path

LINE = """\
title_vi = "Đường dây"
title_en = "Line"
voltage_kv = 110.0
busbars = [{ slot = "bus", voltage_kv = 110.0 }]
nodes = ["inside", "line"]
devices = [
  { name = "{bay}", kind = "circuit_breaker", nodes = ["bus", "inside"], normal = "closed" },
  { name = "{bay}-7", kind = "disconnector", nodes = ["inside", "line"], normal = "closed" },
  { name = "{bay}-76", kind = "earthing_switch", nodes = ["line"], normal = "open" },
]
terminals = [{ name = "line", kind = "line", node = "line" }]
points = [
  { number = 1, name = "{bay}.position", quantity = "position", device = "{bay}", vi = "Máy cắt {bay}", en = "Breaker {bay}" },
  { number = 2, name = "{bay}-7.position", quantity = "position", device = "{bay}-7", vi = "Dao {bay}-7", en = "{bay}-7" },
  { number = 3, name = "{bay}-76.position", quantity = "position", device = "{bay}-76", vi = "{bay}-76", en = "{bay}-76" },
  { number = 9, name = "active_power", quantity = "active_power", terminal = "line", vi = "P", en = "P", deadband = 0.5, low = -9.0, high = 9.0 },
]
commands = [
  { name = "{bay}.operate", device = "{bay}", kind = "double_command", select = true, return_information = "{bay}.position" },
]
"""

FEEDER = """\
title_vi = "Xuất tuyến"
title_en = "Feeder"
voltage_kv = {kv}
busbars = [{ slot = "bus", voltage_kv = {kv} }]
nodes = ["feeder"]
devices = [{ name = "{bay}", kind = "circuit_breaker", nodes = ["bus", "feeder"], normal = "closed" }]
terminals = [{ name = "load", kind = "load", node = "feeder" }]
points = [{ number = 1, name = "{bay}.position", quantity = "position", device = "{bay}", vi = "{bay}", en = "{bay}" }]
commands = []
"""

COUPLER = """\
title_vi = "Phân đoạn"
title_en = "Coupler"
voltage_kv = 35.0
busbars = [{ slot = "first", voltage_kv = 35.0 }, { slot = "second", voltage_kv = 35.0 }]
nodes = []
devices = [{ name = "{bay}", kind = "circuit_breaker", nodes = ["first", "second"], normal = "closed" }]
terminals = [{ name = "coupler", kind = "busbar", node = "first", busbar = "first" }]
points = [{ number = 1, name = "{bay}.position", quantity = "position", device = "{bay}", vi = "{bay}", en = "{bay}" }]
commands = []
"""

TRANSFORMER = """\
title_vi = "Máy biến áp"
title_en = "Transformer"
voltage_kv = 110.0
transformer = true
busbars = [
  { slot = "hv", voltage_kv = 110.0 },
  { slot = "mv", voltage_kv = 35.0 },
  { slot = "lv", voltage_kv = 22.0 },
]
nodes = ["hv_winding", "mv_winding", "lv_winding"]
devices = [
  { name = "13{unit}", kind = "circuit_breaker", nodes = ["hv", "hv_winding"], normal = "closed" },
  { name = "33{unit}", kind = "circuit_breaker", voltage_kv = 35.0, nodes = ["mv", "mv_winding"], normal = "closed" },
  { name = "43{unit}", kind = "circuit_breaker", voltage_kv = 22.0, nodes = ["lv", "lv_winding"], normal = "closed" },
  { name = "43{unit}-38", kind = "earthing_switch", voltage_kv = 22.0, nodes = ["lv_winding"], normal = "open" },
]
terminals = [
  { name = "hv", kind = "winding", node = "hv_winding" },
  { name = "mv", kind = "winding", voltage_kv = 35.0, node = "mv_winding" },
  { name = "lv", kind = "winding", voltage_kv = 22.0, node = "lv_winding" },
]
points = [
  { number = 1, name = "hv.position", quantity = "position", device = "13{unit}", vi = "1", en = "1" },
  { number = 2, name = "mv.position", quantity = "position", device = "33{unit}", vi = "2", en = "2" },
  { number = 3, name = "lv.position", quantity = "position", device = "43{unit}", vi = "3", en = "3" },
  { number = 4, name = "earth.position", quantity = "position", device = "43{unit}-38", vi = "4", en = "4" },
  { number = 5, name = "tap", quantity = "tap_position", device = "{bay}", vi = "5", en = "5" },
]
commands = [{ name = "tap.operate", device = "{bay}", kind = "regulating_step", select = false, return_information = "tap" }]
"""

A01 = """\
code = "A01"
common_address = 1
title_vi = "Trạm một"
title_en = "Station one"
busbars = [
  { name = "C11", voltage_kv = 110.0 },
  { name = "C31", voltage_kv = 35.0 },
  { name = "C32", voltage_kv = 35.0 },
  { name = "C41", voltage_kv = 22.0 },
]
transformers = [{ name = "T1", rated_mva = 40.0, tap_low = 1, tap_high = 19, tap_neutral = 10, tap_step_percent = 1.78 }]

[endpoint]
protocol = "modbus"
host = "127.0.0.1"
port = 15001

[[bay]]
type = "line"
name = "171"
number = 11
map = "line.modbus"
base = 100
busbars = ["C11"]

[[bay]]
type = "transformer"
name = "T1"
number = 5
map = "transformer.modbus"
base = 200
busbars = ["C11", "C31", "C41"]

[[bay]]
type = "coupler"
name = "312"
number = 3
map = "coupler.modbus"
base = 300
busbars = ["C31", "C32"]

[[bay]]
type = "feeder_35"
name = "372"
number = 22
map = "feeder_35.modbus"
base = 400
busbars = ["C32"]
load = { p_mw = 8.0, q_mvar = 2.0, shares = { residential = 0.7, production = 0.2, business = 0.1 } }
"""

A02 = """\
code = "A02"
common_address = 2
title_vi = "Trạm hai"
title_en = "Station two"
busbars = [{ name = "C11", voltage_kv = 110.0 }]
transformers = []

[endpoint]
protocol = "opcua"
security = "None"
host = "127.0.0.1"
port = 15002
path = "/A02"

[[bay]]
type = "line"
name = "171"
number = 11
map = "line.opcua"
busbars = ["C11"]

[[bay]]
type = "feeder_110"
name = "173"
number = 13
map = "feeder_110.opcua"
busbars = ["C11"]
load = { p_mw = 30.0, q_mvar = 10.0, shares = { production = 1.0 } }
"""

PROVINCE = """\
conductors = [{ name = "thin", r_ohm_per_km = 0.4, x_ohm_per_km = 1.0, b_us_per_km = 0.0, rated_a = 300.0 }]
lines = [{ name = "A01-A02", ends = ["A01/171", "A02/171"], length_km = 10.0, conductor = "thin" }]
infeeds = [{ name = "supply", busbar = "A01/C11", p_mw = 40.0, target_kv = 115.0, slack = true }]
"""

FILES = {
    "baytypes/line.toml": LINE,
    "baytypes/feeder_110.toml": FEEDER.replace("{kv}", "110.0"),
    "baytypes/feeder_35.toml": FEEDER.replace("{kv}", "35.0"),
    "baytypes/coupler.toml": COUPLER,
    "baytypes/transformer.toml": TRANSFORMER,
    "stations/A01.toml": A01,
    "stations/A02.toml": A02,
    "province.toml": PROVINCE,
}


def write_province(folder: Path) -> Path:
    """The files of the small province, in ``folder``."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def edit(folder: Path, name: str, old: str, new: str) -> None:
    """Replace the first ``old`` in a file; it must be there."""
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {name}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
