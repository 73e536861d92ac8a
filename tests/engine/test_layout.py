"""Frames into the accelerator's order and results out of it: every path, against NumPy's own moves."""

from __future__ import annotations

import functools
import itertools
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.engine.library import AARCH64, ARM, WARNINGS, X86, Target, engine_folder

NATIVE = Target("native", ("gcc", "-O2", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover"))
PROGRAM = Path(__file__).with_name("layout_cases.c")
CHANNELS = (1, 2, 3, 4, 5, 8, 15, 16, 17, 33, 100)
PIXELS = (1, 2, 15, 16, 17, 64, 67, 200)
LONG = ((3, 6000), (1, 20000), (300, 70), (1024, 33), (784, 1))
"""More than one part of a frame, and a frame of features."""


@dataclass(frozen=True)
class Packing:
    """Frames to pack; ``tables`` uint8 [0, 1 or channels, 256]."""

    channels: int
    pixels: int
    bits: int
    signs: bool
    planar: bool
    tables: npt.NDArray[np.uint8]
    frames: npt.NDArray[np.uint8]
    fill: int

    @property
    def stride(self) -> int:
        """Bytes of a packed frame."""
        return -(-self.channels * self.pixels * self.bits // 8) + self.fill

    def words(self) -> bytes:
        """The case as the program reads it."""
        shifts = [_shift(row) for row in self.tables]
        head = [1, self.channels, self.pixels, self.stride, self.bits, self.signs, len(shifts)]
        numbers = np.array([*head, self.planar, len(self.frames), *shifts], np.int32)
        return numbers.tobytes() + self.tables.tobytes() + self.frames.tobytes()

    def expected(self) -> bytes:
        """The packed frames; what lies behind an element is left as it was."""
        count = len(self.frames)
        shape = (count, self.channels, self.pixels) if self.planar else (count, self.pixels, self.channels)
        x = self.frames.reshape(shape)
        last = x.transpose(0, 2, 1) if self.planar else x
        if len(self.tables):
            last = np.broadcast_to(self.tables, (self.channels, 256))[np.arange(self.channels), last]
        flat = last.reshape(count, -1)
        if self.bits == 1:
            signs = self.signs and not len(self.tables)
            flat = np.packbits(flat < 128 if signs else flat & 1, axis=1, bitorder="little")
        found = np.full((count, self.stride), 0xA5, np.uint8)
        found[:, : flat.shape[1]] = flat
        return found.tobytes()


@dataclass(frozen=True)
class Results:
    """Results to take out, int32 [N, stride]."""

    channels: int
    pixels: int
    data: npt.NDArray[np.int32]

    def words(self) -> bytes:
        """The case as the program reads it."""
        head = [0, self.channels, self.pixels, self.data.shape[1], len(self.data)]
        return np.array(head, np.int32).tobytes() + self.data.tobytes()

    def expected(self) -> bytes:
        """The sums, channel behind channel."""
        last = self.data[:, : self.channels * self.pixels].reshape(-1, self.pixels, self.channels)
        return last.transpose(0, 2, 1).tobytes()


def _shift(row: npt.NDArray[np.uint8]) -> int:
    return int(row[0]) if (np.diff(row) == 1).all() else -1


@functools.lru_cache(maxsize=1)
def cases() -> tuple[Packing | Results, ...]:
    """Every kind of frame in every shape, and results in some."""
    rng = np.random.default_rng(11)
    found: list[Packing | Results] = []
    shapes = [*itertools.product(CHANNELS, PIXELS), *LONG]
    for (channels, pixels), kind in itertools.product(shapes, ("none", "shift", "any", "channels")):
        rows = {"none": 0, "channels": channels}.get(kind, 1)
        tables = rng.integers(0, 256, (rows, 256), np.uint8)
        if kind == "shift":
            tables[0] = np.arange(256) + 77
        if kind == "channels":
            tables[0] = np.arange(256) - 128  # one of several adds a number
        for bits, planar in itertools.product((1, 8), (False, True)):
            fill = int(rng.integers(0, 2)) * 5
            frames = rng.integers(0, 256, (3, channels * pixels), np.uint8)
            signs = bool(rng.integers(0, 2))
            found.append(Packing(channels, pixels, bits, signs, planar, tables, frames, fill))
    for channels, pixels in shapes:
        words = rng.integers(-(2**31), 2**31, (2, channels * pixels + 3), np.int32)
        found.append(Results(channels, pixels, words))
    return tuple(found)


@functools.lru_cache(maxsize=1)
def answers() -> tuple[bytes, ...]:
    """What each case gives."""
    return tuple(case.expected() for case in cases())


@functools.lru_cache(maxsize=1)
def questions() -> bytes:
    """The file of cases."""
    return b"".join(case.words() for case in cases())


def program(work: Path, target: Target, folder: Path, flags: tuple[str, ...] = ()) -> Path:
    """The program of cases with the layout's sources in ``folder``."""
    target.skip_unless_here()
    made = work / f"layout-{target.name}"
    sources = [PROGRAM, *sorted(folder.glob("xh_layout*.c"))]
    command = [*target.compiler, *WARNINGS, *flags, f"-I{folder}", *map(str, sources), "-o", str(made)]
    subprocess.run(command, check=True)
    return made


def wrong(work: Path, made: Path, target: Target, path: str) -> list[Packing | Results]:
    """The cases whose result differs; skips where the processor lacks the path."""
    data, results = work / "cases", work / f"results-{target.name}-{path}"
    data.write_bytes(questions())
    ended = subprocess.run(
        [*target.runner, str(made), path, str(data), str(results)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode == 2:
        pytest.skip(f"this processor lacks the instructions of {path}")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == ("plain" if path == "popcnt" else path)
    found, place, bad = results.read_bytes(), 0, []
    for case, expected in zip(cases(), answers(), strict=True):
        if found[place : place + len(expected)] != expected:
            bad.append(case)
        place += len(expected)
    assert place == len(found)
    return bad


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program(tmp_path_factory.mktemp("layout"), NATIVE, engine_folder())


@pytest.mark.parametrize("path", X86)
def test_native(path: str, native: Path, tmp_path: Path) -> None:
    """With the sanitizers' word that nothing else is read or written."""
    assert wrong(tmp_path, native, NATIVE, path) == []


@pytest.mark.parametrize("target", [ARM, AARCH64], ids=lambda target: target.name)
def test_arm(target: Target, tmp_path: Path) -> None:
    made = program(tmp_path, target, engine_folder(), ("-static",))
    for path in ("neon", "plain"):
        assert wrong(tmp_path, made, target, path) == []


def test_unknown_path(native: Path, tmp_path: Path) -> None:
    (tmp_path / "cases").touch()
    ended = subprocess.run(
        [str(native), "quantum", str(tmp_path / "cases"), str(tmp_path / "results")], check=False
    )
    assert ended.returncode == 2


# (file, what stands there, what a mistake would have written, a path that it spoils)
FAULTS = {
    "a step too few": (
        "xh_layout_avx2.c",
        "for (int r = 1; r < 8; r++)",
        "for (int r = 1; r < 7; r++)",
        "avx2",
    ),
    "steps that wrap": ("xh_layout_avx2.c", "high = _mm256_subs_epi8(", "high = _mm256_sub_epi8(", "avx2"),
    "halves exchanged": ("xh_layout_avx512.c", "table.a, at, table.b", "table.c, at, table.b", "avx512"),
    "wrong channel": ("xh_layout_avx512.c", "second[v], found", "third[v], found", "avx512"),
    "mask of the second vector": (
        "xh_layout_avx512.c",
        "{0x4924924924924924u,",
        "{0x2492492492492492u,",
        "avx512",
    ),
    "planes exchanged": ("xh_layout_sse.h", "_mm_unpacklo_epi8(c, d)", "_mm_unpacklo_epi8(d, c)", "ssse3"),
    "a square beside the last": ("xh_layout_squares.h", "channels - 4 : c;", "channels - 5 : c;", "ssse3"),
    "signs not turned": ("xh_layout_ssse3.c", "signs ? ~_mm", "signs ? _mm", "ssse3"),
    "bits of a part begin anew": ("xh_layout.c", "to + p * channels / 8", "to", "plain"),
    "the first table for all": ("xh_layout.c", "layout->table + 256 * t", "layout->table", "plain"),
    "rows without their filling": ("xh_layout.c", "from += stride,", "from += channels * pixels,", "plain"),
    "words of the tail": (
        "xh_layout_squares.h",
        "few_words(from, channels, pixels, p,",
        "few_words(from, channels, pixels, p + 1,",
        "ssse3",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_noticed(fault: str, tmp_path: Path) -> None:
    file, old, new, path = FAULTS[fault]
    folder = tmp_path / "engine"
    shutil.copytree(engine_folder(), folder, ignore=lambda _, names: {n for n in names if "layout" not in n})
    text = (folder / file).read_text()
    assert text.count(old) >= 1
    (folder / file).write_text(text.replace(old, new))
    target = Target("native", ("gcc", "-O0"))
    assert wrong(tmp_path, program(tmp_path, target, folder, ("-w",)), target, path) != []
