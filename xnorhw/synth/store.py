"""What synthesis found, in report.json beside the formula's figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xnorhw.emit.folder import json_bytes, rewrite
from xnorhw.ir.errors import XnorhwError
from xnorhw.synth.figures import Synthesis

__all__ = ["read_synthesis", "write_synthesis"]

FILE = "report.json"
KEY = "synthesised"


def read_synthesis(folder: Path) -> dict[str, Any] | None:
    """The figures by tool in ``folder``'s report.json, None where nothing was synthesised.

    Raises XnorhwError where the file is damaged.
    """
    return _read(folder).get(KEY) or None


def _read(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    try:
        tree = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from None
    if not isinstance(tree, dict) or not isinstance(tree.get(KEY, {}), dict):
        raise _damaged(path, "it is no file of figures")
    return tree


def _damaged(path: Path, problem: str) -> XnorhwError:
    return XnorhwError(f"is damaged: {problem}", module=str(path), remedy="Build again")


def write_synthesis(folder: Path, name: str, figures: Synthesis | None) -> dict[str, Any] | None:
    """Put the figures of the tool ``name`` into report.json, or take them out; those of all tools.

    The file's new hash goes into build.json: what the tool said is part of the build.
    """
    tree = _read(folder)
    tools = tree.pop(KEY, {})
    before = dict(tools)
    if figures is None:
        tools.pop(name, None)
    else:
        tools[name] = figures.to_json()
    if tools != before:
        rewrite(folder, FILE, json_bytes({**tree, **({KEY: tools} if tools else {})}))
    return tools or None
