"""The wheel: made without network, installed without network, found by pynq by name."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynq
import pytest
from hand_bench import WORK, Bench

ROOT = Path(__file__).resolve().parent.parent.parent


def make(folder: Path, *words: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = None if path is None else {"PATH": path}
    return subprocess.run(
        ["make", "-C", str(folder / "pynq"), f"PYTHON={sys.executable}", *words],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def out(bench: Callable[[str], Bench], tmp_path: Path) -> Path:
    """A build with a bitstream, as Vivado's Makefile drops it in; here the simulated device's empty one."""
    target = tmp_path / "out"
    source = bench("table").folder
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "work"))
    (target / "pynq/accel.bit").write_bytes(b"")
    shutil.copy(target / "sim/accel.hwh", target / "pynq/accel.hwh")
    return target


def wheel_of(out: Path) -> Path:
    (wheel,) = (out / "pynq/work").glob("*.whl")
    return wheel


def test_same_bytes(out: Path) -> None:
    done = make(out, "wheel")
    assert done.returncode == 0, done.stderr
    first = wheel_of(out).read_bytes()
    # what running the package leaves behind is no part of it
    cache = out / "pynq/xnorhw_accel/__pycache__"
    cache.mkdir()
    (cache / "driver.pyc").write_bytes(b"x")
    assert make(out, "wheel").returncode == 0
    assert wheel_of(out).read_bytes() == first
    assert "--no-deps --no-index --force-reinstall xnorhw_accel-1.0+" in done.stdout
    with zipfile.ZipFile(wheel_of(out)) as wheel:
        names = set(wheel.namelist())
        assert wheel.testzip() is None
    for name in ("driver.py", "bitstream/accel.bit", "bitstream/accel.hwh", "notebooks/accel.ipynb"):
        assert f"xnorhw_accel/{name}" in names
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.parametrize("gone", ["accel.bit", "accel.hwh"])
def test_no_bitstream_no_wheel(gone: str, out: Path) -> None:
    (out / "pynq" / gone).unlink()
    done = make(out, "wheel")
    assert done.returncode != 0
    assert f"xnorhw: error: {gone}: there is none" in done.stderr
    assert "make -C ../vivado bitstream" in done.stderr
    assert not list((out / "pynq/work").glob("*.whl"))


def test_pip_makes_the_same_wheel(out: Path, tmp_path: Path) -> None:
    """pyproject.toml is a plain one: pip needs no network for its backend."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "-w", str(tmp_path)]
    subprocess.run([*command, str(out / "pynq")], check=True, capture_output=True)
    assert make(out, "wheel").returncode == 0
    assert (tmp_path / wheel_of(out).name).read_bytes() == wheel_of(out).read_bytes()


def test_the_verdict_goes_along(out: Path) -> None:
    (out / "verify.json").write_text('{"chain": {"rtl": "not run"}}')
    assert make(out, "wheel").returncode == 0
    with zipfile.ZipFile(wheel_of(out)) as wheel:
        assert wheel.read("xnorhw_accel/verify.json") == b'{"chain": {"rtl": "not run"}}'


USE = """
import sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import pynq
from xnorhw.sim.pynq_device import open_device

out, work = map(Path, sys.argv[1:])
with open_device(out, work=work) as device:
    device.bitfile = None
    pynq.Device.active_device = device
    overlay = pynq.Overlay("accel.bit")
    print(overlay.bitfile_name, type(overlay.accel).__module__, type(overlay.dma).__module__)
    from xnorhw_accel import load
    with load() as accelerator:
        print(accelerator.self_test())
        print(accelerator.verdict)
from pynq._cli.get_notebooks import main
sys.argv = ["get-notebooks", "--ignore-overlays", "--quiet", "accel"]
main()
"""


def test_installed(out: Path, tmp_path: Path) -> None:
    """Into an environment of its own, as on the board: no dependency is fetched, nothing built."""
    assert make(out, "wheel").returncode == 0
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin/python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
    command += ["--no-deps", "--no-index", str(wheel_of(out))]
    subprocess.run(command, check=True, capture_output=True)
    (site,) = (venv / "lib").glob("python*/site-packages")
    # what an image's environment holds, and the simulated device
    (site / "board.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    done = subprocess.run(
        [python, "-c", USE, out, WORK], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    where, ip, dma = done.stdout.splitlines()[0].split()
    assert Path(where) == site / "xnorhw_accel/bitstream/accel.bit"
    assert (ip, dma) == ("xnorhw_accel.ip", "pynq.lib.dma")
    assert "self-test passed" in done.stdout and done.stdout.rstrip().endswith("None")
    assert (tmp_path / "pynq-notebooks/accel/accel.ipynb").is_file()


FAKE = """#!/bin/sh
echo "{name} $*" >> "{log}"
exit {code}
"""


def fake_tools(folder: Path, log: Path, code: int = 0) -> str:
    """A PATH on which ssh and scp write down how they were called."""
    folder.mkdir()
    for name in ("ssh", "scp"):
        tool = folder / name
        tool.write_text(FAKE.format(name=name, log=log, code=code))
        tool.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_deploy(out: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = make(out, "deploy", "BOARD=xilinx@192.168.2.99", path=fake_tools(tmp_path / "bin", log))
    assert done.returncode == 0, done.stderr
    copied, installed = log.read_text().splitlines()
    name = wheel_of(out).name
    assert copied == f"scp work/{name} xilinx@192.168.2.99:"
    assert installed == (
        "ssh -t xilinx@192.168.2.99 sudo /usr/local/share/pynq-venv/bin/python3 "
        f"-m pip install --no-deps --no-index --force-reinstall {name}"
    )


def test_deploy_without_a_board(out: Path) -> None:
    done = make(out, "deploy")
    assert done.returncode != 0
    assert "no board was named. Say make deploy BOARD=user@address" in done.stderr


def test_deploy_that_fails(out: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = make(out, "deploy", "BOARD=nobody@nowhere", path=fake_tools(tmp_path / "bin", log, code=255))
    assert done.returncode != 0
    assert log.read_text().splitlines() == [f"scp work/{wheel_of(out).name} nobody@nowhere:"]


def test_in_a_hierarchy(
    bench: Callable[[str], Bench], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A design that keeps DMA and accelerator in a hierarchy, under other names: pynq binds the pair."""
    one = bench("table")
    text = Path(one.device.bitfile).with_suffix(".hwh").read_text()
    for name, after in (("dma", "mover"), ("accel", "brain")):
        assert f'FULLNAME="/{name}" INSTANCE="{name}"' in text
        text = text.replace(f'FULLNAME="/{name}"', f'FULLNAME="/net/{after}"')
        text = text.replace(f'INSTANCE="{name}"', f'INSTANCE="net_{after}"')
    (tmp_path / "user.hwh").write_text(text)
    (tmp_path / "user.bit").write_bytes(b"")
    bitfile = str(tmp_path / "user.bit")
    with one.open(bitfile=bitfile) as accelerator:
        assert accelerator.self_test().passed
    # the tests load many builds; on a board there is one
    monkeypatch.setattr(pynq.overlay, "_hierarchy_drivers", [one.package.ip.NetworkHierarchy])
    overlay = pynq.Overlay(bitfile, device=one.device)
    assert type(overlay.net).__name__ == "NetworkHierarchy"
    with overlay.net.accelerator(timeout=1.0) as accelerator:
        samples = accelerator.samples
        assert (accelerator.predict_sums(samples.inputs) == samples.sums).all()


def test_a_hierarchy_with_another_build(
    bench: Callable[[str], Bench],
    mutant: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The driver's error comes through; pynq would swallow its own UnsupportedConfiguration."""
    one = bench("table")
    text = Path(one.device.bitfile).with_suffix(".hwh").read_text()
    for name in ("dma", "accel"):
        text = text.replace(f'FULLNAME="/{name}"', f'FULLNAME="/net/{name}"')
        text = text.replace(f'INSTANCE="{name}"', f'INSTANCE="net_{name}"')
    (tmp_path / "user.hwh").write_text(text)
    (tmp_path / "user.bit").write_bytes(b"")
    package = mutant(one.folder, "description.json", '"abi_major": 1', '"abi_major": 9')
    monkeypatch.setattr(pynq.overlay, "_hierarchy_drivers", [package.ip.NetworkHierarchy])
    overlay = pynq.Overlay(str(tmp_path / "user.bit"), device=one.device)
    with pytest.raises(package.BitstreamError, match="this driver needs 9.0"):
        overlay.net.accelerator()
