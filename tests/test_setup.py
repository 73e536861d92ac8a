"""The Makefile's setup: what it says when something is missing, and how it counts."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def setup() -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_env", ROOT / "tools/setup_env.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("command", ["g++", "make", "perl"])
def test_missing_command(tmp_path: Path, command: str) -> None:
    """One line with the apt command, and nothing made."""
    for name in {"g++", "make", "perl"} - {command}:
        (tmp_path / name).symlink_to("/bin/true")
    arguments = [sys.executable, str(ROOT / "tools/setup_env.py"), str(tmp_path / "venv"), "sim"]
    ended = subprocess.run(
        arguments, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr == f"xnorhw setup: missing: {command}; sudo apt-get install {command}\n"
    assert not (tmp_path / "venv").exists()


def test_missing_venv(setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    assert setup.missing_packages(tmp_path / "venv") == ["python3-venv"]
    # an environment that is there needs no module to make one
    python = setup.python_of(tmp_path / "venv")
    python.parent.mkdir(parents=True)
    python.touch()
    assert setup.missing_packages(tmp_path / "venv") == []


def test_old_python(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup, "OLDEST", (99, 0))
    assert setup.main([str(tmp_path / "venv"), "sim"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("xnorhw setup: xnorhw needs Python 99.0") and error.count("\n") == 1


def test_missing_python(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    ended = subprocess.run(
        ["make", "-C", str(ROOT), "demo", "PYTHON=python-that-is-not", f"VENV={venv}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode != 0 and not venv.exists()
    assert "missing: python-that-is-not; sudo apt-get install python3 python3-venv" in ended.stderr


@pytest.mark.parametrize("constraints", ["CONSTRAINTS", "CONSTRAINTS_PYNQ"])
def test_every_pin_is_a_version(setup: ModuleType, constraints: str) -> None:
    from packaging.requirements import Requirement

    lines = [x for x in getattr(setup, constraints).read_text().splitlines() if x and not x.startswith("#")]
    pins = {r.name: r for r in map(Requirement, lines)}
    assert len(pins) == len(lines)
    assert all(len(r.specifier) == 1 and str(r.specifier).startswith("==") for r in pins.values())


def test_pinned(setup: ModuleType) -> None:
    from packaging.requirements import Requirement

    lines = [x for x in setup.CONSTRAINTS.read_text().splitlines() if x and not x.startswith("#")]
    pins = {r.name: r for r in map(Requirement, lines)}
    assert setup.pinned("torch") == f"torch{pins['torch'].specifier}"
    assert setup.pinned("numpy") == f"numpy{pins['numpy'].specifier}"  # its marker is left out
    assert setup.pinned("unheard-of") == "unheard-of"


def test_pins_lie_in_the_ranges(setup: ModuleType) -> None:
    """What make installs is allowed by what the package takes."""
    if sys.version_info < (3, 11):
        pytest.skip("reads pyproject.toml with the standard library")
    import tomllib
    from packaging.requirements import Requirement
    from packaging.version import Version

    data = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, group = data["project"], data["dependency-groups"]["pynq"]
    extras = project["optional-dependencies"]
    # the extra is what the group asks for where pynq itself is concerned
    assert set(extras["pynq"]) <= set(group)
    # nothing here installs the known data sets' torchvision: it has to be the one built for the user's torch
    ours = [extra for name, extra in extras.items() if name not in ("data", "pynq")]
    main = [*project["dependencies"], *(wanted for extra in ours for wanted in extra)]
    for constraints, ranges in ((setup.CONSTRAINTS, main), (setup.CONSTRAINTS_PYNQ, group)):
        for wanted in map(Requirement, ranges):
            pin = Requirement(setup.pinned(wanted.name, constraints))
            if wanted.name in ("xnorhw", "tomli"):
                continue
            assert pin.specifier, f"{wanted.name} has no line in {constraints.name}"
            assert wanted.specifier.contains(Version(str(pin.specifier).removeprefix("==")))


def test_neither_environment_takes_the_other(setup: ModuleType) -> None:
    assert setup.pinned("pynq") == "pynq"  # no line
    assert setup.pinned("torch", setup.CONSTRAINTS_PYNQ) == "torch"
    assert setup.pinned("pynq", setup.CONSTRAINTS_PYNQ).startswith("pynq==3.1")


def test_no_pynq_for_this_python(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that says why and what to do; no environment, and no error: the other tests go on."""
    monkeypatch.setattr(setup.sys, "platform", "linux")
    monkeypatch.setattr(setup.sys, "version_info", (3, 13, 1))
    assert setup.main([str(tmp_path / "venv"), "--group", "pynq"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("xnorhw setup: no environment with pynq: its NumPy and grpcio have no wheels")
    assert said.out.endswith("say `make PYNQ_PYTHON=/path/to/python3.12`\n") and not said.err
    assert not (tmp_path / "venv").exists()

    monkeypatch.setattr(setup.sys, "platform", "darwin")
    assert setup.main([str(tmp_path / "venv"), "--group", "pynq"]) == 0
    assert "runs on Linux alone" in capsys.readouterr().out and not (tmp_path / "venv").exists()


def test_wrong_usage(setup: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert setup.main(["venv", "--group", "dev"]) == 1
    assert "usage" in capsys.readouterr().err


def test_sizes(setup: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "a wheel.whl"
    file.write_bytes(bytes(2_000_000))
    assert setup.size_of(file.as_uri()) == 2_000_000
    assert setup.megabytes(2_000_000) == "2 MB"
    assert setup.size_of((tmp_path / "nothing.whl").as_uri()) is None
    assert setup.size_of("https://localhost:1/x.whl") is None


def test_extras_reach_the_setup() -> None:
    for target, extras in (("demo", "sim,train"), ("test", "dev")):
        ended = subprocess.run(
            ["make", "-C", str(ROOT), "-n", target, "VENV=not-there", f"PYTHON={sys.executable}"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "MAKEFLAGS": ""},
        )
        assert f"tools/setup_env.py 'not-there' {extras}\n" in ended.stdout


def test_second_environment(tmp_path: Path) -> None:
    """`make test` makes it, runs the tests in it, and does without it where it cannot be."""
    options = [f"VENV={tmp_path}/env", f"PYTHON={sys.executable}", "JOBS=2"]
    shown = make("-n", "test", *options)
    assert f"tools/setup_env.py '{tmp_path}/env-pynq' --group pynq\n" in shown
    assert f"'{tmp_path}/env-pynq/bin/python' -m pytest tests/pynq tests/notebook  -n 2" in shown
    assert "-m pytest tests/pynq tests/notebook -m long -n 2" in make("-n", "test-long", *options)

    for name, text in (("env/.ready-dev", ""), ("no-pynq", "#!/bin/sh\necho left out\n")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    said = make("test-pynq", *options, f"PYNQ_PYTHON={tmp_path}/no-pynq")
    assert "left out\ntests/pynq and tests/notebook: not run, there is no environment with pynq\n" in said


def make(*arguments: str) -> str:
    command = ["make", "--no-print-directory", "-C", str(ROOT), *arguments]
    environment = {**os.environ, "MAKEFLAGS": ""}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
