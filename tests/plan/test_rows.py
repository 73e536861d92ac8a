"""Several pixels a clock: what is legal, windows over words, folding files, plans unit by unit golden's."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from tests.plan.code_networks import Conv as MakerConv
from tests.plan.code_networks import Dense, Levels, draw
from tests.plan.code_networks import Layer as MakerLayer
from tests.plan.code_networks import network as made_network
from tests.plan.networks import Conv, Layer, Linear, Pool, digits, network, street_view
from tests.plan.row_cases import CASES, row_folding
from tests.plan.units_model import differing
from xnorhw import golden, pack
from xnorhw.board import load_board
from xnorhw.ir.errors import FitError, ModelError
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.types import code
from xnorhw.plan import (
    Folding,
    LayerFolding,
    PoolFolding,
    bound_cycles,
    check_folding,
    folding_of,
    make_plan,
    read_folding,
    write_folding,
)
from xnorhw.plan.model import MatrixUnit, Stream, Window
from xnorhw.plan.rows import legal_pixels, pool_pixels, row_view
from xnorhw.plan.stages import chip_layers
from xnorhw.plan.streams import conversion

BOARD = load_board("zcu104")
SAME = Pads(1, 1, 1, 1)


# --- windows over words ----------------------------------------------------------------------

GEOMETRIES = [
    WindowGeometry((1, kernel), (1, stride), Pads(left, right), (1, dilation), ceil_mode)
    for kernel, stride, left, right, dilation, ceil_mode in product(
        (1, 2, 3, 5), (1, 2, 3, 4), (0, 1, 2), (0, 1, 2), (1, 2), (False, True)
    )
    if max(left, right) <= (kernel - 1) * dilation
]


def test_a_word_of_the_window_holds_the_taps_of_its_pixels() -> None:
    """Each tap by its place in the words is the pixel that the window itself reads, or is off the map."""
    seen = 0
    for geometry, width, pixels in product(GEOMETRIES, (4, 6, 8, 12), (2, 3, 4, 6)):
        _, out = geometry.output_size(1, width)
        view = row_view(geometry, (1, 1, width), (1, 1, out), pixels) if out else None
        if view is None:
            continue
        seen += 1
        over = view.geometry
        assert view.out_width * view.made == out
        for place, made, tap in product(range(view.out_width), range(view.made), range(geometry.kernel[1])):
            wanted = (place * view.made + made) * geometry.stride[1] - geometry.pads.left
            wanted += tap * geometry.dilation[1]
            in_row = view.first + made * geometry.stride[1] + tap * geometry.dilation[1]
            assert 0 <= in_row < over.kernel[1] * pixels
            begins = place * over.stride[1] - over.pads.left
            assert begins * pixels + in_row == wanted
            # a word is on the map as a whole, or off it
            assert (0 <= begins + in_row // pixels < view.width) == (0 <= wanted < width)
        # and no word is read for nothing
        assert view.first < pixels
    assert seen > 1000


def test_what_divides_is_legal() -> None:
    layers: list[Layer] = [
        Conv(4, pads=SAME),
        Conv(5, (3, 3)),
        Pool(),
        Conv(3, (3, 3), stride=(1, 3)),
        Linear(2),
    ]
    first, second, third, last = chip_layers(network((2, 12, 18), layers))
    assert legal_pixels(first) == [1, 2, 3, 6, 9, 18]
    # 18 pixels become 16, and 8 in the pool
    assert legal_pixels(second) == [1, 2]
    assert pool_pixels(second, 2) == (2, 1)
    # 8 pixels at a stride of 3
    assert legal_pixels(third) == [1] and legal_pixels(last) == [1]


def test_a_stride_takes_more_than_it_makes() -> None:
    (layer, _) = chip_layers(network((1, 9, 16), [Conv(4, (5, 5), Pads(2, 2, 2, 2), (4, 4)), Linear(2)]))
    assert legal_pixels(layer) == [1, 2, 4, 8, 16]
    plan = make_plan(
        network((1, 9, 16), [Conv(4, (5, 5), Pads(2, 2, 2, 2), (4, 4)), Linear(2)]),
        BOARD,
        folding=Folding((LayerFolding("layer0", 4, 25, 2), LayerFolding("layer1", 2, 48))),
    )
    unit = plan.unit("l0_mvu")
    assert isinstance(unit, MatrixUnit) and unit.pixels == 1
    assert plan.layers[0].cycles == plan.layers[0].work_cycles == 9 * 8


def test_groups_terms_and_planes_take_one_pixel() -> None:
    one = MakerConv(4, pads=SAME, codes=Levels(1, "sign"))
    others: list[MakerLayer] = [
        replace(one, groups=2),
        replace(one, coefficients=(1, 2)),
        replace(one, coefficients=(3,)),
    ]
    for other in others:
        graph, _ = made_network((2, 6, 6), [one, other, Dense(2)])
        assert [legal_pixels(layer) for layer in chip_layers(graph)] == [[1, 2, 3, 6], [1], [1]], other


def test_words_of_other_sizes_are_joined_by_a_converter() -> None:
    have = Stream("t", 10, 3, 10, 12)
    for want in (Stream("t", 15, 3, 15, 8), Stream("t", 5, 3, 5, 24), Stream("t", 2, 3, 5, 24)):
        steps = conversion(have, False, want, False)
        assert steps[0].in_bits == 30 and steps[-1].out_bits == want.width and steps[-1].stream == want
    assert conversion(have, False, have, False) == ()


# --- plans -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in CASES if name != "integer weights"])
def test_units_make_goldens_tensors(name: str) -> None:
    make, pixels = CASES[name]
    graph, x = make()
    for seed in range(2):
        assert not differing(make_plan(graph, BOARD, folding=row_folding(graph, seed, pixels)), graph, x)


def test_units_of_random_networks_make_goldens_tensors() -> None:
    seen = 0
    for seed in range(60):
        if (case := draw(seed, 2)) is None:
            continue
        graph, x = case
        try:
            plan = make_plan(graph, BOARD, folding=row_folding(graph, seed))
        except ModelError:
            continue
        if any(layer.pixels > 1 for layer in plan.layers):
            seen += 1
            assert not differing(plan, graph, x), seed
    assert seen > 5


def test_pixels_are_taken_where_a_layer_would_hold_the_rest_up() -> None:
    plan = make_plan(digits(), BOARD)
    assert plan.figures.cycles_per_frame == plan.figures.bound_cycles == 8
    assert [layer.pixels for layer in plan.layers] == [8, 8, 1]
    # 64 clocks are 64 pixels: one a clock is quick enough
    enough = make_plan(digits(), BOARD, target_fps=BOARD.clock_mhz * 1e6 / 64)
    assert [layer.pixels for layer in enough.layers] == [1, 1, 1]
    one_less = make_plan(digits(), BOARD, target_fps=BOARD.clock_mhz * 1e6 / 63)
    assert [layer.pixels for layer in one_less.layers] == [2, 2, 1]


def test_a_network_of_valid_windows_takes_two() -> None:
    plan = make_plan(street_view(), BOARD)
    assert plan.figures.cycles_per_frame == 512 == plan.figures.bound_cycles
    assert plan.layers[0].pixels == plan.layers[1].pixels == 2


def test_pixels_count_in_the_bound() -> None:
    graph = network((3, 8, 8), [Conv(6, pads=SAME), Linear(7)], code(8, True))
    numbers = [
        Folding((LayerFolding("layer0", 6, 27, pixels), LayerFolding("layer1", 7, 384)))
        for pixels in (1, 2, 8)
    ]
    assert [bound_cycles(graph, n, BOARD) for n in numbers] == [64, 32, 24]


def test_the_image_and_the_starts_are_those_of_all_pixels() -> None:
    graph = digits()
    plan = make_plan(graph, BOARD)
    assert len(pack.weight_image(plan, graph)) == plan.image.total_bytes
    window = plan.unit("l1_window")
    assert isinstance(window, Window) and window.spread is not None
    assert window.out_lanes == 8 * 288


# --- folding files ---------------------------------------------------------------------------

GRAPH = network((3, 6, 8), [Conv(6, pads=SAME), Pool(), Conv(4, (2, 2)), Linear(2)])


def folding(pixels: int = 4, pe: int = 6, simd: int = 27, **pool: int) -> Folding:
    layers = (
        LayerFolding("layer0", pe, simd, pixels),
        LayerFolding("layer2", 4, 24),
        LayerFolding("layer3", 2, 24),
    )
    return Folding(layers, (PoolFolding("pool1", **pool),) if pool else ())


def test_a_file_comes_back() -> None:
    plan = make_plan(GRAPH, BOARD, folding=folding())
    text = write_folding(folding_of(plan), GRAPH)
    tree = json.loads(text)
    assert tree["version"] == "1.1"
    assert "pixels 1, 2, 4 or 8 (above 1 with pe 6 and simd 27)" in tree["layers"]["layer0"]["legal"]
    assert tree["pools"]["pool1"]["legal"].startswith("taps_per_word 4,")
    assert make_plan(GRAPH, BOARD, folding=read_folding(text)) == plan


def test_an_older_file_is_read() -> None:
    tree = json.loads(write_folding(folding(1), GRAPH))
    tree["version"] = "1.0"
    for entry in tree["layers"].values():
        del entry["pixels"]
    assert read_folding(json.dumps(tree)) == folding(1)


@pytest.mark.parametrize(
    ("asked", "reason", "remedy"),
    [
        (folding(3), "pixels 3 is not possible", "Use pixels 1, 2, 4 or 8"),
        (folding(0), "pixels 0 is not possible", "Use pixels 1, 2, 4 or 8"),
        (folding(4, pe=5), "pe 5 x simd 27 does not", "Use pe 6 and simd 27, or pixels 1"),
        (folding(4, simd=9), "pe 6 x simd 9 does not", "Use pe 6 and simd 27, or pixels 1"),
        (folding(4, taps_per_word=2), "4 pixels come a clock", "Use 4"),
    ],
)
def test_what_is_wrong_is_named(asked: Folding, reason: str, remedy: str) -> None:
    with pytest.raises(FitError) as caught:
        check_folding(GRAPH, asked)
    assert reason in caught.value.reason and caught.value.remedy.startswith(remedy)


def test_dsps_add_for_one_pixel() -> None:
    graph = network((3, 6, 8), [Conv(6, pads=SAME), Linear(2)], code(8, True))
    layers = (LayerFolding("layer0", 6, 27, 2, dsp_pes=2), LayerFolding("layer1", 2, 6))
    with pytest.raises(FitError, match="several pixels a clock its sums are formed in LUTs"):
        make_plan(graph, load_board("pynq-z2"), folding=Folding(layers))


def test_golden_knows_no_pixels() -> None:
    """The cases are not vacuous: most channels of most tensors take several values."""
    varied = total = 0
    for make, _ in CASES.values():
        graph, x = make()
        for values in golden.run(graph, x).values():
            channels = values.transpose(1, 0, 2, 3).reshape(values.shape[1], -1)
            varied += int((channels != channels[:, :1]).any(axis=1).sum())
            total += len(channels)
    assert varied > 0.9 * total and np.isfinite(varied)
