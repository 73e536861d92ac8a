"""Folding files: round trip, and each wrong entry named with what is legal."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.plan.networks import Conv, Linear, digits, network
from xnorhw.board import load_board
from xnorhw.ir.errors import FitError
from xnorhw.ir.geometry import Pads
from xnorhw.plan import (
    Folding,
    LayerFolding,
    PoolFolding,
    check_folding,
    folding_of,
    make_plan,
    read_folding,
    write_folding,
)
from xnorhw.plan.folding import simd_hint
from xnorhw.plan.geometry import layer_shape, legal_simd
from xnorhw.plan.stages import chip_layers

GRAPH = digits()
FOLDING = Folding(
    (
        LayerFolding("layer0", 4, 9),
        LayerFolding("layer1", 8, 32, memory="lut"),
        LayerFolding("layer3", 1, 48),
    ),
    (PoolFolding("pool2", 2, "block"),),
)


def test_a_file_says_what_it_was_written_from() -> None:
    text = write_folding(FOLDING, GRAPH)
    assert read_folding(text) == FOLDING
    assert write_folding(read_folding(text), GRAPH) == text
    tree = json.loads(text)
    assert tree["format"] == "xnorhw-folding"
    assert tree["layers"]["layer1"]["legal"].startswith("pe 1 to 48, simd 1 to 32, or 96 or 288")


@pytest.mark.parametrize("target", [None, 10_000.0, 250_000.0])
def test_a_plan_comes_back_from_its_own_folding(target: float | None) -> None:
    board = load_board("pynq-z2")
    plan = make_plan(GRAPH, board, target_fps=target)
    folding = read_folding(write_folding(folding_of(plan), GRAPH))
    # what the search proved is no part of what it found
    assert make_plan(GRAPH, board, folding=folding) == replace(plan, proof=None)


def entry(**changes: Any) -> dict[str, Any]:
    tree = json.loads(write_folding(FOLDING, GRAPH))
    layer = tree["layers"]["layer0"]
    for key, value in changes.items():
        if value is None:
            del layer[key]
        else:
            layer[key] = value
    return tree


@pytest.mark.parametrize(
    ("changes", "module", "words"),
    [
        ({"simdd": 3}, "layer0", ["'simdd' is unknown", "Did you mean simd"]),
        ({"pe": None}, "layer0", ["'pe' is missing"]),
        ({"pe": "four"}, "layer0", ["pe is 'four'", "whole number"]),
        ({"pe": 4.0}, "layer0", ["pe is 4.0"]),
        ({"pe": True}, "layer0", ["pe is True"]),
        ({"memory": 3}, "layer0", ["memory is 3"]),
    ],
)
def test_a_wrong_entry_is_named(changes: dict[str, Any], module: str, words: list[str]) -> None:
    with pytest.raises(FitError) as caught:
        read_folding(json.dumps(entry(**changes)))
    assert caught.value.module == module
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON"),
        ("[]", "no folding file"),
        ('{"format": "other"}', "no folding file"),
        ('{"format": "xnorhw-folding", "version": "2.0", "layers": {}}', "version 2.0"),
        ('{"format": "xnorhw-folding", "version": 1, "layers": {}}', "no version"),
        ('{"format": "xnorhw-folding", "version": "1.0"}', "'layers' is missing"),
        ('{"format": "xnorhw-folding", "version": "1.0", "layers": {}, "pols": {}}', "Did you mean pools"),
        ('{"format": "xnorhw-folding", "version": "1.0", "layers": []}', "no table"),
        ('{"format": "xnorhw-folding", "version": "1.0", "layers": {"a": 1}}', "no table"),
        ('{"format": "xnorhw-folding", "version": "1.0", "layers": {"a": {}, "a": {}}}', "stands twice"),
    ],
)
def test_a_wrong_file_is_named(text: str, words: str) -> None:
    with pytest.raises(FitError, match=words):
        read_folding(text)


def test_a_newer_minor_version_is_read() -> None:
    text = write_folding(FOLDING, GRAPH).replace('"version": "1.0"', '"version": "1.7"')
    assert read_folding(text) == FOLDING


def refused(**changes: Any) -> FitError:
    layers = (replace(FOLDING.layers[0], **changes), *FOLDING.layers[1:])
    with pytest.raises(FitError) as caught:
        check_folding(GRAPH, replace(FOLDING, layers=layers))
    return caught.value


def test_numbers_out_of_range() -> None:
    error = refused(pe=33)
    assert error.module == "layer0"
    assert "32 output channels" in error.reason
    assert "1 to 32" in error.remedy
    assert "16 or 32" in error.remedy
    assert refused(pe=0).module == "layer0"
    assert "pixels" in refused(pixels=2).reason
    assert "Did you mean block" in refused(memory="blok").remedy
    assert "Did you mean lut" in refused(window_memory="lutt").remedy


def test_a_simd_that_no_window_can_feed_lists_the_legal_ones_around() -> None:
    error = refused(simd=4)
    assert "no window can feed simd 4" in error.reason
    assert "simd 1, 3 or 9;" in error.remedy
    assert "1, 3 or 9" in error.remedy
    assert refused(simd=27).module == "layer0"


def test_names_of_layers_and_pools() -> None:
    assert "Did you mean layer0" in refused(name="layer_0").remedy
    with pytest.raises(FitError, match="twice"):
        check_folding(GRAPH, replace(FOLDING, layers=(*FOLDING.layers, FOLDING.layers[0])))
    with pytest.raises(FitError, match="no entry") as caught:
        check_folding(GRAPH, replace(FOLDING, layers=FOLDING.layers[1:]))
    assert caught.value.module == "layer0"
    assert "pe 1 to 32" in caught.value.remedy
    with pytest.raises(FitError, match="no pool of this name"):
        check_folding(GRAPH, replace(FOLDING, pools=(PoolFolding("pool1", 1),)))
    with pytest.raises(FitError, match="does not divide") as caught:
        check_folding(GRAPH, replace(FOLDING, pools=(PoolFolding("pool2", 3),)))
    assert "1, 2 or 4" in caught.value.remedy


def test_the_hint_names_nothing_that_is_refused() -> None:
    """Nine taps of more than 455 channels are wider than the widest word of C++."""
    wide = chip_layers(network((520, 6, 6), [Conv(4, pads=Pads(1, 1, 1, 1)), Linear(2)]))[0]
    assert simd_hint(wide) == "simd 1 to 455"
    small = chip_layers(network((5, 6, 6), [Conv(4), Linear(2)]))[0]
    assert simd_hint(small) == "simd 1 to 5, or 15 or 45"


def test_legal_simd_is_channels_or_channels_times_a_divisor_of_the_taps() -> None:
    layer = chip_layers(network((5, 6, 6), [Conv(4, (3, 2)), Linear(2)]))[0]
    assert legal_simd(layer) == [1, 2, 3, 4, 5, 10, 15, 30]


@pytest.mark.parametrize(
    ("pe", "simd", "folds", "groups"),
    [(1, 1, 45, 7), (7, 5, 9, 1), (3, 2, 27, 3), (4, 15, 3, 2), (2, 45, 1, 4)],
)
def test_folds_and_groups(pe: int, simd: int, folds: int, groups: int) -> None:
    layer = chip_layers(network((5, 6, 6), [Conv(7), Linear(2)]))[0]
    shape = layer_shape(layer, pe, simd)
    assert (shape.folds, shape.groups) == (folds, groups)
    assert shape.cycles == max(36 * shape.words_per_pixel, 16 * folds * groups)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format":' * 100_000])
def test_a_file_nested_absurdly_deep(text: str) -> None:
    with pytest.raises(FitError, match="no JSON") as caught:
        read_folding(text)
    assert caught.value.remedy and len(str(caught.value)) < 400
