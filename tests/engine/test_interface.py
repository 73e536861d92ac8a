"""xh_run.h: every refusal has its status, a run allocates nothing, the headers are C and C++."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.engine.library import NATIVE, WARNINGS, engine_folder

WRAPPED = ",".join(f"--wrap={name}" for name in ("malloc", "calloc", "posix_memalign"))


@pytest.mark.parametrize("flags", [(), ("-DXH_THREADS", "-pthread")], ids=["alone", "threads"])
def test_refusals_and_no_allocation(tmp_path: Path, flags: tuple[str, ...]) -> None:
    NATIVE.skip_unless_here()
    program = tmp_path / "interface"
    sources = [Path(__file__).with_name("interface.c"), *sorted(engine_folder().glob("*.c"))]
    command = ["gcc", "-O1", *WARNINGS, *flags, f"-Wl,{WRAPPED}", f"-I{engine_folder()}", *map(str, sources)]
    subprocess.run([*command, "-lm", "-o", str(program)], check=True)
    result = subprocess.run([program], capture_output=True, text=True)
    assert result.stdout == "0 failures\n"


@pytest.mark.parametrize("language", ["c", "c++"])
def test_public_headers_stand_alone(language: str) -> None:
    NATIVE.skip_unless_here()
    standard = "-std=c11" if language == "c" else "-std=c++11"
    for header in ("xh_run.h", "xh_layers.h"):
        text = f'#include "{header}"\n'
        command = [
            "gcc",
            "-x",
            language,
            standard,
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pedantic",
            "-fsyntax-only",
        ]
        subprocess.run([*command, f"-I{engine_folder()}", "-"], input=text, text=True, check=True)


@pytest.mark.parametrize("flag", ["-ffast-math", "-mfpmath=387"])
def test_floats_that_would_round_elsewhere_do_not_compile(tmp_path: Path, flag: str) -> None:
    """The scores are golden's bit for bit: fast-math and 80-bit registers are refused."""
    NATIVE.skip_unless_here()
    source = engine_folder() / "xh_host.c"
    command = ["gcc", "-O2", "-std=c11", flag, "-c", str(source), "-o", str(tmp_path / "host.o")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode != 0
    assert "#error" in result.stderr
