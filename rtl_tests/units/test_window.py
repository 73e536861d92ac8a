"""xh_window: geometries, loop orders, ring depths, stalls, frames back to back, reset inside a frame."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import cocotb

from rtl_tests.reference import WindowShape, window
from rtl_tests.runner import Case, Port, bits, run_bench
from rtl_tests.streams import STALLS, Bench, Stalls, named

FRAMES = 3


@dataclass(frozen=True)
class Window:
    """A window instance; ``extra`` ring words above the smallest depth, None for two frames more.

    ``read`` taps are read at a time, 0 for those of a word.
    """

    name: str
    shape: WindowShape
    extra: int | None = 0
    block: bool = False
    read: int = 0

    def __str__(self) -> str:
        return self.name

    @property
    def depth(self) -> int:
        if self.extra is None:
            return self.shape.smallest_depth + 2 * self.shape.in_words
        return self.shape.smallest_depth + self.extra


def _out(size: int, kernel: int, stride: int, low: int, high: int, dilation: int) -> int:
    return (size + low + high - dilation * (kernel - 1) - 1) // stride + 1


def _shape(
    size: tuple[int, int],
    kernel: tuple[int, int],
    *,
    stride: tuple[int, int] = (1, 1),
    pad: tuple[int, int] = (0, 0),
    pad_end: tuple[int, int] | None = None,
    dilation: tuple[int, int] = (1, 1),
    lanes: int = 4,
    bit: int = 1,
    words: int = 1,
    taps: int = 1,
    repeats: int = 1,
    outer: bool = False,
    pad_seed: int | None = None,
    out: tuple[int, int] | None = None,
    slices: int = 1,
) -> WindowShape:
    """``pad`` is (top, left), ``pad_end`` (bottom, right), by default the same."""
    end = pad if pad_end is None else pad_end
    low, high = [_out(size[i], kernel[i], stride[i], pad[i], end[i], dilation[i]) for i in (0, 1)]
    pad_word = 0 if pad_seed is None else random.Random(pad_seed).getrandbits(words * lanes * bit)
    size_out = out or (low, high)
    return WindowShape(
        lanes,
        bit,
        words,
        size,
        kernel,
        stride,
        pad,
        dilation,
        size_out,
        taps,
        repeats,
        outer,
        pad_word,
        slices,
    )


_SAME = _shape((5, 6), (3, 3), pad=(1, 1))
_POOL = _shape((6, 6), (2, 2), stride=(2, 2), outer=True)

# the smallest depth, one word more, powers of two and not, plenty
WINDOWS = (
    Window("same", _SAME),
    Window("same_one_more", _SAME, 1),
    Window("same_roomy", _SAME, None),
    Window("same_block", _SAME, 2, block=True),
    Window("same_rows", replace(_SAME, taps_per_word=3), 3),
    Window("same_all_taps", replace(_SAME, taps_per_word=9), 2),
    Window("same_all_taps_roomy", replace(_SAME, taps_per_word=9), None),
    Window("same_all_taps_block", replace(_SAME, taps_per_word=9, lanes=16), 32 - 15, block=True),
    Window("same_repeats", replace(_SAME, repeats=3)),
    Window("same_words", _shape((5, 6), (3, 3), pad=(1, 1), words=3, lanes=5, repeats=2, pad_seed=7), 1),
    Window("same_words_rows", _shape((4, 5), (3, 3), pad=(1, 1), words=2, taps=3, repeats=4, pad_seed=8)),
    Window("same_words_all", _shape((4, 4), (3, 3), pad=(1, 1), words=4, taps=9, pad_seed=9), None),
    Window("valid", _shape((6, 7), (3, 3))),
    Window("valid_roomy", _shape((6, 7), (3, 3), words=2), None),
    Window("valid_all", _shape((6, 7), (3, 3), taps=9), None),
    Window("codes", _shape((5, 5), (3, 3), pad=(1, 1), lanes=3, bit=8, pad_seed=3), 4),
    Window("codes_all", _shape((5, 5), (3, 3), lanes=1, bit=8, taps=9), None),
    Window("five", _shape((8, 9), (5, 5), stride=(2, 2), pad=(2, 2), pad_seed=5)),
    Window("five_row", _shape((8, 9), (5, 5), stride=(2, 2), pad=(2, 2), taps=5, words=2), None),
    Window("point", _shape((4, 5), (1, 1))),
    Window("point_repeats", _shape((4, 5), (1, 1), words=2, repeats=3), 5),
    Window("point_stride", _shape((5, 7), (1, 1), stride=(2, 3), repeats=2), 2),
    Window("past_column", _shape((4, 4), (2, 2), pad=(0, 2), pad_seed=11), 1),
    Window("pool", _POOL),
    Window("pool_roomy", replace(_POOL, words_per_pixel=2), None),
    Window("pool_all", replace(_POOL, taps_per_word=4), 3),
    Window("pool_words", replace(_POOL, words_per_pixel=3, taps_per_word=2), 1),
    Window("pool_odd", _shape((7, 7), (2, 2), stride=(2, 2), outer=True, words=2)),
    Window("pool_odd_all", _shape((7, 7), (2, 2), stride=(2, 2), outer=True, taps=4), None),
    Window(
        "pool_overlap", _shape((7, 8), (3, 3), stride=(2, 2), pad=(1, 1), outer=True, words=2, pad_seed=2)
    ),
    Window("pool_overlap_row", _shape((7, 8), (3, 3), stride=(2, 2), pad=(1, 1), outer=True, taps=3), None),
    Window("pool_ceil", _shape((5, 5), (2, 2), stride=(2, 2), outer=True, pad_end=(1, 1), pad_seed=4), 2),
    Window("rectangle", _shape((4, 9), (2, 3), stride=(1, 2), pad=(0, 1), taps=2), 1),
    Window("rectangle_tall", _shape((9, 3), (4, 2), stride=(3, 1), pad=(2, 1), words=2, pad_seed=6), 1),
    Window("rectangle_six", _shape((4, 9), (2, 3), pad=(1, 0), taps=6, repeats=2), None),
    Window("dilated", _shape((8, 9), (3, 3), dilation=(2, 2), pad=(2, 2), pad_seed=12)),
    Window("dilated_mixed", _shape((7, 9), (2, 3), dilation=(3, 2), pad=(1, 2), taps=3, words=2), None),
    Window("unequal_pads", _shape((5, 5), (3, 3), pad=(2, 0), pad_end=(0, 1), pad_seed=13)),
    Window("wide_pads", _shape((3, 4), (3, 3), pad=(2, 2), pad_seed=14)),
    Window("kernel_past_map", _shape((2, 2), (3, 3), pad=(1, 1), words=2, pad_seed=15)),
    Window("whole_map", _shape((4, 4), (4, 4), words=2, repeats=3)),
    Window("whole_map_roomy", _shape((4, 4), (4, 4), words=2, repeats=1), None),
    Window("whole_map_rows", _shape((3, 5), (3, 5), taps=5, repeats=4), 3),
    Window("vector", _shape((1, 1), (1, 1), words=4, repeats=3)),
    Window("vector_one", _shape((1, 1), (1, 1))),
    Window("trailing", _shape((9, 8), (2, 2), stride=(3, 3))),
    Window("trailing_roomy", _shape((9, 8), (2, 2), stride=(3, 3), taps=4), None),
    Window("skips_rows", _shape((9, 9), (1, 1), stride=(4, 4), words=2), 1),
    Window("first_rows", _shape((8, 4), (3, 3), out=(2, 2)), 1),
    Window("line", _shape((1, 12), (1, 5), pad=(0, 2), taps=5, pad_seed=16), 3),
    Window("groups", _shape((5, 6), (3, 3), pad=(1, 1), words=6, slices=3, repeats=2, pad_seed=17), 2),
    Window("groups_of_a_word", _shape((4, 5), (3, 3), pad=(1, 1), words=4, slices=4, pad_seed=18)),
    Window("groups_rows", _shape((4, 5), (3, 3), words=6, slices=2, taps=3, repeats=3), None),
    Window("groups_all", _shape((4, 4), (3, 3), pad=(1, 1), words=5, slices=5, taps=9, repeats=2), 3),
    Window(
        "groups_stride", _shape((7, 6), (3, 2), stride=(2, 2), pad=(1, 0), words=4, slices=2, taps=2), None
    ),
    Window("groups_point", _shape((3, 4), (1, 1), words=6, slices=2, repeats=3), None),
    Window("held", replace(_SAME, taps_per_word=9, repeats=4), 3, read=3),
    Window("held_roomy", replace(_SAME, taps_per_word=9, repeats=3), None, read=3),
    Window("held_smallest", replace(_SAME, taps_per_word=9, repeats=9), read=1),
    Window("held_too_long", replace(_SAME, taps_per_word=9, repeats=2), 2, read=1),
    Window("held_valid", _shape((6, 7), (3, 3), taps=9, repeats=3), None, read=3),
    Window("held_codes", _shape((5, 5), (3, 3), lanes=3, bit=8, taps=9, repeats=9), None, read=1),
    Window("held_padded", _shape((5, 5), (3, 3), pad=(1, 1), taps=9, repeats=3, pad_seed=20), 2, read=3),
    Window("held_stride", _shape((7, 6), (2, 2), stride=(2, 2), taps=4, repeats=2), None, read=2),
    Window("held_block", _shape((5, 5), (3, 3), lanes=16, taps=9, repeats=3), 20, block=True, read=3),
    Window("held_once", _shape((4, 5), (2, 2), taps=4), 2, read=2),
    Window("pads_block", replace(_SAME, pad_word=0b0110), 6, block=True),
    Window("groups_block", _shape((4, 5), (2, 2), words=4, slices=2, repeats=2, lanes=16), 19, block=True),
)


def _frames(shape: WindowShape, count: int, seed: str) -> list[list[int]]:
    generator = random.Random(seed)
    return [[generator.getrandbits(shape.word_bits) for _ in range(shape.in_words)] for _ in range(count)]


async def _check(bench: Bench, shape: WindowShape, seed: str) -> None:
    frames = _frames(shape, FRAMES, seed)
    for frame in frames:
        bench.source.put(frame)
        await bench.step()
    limit = 500 + 60 * (shape.in_words + shape.out_words)
    for index, frame in enumerate(frames):
        given = await bench.receive(shape.out_words, limit)
        assert given == window(shape, frame), f"frame {index}"
    await bench.finish()


@cocotb.test()
@cocotb.parametrize(instance=named(WINDOWS), stalls=named(STALLS))
async def frames(dut: Any, instance: Window, stalls: Stalls) -> None:
    """Frames back to back, every stall pattern, nothing lost, nothing left."""
    bench = Bench(dut, instance.name, stalls)
    await bench.start()
    await _check(bench, instance.shape, f"{instance} {stalls}")


@cocotb.test()
@cocotb.parametrize(instance=named(WINDOWS))
async def reset(dut: Any, instance: Window) -> None:
    """Resets at several places of a frame leave nothing behind."""
    shape = instance.shape
    bench = Bench(dut, instance.name, STALLS[0])
    await bench.start()
    for part in (1, 3):
        bench.source.put(_frames(shape, 2, "lost")[0] * 2)
        for _ in range(2 + part * max(shape.in_words, shape.out_words) // 3):
            await bench.step()
        await bench.reset()
        await _check(bench, shape, f"{instance} {part}")


@cocotb.test()
@cocotb.parametrize(instance=named([w for w in WINDOWS if w.extra is None]))
async def rate(dut: Any, instance: Window) -> None:
    """With room in the ring, the side with more words moves one in every clock."""
    shape = instance.shape
    count = 6
    bench = Bench(dut, instance.name, STALLS[0])
    await bench.start()
    for frame in _frames(shape, count, "rate"):
        bench.source.put(frame)
    await bench.receive(count * shape.out_words, 100 + 3 * count * (shape.in_words + shape.out_words))
    clocks = bench.sink.clocks
    last = clocks[shape.out_words - 1 :: shape.out_words]
    assert last[-1] - last[0] == (count - 1) * max(shape.in_words, shape.out_words)
    if shape.out_words >= shape.in_words:
        # from the second frame on the ring is ahead: no row and no frame costs a clock
        tail = clocks[2 * shape.out_words :]
        assert tail[-1] - tail[0] == len(tail) - 1


def _case(instance: Window) -> Case:
    shape = instance.shape
    pixel_bits = shape.words_per_pixel * shape.word_bits
    sizes = {
        "BITS": shape.bits,
        "LANES": shape.lanes,
        "WORDS_PER_PIXEL": shape.words_per_pixel,
        "HEIGHT": shape.size[0],
        "WIDTH": shape.size[1],
        "KERNEL_Y": shape.kernel[0],
        "KERNEL_X": shape.kernel[1],
        "STRIDE_Y": shape.stride[0],
        "STRIDE_X": shape.stride[1],
        "PAD_TOP": shape.pad[0],
        "PAD_LEFT": shape.pad[1],
        "DILATION_Y": shape.dilation[0],
        "DILATION_X": shape.dilation[1],
        "OUT_HEIGHT": shape.out[0],
        "OUT_WIDTH": shape.out[1],
        "TAPS_PER_WORD": shape.taps_per_word,
        "REPEATS": shape.repeats,
        "DEPTH": instance.depth,
    }
    if shape.slices > 1:
        sizes["SLICES"] = shape.slices
    if instance.read:
        sizes["TAPS_PER_READ"] = instance.read
    parameters = {name: str(value) for name, value in sizes.items()}
    parameters["CHANNELS_OUTER"] = f"1'b{int(shape.channels_outer)}"
    parameters["BLOCK_RAM"] = f"1'b{int(instance.block)}"
    parameters["PAD_WORD"] = bits(shape.pad_word, pixel_bits)
    ports = (Port("s", shape.word_bits, True), Port("m", shape.taps_per_word * shape.word_bits, False))
    return Case(instance.name, "xh_window", parameters, ports)


def cases() -> list[Case]:
    """Every instance of the bench."""
    return [_case(instance) for instance in WINDOWS]


def test_window() -> None:
    run_bench("window", __name__, cases())
