"""Faults planted in the driver, each noticed; a wrong build, each refused; what tools say of the source."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.host.conftest import Answers
from tests.host.driver_variants import compile_calls, compile_variant
from tests.host.simulated_board import AARCH64, ARM, NATIVE, Board, Program, Target
from tests.host.test_driver import files
from xnorhw.ir.registers import REGISTERS

Programs = Callable[[Target], Program]

OFFSET = {register.name: register.offset for register in REGISTERS}
SEND, RECEIVE = 0x00, 0x30
CONTROL, STATUS, LENGTH = 0x00, 0x04, 0x28
RESET = 4


@dataclass(frozen=True)
class Access:
    """A line of the shim's trace: ``what`` and its numbers."""

    what: str
    numbers: tuple[int, ...]


def parse(trace: list[str]) -> list[Access]:
    """The trace without the opening and closing of files."""
    rows = (line.split() for line in trace)
    return [
        Access(what, tuple(int(n, 0) for n in numbers))
        for what, *numbers in rows
        if what not in ("open", "close")
    ]


def order_faults(board: Board) -> list[str]:
    """What the last run did in an order that a board does not allow."""
    trace = parse(board.trace)
    dma, ip = board.device.addresses.dma.offset, board.device.addresses.ip.offset
    faults = []
    receiving = False
    handed: set[int] = set()
    resetting: set[int] = set()
    for i, step in enumerate(trace):
        if step.what == "sync_for_device":
            handed.add(step.numbers[2])
        elif step.what == "write" and step.numbers[0] == dma + RECEIVE + LENGTH:
            receiving = True
        elif step.what == "write" and step.numbers[0] == dma + SEND + LENGTH:
            if not receiving:
                faults.append("sent before there was a buffer to receive")
            if handed != {1, 2}:
                faults.append("started without handing both parts of the buffer to the device")
            receiving, handed = False, set()
        elif step.what == "write" and step.numbers[0] in (dma + SEND, dma + RECEIVE):
            if step.numbers[1] & RESET:
                resetting.add(step.numbers[0])
        elif step.what == "read" and step.numbers[0] in resetting:
            if not step.numbers[1] & RESET:
                resetting.discard(step.numbers[0])
        elif resetting:
            faults.append(f"{step.what} while a reset was not seen to finish")
            resetting = set()
        if step.what == "write" and step.numbers == (ip + OFFSET["CONTROL"], 1):
            before = [s for s in trace[:i] if s.what == "write"][-2:]
            if [s.numbers for s in before] != [(dma + SEND, RESET), (dma + RECEIVE, RESET)]:
                faults.append("the accelerator was reset before the DMA")
            after = trace[i + 1 : i + 4]
            wanted = [("read", "CONTROL"), ("write", "CONTROL"), ("read", "ERRORS")]
            if [(s.what, s.numbers[0]) for s in after] != [(w, ip + OFFSET[r]) for w, r in wanted]:
                faults.append("the errors were not read as clear after the reset")
    return faults


def verdicts(board: Board, program: Program, calls: Program, answers: Answers, folder: Path) -> list[str]:
    """What the checks find wrong with a driver: scores, orders, recoveries."""
    found = []
    frames = folder / "frames.bin"
    answers.frames[:12].tofile(frames)
    for where in ((), board.mem):
        scores = folder / "scores.bin"
        scores.unlink(missing_ok=True)
        done = board.run(
            program,
            *where,
            "--timeout",
            "200",
            "--batch",
            "5",
            "--scores",
            str(scores),
            str(frames),
            traced=True,
        )
        if done.returncode:
            found.append(f"exit code {done.returncode}")
        elif scores.read_bytes() != answers.scores[:12].tobytes():
            found.append("wrong scores")
        if not where:
            found += order_faults(board)
    given = files(answers, folder)
    done = board.run(calls, "recover", "18", *given, faults="2:1+3:0+4:1+5:0+6:1+7:0", traced=True)
    if done.returncode:
        found.append(f"no recovery from a hang ({done.returncode})")
    found += order_faults(board)
    done = board.run(calls, "leave", *given, faults="1:1")
    if done.returncode:
        found.append(f"closed while the DMA ran ({done.returncode})")
    return found


def test_the_driver_itself_has_no_such_fault(
    board: Board, programs: Programs, answers: Answers, tmp_path: Path
) -> None:
    program = programs(NATIVE)
    assert not verdicts(board, program, compile_calls(program, tmp_path), answers, tmp_path)


@dataclass(frozen=True)
class Fault:
    """A text of a driver's file, what is put in its place, and a verdict that this brings."""

    file: str
    right: str
    wrong: str
    verdict: str


FAULTS = {
    "frames not handed to the device": Fault(
        "xd_dma.c",
        "if (!status) status = xd_sync_for_device(transport, transfer->input,",
        "if (0) status = xd_sync_for_device(transport, transfer->input,",
        "wrong scores",
    ),
    "results not taken back": Fault(
        "xd_dma.c",
        "status = xd_sync_for_cpu(transport,",
        "if (0) status = xd_sync_for_cpu(transport,",
        "wrong scores",
    ),
    "only one frame of a batch handed over": Fault(
        "xd_dma.c",
        "xd_sync_for_device(transport, transfer->input, transfer->input_bytes, XD_TO_DEVICE",
        "xd_sync_for_device(transport, transfer->input, 40, XD_TO_DEVICE",
        "wrong scores",
    ),
    "send first, then receive": Fault(
        "xd_dma.c",
        "    start_channel(transport, XD_S2MM, transfer->output, transfer->output_bytes);\n"
        "    start_channel(transport, XD_MM2S, transfer->input, transfer->input_bytes);\n",
        "    start_channel(transport, XD_MM2S, transfer->input, transfer->input_bytes);\n"
        "    start_channel(transport, XD_S2MM, transfer->output, transfer->output_bytes);\n",
        "sent before there was a buffer to receive",
    ),
    "a reset that is not awaited": Fault(
        "xd_dma.c",
        "if (!await(&transport->dma, CHANNELS[i] + XD_DMACR, XD_DMACR_RESET, 0, timeout_ms))",
        "if (timeout_ms == 0)",
        "while a reset was not seen to finish",
    ),
    "the buffer given back before the reset": Fault(
        "xd_driver.c",
        "xd_status status = xd_dma_reset(&driver->transport, driver->timeout_ms, NULL);\n",
        "xd_status status = XD_OK;\n",
        "closed while the DMA ran (99)",
    ),
    "no reset after a time limit": Fault(
        "xd_driver.c",
        "    if (reset(driver, &second)) {",
        "    driver->in_flight = 0;\n    if (0) {",
        "no recovery from a hang",
    ),
    "the accelerator reset before the DMA": Fault(
        "xd_driver.c",
        "    xd_status status = xd_dma_reset(&driver->transport, driver->timeout_ms, error);\n"
        "    if (status) return status;\n"
        "    xd_write(ip, XD_REG_CONTROL, 1);\n",
        "    xd_write(ip, XD_REG_CONTROL, 1);\n"
        "    xd_status status = xd_dma_reset(&driver->transport, driver->timeout_ms, error);\n"
        "    if (status) return status;\n",
        "the accelerator was reset before the DMA",
    ),
    "the accelerator not reset at all": Fault(
        "xd_driver.c",
        "    xd_write(ip, XD_REG_CONTROL, 1);\n",
        "",
        "no recovery from a hang",
    ),
    "frames not on whole beats": Fault(
        "xd_driver.c",
        "newest_free(driver)->transfer.input + i * driver->input_bytes",
        "newest_free(driver)->transfer.input + i * (driver->input_bytes - 4)",
        "wrong scores",
    ),
    "a transfer a beat too short": Fault(
        "xd_driver.c",
        "free_half->transfer.input_bytes = frames * driver->input_bytes;",
        "free_half->transfer.input_bytes = frames * driver->input_bytes - 8;",
        "exit code 21",
    ),
    "a frame less than room for results": Fault(
        "xd_driver.c",
        "free_half->transfer.input_bytes = frames * driver->input_bytes;",
        "free_half->transfer.input_bytes = (frames > 1 ? frames - 1 : 1) * driver->input_bytes;",
        "exit code 20",
    ),
    "both transfers in one half": Fault(
        "xd_driver.c",
        "driver->halves[i].transfer.input = i * half_bytes;",
        "driver->halves[i].transfer.input = 0;",
        "wrong scores",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted(board: Board, programs: Programs, answers: Answers, tmp_path: Path, name: str) -> None:
    fault = FAULTS[name]
    change = (fault.file, fault.right, fault.wrong)
    # a planted fault may leave a function without a caller
    program, calls = compile_variant(
        programs(NATIVE), tmp_path, [change], flags=("-O0", "-Wno-unused", "-Wno-unused-parameter")
    )
    found = verdicts(board, program, calls, answers, tmp_path)
    assert any(fault.verdict in verdict for verdict in found), found


def test_a_reset_that_does_not_finish_keeps_the_buffer(
    board: Board, programs: Programs, answers: Answers, tmp_path: Path
) -> None:
    # a bit that no DMA sets
    never = ("xd_dma.c", "XD_DMACR_RESET, 0, timeout_ms)", "0x80000000u, 0x80000000u, timeout_ms)")
    program, _ = compile_variant(programs(NATIVE), tmp_path, [never])
    frames = tmp_path / "frames.bin"
    answers.frames[:2].tofile(frames)
    done = board.run(program, "--timeout", "50", str(frames), traced=True)
    assert done.returncode == 22
    assert "DMA, send channel: its reset did not finish within 50 ms. Close the driver" in done.stderr
    given_back = [step.numbers[0] for step in parse(board.trace) if step.what == "unmap"]
    assert given_back == [board.device.ip_base, board.device.dma_base]


# --- another build -----------------------------------------------------------------------------


def change_number(host: Path, name: str, value: str) -> tuple[str, str, str]:
    """A change of one number of accel_build.h."""
    text = (host / "driver/accel_build.h").read_text()
    line = next(line for line in text.splitlines() if line.startswith(f"#define ACCEL_{name} "))
    return "accel_build.h", line, f"#define ACCEL_{name} {value}"


@pytest.mark.parametrize(
    ("name", "value", "status", "says"),
    [
        (
            "BUILD_HASH",
            "UINT64_C(0x1)",
            12,
            "this driver's is 0000000000000001. Load the bitstream of this build",
        ),
        ("BUILD_ABI", "0x00020000u", 11, "its registers are of version 1.0, this driver knows 2.0"),
        ("BUILD_ABI", "0x00010001u", 11, "its registers are of version 1.0, this driver knows 1.1"),
        ("OUT_BEATS", "9", 13, "this driver's 5 and 9"),
        ("IP_BASE", "0x40010000u", 10, "answers at 0x40010000, not 0x584e4f52"),
        ("DMA_BASE", "0x40000000u", 14, "its reset did not finish|not that of a DMA in simple mode"),
        ("REACH_BYTES", "0x1000u", 9, "is not within the memory that the DMA reaches"),
        ("MAX_TRANSFER", "100u", 15, "200 frames are asked for, one transfer takes up to 2"),
    ],
)
def test_another_build(
    board: Board,
    programs: Programs,
    answers: Answers,
    tmp_path: Path,
    name: str,
    value: str,
    status: int,
    says: str,
) -> None:
    native = programs(NATIVE)
    change = change_number(native.path.parents[2], name, value)
    program, _ = compile_variant(native, tmp_path, [change])
    if name in ("IP_BASE", "DMA_BASE"):
        number = 0 if name == "IP_BASE" else 1
        board.write(f"sys/class/uio/uio{number}/maps/map0/addr", value.rstrip("u"))
    frames = tmp_path / "frames.bin"
    answers.frames[:200].tofile(frames)
    done = board.run(program, "--batch", "200", str(frames))
    assert done.returncode == status, done.stderr
    assert any(part in done.stderr for part in says.split("|")), done.stderr
    assert done.stderr.startswith("accel-run: error: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("bit", [5, 40])
def test_each_half_of_the_hash(
    board: Board, programs: Programs, answers: Answers, tmp_path: Path, bit: int
) -> None:
    native = programs(NATIVE)
    text = (native.path.parents[2] / "driver/accel_build.h").read_text()
    right = int(text.split("ACCEL_BUILD_HASH UINT64_C(")[1].split(")")[0], 0)
    change = change_number(native.path.parents[2], "BUILD_HASH", f"UINT64_C(0x{right ^ 1 << bit:016x})")
    program, _ = compile_variant(native, tmp_path, [change])
    frames = tmp_path / "frames.bin"
    answers.frames[:1].tofile(frames)
    done = board.run(program, str(frames))
    assert done.returncode == 12, done.stderr
    assert f"its build is {right:016x}, this driver's is {right ^ 1 << bit:016x}" in done.stderr


@pytest.mark.parametrize(
    ("clock_hz", "batch", "limit"),
    # 50 ms, and twice the planned time of the transfer's frames
    [(10, 3, 650), (10, 1, 250), (20, 3, 350), (4_000_000_000, 3, 50)],
)
def test_the_time_limit_follows_the_plan(
    board: Board,
    programs: Programs,
    answers: Answers,
    tmp_path: Path,
    clock_hz: int,
    batch: int,
    limit: int,
) -> None:
    native = programs(NATIVE)
    host = native.path.parents[2]
    changes = [change_number(host, "CLOCK_HZ", f"{clock_hz}u"), change_number(host, "CYCLES_PER_FRAME", "1u")]
    text = (host / "driver/accel_build.h").read_text()
    merged = text
    for _, line, wrong in changes:
        merged = merged.replace(line, wrong)
    program, _ = compile_variant(native, tmp_path, [("accel_build.h", text, merged)])
    frames = tmp_path / "frames.bin"
    answers.frames[:6].tofile(frames)
    begin = time.monotonic()
    done = board.run(program, "--timeout", "50", "--batch", str(batch), str(frames), faults="1:1")
    assert done.returncode == 18, done.stderr
    assert f"accel: no result within {limit} ms: " in done.stderr
    assert time.monotonic() - begin > limit / 1000


# --- tools -------------------------------------------------------------------------------------


def test_sanitizers(board: Board, programs: Programs, answers: Answers, tmp_path: Path) -> None:
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    program, calls = compile_variant(programs(NATIVE), tmp_path, [], flags=flags)
    library = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if "/" not in library:
        pytest.skip("libasan is missing: apt install libgcc-12-dev")
    checked = [
        Program(p.path, p.shim, p.target, (library,), (("ASAN_OPTIONS", "handle_segv=0:detect_leaks=1"),))
        for p in (program, calls)
    ]
    assert not verdicts(board, checked[0], checked[1], answers, tmp_path)
    done = board.run(checked[1], "sequence", *files(answers, tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_cppcheck(host_folder: Path) -> None:
    if shutil.which("cppcheck") is None:
        pytest.skip("cppcheck is missing: apt install cppcheck")
    done = subprocess.run(
        ["cppcheck", "--quiet", "--error-exitcode=1", "--enable=warning,portability,performance", "--std=c11",
         "-I.", "-Idriver", "-Iengine", "driver", "run_main.c"],
        cwd=host_folder,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("target", [ARM, AARCH64], ids=lambda target: target.name)
def test_the_barrier_is_one_for_the_whole_system(programs: Programs, target: Target) -> None:
    # no emulator shows a missing one
    objects = programs(target).path.parent / "driver/xd_io.o"
    tool = target.compiler.removesuffix("gcc") + "objdump"
    code = subprocess.run([tool, "-d", str(objects)], capture_output=True, text=True, check=True).stdout
    barrier = code[code.index("<xd_barrier>:") :].split("\n\n")[0]
    assert "dsb\tsy" in barrier


def test_a_cplusplus_program_links_it(programs: Programs, tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is missing: apt install g++")
    program = programs(NATIVE)
    source = tmp_path / "robot.cpp"
    source.write_text(
        '#include "accel_driver.h"\n#include <cstdio>\n'
        "int main() {\n    xd_options options;\n    xd_error error;\n    accel_driver *driver = nullptr;\n"
        "    xd_options_init(&options);\n"
        "    const xd_status status = accel_driver_open(&driver, &options, &error);\n"
        '    std::printf("%d %s\\n", int(status), error.text);\n    return accel_driver_close(driver);\n}\n'
    )
    library = program.path.parent / "libaccel.a"
    command = [
        "g++",
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{program.path.parents[2]}",
        str(source),
    ]
    subprocess.run([*command, str(library), "-o", str(tmp_path / "robot")], check=True)
    # an empty board
    board = {"XH_SHIM_DEVICE": str(tmp_path), "XH_SHIM_TREE": str(tmp_path), "LD_PRELOAD": str(program.shim)}
    done = subprocess.run(
        [str(tmp_path / "robot")], env={**os.environ, **board}, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("5 /sys/class/uio: no UIO device has the name 'accel'. Load the bitstream")


def test_thumb_code_runs_too(board: Board, programs: Programs, answers: Answers, tmp_path: Path) -> None:
    program = programs(ARM)
    host = program.path.parents[2]
    sources = [*map(str, sorted((host / "driver").glob("*.c"))), str(host / "run_main.c")]
    path = tmp_path / "thumb"
    subprocess.run(
        [ARM.compiler, "-std=c11", "-Os", "-mthumb", f"-I{host}", f"-I{host}/driver", *sources,
         str(program.path.parent / "libaccel.a"), "-lm", "-o", str(path)],
        check=True,
    )  # fmt: skip
    thumb = Program(path, program.shim, ARM)
    assert board.scores(thumb, answers.frames[:9], "--batch", "4").tobytes() == answers.scores[:9].tobytes()
