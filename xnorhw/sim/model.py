"""Compiles Verilog and the compiled bench to a program, once for each content."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from xnorhw.ir.errors import ToolError
from xnorhw.sim.tools import require_tools, verilator_environment

__all__ = ["compile_bench", "read_sources", "write_memories"]

TOP = "xh_bench"
PROGRAM = "bench"
_FLAGS = (
    *(
        "--top-module",
        TOP,
        "--prefix",
        "Vbench",
        "--assert",
        "--no-timing",
        "-Wno-fatal",
        "-Werror-USERERROR",
    ),
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


def _verilog(files: Mapping[str, str]) -> dict[str, str]:
    """Bare name -> text of the Verilog: the RTL in the order of its list, then the bench's."""
    listed = files["rtl/files.f"].split()
    result = {name: files[f"rtl/{name}"] for name in listed}
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
    flags = [*_FLAGS, *(["--trace-fst"] if waves else [])]
    verilog = _verilog(files)
    main = files["sim/bench.cpp"]
    digest = hashlib.sha256(repr((flags, environment.get("VERILATOR_ROOT", ""), main)).encode())
    for name, text in verilog.items():
        digest.update(f"{name}\0{text}\0".encode())
    target = work / f"bench-{digest.hexdigest()[:16]}"
    if (target / PROGRAM).is_file():
        return target / PROGRAM
    work.mkdir(parents=True, exist_ok=True)
    # make cannot take a path with a space in it: compile in a folder that has none
    with tempfile.TemporaryDirectory(prefix="xh-") as temporary:
        here = Path(temporary)
        for name, text in verilog.items():
            (here / name).write_text(text, encoding="utf-8", newline="\n")
        (here / "main.cpp").write_text(main, encoding="utf-8", newline="\n")
        _compile(here, flags, list(verilog), environment)
        fresh = Path(tempfile.mkdtemp(prefix="fresh-", dir=work))
        shutil.copy(here / PROGRAM, fresh / PROGRAM)
        try:
            fresh.rename(target)
        except OSError:  # another process was quicker with the same thing
            shutil.rmtree(fresh)
    return target / PROGRAM


def _compile(here: Path, flags: list[str], names: list[str], environment: dict[str, str]) -> None:
    environment = dict(environment)
    program = "verilator"
    root = environment.get("VERILATOR_ROOT", "")
    if " " in root:
        # neither Verilator's front end nor its makefiles take such a path
        (here / "verilator").symlink_to(root)
        environment["VERILATOR_ROOT"] = str(here / "verilator")
        program = str(here / "verilator" / "bin" / "verilator_bin")
    command = [program, "--cc", "--exe", "--build", "-j", "2", "-Mdir", "obj", "-o", f"../{PROGRAM}"]
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
