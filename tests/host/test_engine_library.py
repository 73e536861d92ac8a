"""out/host as its user takes it: make, the program on files, a C++ program on the library."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.engine.library import ARM, NATIVE
from xnorhw import golden
from xnorhw.emit import engine
from xnorhw.emit.store import StoredBuild, read_build
from xnorhw.sim.engine_run import input_bytes

ROOT = Path(__file__).resolve().parents[2]

CALLS = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel_engine.h"

static int allocations;
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size) { allocations++; return __real_malloc(size); }
int __real_posix_memalign(void **at, size_t alignment, size_t size);
int __wrap_posix_memalign(void **at, size_t alignment, size_t size)
{
    allocations++;
    return __real_posix_memalign(at, alignment, size);
}
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    allocations++;
    return __real_aligned_alloc(alignment, size);
}

enum { FRAMES = 16, ROUNDS = 50 };
static accel_input_t frames[FRAMES * ACCEL_INPUT_ELEMENTS];
static float expected[FRAMES * ACCEL_CLASSES];

#define NEED(what) do { if (!(what)) { printf("line %d: %s\n", __LINE__, #what); exit(1); } } while (0)

static void *again(void *engine)
{
    float scores[FRAMES * ACCEL_CLASSES];
    for (int i = 0; i < ROUNDS; i++) {
        NEED(accel_engine_run_batch(engine, frames, FRAMES, scores) == 0);
        NEED(memcmp(scores, expected, sizeof scores) == 0);
    }
    return NULL;
}

int main(void)
{
    accel_engine *engine, *other;
    float scores[ACCEL_CLASSES];
    NEED(fread(frames, 1, sizeof frames, stdin) == sizeof frames);
    setenv("XH_PATH", "abacus", 1);
    NEED(accel_engine_open(&engine) == ACCEL_ENGINE_PATH && engine == NULL);
    unsetenv("XH_PATH");
    NEED(accel_engine_open(NULL) == ACCEL_ENGINE_ARGUMENT);
    allocations = 0;
    NEED(accel_engine_open(&engine) == ACCEL_ENGINE_OK && accel_engine_open(&other) == ACCEL_ENGINE_OK);
    NEED(allocations == 2);
    NEED(strcmp(accel_engine_path(engine), accel_engine_available(0)) == 0);

    NEED(accel_engine_run(NULL, frames, scores) == ACCEL_ENGINE_ARGUMENT);
    NEED(accel_engine_run(engine, NULL, scores) == ACCEL_ENGINE_ARGUMENT);
    NEED(accel_engine_run(engine, frames, NULL) == ACCEL_ENGINE_ARGUMENT);
    NEED(accel_engine_run_batch(engine, frames, 0, expected) == ACCEL_ENGINE_ARGUMENT);
    NEED(accel_engine_threads(engine, 0) == ACCEL_ENGINE_ARGUMENT);
    NEED(accel_engine_threads(engine, 2) == ACCEL_ENGINE_THREADS);
    NEED(accel_engine_front(engine, frames, NULL) == ACCEL_ENGINE_ARGUMENT);
    NEED(accel_engine_back(engine, NULL, scores) == ACCEL_ENGINE_ARGUMENT);
    for (int error = ACCEL_ENGINE_OK; error <= ACCEL_ENGINE_THREADS; error++)
        for (int before = ACCEL_ENGINE_OK; before < error; before++)
            NEED(strcmp(accel_engine_text(error), accel_engine_text(before)) != 0);
    NEED(accel_engine_text(-1) && accel_engine_text(99));

    allocations = 0;
    NEED(accel_engine_run_batch(engine, frames, FRAMES, expected) == ACCEL_ENGINE_OK);
    for (int i = 0; i < FRAMES; i++) {
        NEED(accel_engine_run(other, frames + i * ACCEL_INPUT_ELEMENTS, scores) == ACCEL_ENGINE_OK);
        NEED(memcmp(scores, expected + i * ACCEL_CLASSES, sizeof scores) == 0);
    }
    NEED(allocations == 0);

    pthread_t beside;
    NEED(pthread_create(&beside, NULL, again, other) == 0);
    again(engine);
    NEED(pthread_join(beside, NULL) == 0);

    const float equal[ACCEL_CLASSES] = {1.0f, 2.0f, 2.0f};
    NEED(accel_engine_class(equal) == 1);
    accel_engine_close(engine);
    accel_engine_close(other);
    accel_engine_close(NULL);
    NEED(fwrite(expected, 1, sizeof expected, stdout) == sizeof expected);
    return 0;
}
"""
WRAPPED = tuple(f"-Wl,--wrap={name}" for name in ("malloc", "posix_memalign", "aligned_alloc"))


@pytest.fixture(scope="module")
def stored(small_build: Path) -> StoredBuild:
    return read_build(small_build)


@pytest.fixture(scope="module")
def codes(stored: StoredBuild) -> npt.NDArray[np.int64]:
    return stored.samples.codes.astype(np.int64)


@pytest.fixture(scope="module")
def scores(stored: StoredBuild, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    return golden.scores(stored.graph, golden.run(stored.graph, codes)[stored.graph.output])


def make(host: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "-C", str(host), *words], text=True, capture_output=True)


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "host"


@pytest.fixture(scope="module")
def host(stored: StoredBuild, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine of a build, made with sanitizers."""
    NATIVE.skip_unless_here()
    folder = write(tmp_path_factory.mktemp("host"), engine.files(stored.graph, stored.plan))
    sanitize = "-fsanitize=address,undefined -fno-sanitize-recover=all"
    done = make(folder, "-j2", "OPTIMIZE=-O1", f"CFLAGS={sanitize}")
    assert done.returncode == 0, done.stderr
    return folder


def program(host: Path) -> Path:
    return next(host.glob("work/*/accel-engine"))


def run(host: Path, *words: str | Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([program(host), *words], input=data, capture_output=True)


def test_raw_frames(
    host: Path,
    stored: StoredBuild,
    codes: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    tmp_path: Path,
) -> None:
    (tmp_path / "frames.bin").write_bytes(input_bytes(stored.graph, codes))
    done = run(host, "--scores", tmp_path / "scores.bin", tmp_path / "frames.bin")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.fromfile(tmp_path / "scores.bin", np.uint32), scores.view(np.uint32).ravel())
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(codes) + 1 and lines[-1].startswith("path ")
    for line, row in zip(lines, scores, strict=False):
        words = line.split("class ", 1)[1].split()
        assert words[0] == f"{row.argmax()}," and words[1] == "scores"
        assert np.array_equal(np.array(words[2:], np.float32).view(np.uint32), row.view(np.uint32))


def test_frames_from_standard_input(host: Path, stored: StoredBuild, codes: npt.NDArray[np.int64]) -> None:
    done = run(host, "--repeat", "2", "-", data=input_bytes(stored.graph, codes[:2]))
    assert done.returncode == 0 and done.stdout.count(b"class") == 2


def test_an_image(
    host: Path, codes: npt.NDArray[np.int64], scores: npt.NDArray[np.float32], tmp_path: Path
) -> None:
    header = b"P5\n# a picture\n6 6 # its size\n255\n"
    (tmp_path / "digit.pgm").write_bytes(header + codes[3].astype(np.uint8).tobytes())
    done = run(host, tmp_path / "digit.pgm")
    assert done.returncode == 0, done.stderr
    assert f"class {scores[3].argmax()}," in done.stdout.decode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"P5 6 5 255\n" + bytes(30), "an image of 6 x 6 pixels"),
        (b"P5 6 6 127\n" + bytes(36), "255 levels"),
        (b"P5 6 6 255\n" + bytes(35), "length is not what its header says"),
        (b"P5 6 6 255\n" + bytes(37), "length is not what its header says"),
        (b"P6 6 6 255\n" + bytes(108), "a binary PGM image (P5)"),
        (b"P2 6 6 255\n" + b"0 " * 36, "a binary PGM image (P5)"),
        (b"P5 99999999999999999999 6 255\n", "an image of 6 x 6 pixels"),
        (b"P5", "no multiple of the frame's 36 bytes"),
        (b"P5\n", "an image of 6 x 6 pixels"),
        (bytes(37), "no multiple of the frame's 36 bytes"),
        (b"", "no multiple of the frame's 36 bytes"),
        (b"\x93NUMPY" + bytes(66), "tofile(name)"),
    ],
)
def test_files_that_hold_no_frame(host: Path, tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "input").write_bytes(data)
    done = run(host, tmp_path / "input")
    assert done.returncode == 1 and why in done.stderr.decode()
    assert done.stderr.decode().startswith("accel-engine: error: ")


def test_a_full_disk(host: Path, tmp_path: Path) -> None:
    (tmp_path / "frame.bin").write_bytes(bytes(36))
    program = next(host.glob("work/*/accel-engine"))
    with open("/dev/full", "wb") as full:
        done = subprocess.run([program, tmp_path / "frame.bin"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1 and b"standard output: it cannot be written" in done.stderr


def test_files_that_are_not_there(host: Path, tmp_path: Path) -> None:
    done = run(host, tmp_path / "nothing.bin")
    assert done.returncode == 1 and b"cannot be read" in done.stderr
    (tmp_path / "frame.bin").write_bytes(bytes(36))
    done = run(host, "--scores", tmp_path / "no/folder.bin", tmp_path / "frame.bin")
    assert done.returncode == 1 and b"cannot be written" in done.stderr


@pytest.mark.parametrize(
    "words", [["--threads"], ["--repeat", "0", "x"], ["--fast", "1", "x"], ["--repeat", "2x", "x"]]
)
def test_wrong_words(host: Path, words: list[str]) -> None:
    done = run(host, *words)
    assert done.returncode == 2 and b"usage: accel-engine" in done.stderr
    assert run(host).returncode == 2
    assert run(host, "--help").returncode == 0


def test_every_call_of_the_header(
    host: Path,
    stored: StoredBuild,
    codes: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    tmp_path: Path,
) -> None:
    """Errors, no allocation after open, two engines in two threads, the lowest index on ties."""
    (tmp_path / "calls.c").write_text(CALLS, encoding="utf-8")
    sources = [*map(str, sorted((host / "engine").glob("*.c"))), str(tmp_path / "calls.c")]
    built = subprocess.run(
        ["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", f"-I{host}",
         *sources, *WRAPPED, "-pthread", "-lm", "-o", str(tmp_path / "calls")],
        text=True, capture_output=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    frames = np.resize(codes, (16, *codes.shape[1:]))
    done = subprocess.run([tmp_path / "calls"], input=input_bytes(stored.graph, frames), capture_output=True)
    assert done.returncode == 0, done.stdout
    expected = np.resize(scores, (16, scores.shape[1]))
    assert done.stdout == expected.tobytes()


def test_the_robot(
    host: Path,
    stored: StoredBuild,
    codes: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    tmp_path: Path,
) -> None:
    """A C++11 program of a user's, with one header and one library."""
    made = make(host, "-j2", "OPTIMIZE=-O1")  # other flags: compiled again, without sanitizers
    assert made.returncode == 0, made.stderr
    library = next(host.glob("work/*/libaccel.a"))
    robot = ROOT / "examples/robot.cpp"
    command = ["g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-O2", f"-I{host}", str(robot)]
    built = subprocess.run(
        [*command, "-o", tmp_path / "robot", library, "-lm"], text=True, capture_output=True
    )
    assert built.returncode == 0, built.stderr
    done = subprocess.run([tmp_path / "robot"], input=input_bytes(stored.graph, codes), capture_output=True)
    assert done.returncode == 0 and done.stdout.split() == [b"%d" % row.argmax() for row in scores]
    wrong = subprocess.run(
        [tmp_path / "robot"], input=bytes(36), env={"XH_PATH": "abacus"}, capture_output=True
    )
    assert wrong.returncode == 1 and b"no such path" in wrong.stderr


def test_make_check_compares_every_score(
    stored: StoredBuild, codes: npt.NDArray[np.int64], scores: npt.NDArray[np.float32], tmp_path: Path
) -> None:
    NATIVE.skip_unless_here()
    folder = write(tmp_path, engine.files(stored.graph, stored.plan))
    for name, data in engine.vectors(stored.graph, codes, scores).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    done = make(folder, "check", "OPTIMIZE=-O0")
    assert done.returncode == 0, done.stderr
    data = bytearray((folder / "vectors/scores.bin").read_bytes())
    data[5] ^= 1
    (folder / "vectors/scores.bin").write_bytes(data)
    assert make(folder, "check", "OPTIMIZE=-O0").returncode != 0


def test_a_cross_build(stored: StoredBuild, tmp_path: Path) -> None:
    ARM.skip_unless_here()
    folder = write(tmp_path, engine.engine_files(stored.graph))
    done = make(folder, "-j2", "CC=arm-linux-gnueabihf-gcc", "OPTIMIZE=-O1")
    assert done.returncode == 0, done.stderr
    out = folder / "work/arm-linux-gnueabihf"
    assert (out / "libaccel.a").is_file()
    listed = subprocess.run([*ARM.runner, out / "accel-engine", "--paths"], text=True, capture_output=True)
    assert listed.stdout.split() == ["neon", "plain"]


def test_a_compiler_that_is_not_there(stored: StoredBuild, tmp_path: Path) -> None:
    folder = write(tmp_path, engine.engine_files(stored.graph))
    done = make(folder, "CC=nowhere-gcc")
    assert done.returncode != 0 and "there is no C compiler nowhere-gcc" in done.stderr


def test_only_what_changed_is_compiled_again(host: Path) -> None:
    make(host, "OPTIMIZE=-O1")
    assert "-c " not in make(host, "OPTIMIZE=-O1").stdout
    (host / "engine/accel_network.c").touch()
    assert make(host, "OPTIMIZE=-O1").stdout.count(" -c ") == 1


@pytest.mark.parametrize("language", ["c", "c++"])
def test_the_header_stands_alone(host: Path, language: str, tmp_path: Path) -> None:
    source = '#include "accel_engine.h"\n' * 2 + "int main(void) { return ACCEL_CLASSES != 4; }\n"
    (tmp_path / "main.c").write_text(source)
    standard = "-std=c11" if language == "c" else "-std=c++11"
    flags = ["-x", language, standard, "-pedantic", "-Wall", "-Wextra", "-Werror"]
    built = subprocess.run(
        ["gcc", *flags, f"-I{host}", tmp_path / "main.c", "-o", tmp_path / "main"],
        text=True,
        capture_output=True,
    )
    assert built.returncode == 0, built.stderr
    assert subprocess.run([tmp_path / "main"]).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="cppcheck is tried on Linux")
def test_cppcheck_finds_nothing(host: Path) -> None:
    if shutil.which("cppcheck") is None:
        pytest.skip("cppcheck is not installed: apt-get install cppcheck")
    done = subprocess.run(
        ["cppcheck", "--error-exitcode=1", "--enable=warning,portability,performance", "--quiet",
         "-I.", "-Iengine", "engine_main.c", "engine/accel_engine.c"],
        cwd=host, text=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
