"""The C driver, unchanged, against the simulated device: native, ARM and aarch64."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.host.conftest import Answers
from tests.host.driver_variants import compile_calls
from tests.host.simulated_board import AARCH64, ARM, NATIVE, Board, Program, Target
from xnorhw.sim.compiled import Stalls
from xnorhw.sim.device import SimDevice

Programs = Callable[[Target], Program]

HANG, SLAVE, READ, WRITE = 1, 2, 4, 8
LENGTH, NO_DEVICE, PERMISSION, ADDRESS = 4, 5, 6, 9
BUFFER, TIMEOUT, DMA = 15, 18, 19


def same(got: np.ndarray, answers: Answers) -> bool:
    """Whether scores have golden's bits."""
    return got.tobytes() == answers.scores[: len(got)].tobytes()


@pytest.mark.parametrize(
    ("target", "count", "arguments"),
    [
        (NATIVE, 200, ("--batch", "7")),
        (NATIVE, 40, ()),
        (NATIVE, 20, ("--one-by-one",)),
        (ARM, 1000, ("--batch", "20")),
        (ARM, 60, ()),
        (AARCH64, 200, ("--batch", "11")),
    ],
    ids=lambda value: value.name if isinstance(value, Target) else "",
)
@pytest.mark.parametrize("transport", ["uio", "mem"])
def test_every_score(
    board: Board,
    programs: Programs,
    answers: Answers,
    target: Target,
    count: int,
    arguments: tuple[str, ...],
    transport: str,
) -> None:
    where = board.mem if transport == "mem" else ()
    assert same(board.scores(programs(target), answers.frames[:count], *where, *arguments), answers)


@pytest.mark.parametrize("seed", [1, 2])
def test_memory_that_pauses(
    board: Board, programs: Programs, answers: Answers, device_work: Path, tmp_path: Path, seed: int
) -> None:
    program = programs(NATIVE)
    stalls = Stalls(seed, source_percent=60, sink_percent=70, hold=150)
    with SimDevice(board.device.stored, stalls=stalls, work=device_work) as device:
        slow = Board(device, tmp_path / "slow")
        for arguments in (("--batch", "9"), ("--batch", "1"), (*slow.mem, "--batch", "4")):
            assert same(slow.scores(program, answers.frames[:50], *arguments), answers)


@pytest.mark.parametrize("target", [NATIVE, ARM, AARCH64], ids=lambda target: target.name)
@pytest.mark.parametrize("transport", ["uio", "mem"])
def test_calls_in_every_order(
    board: Board,
    programs: Programs,
    answers: Answers,
    tmp_path: Path,
    target: Target,
    transport: str,
) -> None:
    calls = compile_calls(programs(target), tmp_path)
    where = board.mem_call if transport == "mem" else ()
    done = board.run(calls, "sequence", *files(answers, tmp_path), *where)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "all as it should be\n"


@pytest.mark.parametrize(
    ("fault", "status"),
    [(HANG, TIMEOUT), (SLAVE, DMA), (READ, DMA), (WRITE, DMA)],
    ids=["hang", "slave-error", "read-error", "write-error"],
)
def test_recovers(
    board: Board, programs: Programs, answers: Answers, tmp_path: Path, fault: int, status: int
) -> None:
    calls = compile_calls(programs(NATIVE), tmp_path)
    faults = f"2:{fault}+3:0+4:{fault}+5:0+6:{fault}+7:0"
    done = board.run(calls, "recover", str(status), *files(answers, tmp_path), faults=faults)
    assert done.returncode == 0, done.stdout + done.stderr


def test_recovers_on_arm(board: Board, programs: Programs, answers: Answers, tmp_path: Path) -> None:
    calls = compile_calls(programs(ARM), tmp_path)
    where = (*files(answers, tmp_path), *board.mem_call)
    done = board.run(calls, "recover", str(TIMEOUT), *where, faults="2:1+3:0+4:1+5:0+6:1+7:0")
    assert done.returncode == 0, done.stdout + done.stderr


def test_closing_stops_the_dma_first(
    board: Board, programs: Programs, answers: Answers, tmp_path: Path
) -> None:
    calls = compile_calls(programs(NATIVE), tmp_path)
    done = board.run(calls, "leave", *files(answers, tmp_path), faults="1:1")
    assert done.returncode == 0, done.stdout + done.stderr


def files(answers: Answers, folder: Path) -> tuple[str, str]:
    """A few frames and their scores as files."""
    frames, scores = folder / "some.bin", folder / "some-scores.bin"
    answers.frames[:12].tofile(frames)
    answers.scores[:12].tofile(scores)
    return str(frames), str(scores)


# --- the command-line program ------------------------------------------------------------------


def test_pictures_and_printed_classes(
    board: Board, programs: Programs, answers: Answers, tmp_path: Path
) -> None:
    for i in range(3):
        header = b"P5\n# a comment\n6 6\n255\n"
        (tmp_path / f"{i}.pgm").write_bytes(header + answers.frames[i].tobytes())
    (tmp_path / "raw.bin").write_bytes(answers.frames[3:5].tobytes())
    done = board.run(programs(NATIVE), *(str(tmp_path / f) for f in ("0.pgm", "1.pgm", "2.pgm", "raw.bin")))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for i, line in enumerate(lines[:5]):
        frame, number, word, best, _, score = line.split()
        assert (frame, number, word) == ("frame", str(i), "class")
        assert int(best) == int(np.argmax(answers.scores[i]))
        assert np.float32(score) == answers.scores[i].max()
    assert lines[5].startswith("5 frames in ") and "us a frame" in lines[5]
    assert lines[6].startswith("counters: frames in 5, out 5; clocks busy ")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\1" * 35, "35 bytes are no whole frames of 36 bytes"),
        (b"\1" * 73, "73 bytes are no whole frames of 36 bytes"),
        (b"", "0 bytes are no whole frames of 36 bytes"),
        (b"P5 7 6 255\n" + b"\1" * 42, "7 x 6 with 1 channels, the network takes 6 x 6 with 1"),
        (b"P6 6 6 255\n" + b"\1" * 108, "6 x 6 with 3 channels"),
        (b"P5 6 6 65535\n" + b"\1" * 72, "not a picture of 8 bits a channel"),
        (b"P5 6 6 255\n" + b"\1" * 30, "30 bytes are no whole frames of 36 bytes"),
        (b"P5 6 6", "not a picture of 8 bits a channel"),
    ],
)
def test_wrong_length(board: Board, programs: Programs, tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "frames"
    path.write_bytes(content)
    done = board.run(programs(NATIVE), str(path))
    assert done.returncode == LENGTH and says in done.stderr, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--batch", "0", "x"),
        ("--batch", "1x", "x"),
        ("--timeout", "0", "x"),
        ("--uio", "-1", "x"),
        ("--mem", "0x1000", "x"),
        ("--mem", "0x1000:", "x"),
        ("--repeat", "", "x"),
        ("--nothing", "x"),
    ],
)
def test_wrong_usage(board: Board, programs: Programs, arguments: tuple[str, ...]) -> None:
    done = board.run(programs(NATIVE), *arguments)
    assert done.returncode == 2 and "accel-run --help" in done.stderr and not done.stdout


def test_help_and_missing_file(board: Board, programs: Programs) -> None:
    done = board.run(programs(NATIVE), "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: accel-run [options] FILE...")
    done = board.run(programs(NATIVE), "nowhere.bin")
    assert done.returncode == 1 and "nowhere.bin: No such file or directory" in done.stderr


def test_the_hosts_part_cannot_start(board: Board, programs: Programs, answers: Answers) -> None:
    program = dataclasses.replace(programs(NATIVE), environment=(("XH_PATH", "nothing"),))
    code, says = refused(board, program, answers)
    assert code == 23 and "XH_PATH" in says
    assert same(board.scores(programs(NATIVE), answers.frames[:3]), answers)


# --- what is wrong with the device -------------------------------------------------------------


def refused(board: Board, program: Program, answers: Answers, *arguments: str) -> tuple[int, str]:
    """Exit code and message of a run on three frames."""
    path = board.root / "three.bin"
    answers.frames[:3].tofile(path)
    done = board.run(program, *arguments, str(path))
    assert not done.stdout
    return done.returncode, done.stderr


@pytest.mark.parametrize("path", ["sys/class/uio/uio0/name", "sys/class/uio/uio1/name"])
def test_no_device_of_that_name(board: Board, programs: Programs, answers: Answers, path: str) -> None:
    (board.root / path).unlink()
    code, says = refused(board, programs(NATIVE), answers)
    assert code == NO_DEVICE
    assert "no UIO device has the name 'accel" in says and "Load the bitstream" in says


@pytest.mark.parametrize("name", ["uio0", "uio1", "udmabuf0"])
def test_no_device_and_no_permission(board: Board, programs: Programs, answers: Answers, name: str) -> None:
    device = board.root / "dev" / name
    device.chmod(0)
    code, says = refused(board, programs(NATIVE), answers, "--uio", "0", "--dma-uio", "1")
    assert code == PERMISSION and f"/dev/{name}: cannot be opened: Permission denied" in says
    assert "Run it as root, or give the device files to your group by a udev rule" in says
    device.unlink()
    code, says = refused(board, programs(NATIVE), answers, "--uio", "0", "--dma-uio", "1")
    assert code == NO_DEVICE and f"/dev/{name}: cannot be opened: No such file or directory" in says


def test_no_mem(board: Board, programs: Programs, answers: Answers) -> None:
    (board.root / "dev/mem").chmod(0)
    code, says = refused(board, programs(NATIVE), answers, *board.mem)
    assert code == PERMISSION and "/dev/mem" in says
    (board.root / "dev/mem").unlink()
    assert refused(board, programs(NATIVE), answers, *board.mem)[0] == NO_DEVICE


def test_registers_elsewhere(board: Board, programs: Programs, answers: Answers) -> None:
    code, says = refused(board, programs(NATIVE), answers, "--uio", "1", "--dma-uio", "0")
    assert code == ADDRESS and "at 0x40010000, this build's 'accel' has 0x10000 at 0x40000000" in says


@pytest.mark.parametrize(
    ("leaf", "value"),
    [
        ("phys_addr", "0x1ffff000"),
        ("phys_addr", "0x80000000"),
        ("size", "0x20000000"),
        ("phys_addr", "0x10000004"),
    ],
)
def test_buffer_that_the_dma_does_not_reach(
    board: Board, programs: Programs, answers: Answers, leaf: str, value: str
) -> None:
    board.write(f"sys/class/u-dma-buf/udmabuf0/{leaf}", value)
    code, says = refused(board, programs(NATIVE), answers)
    assert code == ADDRESS, says
    assert "the memory that the DMA reaches, 0x20000000 bytes from 0x0" in says or "no multiple of 8" in says


@pytest.mark.parametrize(
    ("where", "status", "reason"),
    [
        ("0x10000100:0x1000", 3, "not whole pages of 4096 bytes"),
        ("0x10000000:0x1001", 3, "not whole pages of 4096 bytes"),
        ("0x1ffff000:0x2000", ADDRESS, "not within the memory that the DMA reaches"),
        ("0xfffffffffffff000:0x2000", ADDRESS, "not within the memory that the DMA reaches"),
    ],
)
def test_memory_that_cannot_be(
    board: Board, programs: Programs, answers: Answers, where: str, status: int, reason: str
) -> None:
    code, says = refused(board, programs(NATIVE), answers, "--mem", where)
    assert code == status and reason in says, says


def test_the_older_name_of_the_buffers_class(board: Board, programs: Programs, answers: Answers) -> None:
    classes = board.root / "sys/class"
    (classes / "u-dma-buf").rename(classes / "udmabuf")
    assert same(board.scores(programs(NATIVE), answers.frames[:5], "--batch", "2"), answers)


@pytest.mark.parametrize("name", ["udmabuf1", "../mem", "x" * 50])
def test_no_buffer_of_that_name(board: Board, programs: Programs, answers: Answers, name: str) -> None:
    code, says = refused(board, programs(NATIVE), answers, "--buffer", name)
    assert code == (NO_DEVICE if name == "udmabuf1" else 3), says


def test_damaged_files_of_the_kernel(board: Board, programs: Programs, answers: Answers) -> None:
    board.write("sys/class/u-dma-buf/udmabuf0/phys_addr", "here\n")
    code, says = refused(board, programs(NATIVE), answers)
    assert code == 8 and "phys_addr: 'here' is no number" in says
    (board.root / "sys/class/u-dma-buf/udmabuf0/phys_addr").unlink()
    assert refused(board, programs(NATIVE), answers)[0] == NO_DEVICE


def test_buffer_too_small(board: Board, programs: Programs, answers: Answers) -> None:
    board.write("sys/class/u-dma-buf/udmabuf0/size", "512\n")
    code, says = refused(board, programs(NATIVE), answers)
    assert code == BUFFER and "512 bytes do not hold two frames with their results" in says
    board.write("sys/class/u-dma-buf/udmabuf0/size", "1024\n")
    assert same(board.scores(programs(NATIVE), answers.frames[:9], "--batch", "4"), answers)


def test_batch_larger_than_the_buffer(board: Board, programs: Programs, answers: Answers) -> None:
    board.write("sys/class/u-dma-buf/udmabuf0/size", "4096\n")
    path = board.root / "many.bin"
    answers.frames[:200].tofile(path)
    done = board.run(programs(NATIVE), "--batch", "200", str(path))
    assert done.returncode == BUFFER and "200 frames are asked for, one transfer takes up to " in done.stderr
    assert same(board.scores(programs(NATIVE), answers.frames[:200], "--batch", "20"), answers)


def test_hang_ends_in_an_error_and_the_next_frame_is_right(
    board: Board, programs: Programs, answers: Answers
) -> None:
    path = board.root / "three.bin"
    answers.frames[:3].tofile(path)
    for target in (NATIVE, ARM):
        done = board.run(programs(target), "--timeout", "80", str(path), faults=f"2:{HANG}")
        assert done.returncode == TIMEOUT, done.stderr
        assert "accel: no result within 80 ms: send channel 0x" in done.stderr
        assert "receive channel 0x00000000, running. The device was reset and is ready" in done.stderr
        assert same(board.scores(programs(target), answers.frames[:3]), answers)


@pytest.mark.parametrize(
    ("fault", "channel"), [(READ, "send channel"), (WRITE, "receive channel")], ids=["read", "write"]
)
def test_dma_error(board: Board, programs: Programs, answers: Answers, fault: int, channel: str) -> None:
    path = board.root / "three.bin"
    answers.frames[:3].tofile(path)
    done = board.run(programs(NATIVE), str(path), faults=f"2:{fault}")
    assert done.returncode == DMA
    assert f"DMA, {channel}: status 0x" in done.stderr
    assert "slave error (memory refused an access)" in done.stderr
    assert same(board.scores(programs(NATIVE), answers.frames[:3]), answers)
