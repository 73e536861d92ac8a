"""One program at a time has a device; and a device that a reset does not bring back."""

from __future__ import annotations

import dataclasses
import fcntl
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.host.conftest import Answers
from tests.host.driver_variants import compile_calls
from tests.host.simulated_board import NATIVE, Board, Program, Target
from tests.host.test_driver import files, refused, same
from xnorhw.ir.registers import REGISTERS

Programs = Callable[[Target], Program]

HANG = 1
IN_USE, SYSTEM, RESET = 7, 8, 22
ERRORS = next(r.offset for r in REGISTERS if r.name == "ERRORS")


@pytest.mark.parametrize("transport", ["uio", "mem"])
def test_device_of_another_program(
    board: Board, programs: Programs, answers: Answers, transport: str
) -> None:
    path = board.root / "three.bin"
    answers.frames[:3].tofile(path)
    log = board.root / "first.txt"
    board.device.release()
    first_where = board.mem if transport == "mem" else ()
    command, environment = board.command(
        programs(NATIVE), *first_where, "--repeat", "100000000", str(path), log=log
    )
    sent = f"write 0x{board.device.dma_base + 0x28:08x}"
    first = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 60
        while not (log.exists() and log.read_text().count(sent) > 3):
            assert time.monotonic() < end and first.poll() is None
        for where in ((), board.mem):
            second, environment = board.command(programs(NATIVE), *where, str(path))
            done = subprocess.run(second, env=environment, capture_output=True, text=True, timeout=60)
            assert done.returncode == IN_USE
            # one lock for both ways, whatever the device files say
            lock = f"/run/lock/xnorhw-{board.device.dma_base:08x}.lock: another process has the device."
            assert f"{lock} End the other process first." in done.stderr
        first.send_signal(signal.SIGINT)
        says = first.communicate(timeout=60)[1]
    finally:
        first.kill()
        first.wait()
    assert "interrupted; the device is stopped and free" in says
    assert first.returncode == 128 + signal.SIGINT
    assert same(board.scores(programs(NATIVE), answers.frames[:3]), answers)


@pytest.mark.parametrize("name", ["udmabuf0", "uio0", "uio1", "mem"])
def test_one_device_file_of_another_program(
    board: Board, programs: Programs, answers: Answers, name: str
) -> None:
    where = board.mem if name == "mem" else ()
    with (board.root / "dev" / name).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        code, says = refused(board, programs(NATIVE), answers, *where)
        assert code == IN_USE, says
        assert f"/dev/{name}: another process has it open. End the other process first." in says
    assert same(board.scores(programs(NATIVE), answers.frames[:3], *where), answers)


def test_the_lock_of_the_device(board: Board, programs: Programs, answers: Answers, tmp_path: Path) -> None:
    locks = tmp_path / "locks"
    program = dataclasses.replace(programs(NATIVE), environment=(("XH_SHIM_LOCKS", str(locks)),))
    path = locks / f"xnorhw-{board.device.dma_base:08x}.lock"
    for where in ((), board.mem):
        code, says = refused(board, program, answers, *where)
        assert code == SYSTEM and f"/run/lock/{path.name}: the device's lock file cannot be opened" in says
        assert "wants a folder /run/lock that may be written: No such file or directory" in says
    locks.mkdir()
    for where in ((), board.mem):
        assert same(board.scores(program, answers.frames[:3], *where), answers)
        assert path.stat().st_mode & 0o777 == 0o666
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            code, says = refused(board, program, answers, *where)
            assert code == IN_USE and f"{path.name}: another process has the device" in says
    path.unlink()
    path.symlink_to(board.root / "dev/mem")
    assert refused(board, program, answers)[0] == SYSTEM


def test_a_lock_that_its_last_owner_removes(
    board: Board, programs: Programs, answers: Answers, tmp_path: Path
) -> None:
    path = tmp_path / f"xnorhw-{board.device.dma_base:08x}.lock"
    path.touch()
    settings = (("XH_SHIM_LOCKS", str(tmp_path)), ("XH_SHIM_REMOVED", str(path)))
    program = dataclasses.replace(programs(NATIVE), environment=settings)
    assert same(board.scores(program, answers.frames[:3]), answers)
    # made again, and locked there: a lock on the removed file would keep nobody out
    assert path.exists()


# --- a device that does not come back ------------------------------------------------------------


def stuck(program: Program, transfer: int, address: int, value: int) -> Program:
    """The program with a register that reads as ``value`` from that transfer on."""
    return dataclasses.replace(program, environment=(("XH_SHIM_STUCK", f"{transfer}:{address}:{value}"),))


def test_errors_that_a_reset_does_not_clear(board: Board, programs: Programs, answers: Answers) -> None:
    program = stuck(programs(NATIVE), 0, board.device.ip_base + ERRORS, 2)
    code, says = refused(board, program, answers)
    assert code == RESET and "accel: its errors read 0x2 after a reset. Close the driver" in says


@pytest.mark.parametrize("what", ["errors", "DMA"])
def test_no_call_after_a_failed_reset(
    board: Board, programs: Programs, answers: Answers, tmp_path: Path, what: str
) -> None:
    native = compile_calls(programs(NATIVE), tmp_path)
    if what == "errors":
        calls, faults = stuck(native, 2, board.device.ip_base + ERRORS, 1), ""
    else:
        calls, faults = stuck(native, 2, board.device.dma_base, 4), f"2:{HANG}"
    done = board.run(calls, "dead", what, *files(answers, tmp_path), faults=faults)
    assert done.returncode == 0, done.stdout + done.stderr
