"""Builds on simulated devices under pynq itself; collected in the environment that has pynq."""

from __future__ import annotations

import fcntl
import importlib.util
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

if importlib.util.find_spec("pynq") is None:
    # `make test` creates the second environment; here these tests are not collected
    collect_ignore_glob = ["test_*.py"]
else:
    # pynq's wheel has a top-level package `tests` of its own, which hides this one
    sys.path.insert(0, str(HERE))
    sys.path.insert(0, str(ROOT))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on a PC pynq says at length that this is no board
        import pynq
        import pynq.lib
        import pynq.metadata.runtime_metadata_parser
    import hand_builds
    from hand_bench import WORK, Bench, load_package

    from xnorhw.sim.device import prepare
    from xnorhw.sim.pynq_device import open_device


def pytest_configure(config: pytest.Config) -> None:
    for line in (
        "ignore:pkg_resources is deprecated",
        "ignore:Deprecated call to `pkg_resources",
        "ignore::DeprecationWarning:pynq",
        "ignore::DeprecationWarning:pynqmetadata",
        "ignore::DeprecationWarning:pynqutils",
        "ignore::DeprecationWarning:pydantic",
        "ignore:unclosed file:ResourceWarning",
    ):
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes the build of a hand-made network once a session."""
    made: dict[tuple[Any, ...], Path] = {}

    def make(name: str, seed: int = 1, board: str = "pynq-z2") -> Path:
        key = (name, seed, board)
        if key not in made:
            made[key] = hand_builds.write(name, tmp_path_factory.mktemp(name) / "out", board, seed)
        return made[key]

    return make


@pytest.fixture(scope="session")
def bench(build: Callable[..., Path]) -> Iterator[Callable[..., Bench]]:
    """Gives a network on its device, started once a session."""
    started: dict[str, Bench] = {}

    def start(name: str) -> Bench:
        if name not in started:
            folder = build(name)
            WORK.mkdir(parents=True, exist_ok=True)
            with open(WORK / "lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # workers share what one of them compiles
                prepare(folder, WORK)
            started[name] = Bench(folder, load_package(folder / "pynq"), open_device(folder, work=WORK))
        return started[name]

    yield start
    for one in started.values():
        one.device.close()


@pytest.fixture
def mutant(tmp_path: Path) -> Callable[..., ModuleType]:
    """The package of a build with one place of its text replaced."""

    ignored = shutil.ignore_patterns("__pycache__")

    def make(folder: Path, file: str, old: str, new: str) -> ModuleType:
        copy = Path(tempfile.mkdtemp(prefix="mutant-", dir=tmp_path))
        shutil.copytree(folder / "pynq", copy, dirs_exist_ok=True, ignore=ignored)
        path = copy / "xnorhw_accel" / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file} has {text.count(old)} of {old!r}"
        path.write_text(text.replace(old, new))
        return load_package(copy)

    return make


@pytest.fixture(scope="session", autouse=True)
def cache() -> Iterator[None]:
    """Engines, and the run-time library of devices, are compiled once and kept where the devices are."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(WORK))
        if " " not in str(ROOT):  # make divides words at each
            patched.setenv("OBJCACHE", f"sh {HERE / 'object_cache.sh'} {WORK / 'objects'}")
        yield


@pytest.fixture(autouse=True)
def no_active_device() -> Iterator[None]:
    """Whoever makes a device the active one takes it back."""
    yield
    assert "_active_device" not in vars(pynq.Device)
