"""Compiles Verilog and a C++ main program - the bench, the simulated device - once for each content."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from xnorhw.ir.errors import ToolError, XnorhwError
from xnorhw.sim.once import content_folder, made_once
from xnorhw.sim.tools import require_tools, verilator_environment

__all__ = ["compile_bench", "compile_device", "read_sources", "write_memories"]

TOP = "xh_bench"
_FLAGS = (
    # a count of ones instead of the adders that it stands for: proved equal, and many times faster
    *("+define+XH_COUNTONES", "--no-timing", "-Wno-fatal", "-Werror-USERERROR"),
    # a layer of 4,096 channels has constants of more than 64 kbit
    *("--max-num-width", "1048576"),
    *("--x-assign", "unique", "--x-initial", "unique"),
)
# without it a count of ones is a table's work; there is no x86-64 without it since 2008
_POPCNT = ("-CFLAGS", "-mpopcnt") if platform.machine().lower() in ("x86_64", "amd64") else ()
_SHOWN_LINES = 12
_FOLDERS = ("rom", "rtl", "sim", "hls", "hls/sim")
_SUFFIXES = (".sv", ".v", ".f", ".cpp", ".h", ".mem", ".json", ".py")


def read_sources(build: Path) -> dict[str, str]:
    """The sources in a build's rtl/, rom/, sim/ and hls/: path inside it -> text, as the emitters give it.

    Vectors and what runs left behind are not read.
    """
    result: dict[str, str] = {}
    for folder in _FOLDERS:
        # a folder from before there was a C++ core has none
        for file in sorted((build / folder).iterdir()) if (build / folder).is_dir() else ():
            if file.is_file() and (file.suffix in _SUFFIXES or file.name == "Makefile"):
                result[f"{folder}/{file.name}"] = file.read_text(encoding="utf-8")
    return result


def _present(files: Mapping[str, str], path: str) -> str:
    if path not in files:
        raise XnorhwError(
            f"the build is damaged: {path} is missing", module=path, remedy="Build again with xnorhw build"
        )
    return files[path]


def _listed(files: Mapping[str, str]) -> dict[str, str]:
    """Bare name -> text of the RTL, in the order of its list."""
    names = _present(files, "rtl/files.f").split()
    return {name: _present(files, f"rtl/{name}") for name in names}


def _verilog(files: Mapping[str, str]) -> dict[str, str]:
    """Bare name -> text of the Verilog: the RTL in the order of its list, then the bench's."""
    result = _listed(files)
    for path in sorted(files):
        if path.startswith("sim/") and path.endswith(".sv"):
            result[path.removeprefix("sim/")] = files[path]
    return result


def write_memories(files: Mapping[str, str], folder: Path) -> None:
    """Put the ROM files where a simulation finds them: in its working directory."""
    for path, text in files.items():
        if path.startswith("rom/") and path.endswith(".mem"):
            (folder / path.removeprefix("rom/")).write_text(text, encoding="utf-8", newline="\n")


def compile_bench(
    files: Mapping[str, str], work: Path, *, waves: bool = False, assertions: bool = True
) -> Path:
    """The program that simulates ``files``, compiled in ``work`` or found there.

    ``files`` is what the RTL and the bench emitters give.  The program's folder is named
    after everything that it is made of, and appears whole or not at all, so several
    processes may share ``work``.  Memory files are read at run time and are no part of it.
    ``assertions``: check the rules of the streams inside.

    Raises ToolError where a tool is missing or the compilation fails (with its last lines).
    """
    require_tools()
    environment = verilator_environment()
    flags = ["--top-module", TOP, "--prefix", "Vbench", *_FLAGS, *_POPCNT]
    flags += ["--assert" if assertions else "--no-assert", *(["--trace-fst"] if waves else [])]
    verilog = _verilog(files)
    cpp = {"main.cpp": _present(files, "sim/bench.cpp")}
    # a build from before there was a collector writes its words down as text
    if "sim/xh_collect.h" in files:
        flags.append("+define+XH_COLLECT")
        cpp["xh_collect.h"] = files["sim/xh_collect.h"]
    target = content_folder(work, "bench", (flags, environment.get("VERILATOR_ROOT", "")), {**cpp, **verilog})
    return _build(target, "bench", flags, cpp, verilog, environment)


def compile_device(files: Mapping[str, str], work: Path, *, prefix: str = "accel") -> Path:
    """The program of the simulated device: the packaged IP, whose top is called ``prefix``, and its DMA.

    As ``compile_bench``; a program that is there already is used without any tool, so that
    an environment without a simulator runs what another one compiled.
    """
    flags = ["--top-module", prefix, "--prefix", "Vdevice", "--assert", *_FLAGS, *_POPCNT]
    verilog = _listed(files)
    cpp = {"main.cpp": _present(files, "sim/device.cpp"), "xh_dma.h": _present(files, "sim/xh_dma.h")}
    target = content_folder(work, "device", (flags,), {**cpp, **verilog})
    if not target.is_dir():
        require_tools()
    return _build(target, "device", flags, cpp, verilog, verilator_environment())


def _build(
    target: Path,
    program: str,
    flags: list[str],
    cpp: Mapping[str, str],
    verilog: Mapping[str, str],
    environment: dict[str, str],
) -> Path:
    def making(here: Path, fresh: Path) -> None:
        _compile(here, program, flags, list(verilog), environment)
        shutil.copy(here / program, fresh / program)

    return made_once(target, {**verilog, **cpp}, making) / program


def _compile(here: Path, built: str, flags: list[str], names: list[str], environment: dict[str, str]) -> None:
    environment = dict(environment)
    program = "verilator"
    root = environment.get("VERILATOR_ROOT", "")
    if " " in root:
        # neither Verilator's front end nor its makefiles take such a path
        (here / "verilator").symlink_to(root)
        environment["VERILATOR_ROOT"] = str(here / "verilator")
        program = str(here / "verilator" / "bin" / "verilator_bin")
    command = [program, "--cc", "--exe", "--build", "-j", "2", "-Mdir", "obj", "-o", f"../{built}"]
    try:
        done = subprocess.run(
            [*command, *flags, "main.cpp", *names],
            cwd=here,
            env=environment,
            text=True,
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as error:
        raise ToolError(
            f"verilator could not be started ({error.strerror})",
            module="verilator",
            remedy="see `xnorhw doctor`",
        ) from None
    if done.returncode == 0:
        return
    if "lz4.h" in done.stdout or "zlib.h" in done.stdout:
        raise ToolError(
            "FST waves need the headers of lz4 and zlib, which are not installed",
            module="verilator",
            remedy="Run `apt install liblz4-dev zlib1g-dev`, or leave the waves out",
        )
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    errors = [line for line in lines if "rror" in line]
    shown = "\n".join((errors or lines)[:_SHOWN_LINES])
    raise ToolError(
        f"the model could not be compiled:\n{shown}",
        module="verilator",
        remedy="See `xnorhw doctor` for the tools and their versions",
    )
