"""A grid of parameters for every unit, beside the cases picked by hand: the formulas must hold on all."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from tests.plan.yosys_cases import Case, adder, case, mvu, numbers, terms, window
from xnorhw.plan.memory_cost import luts_by_name

__all__ = ["GRID"]


def levels() -> Iterator[Case]:
    for lanes, bits, count in product((1, 4, 16), (6, 10, 16, 22), (1, 2, 3, 7, 15)):
        if lanes * bits * count <= 1000 and (lanes + bits + count) % 2:
            yield case("xh_levels", lanes=lanes, in_bits=bits, levels=count, out_bits=count.bit_length())


def requant() -> Iterator[Case]:
    for lanes, (bits, multiplier, addend), out, even in product(
        (1, 8), ((9, 8, 18), (12, 12, 24), (14, 18, 32), (22, 16, 40), (20, 24, 46)), (5, 8), (0, 1)
    ):
        low, high = (-(1 << (out - 1)), (1 << (out - 1)) - 1) if even else (0, (1 << out) - 1)
        if (lanes == 1) == (out == 5):
            form = {"lanes": lanes, "in_bits": bits, "multiplier_bits": multiplier, "addend_bits": addend}
            more = {"even": 1} if even else {}
            shift = bits + multiplier - 12
            yield case("xh_requant", **form, shift=shift, low=low, high=high, out_bits=out, **more)


def weighted() -> Iterator[Case]:
    for lanes, bits, count in product((1, 4, 16), (7, 11, 15), (2, 3, 6)):
        if (lanes + bits + count) % 2:
            doubled = tuple(1 << t for t in range(count))
            yield terms(lanes, bits, count + 1, doubled, bits + count)
    for lanes in (2, 8):
        yield terms(lanes, 12, 4, (-4,), 14)
    for lanes, bits, count in product((1, 4, 16), (8, 14), (2, 4, 7, 12)):
        if (lanes + bits // 2 + count) % 2:
            yield terms(lanes, bits, 10, tuple(97 * (t + 1) % 400 - 150 for t in range(count)), bits + 14)


def small_products() -> Iterator[Case]:
    """Weighted sums of so few bits that no DSP multiplies."""
    for lanes, bits, coefficients, out in (
        (2, 6, (1, 6, 5), 8), (6, 5, (-7, -4), 7), (1, 5, (-7, -4), 7), (4, 4, (3, -5), 7),
        (4, 7, (3, 5, -3), 8), (2, 5, (9, -7, 4, 11), 8), (4, 3, (3, -3), 6),
        (2, 6, (3, -5), 9), (2, 4, (3, -3), 9), (2, 3, (13, -7, 22), 8),
        (2, 4, (97, -50), 12), (2, 3, (5, -7, 3, 2, 6), 8), (2, 6, (-3,), 8),
    ):  # fmt: skip
        factor = max((c if c >= 0 else ~c).bit_length() for c in coefficients) + 1
        yield terms(lanes, bits, factor, coefficients, out)


def plane() -> Iterator[Case]:
    for lanes, bits, folds in product((4, 32, 100), (2, 3, 4, 6), (1, 4, 9, 36)):
        planes = tuple(range(0, (1 << bits) - 1, max(1, (1 << bits) // 8)))
        if (lanes // 4 + bits + folds) % 3 == 0:
            yield case(
                "xh_plane",
                lanes=lanes,
                bits=bits,
                folds=folds,
                terms=len(planes),
                planes=numbers(planes, bits),
            )


def sum_pool() -> Iterator[Case]:
    kinds = ((1, 0, 0), (1, 0, 1), (2, 0, 0), (4, 0, 0), (8, 0, 0), (8, 1, 0))
    for lanes, (bits, signed, bipolar), (taps, groups) in product(
        (2, 8, 32), kinds, ((1, 4), (1, 9), (2, 2), (4, 1), (3, 3), (9, 1), (1, 49))
    ):
        if (lanes + bits + signed + 2 * bipolar + taps + groups) % 4 == 0 and lanes * bits * taps < 600:
            yield case(
                "xh_sum_pool",
                lanes=lanes,
                in_bits=bits,
                in_signed=signed,
                in_bipolar=bipolar,
                taps_per_word=taps,
                tap_groups=groups,
                words_per_pixel=1 + (lanes == 8),
                out_bits=bits + (taps * groups).bit_length() + 1,
            )


def wide_sum_pool() -> Iterator[Case]:
    for bits, signed, bipolar, taps in (
        (3, 0, 0, 9), (5, 0, 0, 9), (6, 0, 0, 9), (8, 1, 0, 9), (4, 1, 0, 4), (4, 0, 0, 16), (8, 0, 0, 16),
        (2, 0, 0, 16),
        (1, 0, 1, 16), (1, 0, 0, 9), (4, 0, 0, 6), (8, 0, 0, 6), (2, 0, 0, 4), (4, 0, 0, 4),
    ):  # fmt: skip
        form = {
            "lanes": 4,
            "in_bits": bits,
            "in_signed": signed,
            "in_bipolar": bipolar,
            "taps_per_word": taps,
        }
        yield case(
            "xh_sum_pool", **form, tap_groups=1, words_per_pixel=1, out_bits=bits + taps.bit_length() + 1
        )


def branches() -> Iterator[Case]:
    for width, copies in ((1, 2), (64, 2), (512, 4)):
        yield case("xh_fork", width=width, copies=copies)
    for lanes, bits in product((1, 4, 16, 64), (5, 9, 14)):
        if lanes * bits < 600:
            yield adder(lanes, bits + 1, (bits, 0, 1, 0), (bits, 0, 1, 0))
            yield adder(lanes, bits + 4, (bits, 3, 1, 0), (bits - 2, 0, 0, 0))
    for lanes in (2, 8):
        yield adder(lanes, 12, (8, 0, 0, 0), (8, 0, 0, 0), (8, 0, 0, 0))
        yield adder(lanes, 16, (12, 0, 1, 0), (10, 2, 1, 0), (8, 0, 1, 0), (6, 0, 1, 0))
        yield adder(lanes, 10, (1, 2, 0, 1), (8, 0, 1, 0), (8, 0, 1, 0))
    for width, words in product((8, 48, 128), ((1, 2), (16, 16, 16), (2, 2, 4, 8), (1, 1, 1, 1, 1, 1))):
        yield case("xh_concat", inputs=len(words), width=width, words=numbers(words, 16))
    for lanes, bits, words in product((1, 2, 4, 8, 16, 32), (5, 9, 14), (1, 4, 16)):
        if lanes * bits <= 200 and (lanes.bit_length() + bits + words) % 2:
            out = bits + (lanes * words).bit_length() + 1
            yield case(
                "xh_abs_sum", lanes=lanes, in_bits=bits, words_per_pixel=words, last_lanes=lanes, out_bits=out
            )
    for lanes, (bits, factor), words in product(
        (1, 8), ((9, 9), (12, 17), (17, 24), (22, 18), (26, 20)), (1, 16)
    ):
        yield case(
            "xh_multiply",
            lanes=lanes,
            in_bits=bits,
            factor_bits=factor,
            words_per_pixel=words,
            out_bits=bits + factor,
        )


def by_name(width: int, depth: int) -> str:
    return "luts" if luts_by_name(width, depth) else ""


def start_roms() -> Iterator[Case]:
    for width, groups in product((11, 44, 96, 352), (1, 2, 4, 8, 16, 32, 64)):
        if (width + groups.bit_length()) % 2:
            form = {"width": width, "groups": groups, "file": '"rom.mem"'}
            yield case("xh_start_rom", (groups, width), by_name(width, groups), **form)
    for width, groups, size in product((33, 176), (1, 2, 8), (6, 14, 28)):
        ends = "".join(["0", *["1"] * (size - 2), "2"])
        table = numbers(tuple(int(c) for c in ends), 2)
        if (groups + size // 2 + width) % 2:
            yield case(
                "xh_start_rom",
                (9 * groups, width),
                by_name(width, 9 * groups),
                width=width,
                groups=groups,
                out_height=size,
                out_width=size,
                row_classes=3,
                column_classes=3,
                class_bits=2,
                row_class=table,
                column_class=table,
                file='"rom.mem"',
            )


def weight_roms() -> Iterator[Case]:
    def rom(width: int, depth: int, block: int, form: str = "") -> Case:
        form_ = {"width": width, "depth": depth, "block_rom": block, "file": '"rom.mem"'}
        return case("xh_weight_rom", (depth, width), form, **form_)

    for width, depth in product((1, 7, 36, 144), (1, 2, 3, 4, 8, 12, 18, 32, 36, 64, 72, 128, 144, 200, 256)):
        if (width // 4 + depth) % 3 and width * depth <= 12000 and by_name(width, depth):
            yield rom(width, depth, 0, "luts")
    for width, depth in product((8, 36, 144), (2, 3, 4, 5, 8, 12, 16, 18, 32)):
        if (width // 4 + depth) % 3 == 0:
            yield rom(width, depth, 0)
    for width, depth in product(
        (1, 4, 9, 16, 18, 20, 36, 40, 64, 72, 100, 144, 288),
        (32, 72, 256, 512, 513, 1024, 1500, 2304, 4096, 9000),
    ):
        if width * depth <= 80000 and (width + depth // 4) % 3 == 0:
            yield rom(width, depth, 1)
    for width, depth, cut in (
        (128, 2592, ""), (16, 16384, ""), (20, 4500, ""), (27, 22446, ""), (9, 17000, ""), (18, 26000, ""),
        (9, 34000, ""), (32, 18432, ""),
        (128, 2592, "tall"), (9, 14592, "tall"), (16, 3000, "tall"), (36, 1500, "tall"),
        (128, 2592, "mixed"), (27, 22446, "mixed"), (18, 14592, "mixed"), (9, 14592, "mixed"),
        (8, 2050, "mixed"), (36, 1056, "mixed"), (18, 12500, "mixed"),
        (384, 192, "mixed"), (144, 30, "mixed"), (200, 72, "mixed"), (75, 33, "mixed"),
    ):  # fmt: skip
        yield rom(width, depth, 1, cut)


def fifos() -> Iterator[Case]:
    for width, depth in product(
        (1, 8, 20, 64, 144), (2, 3, 5, 16, 32, 33, 64, 96, 128, 200, 256, 512, 1000, 1024, 4096)
    ):
        if (width // 4 + depth) % 3 == 0 and width * depth <= 150000:
            yield case("xh_fifo", width=width, depth=depth)


def converters() -> Iterator[Case]:
    for given, made, packet in (
        *((64, n, 64 * k) for n, k in ((2, 9), (4, 9), (32, 1), (32, 4), (9, 9), (12, 3), (27, 27),
        (36, 9), (72, 9))),
        *((n, 64, 64 * k) for n, k in ((2, 1), (4, 1), (32, 1), (32, 4), (9, 9), (12, 3), (48, 3), (96, 3),
        (320, 5))),
        *((n, 576, 576) for n in (16, 32, 64, 144)),
        *((n, 128, 256) for n in (8, 16, 32, 64, 256)),
        *((n, 3 * n, 9 * n) for n in (1, 8, 32)),
        *((3 * n, 2 * n, 12 * n) for n in (1, 8, 32)),
        *((128, n, 1152) for n in (16, 48, 64, 96)),
        (64, 784, 784), (64, 100, 100), (8, 64, 40),
        (64, 64, 200), (16, 32, 80), (32, 16, 80), (24, 64, 240), (64, 10, 250), (10, 64, 250),
    ):  # fmt: skip
        yield case("xh_width_converter", in_bits=given, out_bits=made, packet_bits=packet)


def pools() -> Iterator[Case]:
    for lanes, bits, (taps, groups), words in product(
        (4, 16, 64), (1, 2, 3, 5, 8), ((1, 4), (1, 9), (2, 2), (4, 1), (3, 3), (9, 1)), (1, 4)
    ):
        few = lanes * bits * taps <= 400
        if few and (lanes.bit_length() + bits + taps + groups + words) % 3 == 0:
            form = {"lanes": lanes, "taps_per_word": taps, "tap_groups": groups, "words_per_pixel": words}
            more = {"bits": bits} if bits > 1 else {}
            signed = {"signed": 1} if bits == 5 else {}
            yield case("xh_pool", **form, invert=f"{lanes * words}'d0", **more, **signed)
    yield case("xh_pool", lanes=16, taps_per_word=1, tap_groups=4, words_per_pixel=1, invert="16'h5a3c")
    yield case("xh_pool", lanes=16, taps_per_word=1, tap_groups=4, words_per_pixel=2, invert="32'h5a3c1234")


def windows() -> Iterator[Case]:
    for lanes, words, size, kernel, pad, depth, more in (
        (16, 1, 16, 3, 1, 64, {}), (64, 1, 32, 3, 1, 128, {}), (64, 1, 32, 3, 0, 128, {}),
        (16, 4, 16, 3, 0, 256, {}),
        (16, 4, 16, 3, 1, 256, {"block_ram": 1}), (64, 1, 32, 3, 1, 512, {"block_ram": 1}),
        (8, 1, 30, 3, 1, 96, {}), (8, 8, 10, 3, 1, 256, {"repeats": 8}),
        (128, 2, 14, 3, 1, 96, {"repeats": 2}),
        (3, 1, 32, 3, 1, 128, {"bits": 8, "taps_per_word": 3}),
        (3, 1, 32, 3, 1, 128, {"bits": 8, "taps_per_word": 9}),
        (3, 1, 32, 3, 0, 100, {"bits": 8}), (1, 3, 28, 3, 0, 256, {"bits": 8, "repeats": 16}),
        (64, 1, 14, 3, 0, 64, {"taps_per_word": 3}), (64, 1, 14, 3, 1, 64, {"taps_per_word": 9}),
        (32, 2, 14, 3, 0, 96, {"taps_per_word": 3, "repeats": 4}),
        (128, 1, 5, 3, 0, 32, {"taps_per_word": 9, "repeats": 4}),
        (4, 1, 8, 3, 1, 32, {"taps_per_word": 9}), (32, 1, 8, 3, 1, 32, {"taps_per_word": 9, "repeats": 2}),
        (16, 1, 28, 2, 0, 64, {"stride": 2, "channels_outer": 1}),
        (64, 1, 8, 2, 0, 32, {"stride": 2, "channels_outer": 1}),
        (32, 4, 10, 2, 0, 128, {"stride": 2, "channels_outer": 1}),
        (64, 1, 28, 2, 0, 64, {"stride": 2, "taps_per_word": 4}),
        (32, 1, 7, 7, 0, 64, {"channels_outer": 1}), (8, 1, 15, 5, 2, 128, {}),
        (8, 1, 15, 5, 0, 128, {"stride": 2}),
        (16, 1, 28, 1, 0, 32, {"stride": 2}), (64, 1, 28, 1, 0, 4, {"repeats": 8}),
        (16, 2, 28, 3, 1, 256, {"stride": 2}),
        (64, 36, 1, 1, 0, 64, {"repeats": 32}), (32, 8, 1, 1, 0, 16, {"repeats": 4}),
        (16, 49, 1, 1, 0, 128, {"repeats": 10}),
        (256, 1, 14, 3, 1, 512, {"block_ram": 1, "repeats": 4}),
        (36, 2, 56, 3, 1, 512, {"block_ram": 1, "repeats": 2}),
        (9, 4, 20, 3, 1, 256, {"bits": 4}), (16, 1, 20, 3, 1, 64, {"bits": 2, "repeats": 8}),
        (8, 16, 7, 3, 1, 400, {"slices": 8}),
    ):  # fmt: skip
        yield window(lanes, words, size, kernel, pad, depth, **more)


def matrices() -> Iterator[Case]:
    for pe, simd, folds, acc in (
        (1, 9, 4, 7), (4, 9, 1, 5), (16, 3, 3, 5), (2, 27, 1, 6), (8, 18, 4, 8), (8, 32, 9, 10),
        (32, 32, 9, 10),
        (4, 64, 36, 12), (16, 64, 9, 11), (2, 144, 4, 11), (3, 288, 1, 10), (2, 576, 1, 11), (1, 1, 64, 7),
        (6, 48, 12, 11),
    ):  # fmt: skip
        yield mvu(pe, simd, folds, acc, acc, "luts")
    for pe, simd in ((16, 64), (32, 64), (4, 32), (1, 32), (16, 16), (32, 9), (8, 3), (16, 1)):
        yield mvu(pe, simd, 9, 11, 11, "luts")
    for pe, simd, folds, acc in ((16, 64, 9, 11), (4, 288, 4, 11), (8, 36, 8, 9)):
        for stages in (1, 2):
            yield mvu(pe, simd, folds, acc, acc, "luts", count_stages=stages)
    for pe, simd, folds, acc in (
        (16, 64, 4, 9), (4, 9, 1, 5), (8, 27, 2, 7), (2, 144, 4, 11), (1, 576, 4, 12), (8, 32, 3, 8),
        (3, 18, 4, 8), (16, 6, 2, 5),
    ):  # fmt: skip
        yield mvu(pe, simd, folds, acc, acc, "leaf")
    for pe, simd, folds, acc in ((10, 64, 8, 10), (2, 16, 36, 11), (5, 128, 2, 9), (1, 32, 16, 10)):
        yield mvu(pe, simd, folds, acc, acc, "luts", thresholded=0, out_bits=32)
    for pe, simd, folds, acc, bits, signed in (
        (1, 9, 1, 13, 8, 1), (16, 9, 3, 14, 8, 1), (64, 3, 9, 14, 8, 1), (4, 27, 1, 14, 8, 1),
        (16, 27, 1, 14, 8, 0),
        (8, 3, 9, 8, 2, 0), (16, 9, 4, 8, 2, 0), (4, 32, 9, 12, 2, 0), (8, 16, 9, 13, 4, 0),
        (4, 64, 4, 13, 4, 1),
        (32, 1, 27, 14, 8, 1), (8, 2, 9, 10, 4, 0), (8, 6, 9, 9, 1, 0), (4, 18, 4, 13, 6, 0),
    ):  # fmt: skip
        yield mvu(pe, simd, folds, acc, acc, act_bits=bits, act_signed=signed, act_bipolar=0)
    for pe, simd, folds, acc, bits, signed, weight, bipolar in (
        (4, 3, 9, 18, 8, 1, 6, 0), (8, 9, 3, 20, 8, 0, 8, 0), (2, 4, 8, 16, 5, 0, 5, 0),
        (4, 1, 32, 20, 8, 0, 8, 0),
        (4, 4, 9, 12, 3, 0, 3, 0), (2, 12, 4, 12, 2, 0, 4, 0), (4, 2, 9, 14, 7, 1, 3, 0),
        (8, 3, 9, 12, 4, 0, 2, 0),
        (4, 16, 4, 12, 1, 0, 4, 1), (2, 64, 4, 16, 1, 0, 8, 1), (8, 4, 9, 12, 1, 0, 6, 1),
        (16, 1, 16, 12, 1, 0, 8, 1),
    ):  # fmt: skip
        more = {"act_bits": bits, "act_signed": signed, "act_bipolar": bipolar, "weight_bits": weight}
        yield mvu(pe, simd, folds, acc, acc, **more)
    # codes in columns of DSPs: all PEs, some of them; one segment of a column to eight
    for pe, simd, folds, acc, bits, signed, dsp_pes, packed in (
        (16, 27, 1, 14, 8, 1, 16, 3), (16, 27, 1, 14, 8, 1, 9, 3), (64, 9, 3, 14, 8, 1, 57, 3),
        (32, 27, 1, 13, 8, 1, 15, 3), (4, 3, 9, 14, 8, 1, 4, 3), (8, 16, 9, 16, 8, 0, 8, 3),
        (6, 40, 2, 17, 8, 0, 6, 2), (10, 31, 1, 14, 8, 1, 6, 3), (16, 16, 9, 13, 4, 0, 16, 4),
        (10, 9, 4, 10, 2, 0, 10, 5), (12, 12, 2, 12, 5, 0, 6, 3), (20, 6, 3, 9, 3, 1, 20, 5),
    ):  # fmt: skip
        more = {"act_bits": bits, "act_signed": signed, "act_bipolar": 0}
        yield mvu(pe, simd, folds, acc, acc, **more, dsp_pes=dsp_pes, packed=packed)


GRID = (
    *fifos(),
    *converters(),
    *pools(),
    *windows(),
    *matrices(),
    *wide_sum_pool(),
    *levels(),
    *requant(),
    *weighted(),
    *small_products(),
    *plane(),
    *sum_pool(),
    *branches(),
    *start_roms(),
    *weight_roms(),
)
