"""The CPU engine's C against golden's operations: every path of this processor and of ARM."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.engine.draw_cases import draw
from tests.engine.full_cases import draw_full
from tests.engine.library import (
    AARCH64,
    ARM,
    RUN_CASES,
    X86,
    Target,
    build,
    compile_objects,
    differences,
    engine_folder,
    link,
    paths_here,
    run,
    write_cases,
)
from tests.engine.network_c import Case

# (file, what stands there, what a mistake would have written, a path that it spoils)
FAULTS = {
    "threshold off by one": ("xh_avx512.c", "_mm512_cmple_epi32_mask", "_mm512_cmplt_epi32_mask", "avx512"),
    "threshold off by one, bytes": (
        "xh_avx2.c",
        "_mm256_set1_epi32(count), t)",
        "_mm256_set1_epi32(count - 1), t)",
        "avx2",
    ),
    "wrong carry of two words": ("xh_avx512.c", "CARRY = 0x3a", "CARRY = 0x3b", "avx512"),
    "the odd run's word lost": ("xh_avx512.c", "if (held.is) {\n#pragma", "if (0) {\n#pragma", "avx512"),
    "the odd run's word taken twice": ("xh_avx512.c", "b = a, wb = wa;", ";", "avx512"),
    "byte counters run over": ("xh_bytes.h", "WORDS_IN_BYTES = 31", "WORDS_IN_BYTES = 33", "ssse3"),
    "padding counted": ("xh_areas.c", "* (x.tap_end - x.tap)}", "* window->kernel_w}", "plain"),
    "direction forgotten": (
        "xh_product.c",
        "(bits[p] ^ flip) & keep",
        "(bits[p] ^ (flip & 1)) & keep",
        "plain",
    ),
    "only the first term's weights": (
        "xh_product.c",
        "weights = term->bits + of",
        "weights = k->product->term->bits + of",
        "plain",
    ),
    "minimum taken for maximum": ("xh_maps.c", "(all & minimum)", "(any & minimum)", "plain"),
    "padding without dilation": ("xh_areas.c", "(-start + dilation - 1) / dilation", "-start", "plain"),
    "runs that join across a gap": ("xh_areas.c", "last.map + last.words == at &&", "", "plain"),
    "runs that join across weights": (
        "xh_areas.c",
        "&& last.weights + (ptrdiff_t)last.words * XH_LANES == weights",
        "",
        "plain",
    ),
    "ties away from even": ("xh_host.c", "rint((double)", "round((double)", "plain"),
    "bound of the wrong side": ("xh_host.c", "low < op->high ? low", "low > op->high ? low", "plain"),
    "sum of codes not doubled": (
        "xh_codes.h",
        "a += a - XH_SPLAT(all[0]);",
        "a -= XH_SPLAT(all[0]);",
        "plain",
    ),
    "more products than 32 bits hold": (
        "xh_full.c",
        "PAIRS_IN_32_BITS = 127",
        "PAIRS_IN_32_BITS = 129",
        "plain",
    ),
    "a limb in the wrong place": ("xh_full.c", "(LIMB_BITS * limb)", "(15 * limb)", "plain"),
    "a digit too few": ("xh_full.c", "(DIGIT_BITS * digits))", "(DIGIT_BITS * (digits + 1)))", "plain"),
    "the largest pad in 16 bits": ("xh_full.c", "most = pad + 1;", "most = pad;", "plain"),
    "left pad of zeros": (
        "xh_full.c",
        "put_padding(full->pad_value, (size_t)left",
        "put_padding(0, (size_t)left",
        "plain",
    ),
    "rows joined that do not": ("xh_full.c", "row && win->kernel_w == f.width", "row", "plain"),
    "parts of a run all from its start": ("xh_madd.h", " + block->skip", "", "avx2"),
    "the last pair of a run forgotten": (
        "xh_madd.h",
        "2 * (ptrdiff_t)block->pairs;",
        "2 * (ptrdiff_t)block->pairs - 2;",
        "ssse3",
    ),
}


@pytest.fixture(scope="session")
def cases() -> list[Case]:
    return draw() + draw_full()


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The engine's objects, compiled once for all programs without flags of their own."""
    sources = sorted(engine_folder().glob("*.c"))
    return compile_objects(tmp_path_factory.mktemp("objects"), sources, engine_folder(), "-O2")


@pytest.fixture(scope="session")
def native(cases: list[Case], sound: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("engine"), cases, made=sound)


@pytest.mark.parametrize("path", X86)
def test_every_tensor_on_x86(native: Path, cases: list[Case], path: str) -> None:
    if path not in paths_here(native):
        # the system's word, not the library's own: a wrong check would leave the path untested
        needs = {"avx512": "avx512_vpopcntdq", "plain": "fpu"}.get(path, path)
        assert needs not in Path("/proc/cpuinfo").read_text().split()
        pytest.skip(f"this processor lacks {path}")
    assert differences(run(native, path), cases) == []


@pytest.mark.parametrize("target", [ARM, AARCH64], ids=lambda t: t.name)
def test_every_tensor_on_arm(cases: list[Case], tmp_path: Path, target: Target) -> None:
    program = build(tmp_path, cases, target)
    assert differences(run(program, "neon", target), cases) == []
    assert differences(run(program, "plain", target), cases) == []


def test_unfused_thresholds(cases: list[Case], sound: list[Path], tmp_path: Path) -> None:
    """The sums leave the product, the sign stands alone: the same bits."""
    program = build(tmp_path, cases, fuse=False, made=sound)
    assert differences(run(program, paths_here(program)[0]), cases) == []


@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_sanitizers(cases: list[Case], tmp_path: Path, sanitizer: str) -> None:
    flags = (f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", "-O1", "-DXH_THREADS", "-pthread")
    program = build(tmp_path, cases, flags=flags)
    for path in ("plain", paths_here(program)[0]):
        assert differences(run(program, path, threads=3), cases) == []


def test_threads_give_the_same(cases: list[Case], sound: list[Path], tmp_path: Path) -> None:
    made = [path for path in sound if path.stem != "xh_threads"]
    program = build(tmp_path, cases, flags=("-DXH_THREADS", "-pthread"), made=made)
    path = paths_here(program)[0]
    assert differences(run(program, path, threads=4), cases) == []


@pytest.fixture(scope="session")
def objects(
    cases: list[Case], sound: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The sound library and the program, compiled once for all faults."""
    work = tmp_path_factory.mktemp("program")
    write_cases(work, cases)
    return {path.stem: path for path in (*sound, *compile_objects(work, [RUN_CASES], engine_folder()))}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_noticed(
    objects: dict[str, Path], cases: list[Case], tmp_path: Path, fault: str
) -> None:
    file, old, new, path = FAULTS[fault]
    sources = tmp_path / "engine"
    shutil.copytree(engine_folder(), sources)
    text = (sources / file).read_text()
    assert old in text
    (sources / file).write_text(text.replace(old, new))
    changed = sources / (file if file.endswith(".c") else f"xh_{path}.c")
    spoiled = {**objects, **{o.stem: o for o in compile_objects(tmp_path, [changed], sources)}}
    program = link(tmp_path / "run", list(spoiled.values()))
    if path not in paths_here(program):
        pytest.skip(f"this processor lacks {path}")
    assert differences(run(program, path), cases) != []


@pytest.mark.parametrize(
    ("path", "text"), [("avx9", "no such path"), ("neon", "no such path"), ("Plain", "no such path")]
)
def test_unknown_path_is_an_error(native: Path, path: str, text: str) -> None:
    result = subprocess.run([native], env={**os.environ, "XH_PATH": path}, capture_output=True, text=True)
    assert result.returncode == 1
    assert text in result.stderr


def test_path_that_the_processor_lacks_is_an_error(native: Path) -> None:
    """qemu's Nehalem has popcnt and SSSE3 and no AVX."""
    if shutil.which("qemu-x86_64") is None:
        pytest.skip("qemu-x86_64 is not installed: apt-get install qemu-user")
    command = ["qemu-x86_64", "-cpu", "Nehalem", "-E", "XH_PATH=avx512", str(native)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert "lacks the instructions" in result.stderr
