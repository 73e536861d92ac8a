"""Builds the engine's static sources with a program of cases and compares what it writes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.engine.network_c import Case, case_c
from xnorhw.resources import path as resource

WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")
RUN_CASES = Path(__file__).with_name("run_cases.c")
X86 = ("avx512", "avx2", "ssse3", "popcnt", "plain")


@dataclass(frozen=True)
class Target:
    """A compiler, its flags, and what runs its programs here."""

    name: str
    compiler: tuple[str, ...]
    runner: tuple[str, ...] = ()
    package: str = ""

    def skip_unless_here(self) -> None:
        """Skip the test where a tool of this target is not installed."""
        for tool in (self.compiler[0], *self.runner[:1]):
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is not installed: apt-get install {self.package}")


NATIVE = Target("native", ("gcc", "-O2"), package="gcc")
ARM = Target(
    "arm",
    ("arm-linux-gnueabihf-gcc", "-O3", "-mcpu=cortex-a9", "-mfpu=neon", "-mfloat-abi=hard", "-marm"),
    ("qemu-arm", "-cpu", "cortex-a9", "-L", "/usr/arm-linux-gnueabihf"),
    "gcc-arm-linux-gnueabihf qemu-user",
)
AARCH64 = Target(
    "aarch64",
    ("aarch64-linux-gnu-gcc", "-O3"),
    ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"),
    "gcc-aarch64-linux-gnu qemu-user",
)


def engine_folder() -> Path:
    """The static C sources."""
    return resource("templates/engine")


def build(
    work: Path,
    cases: list[Case],
    target: Target = NATIVE,
    flags: tuple[str, ...] = (),
    fuse: bool = True,
    made: Sequence[Path] = (),
) -> Path:
    """The program that runs ``cases``, all of it compiled with ``flags`` but for the objects ``made``."""
    target.skip_unless_here()
    write_cases(work, cases, fuse)
    program = work / f"run-{target.name}"
    there = {path.stem for path in made}
    sources = [RUN_CASES, *(p for p in sorted(engine_folder().glob("*.c")) if p.stem not in there)]
    objects = _objects([*target.compiler, *flags], work, sources, engine_folder())
    subprocess.run([*target.compiler, *flags, *map(str, (*objects, *made)), "-lm", "-o", program], check=True)
    return program


def _objects(compiler: list[str], work: Path, sources: list[Path], folder: Path) -> list[Path]:
    """An object file of each source, one after the other: ccache takes no command with several."""
    objects = [work / f"{source.stem}.o" for source in sources]
    for source, made in zip(sources, objects, strict=True):
        command = [*compiler, *WARNINGS, f"-I{folder}", f"-I{work}", "-c", str(source), "-o", str(made)]
        subprocess.run(command, check=True)
    return objects


def write_cases(work: Path, cases: list[Case], fuse: bool = True) -> None:
    """cases.h, which run_cases.c includes."""
    work.mkdir(parents=True, exist_ok=True)
    text = "".join(case_c(case, f"c{i}", fuse) for i, case in enumerate(cases))
    rows = ",\n".join(f"{{&c{i}, c{i}_input, sizeof c{i}_input}}" for i in range(len(cases)))
    (work / "cases.h").write_text(f"{text}static const test_case cases[] = {{{rows}}};\n")


def compile_objects(work: Path, sources: list[Path], folder: Path, optimize: str = "-O1") -> list[Path]:
    """An object file of each source; headers come from ``folder``, then from ``work``."""
    NATIVE.skip_unless_here()
    return _objects(["gcc", optimize], work, sources, folder)


def link(program: Path, objects: list[Path]) -> Path:
    """A program of object files."""
    subprocess.run(["gcc", *map(str, objects), "-lm", "-o", str(program)], check=True)
    return program


def run(program: Path, path: str, target: Target = NATIVE, threads: int = 1) -> bytes:
    """The program's output on path ``path``."""
    command = [*target.runner, str(program), str(threads)]
    if target.runner:
        command[1:1] = ["-E", f"XH_PATH={path}"]
    result = subprocess.run(command, env={**os.environ, "XH_PATH": path}, stdout=subprocess.PIPE, check=True)
    return result.stdout


def paths_here(program: Path) -> list[str]:
    """The paths that this processor runs, best first."""
    result = subprocess.run([program, "paths"], stdout=subprocess.PIPE, check=True, text=True)
    return result.stdout.split()


def differences(output: bytes, cases: list[Case]) -> list[str]:
    """A line for every tensor that differs from golden's, or that is missing."""
    words = np.frombuffer(output, "<i8")
    seen, wrong, at = set(), [], 0
    while at < len(words):
        case, tensor, count = (int(v) for v in words[at : at + 3])
        values = words[at + 3 : at + 3 + count]
        at += 3 + count
        if tensor < 0:
            expected = cases[case].scores.view(np.uint32).astype(np.int64)
        else:
            expected = cases[case].tensors[tensor][0].transpose(1, 2, 0).ravel()
        seen.add((case, tensor))
        if len(expected) != count or not np.array_equal(values, expected):
            first = np.argmax(values != expected) if len(expected) == count else -1
            wrong.append(f"{cases[case].name} tensor {tensor} first at {first}")
    for case, c in enumerate(cases):
        for tensor in range(-1, len(c.tensors)):
            if (case, tensor) not in seen:
                wrong.append(f"{c.name} tensor {tensor} is missing")
    return wrong
