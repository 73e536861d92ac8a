"""Compiles Verilog and a C++ main program - the bench, the simulated device - once for each content."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from xnorhw.ir.errors import ToolError, XnorhwError
from xnorhw.sim.tools import require_tools, verilator_environment

__all__ = ["compile_bench", "compile_device", "read_sources", "write_memories"]

TOP = "xh_bench"
_FLAGS = (
    *("--assert", "--no-timing", "-Wno-fatal", "-Werror-USERERROR"),
    *("--x-assign", "unique", "--x-initial", "unique"),
)
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


def _verilog(files: Mapping[str, str]) -> dict[str, str]:
    """Bare name -> text of the Verilog: the RTL in the order of its list, then the bench's."""
    listed = _present(files, "rtl/files.f").split()
    result = {name: _present(files, f"rtl/{name}") for name in listed}
    for path in sorted(files):
        if path.startswith("sim/") and path.endswith(".sv"):
            result[path.removeprefix("sim/")] = files[path]
    return result


def write_memories(files: Mapping[str, str], folder: Path) -> None:
    """Put the ROM files where a simulation finds them: in its working directory."""
    for path, text in files.items():
        if path.startswith("rom/") and path.endswith(".mem"):
            (folder / path.removeprefix("rom/")).write_text(text, encoding="utf-8", newline="\n")


def compile_bench(files: Mapping[str, str], work: Path, *, waves: bool = False) -> Path:
    """The program that simulates ``files``, compiled in ``work`` or found there.

    ``files`` is what the RTL and the bench emitters give.  The program's folder is named
    after everything that it is made of, and appears whole or not at all, so several
    processes may share ``work``.  Memory files are read at run time and are no part of it.

    Raises ToolError where a tool is missing or the compilation fails (with its last lines).
    """
    require_tools()
    environment = verilator_environment()
    flags = ["--top-module", TOP, "--prefix", "Vbench", *_FLAGS, *(["--trace-fst"] if waves else [])]
    verilog = _verilog(files)
    cpp = {"main.cpp": files["sim/bench.cpp"]}
    target = _target(work, "bench", (flags, environment.get("VERILATOR_ROOT", "")), {**cpp, **verilog})
    return target if target.is_file() else _build(target, flags, cpp, verilog, environment)


def compile_device(files: Mapping[str, str], work: Path, *, prefix: str = "accel") -> Path:
    """The program of the simulated device: the packaged IP, whose top is called ``prefix``, and its DMA.

    As ``compile_bench``; a program that is there already is used without any tool, so that
    an environment without a simulator runs what another one compiled.
    """
    flags = ["--top-module", prefix, "--prefix", "Vdevice", *_FLAGS]
    listed = files["rtl/files.f"].split()
    verilog = {name: files[f"rtl/{name}"] for name in listed}
    cpp = {"main.cpp": files["sim/device.cpp"], "xh_dma.h": files["sim/xh_dma.h"]}
    target = _target(work, "device", (flags,), {**cpp, **verilog})
    if target.is_file():
        return target
    require_tools()
    return _build(target, flags, cpp, verilog, verilator_environment())


def _target(work: Path, program: str, made_by: object, sources: Mapping[str, str]) -> Path:
    """Where a program lies: in a folder named after all that it is made of."""
    digest = hashlib.sha256(repr(made_by).encode())
    for name, text in sources.items():
        digest.update(f"{name}\0{text}\0".encode())
    return work / f"{program}-{digest.hexdigest()[:16]}" / program


def _build(
    target: Path,
    flags: list[str],
    cpp: Mapping[str, str],
    verilog: Mapping[str, str],
    environment: dict[str, str],
) -> Path:
    work, program = target.parent.parent, target.name
    work.mkdir(parents=True, exist_ok=True)
    # make cannot take a path with a space in it: compile in a folder that has none
    with tempfile.TemporaryDirectory(prefix="xh-") as temporary:
        here = Path(temporary)
        for name, text in {**verilog, **cpp}.items():
            (here / name).write_text(text, encoding="utf-8", newline="\n")
        _compile(here, program, flags, list(verilog), environment)
        fresh = Path(tempfile.mkdtemp(prefix="fresh-", dir=work))
        shutil.copy(here / program, fresh / program)
        try:
            fresh.rename(target.parent)
        except OSError:  # another process was quicker with the same thing
            shutil.rmtree(fresh)
    return target


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
