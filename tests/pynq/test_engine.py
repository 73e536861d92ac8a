"""The CPU engine in the package: compiled where the notebook runs, equal to the golden model bit for bit."""

from __future__ import annotations

import importlib
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hand_bench import WORK, quick

CACHE = WORK / "xnorhw"
"""Where the driver and the notebook look, too."""


@pytest.fixture
def load(build: Callable[..., Path]) -> Iterator[Callable[..., ModuleType]]:
    """Imports ``xnorhw_accel.engine`` of a network's build, or of the build in a folder."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("xnorhw_accel")}
    path = list(sys.path)

    def make(name: str | Path, real_flags: bool = False) -> ModuleType:
        for old in [x for x in sys.modules if x.startswith("xnorhw_accel")]:
            del sys.modules[old]
        folder = build(name) if isinstance(name, str) else name
        sys.path[:] = [str(folder / "pynq"), *path]
        module = importlib.import_module("xnorhw_accel.engine")
        if not real_flags:
            quick(module)
        return module

    yield make
    sys.path[:] = path
    for name in [x for x in sys.modules if x.startswith("xnorhw_accel")]:
        del sys.modules[name]
    sys.modules.update(before)


def samples(module: ModuleType) -> tuple[np.ndarray, np.ndarray]:
    found = importlib.import_module("xnorhw_accel.description").load_samples()
    return found.inputs, found.scores


@pytest.mark.parametrize("name", ["table", "bits", "codes", "full"])
def test_equals_golden(name: str, load: Callable[..., ModuleType]) -> None:
    module = load(name)
    inputs, scores = samples(module)
    with module.CpuEngine(cache=CACHE) as engine:
        found = engine.predict_scores(inputs)
        assert found.dtype == np.float32 and found.shape == scores.shape
        assert np.array_equal(found.view(np.uint32), scores.view(np.uint32))
        assert np.array_equal(engine.predict(inputs), np.argmax(scores, axis=1))
        assert np.array_equal(engine.predict_scores(inputs[3:4]), scores[3:4])
        if inputs.ndim == 4:
            last = np.ascontiguousarray(inputs.transpose(0, 2, 3, 1))
            assert np.array_equal(engine.predict_scores(last, layout="HWC"), scores)


def test_timing(load: Callable[..., ModuleType]) -> None:
    module = load("table")
    inputs, _ = samples(module)
    with module.CpuEngine(cache=CACHE) as engine:
        timing = engine.throughput_test(inputs, frames=40, repetitions=2)
        assert timing.frames == 40 and timing.path == engine.path
        assert timing.fps > 0 and timing.latency_seconds > 0
        assert engine.path in str(timing) and "one thread" in str(timing)
        with pytest.raises(module.EngineError, match="nothing was asked for"):
            engine.throughput_test(inputs, frames=0)


@pytest.mark.parametrize(
    ("machine", "compiler", "package", "elf"),
    [
        ("armv7l", "arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf", (1, 40)),
        ("aarch64", "aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", (2, 183)),
    ],
)
def test_compiles_on_boards(
    machine: str,
    compiler: str,
    package: str,
    elf: tuple[int, int],
    load: Callable[..., ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The very command of a board's processor, by a cross compiler; EM_ARM is 40, EM_AARCH64 183."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}: sudo apt-get install {package}")
    module = load("bits", real_flags=True)
    monkeypatch.setattr(module.platform, "machine", lambda: machine)
    library = module._compiled(module.SOURCES, f"{compiler} -Wall -Werror", tmp_path).read_bytes()
    assert (library[4], int.from_bytes(library[18:20], "little")) == elf
    # 32-bit ARM has its NEON path only where the flags allow it
    assert b"neon" in library


@pytest.fixture
def logged(tmp_path: Path) -> tuple[Callable[[ModuleType], str], Path]:
    """Makes a compiler that writes down each call, and where; it gives what was compiled before."""
    log, path = tmp_path / "calls", tmp_path / "logged-cc"

    def make(module: ModuleType) -> str:
        module.CpuEngine(cache=CACHE).close()
        library, _, _ = module._recipe(module.SOURCES, None, CACHE)
        (tmp_path / "compiled").write_bytes(library.read_bytes()[:-32])
        find = 'while [ "$1" != -o ]; do shift; done'
        path.write_text(f'#!/bin/sh\necho "$@" >> {log}\n{find}\nexec cp {tmp_path}/compiled "$2"\n')
        path.chmod(0o755)
        return str(path)

    return make, log


Logged = tuple[Callable[[ModuleType], str], Path]


def test_compiled_once(load: Callable[..., ModuleType], tmp_path: Path, logged: Logged) -> None:
    """The second one finds the first one's library; other sources or another compiler do not."""
    compiler, log = logged
    module, cache = load("bits", real_flags=True), tmp_path / "cache"
    command = f"{compiler(module)} -O1"
    assert not module.is_compiled(command, cache)
    for _ in range(2):
        module.CpuEngine(command, cache).close()
        assert module.is_compiled(command, cache)
    (call,) = log.read_text().splitlines()
    assert "-ffp-contract=off" in call and "-ffast-math" not in call
    assert call.index("-O3") < call.index("-O1")  # the caller's options hold
    assert [p.suffix for p in cache.iterdir()] == [".so"]
    module.CpuEngine(f"{command} -DOTHER", cache).close()
    other = load("codes")
    compiler(other)
    other.CpuEngine(command, cache).close()
    assert len(log.read_text().splitlines()) == 3 and len(list(cache.iterdir())) == 3


def test_a_wrong_weight_shows(
    load: Callable[..., ModuleType], build: Callable[..., Path], tmp_path: Path
) -> None:
    """The comparison with golden is one: weights of another seed give other scores."""
    shutil.copytree(build("bits") / "pynq", tmp_path / "pynq")
    other = build("bits", seed=2) / "pynq/xnorhw_accel/cpu/engine/accel_network.c"
    shutil.copy(other, tmp_path / "pynq/xnorhw_accel/cpu/engine/accel_network.c")
    module = load(tmp_path)
    inputs, scores = samples(module)
    with module.CpuEngine("cc -O0", tmp_path / "cache") as engine:
        assert not np.array_equal(engine.predict_scores(inputs), scores)


def test_bad_frames(load: Callable[..., ModuleType]) -> None:
    """The same checks as in front of the accelerator: nothing wrong reaches C."""
    module = load("codes")
    errors = importlib.import_module("xnorhw_accel.errors")
    inputs, _ = samples(module)
    with module.CpuEngine(cache=CACHE) as engine:
        wrong = [
            inputs.astype(np.float32),
            inputs[:0],
            inputs[:, :, :-1],
            np.full_like(inputs, 99),
            inputs[:, :, ::-1],
            inputs.tolist(),
        ]
        for x in wrong:
            with pytest.raises(errors.BatchError):
                engine.predict_scores(x)
            with pytest.raises(errors.BatchError):
                engine.throughput_test(x)
        for number in (2.5, "many", None):
            with pytest.raises(errors.AcceleratorError, match=f"frames: {number!r} is no whole number"):
                engine.throughput_test(inputs, frames=number)


def test_closed(load: Callable[..., ModuleType]) -> None:
    module = load("bits")
    inputs, _ = samples(module)
    engine = module.CpuEngine(cache=CACHE)
    engine.close()
    engine.close()
    for call in (engine.predict_scores, engine.predict, engine.throughput_test):
        with pytest.raises(module.EngineError, match="it was closed"):
            call(inputs)
    with pytest.raises(module.EngineError, match="it was closed"):
        _ = engine.path


def test_no_compiler(
    load: Callable[..., ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("bits")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(module.EngineError) as caught:
        module.CpuEngine(cache=tmp_path)
    assert str(caught.value) == (
        "CPU engine: there is no C compiler on this machine. Install one (sudo apt-get install gcc); "
        "the accelerator itself needs none."
    )
    for wrong in ("no-such-cc", "", 5):
        with pytest.raises(module.EngineError, match=f"there is no command {wrong!r}"):
            module.CpuEngine(wrong, tmp_path)


def test_compiler_that_fails(load: Callable[..., ModuleType], tmp_path: Path) -> None:
    """Its first error is quoted, and nothing is left that a next call could take for a library."""
    module = load("bits")
    with pytest.raises(module.EngineError, match="the sources do not compile: .*no-such-file.h") as caught:
        module.CpuEngine("cc -include no-such-file.h", tmp_path / "cache")
    assert caught.value.module == "cc" and caught.value.remedy
    assert list((tmp_path / "cache").iterdir()) == []


def test_compiler_that_hangs(
    load: Callable[..., ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("bits")
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\nread forever < /dev/zero\nexec cat /dev/zero > /dev/null\n")
    compiler.chmod(0o755)
    monkeypatch.setattr(module, "COMPILE_SECONDS", 0.2)
    with pytest.raises(module.EngineError, match="did not end within 0.2 s"):
        module.CpuEngine(str(compiler), tmp_path / "cache")


def test_no_place(load: Callable[..., ModuleType], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    module = load("bits")
    with pytest.raises(module.EngineError, match="cannot be compiled there") as caught:
        module.CpuEngine(cache=file / "cache")
    assert caught.value.module == str(file / "cache")


def test_unknown_path(load: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("bits")
    monkeypatch.setenv("XH_PATH", "quantum")
    with pytest.raises(module.EngineError) as caught:
        module.CpuEngine(cache=CACHE)
    assert "XH_PATH" in str(caught.value)


def test_no_sources(load: Callable[..., ModuleType], build: Callable[..., Path], tmp_path: Path) -> None:
    shutil.copytree(build("bits") / "pynq", tmp_path / "pynq", ignore=shutil.ignore_patterns("cpu"))
    module = load(tmp_path)
    with pytest.raises(module.EngineError, match="this package holds no C sources"):
        module.CpuEngine(cache=tmp_path)


def test_other_elements(load: Callable[..., ModuleType], build: Callable[..., Path], tmp_path: Path) -> None:
    """A header of another build: refused before anything is handed over."""
    shutil.copytree(build("bits") / "pynq", tmp_path / "pynq")
    header = tmp_path / "pynq/xnorhw_accel/cpu/accel_engine.h"
    header.write_text(
        header.read_text().replace("typedef int8_t accel_input_t;", "typedef int16_t accel_input_t;")
    )
    module = load(tmp_path)
    with pytest.raises(module.EngineError, match="takes int16 elements, this package's frames are int8"):
        module.CpuEngine(cache=tmp_path)


def test_a_damaged_library_is_compiled_anew(
    load: Callable[[str], ModuleType], tmp_path: Path, logged: Logged
) -> None:
    """A file cut off by a loss of power would end the interpreter with a bus error."""
    module, cache = load("bits"), tmp_path / "cache"
    compiler = logged[0](module)
    module.CpuEngine(compiler, cache).close()
    (library,) = cache.iterdir()
    whole = library.read_bytes()
    for i, damaged in enumerate((b"", whole[:3000], whole[:-40], whole[:5000] + b"?" + whole[5001:])):
        library.unlink()  # the loaded one stays as it is
        library.write_bytes(damaged)
        assert not module.is_compiled(compiler, cache)
        module.CpuEngine(compiler, cache).close()
        assert library.read_bytes() == whole
        assert len(logged[1].read_text().splitlines()) == i + 2


def test_a_library_of_another_machine(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    compiler = shutil.which("arm-linux-gnueabihf-gcc")
    if compiler is None or platform.machine().startswith("armv"):
        pytest.skip("arm-linux-gnueabihf-gcc is not installed: apt-get install gcc-arm-linux-gnueabihf")
    module = load("bits")
    with pytest.raises(module.EngineError, match="cannot be loaded") as caught:
        module.CpuEngine(f"{compiler} -mfpu=neon", tmp_path)
    assert "compiler for this machine" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []
