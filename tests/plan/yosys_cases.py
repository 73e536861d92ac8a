"""Units of the plan with the parameters that yosys synthesises them with, to calibrate the formulas."""

from __future__ import annotations

from dataclasses import dataclass

from xnorhw.plan.unit_model import ring_copies

__all__ = ["CASES", "Case"]


@dataclass(frozen=True)
class Case:
    """A unit's module and parameters; ``memory`` is (words, bits) of a ROM's random contents.

    ``form``: "luts" for a unit that a build makes of LUTs by name, "leaf" for a matrix unit with
    ``memory`` inside of its LUTs; "" for the module as it stands.
    """

    module: str
    parameters: tuple[tuple[str, str], ...]
    memory: tuple[int, int] | None = None
    form: str = ""

    @property
    def key(self) -> str:
        """The case's name in the table."""
        form = f" {self.form}" if self.form else ""
        return self.module + "(" + ", ".join(f"{k}={v}" for k, v in self.parameters) + ")" + form


def case(module: str, memory: tuple[int, int] | None = None, form: str = "", **parameters: int | str) -> Case:
    """A case from keyword parameters."""
    return Case(module, tuple((k.upper(), str(v)) for k, v in parameters.items()), memory, form)


def mvu(pe: int, simd: int, folds: int, start: int, acc: int, form: str = "", **more: int) -> Case:
    """A matrix unit, bipolar and thresholded unless ``more`` says otherwise; a leaf has a group."""
    given = {"act_bits": 1, "act_signed": 0, "act_bipolar": 1, "thresholded": 1, "out_bits": 1} | more
    memory = (folds, pe * simd) if form == "leaf" else None
    return case(
        "xh_mvu", memory, form, pe=pe, simd=simd, folds=folds, start_bits=start, acc_bits=acc, **given
    )


def window(lanes: int, words: int, size: int, kernel: int, pad: int, depth: int, **more: int) -> Case:
    """A window over a square map."""
    stride = more.pop("stride", 1)
    out = (size + 2 * pad - kernel) // stride + 1
    form = {"bits": 1, "taps_per_word": 1, "repeats": 1, "channels_outer": 0, "block_ram": 0} | more
    taps = form["taps_per_word"]
    held = words == 1 and taps == kernel * kernel and not form["channels_outer"]
    form["taps_per_read"] = ring_copies(taps, form["repeats"] if held else 1)
    return case(
        "xh_window",
        lanes=lanes,
        words_per_pixel=words,
        height=size,
        width=size,
        kernel_y=kernel,
        kernel_x=kernel,
        stride_y=stride,
        stride_x=stride,
        pad_top=pad,
        pad_left=pad,
        out_height=out,
        out_width=out,
        depth=depth,
        **form,
    )


def adder(lanes: int, out_bits: int, *inputs: tuple[int, int, int, int]) -> Case:
    """An adder; inputs are (bits, shift, signed, bipolar)."""
    widths, shifts, signed, bipolar = zip(*inputs, strict=True)
    return case(
        "xh_add",
        inputs=len(inputs),
        lanes=lanes,
        out_bits=out_bits,
        in_bits=numbers(widths, 8),
        shifts=numbers(shifts, 8),
        in_signed=numbers(signed, 1),
        in_bipolar=numbers(bipolar, 1),
        in_width=lanes * sum(widths),
    )


def numbers(values: tuple[int, ...], bits: int) -> str:
    """A packed vector of numbers of ``bits`` bits in two's complement, the first lowest."""
    word = sum((value & ((1 << bits) - 1)) << (i * bits) for i, value in enumerate(values))
    return f"{len(values) * bits}'h{word:x}"


def terms(lanes: int, in_bits: int, coef_bits: int, coefficients: tuple[int, ...], out_bits: int) -> Case:
    """A terms unit."""
    return case(
        "xh_terms",
        lanes=lanes,
        in_bits=in_bits,
        terms=len(coefficients),
        coef_bits=coef_bits,
        coefficients=numbers(coefficients, coef_bits),
        out_bits=out_bits,
    )


CASES = (
    *(mvu(pe, simd, 9, 11, 11) for pe, simd in ((1, 32), (4, 16), (4, 32), (2, 64), (8, 9))),
    *(mvu(pe, simd, 8, 11, 11) for pe, simd in ((1, 128), (8, 3), (16, 1))),
    mvu(10, 16, 32, 11, 11, thresholded=0, out_bits=32),
    *(
        mvu(pe, simd, 9, 14, 14, act_bits=bits, act_signed=1, act_bipolar=0)
        for pe, simd, bits in ((16, 3, 8), (4, 3, 8), (8, 9, 8), (16, 1, 8), (8, 8, 4), (8, 27, 8))
    ),
    mvu(8, 4, 9, 12, 12, act_bits=8, act_bipolar=0, thresholded=0, out_bits=32),
    *(
        mvu(pe, simd, folds, acc, acc, act_bits=bits, act_signed=signed, act_bipolar=0, weight_bits=weight)
        for pe, simd, folds, acc, bits, signed, weight in (
            (16, 3, 9, 18, 8, 1, 8),
            (8, 8, 4, 18, 8, 0, 8),
            (8, 2, 4, 18, 8, 0, 8),
            (2, 16, 4, 16, 4, 0, 8),
            (4, 8, 4, 16, 8, 1, 4),
            (8, 8, 4, 14, 2, 0, 8),
            (8, 8, 4, 16, 8, 1, 2),
            (4, 8, 4, 16, 8, 0, 3),
            (4, 16, 4, 14, 4, 0, 4),
            (4, 8, 4, 14, 1, 0, 7),
            (4, 4, 4, 16, 3, 0, 8),
        )
    ),
    *(
        mvu(pe, simd, 4, 14, 14, weight_bits=weight)
        for pe, simd, weight in ((8, 8, 8), (4, 32, 8), (8, 16, 3), (8, 8, 2))
    ),
    *(
        mvu(pe, simd, folds, 18, acc, act_bits=8, act_bipolar=0, weight_bits=8, thresholded=0, out_bits=32)
        for pe, simd, folds, acc in ((10, 4, 8, 22), (4, 12, 4, 20))
    ),
    *(
        mvu(pe, 9, 1, 14, 14, act_bits=8, act_signed=1, act_bipolar=0, pixels=pixels)
        for pe, pixels in ((8, 4), (1, 3))
    ),
    mvu(6, 32, 1, 8, 8, pixels=3),
    mvu(4, 36, 1, 8, 8, "luts", pixels=4),
    mvu(4, 18, 1, 7, 7, "leaf", thresholded=0, out_bits=12, pixels=2),
    mvu(3, 9, 1, 16, 16, act_bits=8, act_bipolar=0, weight_bits=8, pixels=2),
    mvu(4, 8, 1, 12, 12, weight_bits=4, pixels=2),
    *(
        case("xh_width_converter", in_bits=i, out_bits=o, packet_bits=p)
        for i, o, p in (
            (64, 8, 6272),
            (64, 24, 24576),
            (8, 64, 64),
            (64, 1, 784),
            (64, 16, 64),
            (16, 64, 64),
            (32, 24, 64),
            (24, 32, 64),
            (64, 48, 128),
            (5, 7, 30),
            (320, 64, 320),
            (64, 49, 784),
            (16, 16, 40),
            (64, 64, 784),
            (1, 64, 64),
            (32, 10, 10),
        )
    ),
    window(3, 1, 32, 3, 0, 128, bits=8),
    window(64, 1, 30, 3, 0, 128),
    window(64, 1, 16, 3, 1, 64, repeats=4),
    window(32, 4, 14, 3, 1, 200, repeats=2),
    window(16, 4, 8, 3, 1, 96, repeats=2),
    window(64, 1, 30, 3, 0, 128, block_ram=1),
    window(32, 8, 28, 3, 1, 1024, block_ram=1, repeats=8),
    window(32, 1, 28, 2, 0, 64, stride=2, channels_outer=1),
    window(16, 4, 28, 2, 0, 256, stride=2, channels_outer=1),
    window(16, 1, 12, 3, 1, 48, taps_per_word=3),
    window(8, 1, 12, 3, 0, 48, taps_per_word=9, repeats=2),
    window(64, 16, 1, 1, 0, 32, repeats=16),
    window(4, 1, 8, 5, 2, 64, stride=2),
    window(16, 4, 14, 3, 1, 200, slices=4),
    window(8, 8, 14, 3, 1, 256, slices=2, repeats=4),
    *(
        case("xh_fifo", width=w, depth=d)
        for w, d in (
            (16, 2),
            (64, 2),
            (32, 16),
            (40, 128),
            (8, 512),
            (32, 256),
            (64, 600),
            (16, 3000),
            (9, 2048),
        )
    ),
    *(
        case("xh_weight_rom", memory=(d, w), width=w, depth=d, block_rom=b, file='"rom.mem"')
        for w, d, b in (
            (64, 9, 0),
            (64, 32, 0),
            (256, 36, 0),
            (64, 64, 0),
            (32, 128, 0),
            (16, 288, 0),
            (24, 200, 0),
            (64, 512, 1),
            (128, 576, 1),
            (32, 2048, 1),
            (16, 1024, 1),
            (10, 300, 1),
        )
    ),
    *(
        case("xh_start_rom", memory=(g, w), width=w, groups=g, file='"rom.mem"')
        for w, g in ((176, 4), (88, 16), (44, 1), (40, 64))
    ),
    case(
        "xh_start_rom",
        memory=(36, 88),
        width=88,
        groups=4,
        out_height=8,
        out_width=8,
        row_classes=3,
        column_classes=3,
        class_bits=2,
        row_class="16'h9554",
        column_class="16'h9554",
        file='"rom.mem"',
    ),
    *(
        case("xh_pool", lanes=n, taps_per_word=t, tap_groups=g, words_per_pixel=w, invert=f"{n * w}'d0")
        for n, t, g, w in ((32, 1, 4, 1), (16, 2, 2, 4), (64, 9, 1, 1), (8, 3, 3, 2))
    ),
    *(
        case(
            "xh_pool", lanes=n, taps_per_word=t, tap_groups=g, words_per_pixel=w, invert=f"{n * w}'d0", bits=b
        )
        for n, t, g, w, b in (
            (32, 1, 4, 1, 2),
            (8, 1, 4, 1, 8),
            (8, 4, 1, 1, 2),
            (8, 4, 1, 1, 8),
            (8, 3, 3, 2, 4),
            (32, 1, 4, 1, 4),
        )
    ),
    *(
        case(
            "xh_pool",
            lanes=n,
            taps_per_word=t,
            tap_groups=g,
            words_per_pixel=1,
            invert=f"{n}'d0",
            bits=b,
            signed=1,
        )
        for n, t, g, b in ((16, 1, 4, 9), (8, 4, 1, 9))
    ),
    *(
        case(
            "xh_sum_pool",
            lanes=n,
            in_bits=i,
            in_signed=s,
            in_bipolar=p,
            taps_per_word=t,
            tap_groups=g,
            words_per_pixel=1,
            out_bits=o,
        )
        for n, i, s, p, t, g, o in (
            (8, 2, 0, 0, 1, 4, 5),
            (8, 8, 0, 0, 1, 49, 15),
            (32, 4, 0, 0, 1, 4, 7),
            (8, 8, 0, 0, 4, 1, 11),
            (8, 2, 0, 0, 3, 3, 7),
            (32, 1, 0, 1, 1, 4, 4),
            (8, 8, 1, 0, 1, 4, 11),
            (16, 1, 0, 1, 9, 1, 5),
        )
    ),
    *(
        case("xh_plane", lanes=n, bits=b, folds=f, terms=len(p), planes=numbers(p, b))
        for n, b, f, p in (
            (16, 2, 9, (0, 1, 2)),
            (64, 2, 9, (0, 1, 2)),
            (64, 3, 9, (0, 1, 2, 3, 4)),
            (64, 3, 9, (3,)),
            (32, 4, 9, tuple(range(8))),
        )
    ),
    *(
        terms(n, i, k + 1, tuple(1 << t for t in range(k)), o)
        for n, i, k, o in ((1, 10, 2, 12), (8, 10, 2, 12), (8, 12, 4, 16), (8, 12, 8, 20), (8, 12, 4, 32))
    ),
    *(
        terms(n, i, k, c, o)
        for n, i, k, c, o in (
            (1, 10, 9, (201, -77, 30), 20),
            (8, 10, 9, (201, -77, 30), 20),
            (8, 12, 12, (1999, -2048, 77, 5, 1), 26),
            (8, 8, 5, (9, -3), 14),
            (8, 10, 9, (201, -77, 30), 32),
        )
    ),
    *(
        case("xh_levels", lanes=n, in_bits=i, levels=k, out_bits=k.bit_length())
        for n, i, k in (
            (1, 12, 1),
            (8, 12, 1),
            (8, 12, 3),
            (8, 12, 7),
            (8, 12, 15),
            (4, 16, 15),
            (16, 10, 3),
            (1, 16, 15),
            (8, 20, 3),
        )
    ),
    *(
        case(
            "xh_requant",
            lanes=n,
            in_bits=i,
            multiplier_bits=m,
            addend_bits=a,
            shift=s,
            low=0,
            high=(1 << o) - 1,
            out_bits=o,
        )
        for n, i, m, a, s, o in (
            (1, 14, 16, 30, 16, 8),
            (8, 14, 16, 30, 16, 8),
            (4, 20, 18, 40, 20, 8),
            (4, 24, 25, 48, 24, 8),
            (4, 10, 8, 18, 8, 5),
        )
    ),
    *(
        case(
            "xh_requant",
            lanes=n,
            in_bits=i,
            multiplier_bits=m,
            addend_bits=a,
            shift=s,
            low=low,
            high=high,
            out_bits=o,
            even=1,
        )
        for n, i, m, a, s, low, high, o in (
            (8, 14, 16, 30, 16, 0, 255, 8),
            (8, 17, 2, 7, 6, -128, 127, 8),
            (4, 13, 2, 3, 1, 0, 255, 8),
            (4, 24, 25, 48, 24, -2048, 2047, 12),
        )
    ),
    *(case("xh_fork", width=w, copies=n) for w, n in ((8, 2), (128, 3))),
    adder(8, 10, (9, 0, 1, 0), (9, 0, 1, 0)),
    adder(16, 12, (9, 2, 1, 0), (5, 0, 0, 0)),
    adder(32, 8, (1, 3, 0, 1), (6, 0, 1, 0)),
    adder(8, 32, (9, 0, 1, 0), (9, 1, 1, 0), (9, 0, 1, 0)),
    adder(4, 20, (12, 0, 1, 0), (12, 3, 1, 0), (9, 0, 0, 0), (1, 9, 0, 1)),
    *(
        case("xh_concat", inputs=len(w), width=b, words=numbers(w, 16))
        for b, w in ((32, (1, 1)), (64, (4, 4)), (32, (8, 2, 1)), (24, (6, 1, 1, 1, 1)))
    ),
    *(
        case("xh_abs_sum", lanes=n, in_bits=i, words_per_pixel=w, last_lanes=last, out_bits=o)
        for n, i, w, last, o in (
            (1, 9, 1, 1, 10),
            (8, 9, 4, 8, 14),
            (16, 9, 4, 3, 16),
            (32, 5, 1, 30, 11),
            (4, 12, 16, 4, 32),
        )
    ),
    *(
        case("xh_multiply", lanes=n, in_bits=i, factor_bits=f, words_per_pixel=w, out_bits=o)
        for n, i, f, w, o in ((1, 12, 14, 1, 26), (8, 12, 16, 4, 28), (4, 20, 21, 2, 41), (8, 10, 12, 8, 32))
    ),
)
