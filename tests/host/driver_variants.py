"""The driver with something changed in it, and the program that calls it in every order."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.host.simulated_board import NATIVE, Program

CALLS = Path(__file__).resolve().parent / "driver_calls.c"
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")


def _host(program: Program) -> Path:
    """The out/host that a program was made in: work/<triplet> lies in it."""
    return program.path.parents[2]


def compile_calls(program: Program, folder: Path) -> Program:
    """tests/host/driver_calls.c, linked to the library that ``program`` was made with."""
    host, path = _host(program), folder / f"calls-{program.target.name}"
    library = program.path.parent / "libaccel.a"
    subprocess.run(
        [
            program.target.compiler,
            *WARNINGS,
            "-O1",
            "-I",
            str(host),
            str(CALLS),
            str(library),
            "-lm",
            "-o",
            str(path),
        ],
        check=True,
    )
    return dataclasses.replace(program, path=path)


def compile_variant(
    program: Program,
    folder: Path,
    changes: Sequence[tuple[str, str, str]],
    *,
    flags: Sequence[str] = ("-O1",),
) -> tuple[Program, Program]:
    """The command-line program and the calls with a changed driver; the engine is that of ``program``.

    ``changes`` are (file in driver/, text that stands in it once, text in its place).
    """
    assert program.target is NATIVE
    host = folder / "variant"
    shutil.copytree(_host(program), host, ignore=shutil.ignore_patterns("work"))
    for name, right, wrong in changes:
        path = host / "driver" / name
        text = path.read_text()
        assert text.count(right) == 1, f"{name} has {right!r} {text.count(right)} times"
        path.write_text(text.replace(right, wrong))
    sources = sorted((host / "driver").glob("*.c"))
    # names without the folder: what did not change is the same command, which ccache knows
    compiler = ["gcc", *WARNINGS, *flags, "-I.", "-Iengine", "-Idriver", "-c"]
    shutil.copy(CALLS, host)
    objects = {}
    for source in (*sources, host / "run_main.c", host / CALLS.name):
        name = source.relative_to(host)
        objects[source.stem] = str(folder / f"{source.stem}.o")
        subprocess.run([*compiler, str(name), "-o", objects[source.stem]], cwd=host, check=True)
    mains = [objects.pop("run_main"), objects.pop(CALLS.stem)]
    made = []
    for main in mains:
        path = Path(main).with_suffix("")
        library = str(program.path.parent / "libaccel.a")
        link = [main, *objects.values(), library, "-lm", "-o", str(path)]
        subprocess.run(["gcc", *flags, *link], check=True)
        made.append(dataclasses.replace(program, path=path))
    return made[0], made[1]
