"""Holds generated C++ to what Vitis HLS documents: ``check(sources)`` gives what it would refuse.

Sources are parsed by libclang; nothing of AMD's is run.  Each rule's module says what it stands
on.  The rules know the form that the emitter writes (one perfect, pipelined nest a stage, streams
between stages) and refuse what they cannot follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.hls_rules.model import Violation

__all__ = ["Violation", "check", "read_folder"]


def read_folder(folder: Path) -> dict[str, str]:
    """The sources that Vitis synthesises in ``folder``: no testbench, no stand-ins."""
    paths = [*folder.glob("*.cpp"), *folder.glob("*.h")]
    return {p.name: p.read_text("utf-8") for p in sorted(paths) if not p.name.endswith("_tb.cpp")}


def check(sources: Path | Mapping[str, str], top: str = "accel_hls") -> list[Violation]:
    """The violations in ``sources``, a folder or file name -> text, with the function ``top`` as the core.

    Raises ImportError where libclang is missing.
    """
    from tests.hls_rules import carried, language, loops, ports, pragmas, region, text
    from tests.hls_rules.parse import parse
    from tests.hls_rules.turn import Turn

    texts = read_folder(sources) if isinstance(sources, Path) else dict(sources)
    program = parse(texts, top)
    text.check(program)
    pragmas.collect(program)
    language.check(program)
    region.check(program)
    loops.check(program)
    if not any(found.rule in ("parse", "recursion") for found in program.findings):
        for stage in region.stages(program):
            for loop, nest in loops.innermost(program, stage):
                turn = Turn(program, stage, loop, nest).run()
                ports.check(program, turn)
                carried.check(program, turn)
    return sorted(program.findings)
