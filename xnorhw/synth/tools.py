"""The vendor's tools on PATH and their versions."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from xnorhw.ir.errors import ToolError

__all__ = ["LEAST", "VendorTool", "find_vendor_tools", "require_vitis", "require_vivado"]

LEAST = "2022.2"
"""The oldest release that the scripts are written for."""

_VERSION = re.compile(r"\bv(20\d\d\.\d)")
_FOLDER = re.compile(r"[\\/](20\d\d\.\d)[\\/]")
_PATIENCE = 120


@dataclass(frozen=True)
class VendorTool:
    """A program of the vendor: ``path`` is "" where it is missing, ``version`` where it tells none."""

    name: str
    title: str
    purpose: str
    path: str
    version: str


# (program, title, option that prints the version, purpose)
_VITIS = (("vitis_hls", "Vitis HLS", "-version"), ("vitis-run", "Vitis HLS", "--version"))
_VITIS_PURPOSE = "build --synth vitis: C synthesis of the HLS core"
_VIVADO = (("vivado", "Vivado", "-version"),)
_VIVADO_PURPOSE = "build --synth vivado: the bitstream"


def find_vendor_tools() -> tuple[VendorTool, ...]:
    """Vitis HLS and Vivado as PATH has them."""
    return _find(_VITIS, _VITIS_PURPOSE), _find(_VIVADO, _VIVADO_PURPOSE)


def _find(programs: tuple[tuple[str, str, str], ...], purpose: str) -> VendorTool:
    for name, title, option in programs:
        path = shutil.which(name)
        if path is not None:
            return VendorTool(name, title, purpose, path, _version(path, option))
    name, title, _ = programs[0]
    return VendorTool(name, title, purpose, "", "")


def _version(path: str, option: str) -> str:
    """What the program says, or else the installation's folder; "" where neither names a release."""
    try:
        done = subprocess.run(
            [path, option],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
        said = done.stdout
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    found = _VERSION.search(said) or _FOLDER.search(path)
    return found.group(1) if found else ""


def require_vitis(folder: Path) -> VendorTool:
    """Vitis HLS; ToolError where it is missing, too old, or does not take the path of the build."""
    tool = _require(_find(_VITIS, _VITIS_PURPOSE), "neither vitis_hls nor vitis-run is on PATH", "Vitis")
    return _takes(tool, folder)


def require_vivado(folder: Path) -> VendorTool:
    """Vivado; ToolError where it is missing, too old, or does not take the path of the build."""
    return _takes(_require(_find(_VIVADO, _VIVADO_PURPOSE), "vivado is not on PATH", "Vivado"), folder)


def _takes(tool: VendorTool, folder: Path) -> VendorTool:
    place = str(folder.resolve())
    if any(c.isspace() for c in place):
        raise ToolError(
            f"its scripts take no path with spaces, and the build lies in {place}",
            module=tool.title,
            remedy="Build into another folder with -o, or move the build",
        )
    return tool


def _require(tool: VendorTool, missing: str, product: str) -> VendorTool:
    if not tool.path:
        raise ToolError(
            missing, module=tool.title, remedy=f"Source settings64.sh of {product} {LEAST} or newer first"
        )
    # the first release that has vitis-run is new enough
    if not tool.version and tool.name != "vitis-run":
        raise ToolError(
            f"{tool.path} does not tell its version",
            module=tool.title,
            remedy=f"Put {product} {LEAST} or newer on PATH",
        )
    if tool.version and _number(tool.version) < _number(LEAST):
        raise ToolError(
            f"{tool.path} is version {tool.version}, and the scripts need {LEAST} or newer",
            module=tool.title,
            remedy=f"Source settings64.sh of {product} {LEAST} or newer",
        )
    return tool


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
