"""One lock for all drivers of a device: a file named after the address of its DMA."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hand_bench import Bench

Benches = Callable[[str], Bench]

ADDRESS = 0x4040_0000
NAME = "xnorhw-40400000.lock"


def test_the_name_comes_from_the_address(
    bench: Benches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = bench("table").package.opening
    assert opening.LOCK_FOLDER == Path("/run/lock")
    monkeypatch.setattr(opening, "LOCK_FOLDER", tmp_path)
    board = SimpleNamespace(tag="edge")
    lock = opening.Lock(ADDRESS, board)
    assert lock.path == tmp_path / NAME
    with pytest.raises(opening.DeviceBusyError, match="device edge: .*this process"):
        opening.Lock(ADDRESS, board)
    opening.Lock(0xA000_0000, board).release()  # another DMA is another lock
    lock.release()
    lock.release()
    opening.Lock(ADDRESS, board).release()
    assert sorted(p.name for p in tmp_path.iterdir()) == [NAME, "xnorhw-a0000000.lock"]


def test_the_device_is_locked_by_its_dma(bench: Benches) -> None:
    one = bench("table")
    path = Path(one.device.lock_folder) / f"xnorhw-{one.device.sim.dma_base:08x}.lock"
    with one.open():
        assert path.read_text() == str(os.getpid())
        with open(path) as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_another_driver_has_it(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    """The C driver, which leaves no number in the file: nothing is loaded, nothing is written."""
    one = bench("table")
    path = Path(one.device.lock_folder) / f"xnorhw-{one.device.sim.dma_base:08x}.lock"
    with open(path, "a") as other, monkeypatch.context() as patched:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for touch in ("download", "write_registers", "read_registers"):
            patched.setattr(one.device, touch, lambda *_, what=touch: pytest.fail(what))
        with pytest.raises(one.package.DeviceBusyError, match="in use by another process"):
            one.open()
    with one.open() as accelerator:
        assert accelerator.self_test().passed


def test_the_number_of_a_process_that_ended(bench: Benches, tmp_path: Path) -> None:
    opening = bench("table").package.opening
    (tmp_path / NAME).write_text("4194305")  # above the largest number that Linux gives
    with open(tmp_path / NAME) as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(opening.DeviceBusyError, match="in use by another process"):
            opening.Lock(ADDRESS, SimpleNamespace(lock_folder=tmp_path))


def test_no_folder_for_locks(bench: Benches, tmp_path: Path) -> None:
    opening = bench("table").package.opening
    missing = SimpleNamespace(lock_folder=tmp_path / "missing")
    with pytest.raises(opening.PermissionDeniedError, match=f"lock file .*{NAME} cannot be opened.*No such"):
        opening.Lock(ADDRESS, missing)
