"""The bounded run: tokens, clocks, deadlocks and what is left over, on networks small enough to know."""

from __future__ import annotations

import random
import re
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

Network = Callable[..., Path]

DONE, USAGE, DEADLOCK, LEFT_OVER, RESULTS, RULE = 0, 2, 3, 4, 5, 6


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str
    result: bytes
    words: str


def run(program: Path, place: Path, data: bytes, *options: str) -> Done:
    place.mkdir(exist_ok=True)
    (place / "input.bin").write_bytes(data)
    for left in (*place.glob("*.hex"), place / "result.bin"):
        left.unlink(missing_ok=True)
    done = subprocess.run([str(program), *options], cwd=place, capture_output=True, text=True, timeout=60)
    result = place / "result.bin"
    words = place / "parts.hex"
    return Done(
        done.returncode,
        done.stdout,
        done.stderr,
        result.read_bytes() if result.is_file() else b"",
        words.read_text() if words.is_file() else "",
    )


def frames(count: int, seed: int = 1) -> bytes:
    rng = random.Random(seed)
    return rng.randbytes(16 * count)


def plus_one(data: bytes) -> bytes:
    parts = struct.unpack(f"<{len(data) // 2}H", data)
    return struct.pack(f"<{len(parts)}H", *((part + 1) & 0xFFFF for part in parts))


def test_both_modes_give_the_frames_and_the_words(network: Network, tmp_path: Path) -> None:
    data = frames(20)
    words = "".join(f"{part:04x}\n" for part in struct.unpack("<160H", data))
    for options in (["mode=csim"], [], ["source=60", "sink=80", "seed=9"]):
        done = run(network("chain"), tmp_path, data, *options)
        assert (done.code, done.err) == (DONE, "")
        assert done.result == plus_one(data)
        assert done.words == words


@pytest.mark.parametrize("bits", [32, 128, 256])
def test_other_beats(network: Network, tmp_path: Path, bits: int) -> None:
    rng = random.Random(bits)
    parts = [rng.getrandbits(bits // 4) for _ in range(8 * 5)]
    size = bits // 32
    data = b"".join(part.to_bytes(size, "little") for part in parts)
    done = run(network("chain", f"BEAT={bits}"), tmp_path, data, "sink=30")
    assert done.code == DONE
    expected = [(part + 1) % (1 << (bits // 4)) for part in parts]
    assert done.result == b"".join(part.to_bytes(size, "little") for part in expected)
    assert done.words.split() == [f"{part:0{bits // 16}x}" for part in parts]


@pytest.mark.parametrize(("latency", "first"), [(1, 10), (5, 22)])
def test_clocks_are_those_counted_by_hand(network: Network, tmp_path: Path, latency: int, first: int) -> None:
    """The source writes in clock 0, split reads L later and writes in 8 clocks, join reads the last
    word L after it was written and writes the beat at once, the sink reads it L later.

    For L = 1: split reads in 1 and writes in 1..8, join reads the last in 9, the sink in 10.
    For L = 5: split reads in 5 and writes in 5..12, join reads the last in 17, the sink in 22.
    """
    done = run(network("chain", "A_DEPTH=64"), tmp_path, frames(12), f"latency={latency}", "source=50")
    assert f"latency_cycles {first}\n" in done.out
    assert "cycles_per_frame 8.000\n" in done.out


def test_a_stream_that_is_too_small_costs_clocks(network: Network, tmp_path: Path) -> None:
    """With L = 1 and depth 1 each word waits until its forerunner was read: two clocks a word."""
    done = run(network("chain", "A_DEPTH=1"), tmp_path, frames(12))
    assert "cycles_per_frame 16.000\n" in done.out
    assert "stream a depth 1 most 1 words 96\n" in done.out


def test_a_seed_repeats_the_run_and_another_takes_another_way(network: Network, tmp_path: Path) -> None:
    program, data = network("chain", "A_DEPTH=64"), frames(10)
    seen = set()
    for seed in range(8):
        first = run(program, tmp_path, data, f"seed={seed}", "sink=40")
        again = run(program, tmp_path, data, f"seed={seed}", "sink=40")
        assert first == again
        assert first.code == DONE
        assert first.result == plus_one(data)
        clocks = re.findall(r"cycles_per_frame .*", first.out)
        assert clocks == ["cycles_per_frame 8.000"]
        seen.add(first.out)
    assert len(seen) > 1  # how full the streams got tells the orders apart


def test_one_frame_has_no_rate(network: Network, tmp_path: Path) -> None:
    done = run(network("chain"), tmp_path, frames(3), "frames=1")
    assert done.code == DONE
    assert "cycles_per_frame" not in done.out
    assert "process split frames 1\nprocess join frames 1\n" in done.out


def test_a_depth_that_is_too_small_is_a_deadlock_with_names(network: Network, tmp_path: Path) -> None:
    data = bytes(range(40))
    enough = run(network("fork", "A_DEPTH=2"), tmp_path, data, "source=20", "sink=20")
    assert (enough.code, enough.result) == (DONE, data)
    for seed in range(5):
        stuck = run(network("fork", "A_DEPTH=1"), tmp_path, data, f"seed={seed}")
        assert stuck.code == DEADLOCK
        assert "deadlock: deal waits to write a (1 of 1 words)\n" in stuck.out
        assert "deadlock: gather waits to read b (0 of 1 words)\n" in stuck.out
        assert "deadlock: source waits to write s_axis (2 of 2 words)\n" in stuck.out


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        ("UNREAD", LEFT_OVER, "left over: b 1\n"),
        ("TAKES_LESS", LEFT_OVER, "left over: process join did 1 frames of 1 and stands inside of one\n"),
        ("TAKES_MORE", LEFT_OVER, "left over: process join did 0 frames of 1 and stands inside of one\n"),
        ("GIVES_LESS", RESULTS, "1 result beats, not 2\n"),
        ("GIVES_MORE", RESULTS, "3 result beats, not 2\n"),
        ("LOOKS", RULE, "process join looks at whether stream a is empty or full\n"),
        ("DOES_NOTHING", RULE, "process join uses no stream\n"),
        ("RETURNS", RULE, " ended while its processes run\n"),
        ("READ_TWICE", RULE, "stream a is read by "),
        ("WRITTEN_TWICE", RULE, "stream a is written by "),
    ],
)
def test_a_broken_stage_is_named(network: Network, tmp_path: Path, fault: str, code: int, text: str) -> None:
    done = run(network("chain", f"FAULT={fault}", "A_DEPTH=8"), tmp_path, frames(1))
    assert done.code == code
    assert text in done.out + done.err


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        ("TAKES_LESS", LEFT_OVER, "left over: a 1\n"),
        ("TAKES_MORE", DEADLOCK, "deadlock: stream a is read while it is empty\n"),
        ("GIVES_LESS", RESULTS, "frame 0 gives 1 beats, not 2\n"),
        ("GIVES_MORE", RESULTS, "frame 0 gives 3 beats, not 2\n"),
    ],
)
def test_a_broken_stage_is_named_in_c_simulation(
    network: Network, tmp_path: Path, fault: str, code: int, text: str
) -> None:
    done = run(network("chain", f"FAULT={fault}", "A_DEPTH=8"), tmp_path, frames(1), "mode=csim")
    assert done.code == code
    assert done.err.endswith(text)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("speed=3", "there is no option speed"),
        ("frames=x", "frames=x is no number"),
        ("frames=4", "the input holds 3 frames"),
        ("frames=0", "the input holds 3 frames"),
        ("mode=fast", "mode is bounded or csim, not fast"),
        ("sink=100", "source and sink are 99 at most"),
        ("input=none", "none cannot be opened"),
        ("words=none", "none/parts.hex cannot be opened"),
        ("seed", "seed is not NAME=VALUE"),
    ],
)
def test_wrong_usage(network: Network, tmp_path: Path, option: str, text: str) -> None:
    done = run(network("chain"), tmp_path, frames(3), option)
    assert (done.code, done.err) == (USAGE, text + "\n")


def test_a_part_of_a_frame_is_refused(network: Network, tmp_path: Path) -> None:
    done = run(network("chain"), tmp_path, frames(3)[:-1])
    assert (done.code, done.err) == (USAGE, "the input is no whole number of frames of 16 bytes\n")
